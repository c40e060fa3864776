"""Other words for what names a machine or a person: the same word has the same stand-in, of the same length and form, for as
long as the key is kept; without the key nobody finds the way back (BLAKE2b, RFC 7693).

Recognised by their form: UUIDs, identifiers of 32 or 64 hexadecimal digits, MAC and IP addresses, home directories, names of
volumes. Recognised only where they were named before: hosts, users, serial numbers (`Names`). PCI addresses, versions and device
numbers are none of these and stay.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re

from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from re import Match
    from typing import Final

UUID, IDENTIFIER, SERIAL, HOST, USER, HARDWARE, ADDRESS, VOLUME = KINDS = (
    "UUID", "identifier", "serial number", "host name", "user name", "MAC address", "IP address", "volume name",
)  # fmt: skip

_HEX: Final = "[0-9A-Fa-f]"
_NAME: Final = r"[^/\s\"'\\,;:=]+"
_SHAPES: Final = (
    ("uuid", rf"(?<!{_HEX}){_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}(?!{_HEX})"),
    # NVIDIA_VISIBLE_DEVICES takes the beginning of a UUID too.
    ("part", rf"(?<=GPU-|MIG-){_HEX}{{4,8}}(?:-{_HEX}{{1,12}}){{0,4}}(?![\w-])"),
    ("identifier", rf"(?<![0-9A-Za-z])(?:{_HEX}{{64}}|{_HEX}{{32}})(?![0-9A-Za-z])"),
    ("mac", rf"(?<![\w:])(?:{_HEX}{{2}}:){{5,19}}{_HEX}{{2}}(?![\w:])"),
    ("guid", rf"(?<![\w:])(?:{_HEX}{{4}}:){{3}}{_HEX}{{4}}(?![\w:])"),
    ("ip6", rf"(?<![\w:.])(?:{_HEX}{{0,4}}:){{2,7}}{_HEX}{{0,4}}(?![\w:])"),
    ("ip4", r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-]|\.\w)"),
    ("home", rf"(?<=/home/|Users/){_NAME}"),
    ("volume", "|".join(rf"(?<={place}){_NAME}" for place in (
        "/dev/mapper/", "/by-id/", "/by-uuid/", "/by-label/", "/by-partlabel/", "/by-partuuid/", "LABEL=",
    ))),
)  # fmt: skip
# Words that say nothing of anybody, and that parsers look for.
_NOBODY: Final = frozenset((
    "root", "nobody", "daemon", "localhost", "localdomain", "control", "linux", "none", "unknown", "host", "user", "users",
    "live", "file", "link", "directory", "true", "false", "null", "docker", "containerd", "podman", "crio", "runc", "crun", "runsc",
    "kubernetes", "nvidia", "cuda", "tpu", "gpu", "mig", "vfio", "google", "kernel", "systemd", "answered", "failed", "timeout",
    "container", "device", "devices", "driver", "video", "render", "kvm", "kfd", "accel", "drm", "pci", "node", "enforcing",
    "permissive", "legacy", "auto", "cdi", "xid", "sxid", "oom", "module", "iommu", "resume", "other", "default", "completed", "started",
    "not", "in", "progress", "builtin", "coming", "going", "python", "python3", "admin", "service", "cgroupfs", "hybrid", "all",
    "void", "test", "local",
))  # fmt: skip
_ENDS: Final = ("127.", "0.", "255.", "169.254.169.254")


class Names(Record):
    """Names that are known beforehand, or were found in a recording: of hosts, of users, serial numbers."""

    hosts: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    serials: frozenset[str] = frozenset()


class Pseudonyms:
    """The stand-ins of one recording. `system` are words that the machine's own paths are made of: a host or a user of such
    a name keeps it (`kept`), since nothing could be read any more without it.
    """

    def __init__(self, key: bytes, names: Names | None = None, system: Iterable[str] = ()) -> None:
        names = names or Names()
        self._key = key
        self._stand_ins: dict[tuple[str, str], str] = {}
        self._taken: set[tuple[str, str]] = set()
        self._whole: dict[str, None] = {}
        system = {word.lower() for word in system} | _NOBODY
        named = ((SERIAL, names.serials), (HOST, _with_parts(names.hosts)), (USER, names.users))
        known = [(word.lower(), kind) for kind, words in named for word in sorted(words) if len(word) > 1]
        self._known = {word: kind for word, kind in reversed(known) if word not in system and not word.isdigit()}
        self._known |= {word: kind for word, kind in known if kind is SERIAL and word not in system}
        self.kept = tuple(sorted({word for word, kind in known if kind is not SERIAL and word in system - _NOBODY}))
        self._system = frozenset(system)
        shapes = [f"(?P<{name}>{shape})" for name, shape in _SHAPES]
        if self._known:
            words = "|".join(re.escape(word) for word in sorted(self._known, key=len, reverse=True))
            shapes.insert(0, rf"(?P<known>(?<![^\W_])(?:{words})(?![^\W_]))")
        self._pattern = re.compile("|".join(shapes), re.IGNORECASE)

    @property
    def numbers(self) -> tuple[tuple[str, int], ...]:
        """How many different words of which kind were replaced."""
        kinds = [kind for kind, _ in self._stand_ins]
        return tuple((kind, kinds.count(kind)) for kind in KINDS if kind in kinds)

    def text(self, text: str) -> str:
        """A text with every word replaced."""
        return self._pattern.sub(self._stand_in, text)

    def _stand_in(self, match: Match[str]) -> str:
        return _RULES[match.lastgroup or ""](self, match)

    def known(self, match: Match[str]) -> str:
        """A name that is known."""
        return self.word(self._known.get(match[0].lower(), HOST), match[0])

    def uuid(self, match: Match[str]) -> str:
        """A whole UUID. The nil UUID is nobody's."""
        if not match[0].strip("0-"):
            return match[0]
        self._whole[match[0].lower()] = None
        return self.word(UUID, match[0])

    def part(self, match: Match[str]) -> str:
        """The beginning of a UUID: that of the stand-in, if the whole one is known."""
        whole = next((each for each in self._whole if each.startswith(match[0].lower())), match[0])
        return _like(match[0], self.word(UUID, whole)[: len(match[0])])

    def learn(self, text: str) -> None:
        """Look at a text's UUIDs, so that the beginnings of them are known later."""
        for match in re.finditer(_SHAPES[0][1], text):
            self.uuid(match)

    def ip4(self, match: Match[str]) -> str:
        """An IPv4 address, unless it is a version or has a meaning of its own."""
        octets = match[0].split(".")
        before = match.string[max(0, match.start() - 12) : match.start()].lower()
        if any(int(octet) > 255 or str(int(octet)) != octet for octet in octets) or "ersion" in before:
            return match[0]
        if match[0].startswith(_ENDS):
            return match[0]
        return self._address(match[0], lambda attempt: _octets(self._stream("ip4", match[0], attempt), octets))

    def ip6(self, match: Match[str]) -> str:
        """An IPv6 address, where it is one."""
        try:
            address = ipaddress.IPv6Address(match[0])
        except ValueError:
            return match[0]
        if address.is_loopback or address.is_unspecified or sum(c.isalnum() for c in match[0]) < 3:
            return match[0]
        return self.word(ADDRESS, match[0])

    def mac(self, match: Match[str]) -> str:
        """A hardware address; that of everybody and of nobody stays."""
        return match[0] if len(set(match[0].lower()) - {":"}) == 1 else self.word(HARDWARE, match[0])

    def identifier(self, match: Match[str]) -> str:
        """A long hexadecimal number; one that is only digits may be anything."""
        return match[0] if match[0].isdigit() else self.word(IDENTIFIER, match[0])

    def home(self, match: Match[str]) -> str:
        """The name of a home directory, unless it is a program's (`/home/kubernetes/bin`)."""
        return match[0] if match[0] in (".", "..") or match[0].lower() in _NOBODY else self.word(USER, match[0])

    def volume(self, match: Match[str]) -> str:
        """The name of a volume or a disk."""
        known = self._known.get(match[0].lower())
        return match[0] if match[0].lower() == "control" else self.word(known or VOLUME, match[0])

    def word(self, kind: str, word: str) -> str:
        """The stand-in of a word: hexadecimal digits for those of an identifier, else digits for digits, letters for letters."""
        lower = word.lower() if word.isascii() else word  # elsewhere the other case may be longer
        return _like(word, self._folded(kind, lower))

    def _folded(self, kind: str, word: str) -> str:
        found = self._stand_ins.get((kind, word))
        if found is None:
            make = _hexadecimal if kind in _OF_HEX else _letters
            found = self._new(kind, word, lambda attempt: make(word, self._stream(kind, word, attempt)))
        return found

    def _address(self, word: str, make: Callable[[int], str]) -> str:
        return self._stand_ins.get((ADDRESS, word)) or self._new(ADDRESS, word, make)

    def _new(self, kind: str, word: str, make: Callable[[int], str]) -> str:
        """The first attempt that nobody else has; a form of few characters may have none left."""
        for attempt in range(64):
            found = make(attempt)
            if found != word and (kind, found) not in self._taken and found not in self._system:
                break
        self._taken.add((kind, found))
        self._stand_ins[kind, word] = found
        return found

    def _stream(self, kind: str, word: str, attempt: int) -> bytes:
        seed = f"{kind}\0{attempt}\0{word}".encode("utf-8", "surrogatepass")
        return hashlib.shake_256(self._key + seed).digest(2 * len(word) + 8)


_OF_HEX: Final = (UUID, IDENTIFIER, HARDWARE, ADDRESS)
_RULES: Final[dict[str, Callable[[Pseudonyms, Match[str]], str]]] = {
    "known": Pseudonyms.known, "uuid": Pseudonyms.uuid, "part": Pseudonyms.part, "identifier": Pseudonyms.identifier,
    "mac": Pseudonyms.mac, "guid": Pseudonyms.mac, "ip6": Pseudonyms.ip6, "ip4": Pseudonyms.ip4, "home": Pseudonyms.home,
    "volume": Pseudonyms.volume,
}  # fmt: skip


def _with_parts(hosts: frozenset[str]) -> frozenset[str]:
    """A host's whole name, its first part, and the domain that it is in."""
    parts = {part for host in hosts for part in (host, host.partition(".")[0], host.partition(".")[2])}
    return frozenset(parts - {""})


def _hexadecimal(word: str, stream: bytes) -> str:
    digits = "0123456789abcdef"
    return "".join(digits[byte & 15] if each in digits else each for each, byte in zip(word, stream, strict=False))


def _letters(word: str, stream: bytes) -> str:
    return "".join(
        _letter(each, byte, first=not place) for place, (each, byte) in enumerate(zip(word, stream, strict=False))
    )


def _letter(each: str, byte: int, *, first: bool) -> str:
    if each.isdecimal():
        # A number does not begin with 0 where it did not before: it may be one in JSON.
        return str(byte % 9 + 1) if first and each != "0" else str(byte % 10)
    return chr(ord("a") + byte % 26) if each.isalpha() or not each.isascii() else each


def _octets(stream: bytes, octets: list[str]) -> str:
    """Numbers of as many digits; the first stays where it says that the address is private."""
    ranges = {1: (1, 9), 2: (10, 99), 3: (100, 254)}
    made = []
    for place, (octet, byte) in enumerate(zip(octets, stream, strict=False)):
        least, most = ranges[len(octet)]
        private = place == 0 and octet in ("10", "172", "192")
        made.append(octet if private else str(least + byte % (most - least + 1)))
    return ".".join(made)


def _like(word: str, stand_in: str) -> str:
    """The stand-in in a word's case: letter by letter where there are letters, else as the word has any."""
    upper = word.upper() == word and word.lower() != word
    cased = (new.upper() if upper or old.isupper() else new for old, new in zip(word, stand_in, strict=False))
    return "".join(cased)
