"""A recording without names: who gets it learns what the machine has, and not whose it is (`devproxy record --anonymize`).

What is replaced and how, `devproxy.host.pseudonyms` says; here is where it is looked for: in files, facts, paths, targets of
links. The key is made for one recording and kept nowhere, so that the same GPU has other names in the next one.
"""

from __future__ import annotations

import json
import os
import re

from devproxy.host.pseudonyms import Names, Pseudonyms
from devproxy.host.recorded import Kept, Recording
from devproxy.json_text import dumps
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Final

_SMALLEST_SERIAL: Final = 100_000
_LONGEST: Final = 255
_HOST_KEYS: Final = frozenset(("hostname", "nodename", "node_name", "host_name"))
_USER_KEYS: Final = frozenset(("user", "username", "logname", "sudo_user", "login"))
_SERIAL_KEYS: Final = frozenset(("serial", "serial_number", "board_serial", "product_serial", "chassis_serial"))
_ASSIGNED: Final = re.compile(
    r"\b(?P<key>HOSTNAME|NODE_NAME|NODENAME|USER|LOGNAME|SUDO_USER|(?:board |product )?serial(?: number)?)\s*[:=]\s*"
    r"(?P<value>[\w.-]{2,64})",
    re.IGNORECASE,
)
# `Nov 26 02:14:13 HOST kernel:`, and the same with an ISO time.
_LOGGED: Final = re.compile(
    r"^(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\d[T ][\d:.,+-]+Z?) (?P<host>[\w.-]{2,64}) [\w.-]+(?:\[\d+\])?:",
    re.MULTILINE,
)
_KEY: Final = re.compile(r"[a-z][a-z_]{1,40}")
_HOME: Final = re.compile(r"(?:/home/|/Users/)([\w.-]{2,64})")
# What nobody named after themselves, and parsers take for a name.
_SYSTEM_PATHS: Final = ("/dev/", "/proc/", "/sys/", "/usr/", "/etc/", "/run/", "/var/", "/lib/", "/opt/")
_NAMED_PATHS: Final = ("/dev/mapper/", "/dev/disk/", "/run/user/", "/run/media/", "/var/home/")


class Anonymized(Record):
    """A recording without names, how many different ones of which kind were replaced, and names that could not be, because
    the machine's own paths have words like them.
    """

    recording: Recording
    replaced: tuple[tuple[str, int], ...]
    kept: tuple[str, ...]
    pseudonyms: Pseudonyms


def anonymize(recording: Recording, names: Names | None = None, key: bytes | None = None) -> Anonymized:
    """The recording without names. `names` are those that are known beforehand; those in it are found. Without a `key` one
    is made and thrown away.
    """
    found = _names_in(recording)
    every = Names(*(one | other for one, other in zip(names or Names(), found, strict=True)))
    pseudonyms = Pseudonyms(os.urandom(32) if key is None else key, every, _system_words(recording))
    for text in _texts(recording):
        pseudonyms.learn(text)
    replaced = _replaced(recording, pseudonyms)
    return Anonymized(replaced, pseudonyms.numbers, pseudonyms.kept, pseudonyms)


def _replaced(recording: Recording, names: Pseudonyms) -> Recording:
    return Recording(
        files={names.text(path): _kept(kept, names) for path, kept in recording.files.items()},
        facts={name: _document(data, names) for name, data in recording.facts.items()},
        absent=frozenset(names.text(path) for path in recording.absent),
        unread={names.text(path): why for path, why in recording.unread.items()},
        looked={names.text(path): entry for path, entry in recording.looked.items()},
        others={
            names.text(path): sorted(names.text(f"{path}/{inner}").rpartition("/")[2] for inner in inside)
            for path, inside in recording.others.items()
        },
    )


def _kept(kept: Kept, names: Pseudonyms) -> Kept:
    # Every byte is a character, whatever the file's encoding is: what is replaced is ASCII.
    data = names.text(kept.data.decode("latin-1")).encode("latin-1", "replace")
    return kept._replace(data=data, link=names.text(kept.link))


def _document(data: bytes, names: Pseudonyms) -> bytes:
    """A fact. Its texts are replaced as what they are, not as JSON escapes them; what is no JSON is a text like any other."""
    try:
        document = json.loads(data)
        return dumps(_value(document, names)).encode()
    except (ValueError, RecursionError):
        return names.text(data.decode("latin-1")).encode("latin-1", "replace")


def _value(value: object, names: Pseudonyms) -> object:
    if isinstance(value, str):
        return names.text(value)
    if isinstance(value, list):
        return [_value(each, names) for each in value]
    if isinstance(value, dict):
        return {names.text(name): _value(each, names) for name, each in value.items()}
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _SMALLEST_SERIAL:
        return int(names.text(str(value)))
    return value


# finding names


def _names_in(recording: Recording) -> Names:
    hosts, users, serials = set[str](), set[str](), set[str]()
    for data in recording.facts.values():
        for key, value in _pairs(data):
            wanted = _place(key.lower(), hosts, users, serials)
            if wanted is not None and 2 <= len(value) <= _LONGEST:
                wanted.add(value)
    for text in _texts(recording):
        hosts |= {match["host"] for match in _LOGGED.finditer(text)}
        users |= set(_HOME.findall(text))
        for match in _ASSIGNED.finditer(text):
            wanted = _place(match["key"].lower().replace(" ", "_"), hosts, users, serials)
            if wanted is not None:
                wanted.add(match["value"])
    serials = {
        serial for serial in serials if len(serial) >= len(str(_SMALLEST_SERIAL)) and any(c.isdigit() for c in serial)
    }
    return Names(frozenset(hosts - {"kernel"}), frozenset(users), frozenset(serials))


def _place(key: str, hosts: set[str], users: set[str], serials: set[str]) -> set[str] | None:
    if key in _HOST_KEYS:
        return hosts
    if key in _USER_KEYS:
        return users
    return serials if key in _SERIAL_KEYS else None


def _texts(recording: Recording) -> Iterator[str]:
    for path, kept in recording.files.items():
        yield path
        yield kept.link
        yield kept.data.decode("latin-1")
    for paths in (recording.absent, recording.unread, recording.looked, recording.others):
        yield "\n".join(paths)
    for data in recording.facts.values():
        yield data.decode("latin-1")
        yield from (value for _, value in _pairs(data))


def _pairs(data: bytes) -> Iterable[tuple[str, str]]:
    """Every text in a document with the key it stands at; a pair of texts in a list is a key and its value too."""
    try:
        pending: list[tuple[str, object]] = [("", json.loads(data))]
    except (ValueError, RecursionError):
        return
    while pending:
        key, value = pending.pop()
        match value:
            case dict():
                pending += value.items()
            case [str() as name, str() as inner]:
                pending += [(key, name), (name, inner)]
            case list():
                pending += ((key, each) for each in value)
            case str():
                yield key, value
            case int() if not isinstance(value, bool):
                yield key, str(value)
            case _:
                pass


def _system_words(recording: Recording) -> set[str]:
    """The words that the machine's own paths, the names of drivers and the keys of facts are made of. In /dev these are the
    nodes: links and directories there may be called as anybody likes (`/dev/HOST-vg/root`).
    """
    paths = [path for path, kept in recording.files.items() if not path.startswith("/dev/") or kept.entry.rdev]
    paths += [
        *recording.absent,
        *recording.unread,
        *(path for path in recording.looked if not path.startswith("/dev/")),
    ]
    paths += [f"{path}/{name}" for path, names in recording.others.items() for name in names if path != "/dev"]
    texts = [path for path in paths if path.startswith(_SYSTEM_PATHS) and not path.startswith(_NAMED_PATHS)]
    texts += [
        recording.files[path].data.decode("latin-1")
        for path in ("/proc/devices", "/proc/misc")
        if path in recording.files
    ]
    keys = (key for data in recording.facts.values() for key, _ in _pairs(data) if _KEY.fullmatch(key))
    texts += [*recording.facts, *keys]
    return {word for text in texts for word in re.split(r"[^\w.-]+|[_.-]", text) if word} | {
        word for text in texts for word in re.split(r"[/\s]+", text) if word
    }
