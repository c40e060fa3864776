"""inotify(7): who watches files and directories is told what happens to them (fs/notify of Linux).

Events are told by what changes a file through the VFS; what a host or a server changes behind it is not seen. Names begin with
`Dentry`, so a file that has several names is told under the one it was reached by, as in Linux. Reading never waits: EAGAIN.
The limits of /proc/sys/fs/inotify on watches and instances are absent.
`vfs.watches` is what the calls tell of.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
import struct
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from vfs.abi import (
    IN_ALL_EVENTS,
    IN_DELETE_SELF,
    IN_DONT_FOLLOW,
    IN_EXCL_UNLINK,
    IN_IGNORED,
    IN_ISDIR,
    IN_MASK_ADD,
    IN_MASK_CREATE,
    IN_MOVE_SELF,
    IN_ONESHOT,
    IN_ONLYDIR,
    IN_Q_OVERFLOW,
    IN_UNMOUNT,
    MAY_READ,
)
from vfs.errors import error
from vfs.resolve import resolve

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.filesystem import Filesystem
    from vfs.inode import Inode
    from vfs.resolve import PathOperation
    from vfs.virtual_filesystem import VirtualFilesystem


MAX_QUEUED_EVENTS: Final = 16_384
_HOW: Final = IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_CREATE | IN_MASK_ADD | IN_ONESHOT
_KNOWN: Final = IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ISDIR | _HOW
_KEPT: Final = IN_ALL_EVENTS | IN_ONESHOT | IN_EXCL_UNLINK
_HEADER: Final = struct.Struct("=iIII")


class InotifyEvent(NamedTuple):
    """One event; `name` is empty when it is about the watched file itself."""

    watch: int
    mask: int
    cookie: int = 0
    name: str = ""

    def pack(self) -> bytes:
        """A struct inotify_event: the name ends with a NUL and is filled up to a multiple of the header's size."""
        name = os.fsencode(self.name)
        length = -(-(len(name) + 1) // _HEADER.size) * _HEADER.size if name else 0
        return _HEADER.pack(self.watch, self.mask, self.cookie, length) + name.ljust(length, b"\0")


class _Watch:
    __slots__ = ("descriptor", "inode", "mask")

    def __init__(self, inode: Inode, descriptor: int) -> None:
        self.inode = inode
        self.descriptor = descriptor
        self.mask = 0


class Inotify:
    """An instance: watches, and a queue of what they saw. Protected by the lock of the VFS.

    Precondition: `close` is called when it is no longer needed; until then every open and close of the VFS is looked at.
    """

    def __init__(self, vfs: VirtualFilesystem, max_queued_events: int = MAX_QUEUED_EVENTS) -> None:
        self._vfs = vfs
        self._limit = max_queued_events
        self._queue: deque[InotifyEvent] = deque()
        self._descriptors = itertools.count(1)
        self._by_descriptor: dict[int, _Watch] = {}
        self._by_inode: dict[Inode, _Watch] = {}
        with vfs.lock:
            vfs.watches.instances.append(self)

    def add_watch(self, creds: Credentials, op: PathOperation, mask: int) -> int:
        """inotify_add_watch(2): the descriptor of the watch. A file that is watched already keeps its own, with the new mask,
        or with both under IN_MASK_ADD.

        Errors: EINVAL for a mask without or with unknown bits, or with both IN_MASK_ADD and IN_MASK_CREATE; EEXIST under
        IN_MASK_CREATE; ENOTDIR under IN_ONLYDIR; EACCES for a file that may not be read; EBADF for a closed instance.
        """
        self._check_mask(mask)
        if mask & IN_DONT_FOLLOW:
            op = replace(op, follow_final_symlink=False)
        with self._vfs.lock:
            inode = resolve(self._vfs.path_cache, creds, op).dentry.inode
            if mask & IN_ONLYDIR and not stat.S_ISDIR(inode.mode):
                raise error(errno.ENOTDIR, op.path)
            inode.check_access(creds, MAY_READ)
            watch = self._by_inode.get(inode)
            if watch is None:
                watch = _Watch(inode, next(self._descriptors))
                self._by_inode[inode] = self._by_descriptor[watch.descriptor] = watch
            elif mask & IN_MASK_CREATE:
                raise error(errno.EEXIST, op.path)
            watch.mask = mask & _KEPT | (watch.mask if mask & IN_MASK_ADD else 0)
            return watch.descriptor

    def _check_mask(self, mask: int) -> None:
        both = IN_MASK_ADD | IN_MASK_CREATE
        if not mask & _KNOWN or mask & ~_KNOWN:
            raise error(errno.EINVAL)
        self._check_open()
        if mask & both == both:
            raise error(errno.EINVAL)

    def _check_open(self) -> None:
        if self not in self._vfs.watches.instances:
            raise error(errno.EBADF)

    def rm_watch(self, descriptor: int) -> None:
        """inotify_rm_watch(2). Errors: EINVAL for an unknown watch; EBADF for a closed instance."""
        with self._vfs.lock:
            self._check_open()
            watch = self._by_descriptor.get(descriptor)
            if watch is None:
                raise error(errno.EINVAL)
            self._ignore(watch)

    def read_events(self) -> list[InotifyEvent]:
        """All events that wait. Errors: EBADF for a closed instance."""
        with self._vfs.lock:
            self._check_open()
            events = list(self._queue)
            self._queue.clear()
        return events

    def read(self, size: int) -> bytes:
        """Take as many events as fit.

        Errors: EAGAIN if there is none; EINVAL if not even one fits; EBADF for a closed instance.
        """
        with self._vfs.lock:
            self._check_open()
            if not self._queue:
                raise error(errno.EAGAIN)
            data = b""
            while self._queue and len(data) + len(packed := self._queue[0].pack()) <= size:
                data += packed
                self._queue.popleft()
        if not data:
            raise error(errno.EINVAL)
        return data

    def close(self) -> None:
        """Let go of all watches and events; closing again does nothing."""
        with self._vfs.lock:
            if self in self._vfs.watches.instances:
                self._vfs.watches.instances.remove(self)
                self._by_descriptor.clear()
                self._by_inode.clear()
                self._queue.clear()
                if not self._vfs.watches.instances:
                    self._vfs.watches.open.clear()

    # for Watches

    def tell(self, inode: Inode, mask: int, name: str = "", cookie: int = 0, *, unlinked: bool = False) -> None:
        """Queue an event of a file, if it is watched for that."""
        watch = self._by_inode.get(inode)
        if watch is None or not watch.mask & mask & IN_ALL_EVENTS or (unlinked and watch.mask & IN_EXCL_UNLINK):
            return
        if mask & (IN_DELETE_SELF | IN_MOVE_SELF):
            mask &= ~IN_ISDIR
        self._put(InotifyEvent(watch.descriptor, mask, cookie, name))
        if watch.mask & IN_ONESHOT:
            self._ignore(watch)

    def end(self, inode: Inode, mask: int) -> None:
        """The file is gone, or its file system: tell, and drop its watch."""
        watch = self._by_inode.get(inode)
        if watch is not None and mask == IN_UNMOUNT:
            self._put(InotifyEvent(watch.descriptor, mask))
        else:
            self.tell(inode, mask)
        watch = self._by_inode.get(inode)
        if watch is not None:
            self._ignore(watch)

    def watched(self, fs: Filesystem) -> list[Inode]:
        """The files of a file system that are watched."""
        return [inode for inode in self._by_inode if inode.fs is fs]

    def _ignore(self, watch: _Watch) -> None:
        del self._by_descriptor[watch.descriptor]
        del self._by_inode[watch.inode]
        self._put(InotifyEvent(watch.descriptor, IN_IGNORED))

    def _put(self, event: InotifyEvent) -> None:
        overflow = InotifyEvent(-1, IN_Q_OVERFLOW)
        if len(self._queue) >= self._limit:
            if overflow not in self._queue:
                self._queue.append(overflow)
            return
        # A neighbour alike is one event (inotify(7)); the cookie is no part of the likeness.
        if self._queue and self._queue[-1]._replace(cookie=0) == event._replace(cookie=0):
            return
        self._queue.append(event)
