"""A group as a directory: its control files, the groups below, and what may be done to them (kernel/cgroup/cgroup.c)."""

from __future__ import annotations

import errno
import stat
import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from vfs.errors import error
from vfs.fs.attribute import AttributeFile, keep_attributes
from vfs.fs.cgroupfs import cpuset, version2
from vfs.fs.cgroupfs.group import Group
from vfs.fs.static import OpenDirectory
from vfs.inode import DirectoryEntry, Inode

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.fs.cgroupfs.control import ControlFile, Show, Store
    from vfs.fs.cgroupfs.filesystem import CgroupFilesystem
    from vfs.options import MkdirOptions, MknodOptions, RenameOptions, SetStat


class GroupDirectory(OpenDirectory):
    """The directory of a group. `entries` holds mount points that who builds a tree made (see `SyntheticParent`)."""

    __slots__ = ("_below", "_files", "group")

    fs: CgroupFilesystem  # type: ignore[mutable-override]  # an inode never changes its file system

    def __init__(self, fs: CgroupFilesystem, group: Group, mode: int) -> None:
        super().__init__(fs, next(fs.inos), mode, fs.inos, errno.EPERM)
        self.uid, self.gid = group.uid, group.gid
        self.group = group
        self._files: dict[str, AttributeFile] = {}
        self._below: dict[str, GroupDirectory] = {}
        self.nlink = 2 + len(group.children)

    def find(self, name: str) -> Inode | None:
        """See `Inode.find`: a file of a controller is there as long as the group has the controller."""
        child = self.group.children.get(name)
        if child is not None:
            return self._directory(child)
        control = self.fs.files(self.group).get(name)
        if control is not None:
            return self._file(name, control)
        gone = self._files.pop(name, None)
        if gone is not None:
            gone.gone = True
        return self.entries.get(name)

    def lookup(self, name: str) -> Inode:
        """See `Inode.lookup`."""
        inode = self.find(name)
        if inode is None:
            raise error(errno.ENOENT, name)
        return inode

    def iterate(self) -> Iterator[DirectoryEntry]:
        """See `Inode.iterate`."""
        with self.fs.lock:
            names = [*self.fs.files(self.group), *self.group.children, *self.entries]
            inodes = [(name, self.lookup(name)) for name in names]
        return iter([DirectoryEntry(name, inode.ino, stat.S_IFMT(inode.mode)) for name, inode in inodes])

    def set_stat(self, changes: SetStat) -> None:
        """See `keep_attributes`."""
        keep_attributes(self, changes)

    def _directory(self, child: Group) -> GroupDirectory:
        found = self._below.get(child.name)
        if found is None or found.group is not child:
            found = self._below[child.name] = GroupDirectory(self.fs, child, 0o755)
        return found

    def _file(self, name: str, control: ControlFile) -> AttributeFile:
        found = self._files.get(name)
        if found is None:
            show = None if control.show is None else partial(self._show, name, control.show)
            store = None if control.store is None else partial(self._store, name, control.store)
            found = self._files[name] = AttributeFile(self.fs, next(self.fs.inos), control.mode, show, store)
            found.uid, found.gid = self.group.uid, self.group.gid
        return found

    def _show(self, name: str, show: Show) -> str:
        self._check_there(name)
        return show(self.group)

    def _store(self, name: str, store: Store, text: str) -> None:
        self._check_there(name)
        store(self.group, text)

    def _check_there(self, name: str) -> None:
        # An open file does not keep a controller in the group.
        if name not in self.fs.files(self.group):
            raise error(errno.ENODEV, name)

    def mknod(self, creds: Credentials, name: str, options: MknodOptions) -> Inode:
        """Errors: EACCES for a regular file, which this type has no way to make, EPERM for another (fs/namei.c)."""
        raise error(errno.EACCES if stat.S_ISREG(options.mode) else errno.EPERM, name)

    def mkdir(self, creds: Credentials, name: str, options: MkdirOptions) -> Inode:
        """A group below this one (cgroup_mkdir).

        Errors: EINVAL for a name with a newline; EAGAIN beyond cgroup.max.depth or cgroup.max.descendants.
        """
        if "\n" in name:
            raise error(errno.EINVAL, name)
        parent = self.group
        if parent.hierarchy.unified:
            version2.check_limits(parent)
        child = parent.children[name] = Group(parent.hierarchy, parent, name, creds.uid, creds.gid)
        for inherited in ("notify_on_release", "cgroup.clone_children"):
            if parent.values.get(inherited):
                child.values[inherited] = 1
        if parent.values.get("cgroup.clone_children") and "cpuset" in child.controllers:
            cpuset.clone(parent, child)
        directory = self._below[name] = GroupDirectory(self.fs, child, options.mode)
        self.nlink += 1
        self.mtime_ns = self.ctime_ns = time.time_ns()
        return directory

    def rmdir(self, name: str, inode: Inode) -> None:
        """Errors: EBUSY for a group with groups below or tasks; EPERM for a mount point."""
        if not isinstance(inode, GroupDirectory):
            raise error(errno.EPERM, name)
        group = inode.group
        if group.children or group.tasks():
            raise error(errno.EBUSY, name)
        del self.group.children[name]
        self._below.pop(name, None)
        inode.removed()
        self.nlink -= 1
        self.mtime_ns = self.ctime_ns = time.time_ns()

    def removed(self) -> None:
        """The group is gone, and what its files told about."""
        self.nlink = 0
        for file in self._files.values():
            file.gone = True

    def rename(self, name: str, new_directory: Inode, new_name: str, options: RenameOptions) -> None:
        """Give a group of version 1 another name (cgroup1_rename).

        Errors: EPERM in version 2; ENOTDIR for a file; EIO for another parent; EEXIST; EINVAL for a newline or flags.
        """
        child = self.group.children.get(name)
        if self.group.hierarchy.unified:
            raise error(errno.EPERM, name)
        if options.flags or "\n" in new_name:
            raise error(errno.EINVAL, name)
        if child is None:
            raise error(errno.ENOTDIR, name)
        if new_directory is not self:
            raise error(errno.EIO, name)
        if self.find(new_name) is not None:
            raise error(errno.EEXIST, new_name)
        del self.group.children[name]
        child.name = new_name
        self.group.children[new_name] = child
        below = self._below.pop(name, None)
        if below is not None:
            self._below[new_name] = below
