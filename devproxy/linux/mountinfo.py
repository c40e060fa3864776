"""The mount table as the kernel prints it."""

from __future__ import annotations

from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


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
    fields = line.rstrip("\n").split(" ")
    try:
        end = fields.index("-", 6)  # of the tags; no field before it is a dash
        fstype, source = fields[end + 1 : end + 3]
    except ValueError:
        raise ValueError(f"not a line of mountinfo: {line!r}") from None
    # A file system of an empty source leaves its field empty; one without options leaves the last away.
    options = fields[end + 3] if len(fields) > end + 3 else ""
    tags = tuple(fields[6:end])
    if "\\" not in line:
        return MountLine(
            int(fields[0]),
            int(fields[1]),
            fields[2],
            fields[3],
            fields[4],
            _words(fields[5]),
            tags,
            fstype,
            source,
            _words(options),
        )
    return MountLine(
        int(fields[0]),
        int(fields[1]),
        fields[2],
        _unescape(fields[3]),
        _unescape(fields[4]),
        _words(fields[5]),
        tags,
        _unescape(fstype),
        _unescape(source),
        tuple([_unescape(option) for option in options.split(",")]),
    )


def _words(options: str) -> tuple[str, ...]:
    """Options apart. A thousand mounts have a handful of combinations."""
    found = _words_of.get(options)
    if found is None:
        if len(_words_of) >= _MOST_KEPT:
            _words_of.clear()
        found = _words_of[options] = tuple(options.split(","))
    return found


_words_of: Final[dict[str, tuple[str, ...]]] = {}
_MOST_KEPT: Final = 256


def _unescape(text: str) -> str:
    r"""Undo the octal escapes of space, tab, newline, backslash and hash (fs/proc_namespace.c, mangle)."""
    if "\\" not in text:
        return text
    first, *parts = text.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in parts)
