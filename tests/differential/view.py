"""What a container looks like from inside, whoever made it, in a shape that can be compared.

A view is taken by one shell script that runs inside (`OBSERVER`), or from a root that devproxy built in memory. What differs from
run to run (mount ids, anonymous devices, sources, sizes) is left out.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass, field
from typing import NamedTuple

from devproxy.build import Root

MOUNT_FLAGS = ("ro", "rw", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime", "nosymfollow")


class Entry(NamedTuple):
    """A path: kind and mode as in st_mode, owner, device number of a node, target of a link."""

    mode: int
    uid: int
    gid: int
    number: str
    link: str


class MountSeen(NamedTuple):
    """A line of the mount table: where, what type, which flags of the mount are in force."""

    point: str
    fstype: str
    flags: frozenset[str]


@dataclass
class View:
    """What was seen: the mount table in its order, every path asked for (None: missing), what the process printed and said."""

    mounts: list[MountSeen] = field(default_factory=list)
    entries: dict[str, Entry | None] = field(default_factory=dict)
    text: str = ""
    code: int = 0


def observer(paths: list[str], then: str = "") -> list[str]:
    """The command that shows a container from inside: the mount table, /dev whole, `paths`, and what `then` prints."""
    quoted = " ".join("'" + path.replace("'", "'\\''") + "'" for path in paths)
    # What is under mounts of their own is the kernel's. %N quotes the name and shows a link's target.
    find = "find /dev -path '/dev/pts/*' -prune -o -path '/dev/mqueue/*' -prune -o -print"
    script = "\n".join(
        [
            "echo @mounts",
            "cat /proc/self/mounts",
            "echo @entries",
            f"stat -c '%f|%u|%g|%t:%T|%N' $({find}) {quoted} 2>&1",
            "echo @text",
            then or "true",
        ]
    )
    return ["/bin/sh", "-c", script]


def parse(output: str, code: int) -> View:
    """The view that the observer printed."""
    sections: dict[str, list[str]] = {"@mounts": [], "@entries": [], "@text": []}
    current = sections["@text"]
    for line in output.splitlines():
        if line in sections:
            current = sections[line]
        else:
            current.append(line)
    view = View(code=code, text="\n".join(sections["@text"]))
    for line in sections["@mounts"]:
        _, point, fstype, options, *_ = line.split(" ")
        view.mounts.append(MountSeen(_unescape(point), fstype, _flags(options.split(","))))
    for line in sections["@entries"]:
        path, entry = _entry(line)
        view.entries[path] = entry
    return view


def of_root(root: Root, paths: list[str]) -> View:
    """The same view of a root that devproxy built."""
    view = View()
    for line in root.mountinfo():
        view.mounts.append(MountSeen(line.mount_point, line.fstype, _flags(line.options)))
    pending = ["/dev", *paths]
    while pending:
        path = pending.pop()
        view.entries[path] = entry = _lstat(root, path)
        inside_dev = path == "/dev" or path.startswith("/dev/")
        if entry and stat.S_ISDIR(entry.mode) and inside_dev and path not in ("/dev/pts", "/dev/mqueue"):
            pending += [f"{path}/{name}" for name in root.listdir(path)]
    return view


def _lstat(root: Root, path: str) -> Entry | None:
    try:
        found = root.lstat(path)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return None
    number = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}" if _is_device(found.st_mode) else ""
    link = root.readlink(path) if stat.S_ISLNK(found.st_mode) else ""
    return Entry(_shown_mode(found.st_mode), found.st_uid, found.st_gid, number, link)


def _entry(line: str) -> tuple[str, Entry | None]:
    missing = re.match(r"stat: (?:can't|cannot) stat '(.*)': ", line)
    if missing:
        return missing[1], None
    raw, uid, gid, number, name = line.split("|", 4)
    mode = int(raw, 16)
    path, _, link = name.strip("'").partition("' -> '")
    major, minor = (int(part, 16) for part in number.split(":"))
    return path, Entry(_shown_mode(mode), int(uid), int(gid), f"{major}:{minor}" if _is_device(mode) else "", link)


def _shown_mode(mode: int) -> int:
    # Linux shows 0777 for every link, gVisor of 2022 too; nobody chooses it.
    return stat.S_IFLNK if stat.S_ISLNK(mode) else mode


def _is_device(mode: int) -> bool:
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)


def _flags(words: list[str] | tuple[str, ...]) -> frozenset[str]:
    return frozenset(word for word in words if word in MOUNT_FLAGS)


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
