"""Who is told of what happens in a VFS: what the calls tell the instances of `vfs.inotify` (include/linux/fsnotify.h).

One difference to Linux: a removed file that is still open tells DELETE_SELF when it is closed if it was opened while some
instance existed; files opened before are not counted, and DELETE_SELF then comes with the removal.
"""

from __future__ import annotations

import itertools
import os
import stat
from typing import TYPE_CHECKING

from vfs.abi import (
    IN_ACCESS,
    IN_ATTRIB,
    IN_CLOSE_NOWRITE,
    IN_CLOSE_WRITE,
    IN_CREATE,
    IN_DELETE,
    IN_DELETE_SELF,
    IN_ISDIR,
    IN_MODIFY,
    IN_MOVE_SELF,
    IN_MOVED_FROM,
    IN_MOVED_TO,
    IN_OPEN,
    IN_UNMOUNT,
)
from vfs.dentry import DEAD

if TYPE_CHECKING:
    from vfs.dentry import Dentry
    from vfs.file import File
    from vfs.filesystem import Filesystem
    from vfs.inode import Inode
    from vfs.inotify import Inotify
    from vfs.options import SetStat


class Watches:
    """The instances of one VFS, and what calls tell them. While `instances` is empty there is nothing to tell: callers that
    are in a hurry look first. `open` counts who holds a name from the first instance on: open files, and dead names below that are open.
    """

    def __init__(self) -> None:
        self.instances: list[Inotify] = []
        self.open: dict[Dentry, int] = {}
        self._cookies = itertools.count(1)

    def inode(self, inode: Inode, mask: int) -> None:
        """Something happened to a file itself (fsnotify_inode)."""
        mask |= _directory_bit(inode)
        for instance in tuple(self.instances):
            instance.tell(inode, mask)

    def dentry(self, dentry: Dentry, mask: int, *, unlinked: bool = False) -> None:
        """Something happened to a file that was reached by this name: its directory is told, too (fsnotify_dentry)."""
        mask |= _directory_bit(dentry.inode)
        for instance in tuple(self.instances):
            if dentry.parent is not dentry:
                instance.tell(dentry.parent.inode, mask, dentry.name, unlinked=unlinked)
            instance.tell(dentry.inode, mask, unlinked=unlinked)

    def name(self, directory: Inode, mask: int, name: str, inode: Inode, cookie: int = 0) -> None:
        """A name came to a directory or went from it (fsnotify_name)."""
        mask |= _directory_bit(inode)
        for instance in tuple(self.instances):
            instance.tell(directory, mask, name, cookie)

    def file(self, file: File, mask: int) -> None:
        """Something happened to an open file."""
        if not file.flags & os.O_PATH:
            with file.inode.fs.lock:
                dentry = file.location.dentry
                self.dentry(dentry, mask, unlinked=bool(dentry.odd & DEAD))

    def created(self, dentry: Dentry) -> None:
        """A name was made."""
        self.name(dentry.parent.inode, IN_CREATE, dentry.name, dentry.inode)

    def linked(self, inode: Inode) -> None:
        """A file got one more name."""
        self.inode(inode, IN_ATTRIB)

    def attributes(self, dentry: Dentry) -> None:
        """Extended attributes were changed."""
        self.dentry(dentry, IN_ATTRIB)

    def accessed(self, file: File) -> None:
        """Something was read."""
        self.file(file, IN_ACCESS)

    def modified(self, file: File) -> None:
        """Something was written."""
        self.file(file, IN_MODIFY)

    def opened(self, file: File) -> None:
        """A file was opened."""
        dentry = file.location.dentry
        if dentry.odd & DEAD and dentry not in self.open:
            self._hold(dentry.parent)
        self._hold(dentry)
        self.file(file, IN_OPEN)

    def closed(self, file: File) -> None:
        """A file was closed."""
        self.file(file, IN_CLOSE_WRITE if file.writable else IN_CLOSE_NOWRITE)
        self._let_go(file.location.dentry)

    def died(self, dentry: Dentry) -> None:
        """A name is dead: the file goes with it, unless it has others or somebody has it open."""
        if dentry in self.open:
            # Who has a file open holds the directories that it was in, too.
            self._hold(dentry.parent)
        else:
            self._gone(dentry)

    def _hold(self, dentry: Dentry) -> None:
        self.open[dentry] = self.open.get(dentry, 0) + 1

    def _let_go(self, dentry: Dentry) -> None:
        while dentry in self.open:
            left = self.open.pop(dentry) - 1
            if left:
                self.open[dentry] = left
            if left or not dentry.odd & DEAD:
                return
            self._gone(dentry)
            dentry = dentry.parent

    def _gone(self, dentry: Dentry) -> None:
        inode = dentry.inode
        if inode.nlink and not stat.S_ISDIR(inode.mode):
            return
        for instance in tuple(self.instances):
            instance.end(inode, IN_DELETE_SELF | _directory_bit(inode))

    def unlinked(self, dentry: Dentry) -> None:
        """A name was removed (vfs_unlink, vfs_rmdir)."""
        if not stat.S_ISDIR(dentry.inode.mode):
            self.inode(dentry.inode, IN_ATTRIB)
        self.died(dentry)
        self.name(dentry.parent.inode, IN_DELETE, dentry.name, dentry.inode)

    def renamed(self, dentry: Dentry, old_parent: Dentry, old_name: str, target: Dentry | None) -> None:
        """A name was moved, and `target` is dead, or the two were exchanged (vfs_rename)."""
        dead = target if target is not None and target.odd & DEAD else None
        self.moved(dentry, old_parent.inode, old_name, dead)
        if dead is not None:
            self.died(dead)
        elif target is not None:
            self.moved(target, dentry.parent.inode, dentry.name, None)

    def moved(self, dentry: Dentry, old_directory: Inode, old_name: str, target: Dentry | None) -> None:
        """A name was moved to where it is now, over `target` (fsnotify_move)."""
        cookie = next(self._cookies)
        self.name(old_directory, IN_MOVED_FROM, old_name, dentry.inode, cookie)
        self.name(dentry.parent.inode, IN_MOVED_TO, dentry.name, dentry.inode, cookie)
        if target is not None:
            self.inode(target.inode, IN_ATTRIB)
        self.inode(dentry.inode, IN_MOVE_SELF)

    def changed(self, dentry: Dentry, changes: SetStat) -> None:
        """Attributes were set (fsnotify_change)."""
        mask = 0 if changes.mode is changes.uid is changes.gid is None else IN_ATTRIB
        if changes.size is not None:
            mask |= IN_MODIFY
        accessed = changes.touch or changes.atime_now or changes.atime_ns is not None
        modified = changes.touch or changes.mtime_now or changes.mtime_ns is not None
        if accessed and modified:
            mask |= IN_ATTRIB
        elif accessed or modified:
            mask |= IN_ACCESS if accessed else IN_MODIFY
        if mask:
            self.dentry(dentry, mask)

    def unmounted(self, fs: Filesystem) -> None:
        """A file system went with its last mount."""
        for instance in tuple(self.instances):
            for inode in instance.watched(fs):
                instance.end(inode, IN_UNMOUNT)


def _directory_bit(inode: Inode) -> int:
    return IN_ISDIR if stat.S_ISDIR(inode.mode) else 0
