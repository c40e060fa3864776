"""libtpu's lock file, and whether somebody holds it.

It is not opened: whoever locks it, even for a moment and only to look, keeps a program that starts at that moment from its
TPUs. /proc/locks tells as much (proc_locks(5)), as long as this is the machine's first pid namespace: in another one the
locks of processes outside are left out.
"""

from __future__ import annotations

import os
import stat

from devproxy.host.live.accelerators import is_first_pid_namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

LOCK_FILE: Final = "/tmp/libtpu_lockfile"  # noqa: S108 (libtpu's own)
_MOST_BYTES: Final = 4 << 20


def read() -> dict[str, object]:
    """`{"locks": [{"path", "kind", "mode", "uid", "held", "pid"}]}`, empty when there is no lock file."""
    try:
        found = os.lstat(LOCK_FILE)
    except FileNotFoundError:
        return {"locks": []}
    kind = _KINDS.get(stat.S_IFMT(found.st_mode), "other")
    held, pid = _holder(found.st_dev, found.st_ino) if kind == "file" else (None, None)
    lock = {"held": held, "kind": kind, "mode": stat.S_IMODE(found.st_mode), "path": LOCK_FILE}
    return {"locks": [{**lock, "pid": pid, "uid": found.st_uid}]}


_KINDS: Final = {stat.S_IFREG: "file", stat.S_IFLNK: "link", stat.S_IFDIR: "directory", stat.S_IFIFO: "fifo"}


def _holder(device: int, inode: int) -> tuple[bool | None, int | None]:
    try:
        with open("/proc/locks", "rb") as file:
            text = file.read(_MOST_BYTES).decode("ascii", "replace")
    except OSError:
        return None, None
    return holder_in(text, device, inode, everything=is_first_pid_namespace())


def holder_in(text: str, device: int, inode: int, *, everything: bool) -> tuple[bool | None, int | None]:
    """Whether a lock of a file is held, and by whom, as the lines of /proc/locks tell: `1: FLOCK ADVISORY WRITE 1234
    08:01:131074 0 EOF`. A waiter's line has a word more (`->`) and so counts for nothing. `everything` says that no lock
    can be missing in them.
    """
    doubtful = False
    for line in text.split("\n"):
        words = line.split()
        if len(words) < 6:
            continue
        major, _, rest = words[5].partition(":")
        minor, _, number = rest.partition(":")
        if number != str(inode):
            continue
        if (major, minor) == (f"{os.major(device):02x}", f"{os.minor(device):02x}"):
            pid = int(words[4]) if words[4].isdigit() and int(words[4]) else None
            return True, pid
        # overlayfs and btrfs tell stat(2) another device than they have: it may be this file.
        doubtful = True
    return (False if everything and not doubtful else None), None
