"""mqueue: POSIX message queues as files (mq_overview(7); ipc/mqueue.c).

A VFS has one set of queues (Linux: one an IPC namespace), which every mount shows and which is kept while nothing is mounted.
open(2) with O_CREAT makes a queue with the default attributes, `mq_open` one with chosen ones; what either opens is a `QueueFile`.
Nothing here waits: where Linux would, the answer is that under O_NONBLOCK, EAGAIN.

Not there: mq_notify(3), the limit on bytes a user (RLIMIT_MSGQUEUE), and limits other than the default ones. It takes no options.
"""

from __future__ import annotations

import errno
import heapq
import itertools
import os
import stat
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from vfs.credentials import new_owner
from vfs.dentry import Dentry
from vfs.errors import error
from vfs.file import File
from vfs.filesystem import FilesystemType
from vfs.fs.attribute import keep_attributes
from vfs.fs.static import StaticDirectory, StaticFilesystem, refused
from vfs.inode import Inode
from vfs.options import MountOptions, OpenOptions, SetStat, mount_data
from vfs.resolve import PathOperation

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.filesystem import Filesystem
    from vfs.mount import VirtualDentry
    from vfs.options import MknodOptions
    from vfs.virtual_filesystem import VirtualFilesystem

_MAGIC: Final = 0x1980_0202
_SHARED: Final = "mqueue"
_FILE_SIZE: Final = 80
_ENTRY_SIZE: Final = 20
MSG_MAX: Final = 10
MSGSIZE_MAX: Final = 8192
QUEUES_MAX: Final = 256
PRIORITY_MAX: Final = 32_768
"""The defaults of /proc/sys/fs/mqueue, and MQ_PRIO_MAX."""


class QueueAttributes(NamedTuple):
    """What mq_getattr(3) tells; the first two are chosen when a queue is made."""

    max_messages: int = MSG_MAX
    message_size: int = MSGSIZE_MAX
    messages: int = 0
    nonblocking: bool = False


class Queue(Inode):
    """One queue. `size` is what its file says, not what is in it."""

    __slots__ = ("_heap", "_order", "bytes", "max_messages", "message_size")

    def __init__(
        self, fs: Filesystem, ino: int, mode: int, owner: tuple[int, int], attributes: QueueAttributes
    ) -> None:
        super().__init__(fs, ino, mode, *owner)
        self.size = _FILE_SIZE
        self.max_messages, self.message_size = attributes[:2]
        self.bytes = 0
        self._heap: list[tuple[int, int, bytes]] = []
        self._order = itertools.count()
        self.atime_ns = self.mtime_ns = self.ctime_ns = time.time_ns()

    @property
    def messages(self) -> int:
        """How many wait."""
        return len(self._heap)

    def stat(self) -> os.stat_result:
        """It takes no blocks."""
        return self.stat_result(0)

    def set_stat(self, changes: SetStat) -> None:
        """A size is shown, and means nothing (simple_setattr)."""
        keep_attributes(self, changes)
        self.size = self.size if changes.size is None else changes.size

    def open(self, location: VirtualDentry, flags: int, creds: Credentials) -> File:
        """See `QueueFile`."""
        return QueueFile(location, flags, creds)

    def put(self, data: bytes, priority: int) -> None:
        """Errors: EAGAIN if it is full."""
        if self.messages >= self.max_messages:
            raise error(errno.EAGAIN)
        heapq.heappush(self._heap, (-priority, next(self._order), data))
        self.bytes += len(data)
        self.atime_ns = self.mtime_ns = self.ctime_ns = time.time_ns()

    def take(self) -> tuple[bytes, int]:
        """The oldest message of the highest priority. Errors: EAGAIN if there is none."""
        if not self._heap:
            raise error(errno.EAGAIN)
        negative, _, data = heapq.heappop(self._heap)
        self.bytes -= len(data)
        self.atime_ns = self.mtime_ns = self.ctime_ns = time.time_ns()
        return data, -negative


class QueueFile(File):
    """An open queue (a mqd_t). Reading it as a file tells its state; writing so is EINVAL."""

    __slots__ = ("_nonblocking",)

    def __init__(self, location: VirtualDentry, flags: int, creds: Credentials) -> None:
        super().__init__(location, flags, creds)
        self._nonblocking = bool(flags & os.O_NONBLOCK)

    @property
    def _queue(self) -> Queue:
        assert isinstance(self.inode, Queue)
        return self.inode

    def read_at(self, size: int, offset: int) -> bytes:
        """The line of mq_overview(7), "Mounting the message queue filesystem"."""
        line = f"QSIZE:{self._queue.bytes:<10d} NOTIFY:{0:<5d} SIGNO:{0:<5d} NOTIFY_PID:{0:<6d}\n"
        return line.encode()[offset : offset + size]

    def send(self, data: bytes, priority: int = 0) -> None:
        """mq_send(3).

        Errors: EBADF if not open for writing; EINVAL for a priority that is too high; EMSGSIZE; EAGAIN for a full queue.
        """
        if not 0 <= priority < PRIORITY_MAX:
            raise error(errno.EINVAL)
        if not self.writable:
            raise error(errno.EBADF)
        if len(data) > self._queue.message_size:
            raise error(errno.EMSGSIZE)
        with self.inode.fs.lock:
            self._queue.put(bytes(data), priority)

    def receive(self, size: int) -> tuple[bytes, int]:
        """mq_receive(3) into a buffer of `size` bytes: a message and its priority.

        Errors: EBADF if not open for reading; EMSGSIZE for a buffer that not every message fits; EAGAIN for an empty queue.
        """
        if not self.readable:
            raise error(errno.EBADF)
        if size < self._queue.message_size:
            raise error(errno.EMSGSIZE)
        with self.inode.fs.lock:
            return self._queue.take()

    def attributes(self) -> QueueAttributes:
        """mq_getattr(3)."""
        if self.closed:
            raise error(errno.EBADF)
        queue = self._queue
        return QueueAttributes(queue.max_messages, queue.message_size, queue.messages, self._nonblocking)

    def set_nonblocking(self, *, nonblocking: bool) -> QueueAttributes:
        """mq_setattr(3), which changes that alone; the attributes before."""
        before = self.attributes()
        self._nonblocking = nonblocking
        return before

    def ready(self) -> tuple[bool, bool]:
        """Whether there is something to receive, and room to send (poll(2))."""
        return self._queue.messages > 0, self._queue.messages < self._queue.max_messages


class QueueDirectory(StaticDirectory):
    """The one directory: nothing but queues."""

    __slots__ = ("inos", "wanted")

    def __init__(self, fs: Filesystem, entries: dict[str, Inode]) -> None:
        super().__init__(fs, 1, stat.S_ISVTX | 0o777)
        self.entries = entries
        self.size = (2 + len(entries)) * _ENTRY_SIZE
        self.wanted = QueueAttributes()
        self.inos = itertools.count(max([1, *(inode.ino for inode in entries.values())]) + 1)

    def stat(self) -> os.stat_result:
        """It takes no blocks."""
        return self.stat_result(0)

    def set_stat(self, changes: SetStat) -> None:
        """See `keep_attributes`."""
        keep_attributes(self, changes)

    def mknod(self, creds: Credentials, name: str, options: MknodOptions) -> Inode:
        """A queue, with the attributes `wanted`.

        Errors: EPERM for other kinds; EINVAL for attributes beyond the limits; ENOSPC for too many queues.
        """
        wanted = self.wanted
        if not stat.S_ISREG(options.mode):
            raise error(errno.EPERM, name)
        if len(self.entries) >= QUEUES_MAX:
            raise error(errno.ENOSPC, name)
        if not (0 < wanted.max_messages <= MSG_MAX and 0 < wanted.message_size <= MSGSIZE_MAX):
            raise error(errno.EINVAL, name)
        gid, mode = new_owner(creds, self, options.mode)
        queue = self.entries[name] = Queue(self.fs, next(self.inos), mode, (creds.uid, gid), wanted)
        self._resized(_ENTRY_SIZE)
        return queue

    def unlink(self, name: str, inode: Inode) -> None:
        """What has it open goes on using it."""
        del self.entries[name]
        inode.nlink -= 1
        self._resized(-_ENTRY_SIZE)

    def _resized(self, by: int) -> None:
        self.size += by
        self.atime_ns = self.mtime_ns = self.ctime_ns = time.time_ns()


class MqueueFilesystem(StaticFilesystem):
    """The queues of a VFS, shown."""

    def __init__(self, vfs: VirtualFilesystem, queues: dict[str, Inode]) -> None:
        super().__init__(vfs, "mqueue", magic=_MAGIC, mode=0, whole=True)
        for queue in queues.values():
            queue.fs = self
        self.directory = QueueDirectory(self, queues)
        self.root = Dentry("", None, self.directory)

    def release(self) -> None:
        """The queues stay with the VFS."""
        self.vfs.shared[_SHARED] = self.directory.entries


class MqueueType(FilesystemType):
    """Registers as "mqueue"."""

    name = "mqueue"

    def get_filesystem(
        self, vfs: VirtualFilesystem, creds: Credentials, source: str, options: MountOptions
    ) -> StaticFilesystem:
        """Errors: EINVAL for any option."""
        for key, value in mount_data(options.data):
            raise refused(key, value)
        found = vfs.shared.get(_SHARED, {})
        if isinstance(found, MqueueFilesystem):
            return found
        assert isinstance(found, dict)
        made = vfs.shared[_SHARED] = MqueueFilesystem(vfs, found)
        return made


def mq_open(
    creds: Credentials,
    root: VirtualDentry,
    name: str,
    options: OpenOptions,
    attributes: QueueAttributes = QueueAttributes(),  # noqa: B008  # immutable
) -> QueueFile:
    """Make or open a queue by its name without the slash, as the C library hands it on (mq_open(3)); `root` is the root of a mount of this type. The
    attributes count if O_CREAT makes the queue; the umask has been applied to the mode.

    Errors: EACCES, also for a name with a slash, "." and ".."; ENOENT; EEXIST; ENAMETOOLONG; EINVAL; ENOSPC.
    """
    if "/" in name or name in {".", ".."}:
        raise error(errno.EACCES, name)
    fs = root.mount.fs
    assert isinstance(fs, MqueueFilesystem)
    assert isinstance(fs.directory, QueueDirectory)
    with fs.lock:
        fs.directory.wanted = attributes
        try:
            file = fs.vfs.open_at(creds, PathOperation(root, root, name, follow_final_symlink=False), options)
        finally:
            fs.directory.wanted = QueueAttributes()
    assert isinstance(file, QueueFile)
    return file
