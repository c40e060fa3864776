"""devproxy's own configuration: runsc's key names where one exists, and ours (docs/configuration in README).

A TOML file first, then KEY=VALUE pairs, which win. A key that is unknown is an error; one that runsc knows and devproxy
cannot honour yet is a warning, an error under `strict`.
"""

from __future__ import annotations

from devproxy.choice import Choice
from devproxy.errors import InputError
from devproxy.oci.json_path import describe, quote, quote_path
from devproxy.oci.nvidia_env import KNOWN_CAPABILITIES
from devproxy.overlay import NO_OVERLAY, Medium, Overlaid, Overlay, Overlay2
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Cgroupfs(Choice):
    """What becomes of cgroup mounts (S16): nothing, or mounts of one of the two versions."""

    NONE = "none"
    V1 = "v1"
    V2 = "v2"


class Configuration(Record):
    """What the user set with --config and --set.

    `overlay2` says which mounts are overlaid, and where what is written to them goes (S40); `None` in a proxy switch is
    `auto`: on when the bundle asks (S76); `tun` registers the tun driver; `mount_order` is `depth` or `listed`;
    `cgroupfs` is the version that cgroup mounts show; `host_fifo` lets fifos of binds be opened in memory (S21), and `character_devices` their character devices (H21); `product_name` overrides the host's; `strict` turns warnings into errors; NVIDIA_DRIVER_CAPABILITIES may ask for
    those that are allowed.
    """

    overlay2: Overlay2 = Overlay2()
    nvproxy: bool | None = None
    nvproxy_docker: bool | None = None
    tpuproxy: bool | None = None
    tun: bool = True
    mount_order: str = "depth"
    cgroupfs: Cgroupfs = Cgroupfs.NONE
    host_fifo: bool = False
    character_devices: str = "emulated-only"
    product_name: str = ""
    strict: bool = False
    nvproxy_allowed_driver_capabilities: tuple[str, ...] = KNOWN_CAPABILITIES


class ParsedConfiguration(Record):
    """A configuration, and a sentence for each key that it could not honour."""

    configuration: Configuration
    warnings: tuple[str, ...]


def parse_configuration(toml_path: str | None, pairs: Iterable[str]) -> ParsedConfiguration:
    """The configuration of a TOML file (None: there is none) and KEY=VALUE pairs; the last word on a key wins.

    Errors: InputError for a file that cannot be read, an unknown key, a wrong value; under `strict` also for a key that
    cannot be honoured.
    """
    configuration = Configuration()
    warnings: list[str] = []
    settings = [] if toml_path is None else list(_read_toml(toml_path))
    settings += [_split_pair(pair) for pair in pairs]
    for source, key, value in settings:
        if key in _LATER:
            warnings.append(f"{source}: {key} = {describe(value)} cannot be honoured: {_LATER[key]}")
        else:
            configuration = _set(configuration, source, key, value)
        on_the_kernel = _ONLY_IN_MEMORY.get((key, str(value)))
        if on_the_kernel is not None:
            warnings.append(f"{source}: {key} = {describe(value)} cannot be honoured on the kernel: {on_the_kernel}")
    if configuration.strict and warnings:
        raise InputError("; ".join(warnings), hint="remove it, or do not ask for strict")
    return ParsedConfiguration(configuration, tuple(warnings))


_Setting = tuple[str, str, object]


def _read_toml(path: str) -> Iterable[_Setting]:
    import tomllib

    from devproxy.oci.json_file import read_regular

    try:
        content = read_regular(path, _SIZE_MAX)
    except (OSError, ValueError) as error:
        text = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"reading the configuration {quote_path(path)}: {text}") from None
    try:
        document = tomllib.loads(content.decode())
    except RecursionError:
        raise InputError(f"the configuration {quote_path(path)} is nested too deeply") from None
    except ValueError as error:
        raise InputError(f"the configuration {quote_path(path)} is not TOML: {error}") from None
    return [(path, key, value) for key, value in document.items()]


def _split_pair(pair: str) -> _Setting:
    key, equals, value = pair.partition("=")
    if not equals:
        raise InputError(f"--set {quote(pair)}: expected KEY=VALUE", hint=_known())
    return "--set", key.strip(), value.strip()


def _set(configuration: Configuration, source: str, key: str, value: object) -> Configuration:
    put = _KEYS.get(key)
    if put is None:
        raise InputError(f"{source}: there is no key {quote(key)}", hint=_nearest(key) or _known())
    try:
        return put(configuration, value)
    except ValueError as error:
        raise InputError(f"{source}: {key} is {describe(value)}, expected {error}") from None


def _nearest(key: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(key.lower().replace("_", "-"), _KEYS, 2)
    return f"did you mean {' or '.join(near)}?" if near else ""


def _known() -> str:
    return f"the keys are {', '.join(_KEYS)}"


def _overlay2(value: object) -> Overlay2:
    """`none`, or MOUNTS:MEDIUM with MOUNTS root or all and MEDIUM memory, self or dir=/abs, and `,size=SIZE` (S40,
    H21).
    """
    if value == "none":
        return NO_OVERLAY
    mounts, colon, text = value.partition(":") if isinstance(value, str) else ("", "", "")
    if not colon or mounts not in ("root", "all"):
        raise ValueError("none, root:MEDIUM or all:MEDIUM")
    medium, comma, size = text.rpartition(",size=")
    return Overlay2(Overlaid(mounts), parse_medium(medium, parse_size(size)) if comma else parse_medium(text, ""))


def parse_medium(text: str, size: str) -> Overlay:
    """An overlay on the medium `memory`, `self` or `dir=/DIRECTORY`. Errors: ValueError saying what was expected."""
    if text.startswith("dir="):
        directory = text.removeprefix("dir=")
        if not directory.startswith("/") or "\0" in directory:
            raise ValueError("an absolute path behind dir=")
        return Overlay(Medium.DIRECTORY, directory, size)
    if text not in ("memory", "self"):
        raise ValueError("the medium memory, self or dir=/DIRECTORY")
    return Overlay(Medium(text), "", size)


def parse_size(text: str) -> str:
    """A size as tmpfs(5) takes it, which reads 0 as no limit at all: nobody means that by a size. Errors: ValueError."""
    digits = text.rstrip("kKmMgGtT") if text[:-1].isdecimal() else text
    if not (digits.isascii() and digits.isdecimal() and digits.strip("0") and len(digits) <= _DIGITS_MAX):
        raise ValueError("a size such as 64m or 1g behind size=")
    return text


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise ValueError("true or false")


def _auto_switch(value: object) -> bool | None:
    try:
        return None if value == "auto" else _switch(value)
    except ValueError:
        raise ValueError("auto, true or false") from None


def _driver_capabilities(value: object) -> tuple[str, ...]:
    words = value.split(",") if isinstance(value, str) else value
    if words == ["all"]:
        return KNOWN_CAPABILITIES
    if not isinstance(words, list) or any(word not in KNOWN_CAPABILITIES for word in words):
        raise ValueError(f"all, or a list of {', '.join(KNOWN_CAPABILITIES)}")
    return tuple(word for word in KNOWN_CAPABILITIES if word in words)


def _mount_order(value: object) -> str:
    if value in ("depth", "listed"):
        return str(value)
    raise ValueError("depth or listed")


def _cgroupfs(value: object) -> Cgroupfs:
    try:
        return Cgroupfs(value)
    except ValueError:
        raise ValueError("none, v1 or v2") from None


def _checked_file_access(configuration: Configuration, value: object) -> Configuration:
    # Exclusive access would allow a cache, which hostfs does not have; on the kernel there is one cache for all.
    if value not in ("exclusive", "shared"):
        raise ValueError("exclusive or shared")
    return configuration


def _host_fifo(value: object) -> bool:
    if value not in ("none", "open"):
        raise ValueError("none or open")
    return value == "open"


def _character_devices(value: object) -> str:
    if value not in ("emulated-only", "prefer-emulated", "passthrough"):
        raise ValueError("emulated-only, prefer-emulated or passthrough")
    return str(value)


def _product_name(value: object) -> str:
    if isinstance(value, str) and value.isprintable():
        return value
    raise ValueError("a line of printable text")


_KEYS: dict[str, Callable[[Configuration, object], Configuration]] = {
    "overlay2": lambda config, value: config._replace(overlay2=_overlay2(value)),
    "nvproxy": lambda config, value: config._replace(nvproxy=_auto_switch(value)),
    "nvproxy-docker": lambda config, value: config._replace(nvproxy_docker=_auto_switch(value)),
    "tpuproxy": lambda config, value: config._replace(tpuproxy=_auto_switch(value)),
    "tun": lambda config, value: config._replace(tun=_switch(value)),
    "mount-order": lambda config, value: config._replace(mount_order=_mount_order(value)),
    "cgroupfs": lambda config, value: config._replace(cgroupfs=_cgroupfs(value)),
    "file-access": _checked_file_access,
    "file-access-mounts": _checked_file_access,
    "host-fifo": lambda config, value: config._replace(host_fifo=_host_fifo(value)),
    "character-device-policy": lambda config, value: config._replace(character_devices=_character_devices(value)),
    "product-name": lambda config, value: config._replace(product_name=_product_name(value)),
    "nvproxy-allowed-driver-capabilities": lambda config, value: config._replace(
        nvproxy_allowed_driver_capabilities=_driver_capabilities(value)
    ),
    "strict": lambda config, value: config._replace(strict=_switch(value)),
}

_KERNEL_DEVICES = "a device of a bind is the host's own there, and nodev keeps it shut"
_ONLY_IN_MEMORY = {
    ("host-fifo", "none"): "a fifo of a bind is the host's own there",
    ("character-device-policy", "emulated-only"): _KERNEL_DEVICES,
    ("character-device-policy", "prefer-emulated"): _KERNEL_DEVICES,
}
# More than every key with the longest value takes.
_SIZE_MAX = 64 << 10
_DIGITS_MAX = 19  # what 64 bits hold
_LATER = {
    "dcache": "the dentry cache has no size yet",
}
