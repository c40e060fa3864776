"""How a root looks on paper: lines like those of `ls -l`, `stat`, `tree` and /proc/self/mountinfo, and the same as
JSON.
"""

from __future__ import annotations

import os
import stat

from devproxy.build import Root
from devproxy.linux.mountinfo import MountLine
from devproxy.outcome import Outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final


def listing(root: Root, paths: list[str]) -> list[str]:
    """`crw-rw-rw-  0  0  1, 3  null` for each path, aligned."""
    rows = [_cells(root, path) for path in paths]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    sizes = max((len(row[3]) for row in rows), default=0)
    return [
        "  ".join((*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3].rjust(sizes), row[4]))
        for row in rows
    ]


def _cells(root: Root, path: str) -> tuple[str, ...]:
    name = path.rpartition("/")[2] or "/"
    try:
        found = root.lstat(path)
        link = f" -> {root.readlink(path)}" if stat.S_ISLNK(found.st_mode) else ""
    except OSError as error:
        return ("?" * 10, "?", "?", "?", f"{name}  ({(error.strerror or '').lower()})")
    return (stat.filemode(found.st_mode), str(found.st_uid), str(found.st_gid), _size(found), name + link)


def _size(found: os.stat_result) -> str:
    if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
        return f"{os.major(found.st_rdev)}, {os.minor(found.st_rdev)}"
    return str(found.st_size)


def status(root: Root, path: str) -> list[str]:
    """What `stat` prints of a path, a final link not followed."""
    found = root.lstat(path)
    arrow = f" -> {root.readlink(path)}" if stat.S_ISLNK(found.st_mode) else ""
    device = f"   Device: {_size(found)}" if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode) else ""
    mode = stat.S_IMODE(found.st_mode)
    return [
        f"  File: {path}{arrow}",
        f"  Type: {kind_of(found.st_mode)}{device}",
        f"  Size: {found.st_size}   Links: {found.st_nlink}   Inode: {found.st_ino}",
        f"Access: {mode:04o} {stat.filemode(found.st_mode)}   Uid: {found.st_uid}   Gid: {found.st_gid}",
    ]


_KINDS = {
    stat.S_IFDIR: "directory",
    stat.S_IFREG: "regular file",
    stat.S_IFLNK: "symbolic link",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}


def kind_of(mode: int) -> str:
    """The kind of a file, by its st_mode."""
    return _KINDS.get(stat.S_IFMT(mode), "unknown")


def entry_document(root: Root, path: str) -> dict[str, object]:
    """A path for JSON; `error` in place of the rest when it cannot be looked at."""
    try:
        found = root.lstat(path)
        link = root.readlink(path) if stat.S_ISLNK(found.st_mode) else None
    except OSError as error:
        return {"path": path, "error": error.strerror}
    device = stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode)
    return {
        "path": path,
        "kind": kind_of(found.st_mode),
        "mode": f"{stat.S_IMODE(found.st_mode):04o}",
        "uid": found.st_uid,
        "gid": found.st_gid,
        "size": found.st_size,
        "number": f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}" if device else None,
        "link": link,
    }


def walk(root: Root, top: str) -> Iterator[str]:
    """Every path below `top`, links not followed, parents first. However deep: an image may be deeper than Python recurses."""
    pending = [iter(_below(root, top))]
    while pending:
        path = next(pending[-1], None)
        if path is None:
            pending.pop()
            continue
        yield path
        pending.append(iter(_below(root, path)))


def _below(root: Root, path: str) -> list[str]:
    return [f"{path.rstrip('/')}/{name}" for name in _names(root, path)]


def tree(root: Root, top: str, encoding: str) -> Iterator[str]:
    """What `tree` prints below `top`, with lines that an encoding can write."""
    branch, last, line = _LINES if _can_write(encoding) else _PLAIN_LINES
    pending = [(_below(root, top), "")]
    while pending:
        paths, indent = pending[-1]
        if not paths:
            pending.pop()
            continue
        path = paths.pop(0)
        yield f"{indent}{branch if paths else last}{_leaf(root, path)}"
        pending.append((_below(root, path), indent + (line if paths else "    ")))


_LINES: Final = ("├── ", "└── ", "│   ")
_PLAIN_LINES: Final = ("|-- ", "`-- ", "|   ")


def _can_write(encoding: str) -> bool:
    try:
        "".join(_LINES).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _leaf(root: Root, path: str) -> str:
    mode, _, _, size, name = _cells(root, path)
    return f"{name}  ({mode[0]} {size})" if mode[0] in "cb" else name


def _names(root: Root, path: str) -> list[str]:
    """The names in a directory; none for anything else, and for a link."""
    try:
        return root.listdir(path) if stat.S_ISDIR(root.lstat(path).st_mode) else []
    except OSError:
        return []


def mountinfo_line(line: MountLine) -> str:
    """A line of /proc/self/mountinfo (proc_pid_mountinfo(5))."""
    own = (str(line.mount_id), str(line.parent_id), line.device, _mangle(line.root), _mangle(line.mount_point))
    rest = (line.fstype, _mangle(line.source), ",".join(line.super_options))
    return " ".join((*own, ",".join(line.options), *line.tags, "-", *rest))


def _mangle(text: str) -> str:
    r"""Octal escapes for space, tab, newline, backslash and hash, as fs/proc_namespace.c writes them."""
    return "".join(f"\\{ord(c):03o}" if c in " \t\n\\#" else c for c in text)


def outcome_document(outcome: Outcome) -> dict[str, object]:
    """An outcome for JSON."""
    return {
        "step": outcome.step.describe(),
        "result": outcome.result.value,
        "found": outcome.found,
        "aside": outcome.aside,
        "warning": outcome.warning,
        "reason": str(outcome.step.reason),
    }
