"""A tmpfs and its limits."""

from __future__ import annotations

import errno
import itertools
import os
import stat
from typing import TYPE_CHECKING, ClassVar, Final

from vfs.abi import MAX_FILE_SIZE, PAGE_SIZE, TMPFS_MAGIC
from vfs.dentry import Dentry
from vfs.errors import error
from vfs.filesystem import Filesystem, FilesystemType, StatFilesystem
from vfs.fs.tmpfs import options as tmpfs_options
from vfs.fs.tmpfs.inode import Directory, Symlink, TmpfsInode
from vfs.fs.tmpfs.options import TmpfsOptions
from vfs.fs.tmpfs.regular import RegularFile, UnnamedFile
from vfs.path import byte_length

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.options import MountOptions
    from vfs.virtual_filesystem import VirtualFilesystem

# What df shows of a file system without a limit (S54).
_UNLIMITED_PAGES: Final = (MAX_FILE_SIZE + 1) // PAGE_SIZE
# What Linux takes off the room for inodes (BOGO_INODE_SIZE, simple_xattr_space()).
_INODE_SPACE: Final = 1024
_XATTR_SPACE: Final = 40
# How many files' results of stat(2) are kept: enough for whoever watches a tree, little beside the tree.
_STAT_RESULTS: Final = 4096
_DEFAULT_MODES: Final = {stat.S_IFDIR: 0o1777, stat.S_IFREG: 0o777, stat.S_IFLNK: 0o777}


class TmpfsFilesystem(Filesystem):
    """One instance. `max_pages` and `max_inodes` are None where there is no limit.

    Invariants: `pages` is the sum of the pages of all files, `inodes` that of all names, the root and the regular files that
    are open without a name, `xattr_space` what extended attributes take of the room for inodes.
    """

    # For directories, which make files and know only what all files have in common.
    regular_file: ClassVar = RegularFile
    unnamed_file: ClassVar = UnnamedFile

    def __init__(
        self,
        vfs: VirtualFilesystem,
        creds: Credentials,
        data: str = "",
        root: TmpfsOptions | None = None,
        type_name: str = "tmpfs",
    ) -> None:
        """Errors: EINVAL for options or a kind of root that are none."""
        options = tmpfs_options.parse(data)
        root = root or TmpfsOptions()
        if root.root_type not in _DEFAULT_MODES:
            raise error(errno.EINVAL)
        super().__init__(vfs, type_name)
        self.data = data
        self.max_pages = options.max_pages
        self.max_inodes = options.max_inodes
        self.pages = 0
        self.inodes = 1
        self.xattr_space = 0
        self.inos = itertools.count(1)
        self.stat_results: dict[TmpfsInode, tuple[tuple[int, ...], os.stat_result]] = {}
        uid = creds.uid if options.uid is None else options.uid
        gid = creds.gid if options.gid is None else options.gid
        mode = root.root_type | (_DEFAULT_MODES[root.root_type] if options.mode is None else options.mode)
        self.root = Dentry("", None, self._make_root(root, mode, uid, gid))

    def _make_root(self, root: TmpfsOptions, mode: int, uid: int, gid: int) -> TmpfsInode:
        if stat.S_ISDIR(mode):
            return Directory(self, mode, uid, gid)
        return RegularFile(self, mode, uid, gid) if stat.S_ISREG(mode) else Symlink(self, uid, gid, root.root_target)

    def statfs(self) -> StatFilesystem:
        """See `Filesystem.statfs`."""
        blocks = _UNLIMITED_PAGES if self.max_pages is None else self.max_pages
        free = blocks - self.pages
        files = self.max_inodes or 0
        files_free = self._free_inode_space() // _INODE_SPACE if files else 0
        return StatFilesystem(TMPFS_MAGIC, PAGE_SIZE, blocks, free, free, files, files_free)

    def mount_options(self) -> str:
        """The options as they were given (S54)."""
        return self.data

    def keep_stat_result(self, inode: TmpfsInode, attributes: tuple[int, ...], result: os.stat_result) -> None:
        """Keep what stat(2) told of a file with these attributes."""
        if len(self.stat_results) >= _STAT_RESULTS:
            self.stat_results = {}
        self.stat_results[inode] = (attributes, result)

    # limits; called with the lock held

    def charge_pages(self, count: int) -> None:
        """Errors: ENOSPC, and then nothing was charged."""
        if self.max_pages is not None and self.pages + count > self.max_pages:
            raise error(errno.ENOSPC)
        self.pages += count

    def free_pages(self) -> int:
        """How many pages may still be charged; -1 without a limit."""
        return -1 if self.max_pages is None else self.max_pages - self.pages

    def uncharge_pages(self, count: int) -> None:
        """Give pages back."""
        self.pages -= count

    def _free_inode_space(self) -> int:
        return ((self.max_inodes or 0) - self.inodes) * _INODE_SPACE - self.xattr_space

    def charge_inode(self) -> None:
        """One more name. Errors: ENOSPC."""
        if self.max_inodes is not None and self._free_inode_space() < _INODE_SPACE:
            raise error(errno.ENOSPC)
        self.inodes += 1

    def uncharge_inode(self) -> None:
        """One name less."""
        self.inodes -= 1

    def charge_xattr(self, name: str, value: bytes) -> None:
        """One more extended attribute. Errors: ENOSPC."""
        space = _xattr_space(name, value)
        if self.max_inodes is not None and self._free_inode_space() <= space:
            raise error(errno.ENOSPC)
        self.xattr_space += space

    def uncharge_xattr(self, name: str, value: bytes) -> None:
        """One extended attribute less."""
        self.xattr_space -= _xattr_space(name, value)


def _xattr_space(name: str, value: bytes) -> int:
    return _XATTR_SPACE + byte_length(name) + len(value)


class TmpfsType(FilesystemType):
    """tmpfs, by name. `MountOptions.internal` may be `TmpfsOptions`."""

    name: ClassVar[str] = "tmpfs"

    def get_filesystem(
        self, vfs: VirtualFilesystem, creds: Credentials, source: str, options: MountOptions
    ) -> TmpfsFilesystem:
        """See `FilesystemType.get_filesystem`."""
        root = options.internal
        if root is not None and not isinstance(root, TmpfsOptions):
            raise error(errno.EINVAL)
        return TmpfsFilesystem(vfs, creds, options.data, root)
