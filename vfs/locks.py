"""Advisory locks: POSIX record locks, open file description locks and BSD locks (fcntl(2), flock(2), fs/locks.c).

A descriptor table is the caller's, so the caller says who asks: a POSIX lock belongs to a `LockOwner` (a process; Linux's
files_struct), an open file description lock to the `File`, and so does a BSD lock. The first two conflict with each other,
BSD locks with BSD locks alone.

Nothing waits unless it is told to, for a VFS may have one thread only: the answer is EAGAIN. A call that is given a timeout
waits on a condition of the VFS's lock, which is free meanwhile. Precondition of
waiting: the caller does not hold that lock. All who wait are woken by a change and look again: who comes first gets it,
where Linux keeps an order. Mandatory locks and leases are absent, as are the former in Linux since 5.15.

Locks cost nothing where there are none: they are kept by inode, beside the inodes, as long as some are held. A file whose
locks others share keeps them elsewhere (`File.lock_keeper`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from vfs.abi import MAX_FILE_SIZE
from vfs.errors import error

if TYPE_CHECKING:
    from vfs.file import File
    from vfs.inode import Inode

_READ: Final = fcntl.F_RDLCK
_WRITE: Final = fcntl.F_WRLCK
_UNLOCK: Final = fcntl.F_UNLCK
_LOCK_MAND: Final = 32
_BSD: Final = {fcntl.LOCK_SH: _READ, fcntl.LOCK_EX: _WRITE, fcntl.LOCK_UN: _UNLOCK}


class FileLock(NamedTuple):
    """A struct flock. `length` 0 is to the end of all files, a negative one reaches back from `start`."""

    type: int
    whence: int = os.SEEK_SET
    start: int = 0
    length: int = 0
    pid: int = 0


@dataclass(frozen=True, slots=True)
class LockOwner:
    """Who holds POSIX locks: `key` tells owners apart, `pid` is what F_GETLK reports."""

    key: Hashable
    pid: int = field(default=0, compare=False)


class _Range(NamedTuple):
    start: int
    end: int
    kind: int

    def lock(self, pid: int) -> FileLock:
        return FileLock(self.kind, os.SEEK_SET, self.start, _length(self.start, self.end), pid)


class LockKeeper(Protocol):
    """Keeps locks of files elsewhere (the operations lock and flock of Linux's struct file_operations).

    It is asked without the lock of the VFS held, and with what was checked: ranges count from the beginning. What it answers False
    or None to, the VFS keeps. Errors and timeouts are those of `Locks`.
    """

    def set(self, file: File, lock: FileLock, owner: LockOwner | None, timeout: float | None) -> bool:
        """See `Locks.set`."""

    def get(self, file: File, lock: FileLock, owner: LockOwner | None) -> FileLock | None:
        """See `Locks.get`: the lock in the way, or one of the type F_UNLCK."""

    def flock(self, file: File, kind: int, timeout: float | None) -> bool:
        """See `Locks.flock`; `kind` is F_RDLCK, F_WRLCK or F_UNLCK."""

    def close(self, file: File, owner: LockOwner) -> None:
        """See `Locks.close`; what the VFS keeps goes too."""


class _Held:
    """The locks on one inode. Owners come in the order in which they began to hold something, which F_GETLK shows."""

    __slots__ = ("bsd", "ranges", "through")

    def __init__(self) -> None:
        self.ranges: dict[Hashable, list[_Range]] = {}
        self.bsd: dict[File, int] = {}
        self.through: dict[File, set[LockOwner]] = {}


class Locks:
    """The locks of one VFS, by inode; protected by its lock. `held` is empty while nobody holds any; `waiting` tells who
    waits for whom.
    """

    def __init__(self, changed: threading.Condition) -> None:
        self.held: dict[Inode, _Held] = {}
        self._changed = changed
        self.waiting: list[tuple[Hashable, Hashable]] = []

    def set(self, file: File, lock: FileLock, owner: LockOwner | None = None, *, timeout: float | None = 0) -> None:
        """F_SETLK of fcntl(2), or F_OFD_SETLK without an owner; with a timeout (None: no limit), F_SETLKW.

        What the owner holds there is replaced; F_UNLCK drops it.

        Errors: EAGAIN for a lock of somebody else that did not go in time; EDEADLK for a wait of POSIX owners in a circle;
        EBADF for O_PATH, a read lock on a file that is not open for reading, a write lock without writing, a file closed
        meanwhile; EINVAL for an unknown type or whence, a negative start, a pid in an open file description lock; EOVERFLOW.
        """
        wanted = self._range(file, lock)
        if (lock.type == _READ and not file.readable) or (lock.type == _WRITE and not file.writable):
            raise error(errno.EBADF)
        _check_pid(lock, owner)
        keeper = file.lock_keeper
        if keeper is not None and keeper.set(file, wanted.lock(0 if owner is None else owner.pid), owner, timeout):
            return
        key: Hashable = file if owner is None else owner

        def attempt() -> Hashable:
            found = self._blocker(file.inode, key, wanted)
            if found is None:
                self._place(file, key, wanted)
            return None if found is None else found[0]

        self._retry(file, key, attempt, timeout)

    def get(self, file: File, lock: FileLock, owner: LockOwner | None = None) -> FileLock:
        """F_GETLK or, without an owner, F_OFD_GETLK: the first lock in the way of this one, or the lock given as F_UNLCK.

        An open file description may ask for F_UNLCK: its own locks are then what is looked for (Linux 6.6).

        Errors: as `set`, but for access modes and waiting; EINVAL for an owner's F_UNLCK.
        """
        file.check_open()
        if owner is not None and lock.type not in {_READ, _WRITE}:
            raise error(errno.EINVAL)
        wanted = self._range(file, lock)
        _check_pid(lock, owner)
        keeper = file.lock_keeper
        told = None if keeper is None else keeper.get(file, wanted.lock(0), owner)
        if told is not None:
            return lock._replace(type=_UNLOCK) if told.type == _UNLOCK else told
        with file.inode.fs.lock:
            if lock.type == _UNLOCK:
                found = self._own(file, wanted)
            else:
                found = self._blocker(file.inode, file if owner is None else owner, wanted)
        if found is None:
            return lock._replace(type=_UNLOCK)
        holder, blocker = found
        return blocker.lock(holder.pid if isinstance(holder, LockOwner) else -1)

    def flock(self, file: File, operation: int, *, timeout: float | None = 0) -> None:
        """Take, change or drop a BSD lock (flock(2)). It waits for the timeout (None: without limit), and with LOCK_NB not at all.

        Changing the kind of a lock gives up the old one first, so that it is lost if the new one cannot be had.
        LOCK_MAND does nothing, as in Linux since 5.15.

        Errors: EAGAIN (EWOULDBLOCK); EBADF for O_PATH, and for a file open for neither reading nor writing; EINVAL for an
        unknown operation.
        """
        if operation & _LOCK_MAND:
            return
        kind = _BSD.get(operation & ~fcntl.LOCK_NB)
        if kind is None:
            raise error(errno.EINVAL)
        file.check_open()
        if kind != _UNLOCK and not file.readable and not file.writable:
            raise error(errno.EBADF)

        timeout = 0 if operation & fcntl.LOCK_NB else timeout
        keeper = file.lock_keeper
        if keeper is not None and keeper.flock(file, kind, timeout):
            return

        def attempt() -> Hashable:
            return self._place_bsd(file, kind)

        self._retry(file, file, attempt, timeout)

    def close(self, file: File, owner: LockOwner) -> None:
        """An owner has closed one descriptor of the file: its POSIX locks on it go, whichever descriptor made them.

        For who keeps a table of descriptors. `File.close`, which is the end of the open file description, does it for the
        owners that hold locks made through that, and drops what the description itself holds. O_PATH drops nothing.

        Errors: those of the keeper of the file's locks; the locks are gone all the same.
        """
        if file.flags & os.O_PATH:
            return
        keeper = file.lock_keeper
        try:
            if keeper is not None:
                keeper.close(file, owner)
        finally:
            self._close(file, owner)

    def _close(self, file: File, owner: LockOwner) -> None:
        with file.inode.fs.lock:
            held = self.held.get(file.inode)
            if held is not None:
                self._drop(file.inode, held, owner)

    def release(self, file: File) -> None:
        """Drop what goes with an open file description: called by `File.close`, under the lock."""
        held = self.held.get(file.inode)
        if held is None:
            return
        held.bsd.pop(file, None)
        for owner in (file, *held.through.pop(file, ())):
            self._drop(file.inode, held, owner)

    def _drop(self, inode: Inode, held: _Held, owner: Hashable) -> None:
        if held.ranges.pop(owner, None) and isinstance(owner, LockOwner):
            for owners in held.through.values():
                owners.discard(owner)
        if not held.ranges and not held.bsd and self.held.get(inode) is held:
            del self.held[inode]
        self._wake()

    @staticmethod
    def _range(file: File, lock: FileLock) -> _Range:
        # flock64_to_posix_lock() of Linux.
        file.check_open()
        origins: dict[int, Callable[[], int]] = {
            os.SEEK_SET: lambda: 0,
            os.SEEK_CUR: lambda: file.position,
            os.SEEK_END: lambda: file.stat().st_size,
        }
        if lock.whence not in origins:
            raise error(errno.EINVAL)
        start = origins[lock.whence]() + lock.start
        if start > MAX_FILE_SIZE:
            raise error(errno.EOVERFLOW)
        if start < 0 or start + min(lock.length, 0) < 0:
            raise error(errno.EINVAL)
        end = start + lock.length - 1 if lock.length else MAX_FILE_SIZE
        if end > MAX_FILE_SIZE:
            raise error(errno.EOVERFLOW)
        if lock.length < 0:
            start, end = start + lock.length, start - 1
        if lock.type not in {_READ, _WRITE, _UNLOCK}:
            raise error(errno.EINVAL)
        return _Range(start, end, lock.type)

    def _blocker(self, inode: Inode, key: Hashable, wanted: _Range) -> tuple[Hashable, _Range] | None:
        held = self.held.get(inode)
        if held is None or wanted.kind == _UNLOCK:
            return None
        return next(
            (
                (holder, each)
                for holder, ranges in held.ranges.items()
                if holder != key
                for each in ranges
                if _overlap(each, wanted) and _WRITE in {each.kind, wanted.kind}
            ),
            None,
        )

    def _own(self, file: File, wanted: _Range) -> tuple[Hashable, _Range] | None:
        held = self.held.get(file.inode)
        ranges = held.ranges.get(file, []) if held is not None else []
        return next(((file, each) for each in ranges if _overlap(each, wanted)), None)

    def _place(self, file: File, key: Hashable, wanted: _Range) -> None:
        if wanted.kind == _UNLOCK and file.inode not in self.held:
            return
        held = self.held.setdefault(file.inode, _Held())
        ranges = _replaced(held.ranges.get(key, []), wanted)
        if ranges:
            held.ranges[key] = ranges
        if isinstance(key, LockOwner):
            held.through.setdefault(file, set()).add(key)
        if not ranges:
            self._drop(file.inode, held, key)
        else:
            self._wake()

    def _place_bsd(self, file: File, kind: int) -> File | None:
        held = self.held.get(file.inode)
        if kind == (_UNLOCK if held is None else held.bsd.get(file, _UNLOCK)):
            return None
        if held is None:
            held = self.held[file.inode] = _Held()
        if held.bsd.pop(file, None) is not None:
            self._wake()
        if kind == _UNLOCK:
            self._drop(file.inode, held, None)
            return None
        blocker = next((other for other, has in held.bsd.items() if _WRITE in {has, kind}), None)
        if blocker is None:
            held.bsd[file] = kind
        return blocker

    def _retry(self, file: File, key: Hashable, attempt: Callable[[], Hashable], timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while (blocker := attempt()) is not None:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise error(errno.EAGAIN)
                self._wait(key, blocker, left)
                file.check_open()

    def _wake(self) -> None:
        # They will say anew what they wait for; what they said may be wrong now.
        self.waiting.clear()
        self._changed.notify_all()

    def _wait(self, key: Hashable, blocker: Hashable, left: float | None) -> None:
        # Open file descriptions have no circles: whoever has one may be many (posix_locks_deadlock of Linux).
        if isinstance(key, LockOwner) and key in self._waited_for_by(blocker):
            raise error(errno.EDEADLK)
        edge = key, blocker
        self.waiting.append(edge)
        try:
            self._changed.wait(left)
        finally:
            if edge in self.waiting:
                self.waiting.remove(edge)

    def _waited_for_by(self, owner: Hashable) -> Iterator[Hashable]:
        seen, pending = set[Hashable](), [owner]
        while pending:
            current = pending.pop()
            if current in seen or not isinstance(current, LockOwner):
                continue
            seen.add(current)
            yield current
            pending += [blocker for waiter, blocker in self.waiting if waiter == current]


def _check_pid(lock: FileLock, owner: LockOwner | None) -> None:
    if owner is None and lock.pid:
        raise error(errno.EINVAL)


def _length(start: int, end: int) -> int:
    return 0 if end == MAX_FILE_SIZE else end - start + 1


def _overlap(one: _Range, other: _Range) -> bool:
    return one.start <= other.end and other.start <= one.end


def _replaced(ranges: list[_Range], wanted: _Range) -> list[_Range]:
    """Ranges of one owner with one of them set anew: others are cut, neighbours of one kind become one."""
    parts: list[_Range] = [] if wanted.kind == _UNLOCK else [wanted]
    for each in ranges:
        if each.start < wanted.start:
            parts.append(each._replace(end=min(each.end, wanted.start - 1)))
        if each.end > wanted.end:
            parts.append(each._replace(start=max(each.start, wanted.end + 1)))
    merged: list[_Range] = []
    for each in sorted(parts):
        if merged and merged[-1].kind == each.kind and merged[-1].end + 1 == each.start:
            merged[-1] = merged[-1]._replace(end=each.end)
        else:
            merged.append(each)
    return merged
