"""The mount table as the kernel prints it."""

from __future__ import annotations

from devproxy.record import Record


class MountLine(Record):
    """One line of /proc/PID/mountinfo (proc_pid_mountinfo(5)), escapes undone.

    `options` are the mount's own (`rw,nosuid`), `super_options` the file system's.
    """

    mount_id: int
    parent_id: int
    device: str
    root: str
    mount_point: str
    options: tuple[str, ...]
    tags: tuple[str, ...]
    fstype: str
    source: str
    super_options: tuple[str, ...]


def parse_line(line: str) -> MountLine:
    """Parse one line.

    Raises:
        ValueError: The line is not one of mountinfo.
    """
    own, separator, of_filesystem = line.rstrip("\n").partition(" - ")
    fields, rest = own.split(" "), of_filesystem.split(" ")
    if not separator or len(fields) < 6 or len(rest) < 2:
        raise ValueError(f"not a line of mountinfo: {line!r}")
    # A file system of an empty source leaves its field empty; one without options leaves the last away.
    source, options = rest[1], rest[2] if len(rest) > 2 else ""
    return MountLine(
        int(fields[0]),
        int(fields[1]),
        fields[2],
        _unescape(fields[3]),
        _unescape(fields[4]),
        tuple(fields[5].split(",")),
        tuple(fields[6:]),
        _unescape(rest[0]),
        _unescape(source),
        tuple(_unescape(option) for option in options.split(",")),
    )


def _unescape(text: str) -> str:
    r"""Undo the octal escapes of space, tab, newline, backslash and hash (fs/proc_namespace.c, mangle)."""
    if "\\" not in text:
        return text
    first, *parts = text.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in parts)
