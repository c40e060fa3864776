"""Fifos: an opened one is a pipe in memory (fifo(7), pipe(7)).

Nothing here waits, for a VFS may have one thread only. Where Linux would wait: opening to read succeeds at once; opening to
write is ENXIO until there is a reader; reading an empty pipe that has writers is EAGAIN, and so is writing to a full one.
These are Linux's answers under O_NONBLOCK.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, ClassVar, Final

from vfs.errors import error
from vfs.file import File

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.inode import Inode
    from vfs.mount import VirtualDentry

CAPACITY: Final = 1 << 16
ATOMIC: Final = 4096
"""PIPE_BUF: so much is written whole or not at all."""


class Pipe:
    """The bytes between writers and readers of one fifo, while somebody has it open."""

    __slots__ = ("data", "readers", "writers")

    def __init__(self) -> None:
        self.data = bytearray()
        self.readers = 0
        self.writers = 0


class PipeFile(File):
    """One end of a fifo, or both."""

    __slots__ = ("_pipes", "pipe")

    seekable: ClassVar[bool] = False

    def __init__(self, location: VirtualDentry, flags: int, creds: Credentials, pipe: Pipe, pipes: Pipes) -> None:
        super().__init__(location, flags, creds)
        self.pipe = pipe
        self._pipes = pipes
        pipe.readers += self.readable
        pipe.writers += self.writable

    def read_at(self, size: int, offset: int) -> bytes:
        """What is there; nothing when there are no writers.

        Errors: EAGAIN if there is nothing yet.
        """
        pipe = self.pipe
        with self.inode.fs.lock:
            if not pipe.data and pipe.writers and size:
                raise error(errno.EAGAIN)
            data = bytes(pipe.data[:size])
            del pipe.data[:size]
        return data

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Take what there is room for.

        Errors: EPIPE without readers; EAGAIN when full, or for up to PIPE_BUF bytes that do not fit whole.
        """
        pipe = self.pipe
        with self.inode.fs.lock:
            if not pipe.readers:
                raise error(errno.EPIPE)
            room = CAPACITY - len(pipe.data)
            if data and (room == 0 or (len(data) <= ATOMIC and room < len(data))):
                raise error(errno.EAGAIN)
            taken = data[:room]
            pipe.data += taken
        return len(taken)

    def release(self) -> None:
        """Take this end away; the pipe goes with its last end, and what is in it too."""
        self.pipe.readers -= self.readable
        self.pipe.writers -= self.writable
        if not self.pipe.readers and not self.pipe.writers:
            self._pipes.forget(self.inode)


class Pipes:
    """The fifos that are open, by inode. Protected by the lock of the VFS."""

    def __init__(self) -> None:
        self._open: dict[Inode, Pipe] = {}

    def open(self, location: VirtualDentry, flags: int, creds: Credentials) -> PipeFile:
        """Open one end, or both with O_RDWR.

        Errors: ENXIO for a writer without a reader; EINVAL for neither reading nor writing.
        """
        inode = location.dentry.inode
        with inode.fs.lock:
            pipe = self._open.get(inode) or Pipe()
            file = PipeFile(location, flags, creds, pipe, self)
            if not file.readable and not file.writable:
                raise error(errno.EINVAL)
            if file.writable and not pipe.readers:
                raise error(errno.ENXIO)
            self._open[inode] = pipe
        return file

    def forget(self, inode: Inode) -> None:
        """Drop a pipe that has no end left."""
        self._open.pop(inode, None)
