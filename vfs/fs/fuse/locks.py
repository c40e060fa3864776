"""Locks that a server keeps (fs/fuse/file.c: fuse_file_lock, fuse_file_flock).

What a server has not said in INIT that it keeps is kept here: record locks without POSIX_LOCKS, BSD locks without FLOCK_LOCKS.
A server that said so and answers ENOSYS is believed, as by Linux: the caller gets that.

A lock owner is told by a number: a `LockOwner`'s goes with the last open file that it has locked, an open file description has
its own, for both its kinds of lock. FLUSH ends what an owner holds, RELEASE a BSD lock. Open file description locks end with a SETLK
of their own, where Linux leaves them to the server, which is not told whose they were.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import threading
import time
from typing import TYPE_CHECKING, Final

from vfs.abi import MAX_FILE_SIZE
from vfs.errors import error
from vfs.fs.fuse.connection import Wait
from vfs.fuse.abi import LK_FLOCK, InitFlags, Opcode
from vfs.fuse.records import LK_IN, LK_OUT, LkIn
from vfs.locks import FileLock, LockOwner

if TYPE_CHECKING:
    from vfs.file import File
    from vfs.fs.fuse.file import FuseFile
    from vfs.fs.fuse.filesystem import FuseFilesystem

_NOBODY: Final = 0
_PULSE: Final = 0.02
"""Seconds between looks for an answer that comes while nobody else asks anything."""
_GRACE: Final = 1.0
"""Seconds that a server has to take back a request for a lock."""


class FuseLocks:
    """The `LockKeeper` of one mount. What it knows of owners is protected by a lock that nothing else is done under."""

    def __init__(self, fs: FuseFilesystem) -> None:
        self._fs = fs
        self._lock = threading.Lock()
        self._count = itertools.count(1)
        self._numbers: dict[LockOwner | File, int] = {}
        self._through: dict[File, set[LockOwner]] = {}
        self._described: set[File] = set()
        self._flocked: set[File] = set()

    # what is asked for

    def set(self, file: File, lock: FileLock, owner: LockOwner | None, timeout: float | None) -> bool:
        """See `LockKeeper.set`. Errors: the server's."""
        if not self._keeps(InitFlags.POSIX_LOCKS):
            return False
        with self._lock:
            file.check_open()
            number = self._number(file if owner is None else owner)
            if owner is None:
                self._described.add(file)
            else:
                self._through.setdefault(file, set()).add(owner)
        pid = lock.pid if owner is not None else os.getpid()
        self._set(_fuse(file), _request(_fuse(file), number, lock, pid), timeout)
        return True

    def get(self, file: File, lock: FileLock, owner: LockOwner | None) -> FileLock | None:
        """See `LockKeeper.get`. Errors: EIO for a lock that cannot be; the server's."""
        if not self._keeps(InitFlags.POSIX_LOCKS):
            return None
        key = file if owner is None else owner
        with self._lock:
            number = self._numbers.get(key) or next(self._count)
        wanted = _request(_fuse(file), number, lock, 0)
        start, end, kind, pid = LK_OUT.unpack(_fuse(file).ask(Opcode.GETLK, LK_IN.pack(*wanted), size=LK_OUT.size))
        if kind == fcntl.F_UNLCK:
            return FileLock(kind)
        if kind not in {fcntl.F_RDLCK, fcntl.F_WRLCK} or not start <= end <= MAX_FILE_SIZE:
            raise error(errno.EIO)
        length = 0 if end == MAX_FILE_SIZE else end - start + 1
        return FileLock(kind, os.SEEK_SET, start, length, pid if owner is not None else -1)

    def flock(self, file: File, kind: int, timeout: float | None) -> bool:
        """See `LockKeeper.flock`. Errors: the server's."""
        if not self._keeps(InitFlags.FLOCK_LOCKS):
            return False
        with self._lock:
            file.check_open()
            number = self._number(file)
            self._flocked.add(file)
        wanted = _request(_fuse(file), number, FileLock(kind), os.getpid())
        self._set(_fuse(file), wanted._replace(lk_flags=LK_FLOCK), timeout)
        return True

    def _keeps(self, kind: InitFlags) -> bool:
        return kind in self._fs.connection.flags

    def _set(self, file: FuseFile, wanted: LkIn, timeout: float | None) -> None:
        if timeout == 0:
            file.ask(Opcode.SETLK, LK_IN.pack(*wanted), size=0)
            return
        undo = LK_IN.pack(*wanted._replace(type=fcntl.F_UNLCK, pid=0))
        file.inode.check_good()
        wait = Wait(file, file.inode.nodeid, undo)
        connection = self._fs.connection
        connection.begin_wait(wait, (LK_IN.pack(*wanted),), file.creds)
        late = False
        try:
            if not self._answered(wait, timeout):
                late = True
                connection.interrupt_wait(wait)
                self._answered(wait, min(_GRACE, connection.timeout))
        except BaseException:
            # A signal's handler took over, or the connection has ended.
            connection.interrupt_wait(wait)
            if not connection.give_up_wait(wait) and wait.answer == 0:
                with contextlib.suppress(OSError):
                    file.ask(Opcode.SETLK, undo, size=0)
            raise
        if connection.give_up_wait(wait) or (late and wait.answer == -errno.EINTR):
            raise error(errno.EAGAIN)
        if wait.answer:
            raise error(-wait.answer)

    def _answered(self, wait: Wait, timeout: float | None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._fs.connection.check_wait(wait):
            left = _PULSE if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return False
            wait.answered.wait(min(left, _PULSE))
        return True

    # the end

    def close(self, file: File, owner: LockOwner) -> None:
        """See `LockKeeper.close`. Errors: EIO; the server's."""
        with self._lock:
            number = self._numbers.get(owner) or next(self._count)
        if not _fuse(file).flush(number):
            # The server still has the locks, under this number.
            return
        with self._lock:
            for other, owners in self._through.items():
                if other.inode is file.inode:
                    owners.discard(owner)
            self._drop_number(owner)

    def end(self, file: FuseFile) -> tuple[list[int], int | None]:
        """An open file is closed: the owners that hold locks through it, nobody if none, and whose BSD lock it has. Who still
        waits is told EBADF.
        """
        self._fs.connection.end_waits(file)
        if file not in self._through and file not in self._numbers:
            return [_NOBODY], None
        with self._lock:
            owners = self._through.pop(file, set())
            numbers = [self._numbers[owner] for owner in owners]
            for owner in owners:
                self._drop_number(owner)
            own = self._numbers.pop(file, None)
            described, flocked = file in self._described, file in self._flocked
            self._described.discard(file)
            self._flocked.discard(file)
        if described and own is not None:
            everything = _request(file, own, FileLock(fcntl.F_UNLCK), 0)
            with contextlib.suppress(OSError):
                file.ask(Opcode.SETLK, LK_IN.pack(*everything), size=0)
        return numbers or [_NOBODY], own if flocked else None

    # owners

    def _number(self, owner: LockOwner | File) -> int:
        if owner not in self._numbers:
            self._numbers[owner] = next(self._count)
        return self._numbers[owner]

    def _drop_number(self, owner: LockOwner) -> None:
        if not any(owner in owners for owners in self._through.values()):
            self._numbers.pop(owner, None)


def _fuse(file: File) -> FuseFile:
    from vfs.fs.fuse.file import FuseFile

    assert isinstance(file, FuseFile)
    return file


def _request(file: FuseFile, owner: int, lock: FileLock, pid: int) -> LkIn:
    end = lock.start + lock.length - 1 if lock.length else MAX_FILE_SIZE
    return LkIn(file.handle or 0, owner, lock.start, end, lock.type, 0 if lock.type == fcntl.F_UNLCK else pid)
