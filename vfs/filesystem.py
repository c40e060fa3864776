"""File systems and their types.

`Filesystem` is analogous to Linux's struct super_block, `FilesystemType` to struct file_system_type. Types are registered
explicitly, by name, in one `FilesystemTypes` a VFS: nothing registers itself on import (S1, S2).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from vfs.abi import NAME_MAX
from vfs.errors import error

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.dentry import Dentry
    from vfs.options import MountOptions
    from vfs.virtual_filesystem import VirtualFilesystem


class StatFilesystem(NamedTuple):
    """What statfs(2) reports. `type` is the magic number; blocks count in units of `block_size`."""

    type: int
    block_size: int = 4096
    blocks: int = 0
    blocks_free: int = 0
    blocks_available: int = 0
    files: int = 0
    files_free: int = 0
    name_max: int = NAME_MAX


class Filesystem:
    """One mounted-or-mountable tree of files. Subclasses set `root` before their constructor ends.

    `dev` is an anonymous block device number 0:N, unique in the VFS (S80). `lock` is the lock of the VFS; operations that
    change the tree run under it. `mounts` counts the mounts; when the last goes, `release` is called. `flags` are those of the
    first mount's options.superblock, in the order of show_sb_opts(). A file system that is `read_only` makes all its mounts so,
    whatever their flags are.
    """

    revalidates: bool = False
    """Whether names may change behind the VFS's back, so that every step of a walk asks `Inode.lookup`. See there."""

    dentry_flags: ClassVar[int] = 0
    """What `Dentry.odd` begins with: `ODD_CALLER` where it matters who asks even for what needs no permission."""

    takes_every_xattr: ClassVar[bool] = False
    """Whether the type says for itself which names of attributes there are, and lists them to all."""

    root: Dentry
    read_only: bool = False

    def __init__(self, vfs: VirtualFilesystem, type_name: str) -> None:
        """Errors: EMFILE when no anonymous device number is left."""
        self.vfs = vfs
        self.type_name = type_name
        self.lock = vfs.lock
        self.path_cache = vfs.path_cache
        self.watches = vfs.watches
        self.minor = vfs.anonymous_devices.allocate()
        self.dev = os.makedev(0, self.minor)
        self.mounts = 0
        self.flags: tuple[str, ...] = ()

    @property
    def server_decides(self) -> bool:
        """Whether somebody else checks who owns what: chmod, chown and utimensat are passed on as they are."""
        return False

    @property
    def truncates_on_open(self) -> bool:
        """Whether `Inode.open` is given O_TRUNC, and sees to it."""
        return False

    def statfs(self) -> StatFilesystem:
        """Size and use of the file system (statfs(2)).

        Errors: ENOSYS here.
        """
        raise error(errno.ENOSYS)

    def mount_options(self) -> str:
        """The options of the file system as mountinfo shows them after rw, without a leading comma (proc(5))."""
        return ""

    def note_caller(self, creds: Credentials) -> None:
        """A walk by `creds` has ended at a file whose dentry has `ODD_CALLER`; what is asked next in this thread, they ask."""

    def sync(self) -> None:
        """Write out what is only in memory and has a place to go."""

    def release(self) -> None:
        """Let go of what the file system holds: descriptors, layers. Called once, after the last umount."""


class FilesystemType:
    """A kind of file system that can be mounted by name."""

    name: ClassVar[str]
    has_subtype: ClassVar[bool] = False
    """Whether what follows a "." in the name that is mounted is the option `subtype` (FS_HAS_SUBTYPE)."""

    def get_filesystem(
        self, vfs: VirtualFilesystem, creds: Credentials, source: str, options: MountOptions
    ) -> Filesystem:
        """Make a file system for a mount; a type with one instance may return the same one again.

        Errors: EINVAL for options that it does not know or values that it does not take.
        """
        raise NotImplementedError


class RegisteredType(NamedTuple):
    """A type and what may be done with it: mounted by a process inside, shown in /proc/filesystems."""

    type: FilesystemType
    allow_user_mount: bool
    allow_user_list: bool


class FilesystemTypes:
    """The registered types, in order of registration."""

    def __init__(self) -> None:
        self._types: dict[str, RegisteredType] = {}

    def register(
        self, filesystem_type: FilesystemType, *, allow_user_mount: bool = True, allow_user_list: bool = True
    ) -> None:
        """Add a type.

        Errors: ValueError if the name is taken: a mistake of the program, never of its user.
        """
        name = filesystem_type.name
        if name in self._types:
            raise ValueError(f"file system type {name!r} is already registered by {self._types[name].type!r}")
        self._types[name] = RegisteredType(filesystem_type, allow_user_mount, allow_user_list)

    def find(self, name: str) -> RegisteredType:
        """The type that a mount names: what follows a "." is a subtype for user space (`fuse.sshfs`; S2).

        Errors: ENODEV.
        """
        found = self._types.get(name.partition(".")[0])
        if found is None:
            raise error(errno.ENODEV, name)
        return found

    def __iter__(self) -> Iterator[RegisteredType]:
        return iter(list(self._types.values()))
