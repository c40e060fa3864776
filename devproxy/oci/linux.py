"""The `linux` of a spec, but for what `run` leaves out (config-linux.md)."""

from __future__ import annotations

from devproxy.errors import InputError
from devproxy.mount_options import Propagation
from devproxy.node import DeviceNumber, NodeKind
from devproxy.oci.json_path import JsonValue, is_plain_path, quote
from devproxy.oci.process import ID_MAX
from devproxy.oci.spec import Device, Namespace
from devproxy.record import Record

_NAMESPACES = ("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time")
_KINDS = {
    "c": NodeKind.CHARACTER,
    "u": NodeKind.CHARACTER,
    "b": NodeKind.BLOCK,
    "p": NodeKind.FIFO,
}
# Linux keeps 12 and 20 bits (MINORBITS in include/linux/kdev_t.h).
_MAJOR_MAX = (1 << 12) - 1
_MINOR_MAX = (1 << 20) - 1
_MODE_MAX = (1 << 32) - 1


class LinuxPart(Record):
    """What `linux` says; the defaults are those of a spec without it (S66)."""

    devices: tuple[Device, ...] | None = None
    namespaces: tuple[Namespace, ...] = ()
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    rootfs_propagation: Propagation | None = None


def parse_linux(linux: JsonValue) -> LinuxPart:
    """Parse `linux`.

    Errors: InputError for a device of an invalid type or number, a doubled namespace, a relative path.
    """
    return LinuxPart(
        devices=_parse_devices(linux.member("devices")),
        namespaces=_parse_namespaces(linux),
        masked_paths=tuple(entry.container_path() for entry in linux.optional_elements("maskedPaths")),
        readonly_paths=tuple(entry.container_path() for entry in linux.optional_elements("readonlyPaths")),
        rootfs_propagation=_parse_propagation(linux),
    )


def _parse_devices(devices: JsonValue | None) -> tuple[Device, ...]:
    if devices is None:
        return ()
    if not isinstance(devices.value, list):
        raise devices.wrong("an array")
    parsed: list[Device] = []
    for index, value in enumerate(devices.value):
        where = f"linux.devices[{index}]"
        parsed.append(_plain_device(value, where) or _parse_device(JsonValue(value, where)))
    return tuple(parsed)


def _plain_device(value: object, where: str) -> Device | None:
    """A device in the form that nearly all have, for a fifth of what looking closely costs; None for any other, right or
    wrong.
    """
    if type(value) is not dict:
        return None
    get = value.get
    kind, path, major, minor, mode = get("type"), get("path"), get("major"), get("minor"), get("fileMode")
    uid, gid = get("uid"), get("gid")
    if (
        kind not in ("c", "b")
        or type(major) is not int
        or type(minor) is not int
        or not (0 <= major <= _MAJOR_MAX and 0 <= minor <= _MINOR_MAX)
        or (mode is not None and (type(mode) is not int or not 0 <= mode <= _MODE_MAX))
        or (uid is not None and (type(uid) is not int or not 0 <= uid <= ID_MAX))
        or (gid is not None and (type(gid) is not int or not 0 <= gid <= ID_MAX))
        or not is_plain_path(path)
    ):
        return None
    mode = None if mode is None else mode & 0o777
    return Device(path, _KINDS[kind], DeviceNumber(major, minor), mode, uid, gid, where)


def _parse_device(entry: JsonValue) -> Device:
    kind = _KINDS.get(entry.required("type").text())
    if kind is None:
        raise entry.required("type").wrong(f"a device type, one of {', '.join(_KINDS)}")
    path = entry.required("path").container_path()
    if path == "/":
        raise entry.required("path").wrong("the path of a device")
    mode = entry.optional_whole("fileMode", 0, _MODE_MAX)
    return Device(
        path=path,
        kind=kind,
        number=None if kind is NodeKind.FIFO else _parse_number(entry),
        mode=None if mode is None else mode & 0o777,
        uid=entry.optional_whole("uid", 0, ID_MAX),
        gid=entry.optional_whole("gid", 0, ID_MAX),
        where=entry.path,
    )


def _parse_number(entry: JsonValue) -> DeviceNumber:
    return DeviceNumber(entry.required("major").whole(0, _MAJOR_MAX), entry.required("minor").whole(0, _MINOR_MAX))


def _parse_namespaces(linux: JsonValue) -> tuple[Namespace, ...]:
    namespaces: dict[str, Namespace] = {}
    for entry in linux.optional_elements("namespaces"):
        kind = entry.required("type").text()
        if kind not in _NAMESPACES:
            raise entry.required("type").wrong(f"a namespace, one of {', '.join(_NAMESPACES)}")
        if kind in namespaces:
            raise InputError(f"{entry.path}.type is {quote(kind)} a second time, expected each namespace once")
        namespaces[kind] = Namespace(kind, _namespace_path(entry), entry.path)
    return tuple(namespaces.values())


def _namespace_path(entry: JsonValue) -> str | None:
    field = entry.member("path")
    if field is None or field.value == "":
        return None
    path = field.host_path()
    if not path.startswith("/"):
        raise field.wrong("an absolute path")
    return path


def _parse_propagation(linux: JsonValue) -> Propagation | None:
    """`rootfsPropagation`; nothing is mounted below the root yet when it is set, so `rslave` is `slave`."""
    name = linux.optional_text("rootfsPropagation")
    if not name:
        return None
    try:
        return Propagation(name.removeprefix("r"))
    except ValueError:
        known = ", ".join(kind.value for kind in Propagation)
        raise linux.required("rootfsPropagation").wrong(f"one of {known}") from None
