"""devtmpfs: a tmpfs that knows the devices of its VFS (S5 to S8).

Each mount is an instance of its own, mode 0755. A new one holds what user space expects in /dev and a node for each
registered device that names a path; an empty one, for whoever fills it by `Accessor`, is asked for by
`MountOptions(internal=DevtmpfsOptions(populate=False))`. The options of a tmpfs are taken too.

Differences from Linux's: not one instance for all, and the links /dev/char/MAJ:MIN and /dev/block/MAJ:MIN, which udev
makes there, are made with each node.
"""

from __future__ import annotations

import errno
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from vfs import cloning, unmounting
from vfs.device import DeviceKind, DeviceNumber
from vfs.errors import error
from vfs.filesystem import FilesystemType
from vfs.fs.tmpfs import TmpfsFilesystem
from vfs.mount import VirtualDentry
from vfs.options import NO_MOUNT_FLAGS, MkdirOptions, MknodOptions, MountOptions, SetStat
from vfs.path import split
from vfs.resolve import PathOperation

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.virtual_filesystem import VirtualFilesystem

LINKS: Final = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)
"""The links that programs expect in /dev (S5)."""

DIRECTORIES: Final = ("shm", "pts")
"""The mount points that programs expect in /dev (S5)."""

_TYPES: Final = {DeviceKind.CHARACTER: stat.S_IFCHR, DeviceKind.BLOCK: stat.S_IFBLK}
_NUMBER_DIRECTORIES: Final = {DeviceKind.CHARACTER: "char", DeviceKind.BLOCK: "block"}


@dataclass(frozen=True, slots=True)
class DevtmpfsOptions:
    """For `MountOptions.internal`: whether a new instance is filled."""

    populate: bool = True


class Accessor:
    """Fills a /dev: `root` is the place that programs will see as /dev. Paths are relative to it."""

    def __init__(self, vfs: VirtualFilesystem, creds: Credentials, root: VirtualDentry) -> None:
        self._vfs = vfs
        self._creds = creds
        self._root = root

    def user_space_init(self) -> None:
        """Make the links and directories that programs expect (S5).

        Errors: EEXIST if one is there already; ENOSPC.
        """
        for name, target in LINKS:
            self._vfs.symlink_at(self._creds, self._at(name), target)
        for name in DIRECTORIES:
            self._vfs.mkdir_at(self._creds, self._at(name), MkdirOptions(0o755))

    def create_device_file(
        self, path: str, kind: DeviceKind, number: DeviceNumber, mode: int = 0o666, uid: int = 0, gid: int = 0
    ) -> None:
        """Make a node, its missing parents (0755), and the link that finds it by number (S7).

        A number has one link, to the node that was made first: a device may have more nodes than one.

        Errors: EEXIST if the path exists; ENOTDIR; ENOSPC.
        """
        vfs, creds, op = self._vfs, self._creds, self._at(path)
        parent, _, _ = split(path)
        with vfs.lock:
            if parent:
                vfs.mkdir_all_at(creds, self._at(parent), 0o755)
            vfs.mknod_at(creds, op, MknodOptions(_TYPES[kind] | mode, number.rdev))
            if uid or gid:
                vfs.set_stat_at(creds, op, SetStat(uid=uid, gid=gid))
            self._link_number(path, kind, number)

    def _link_number(self, path: str, kind: DeviceKind, number: DeviceNumber) -> None:
        directory = _NUMBER_DIRECTORIES[kind]
        self._vfs.mkdir_all_at(self._creds, self._at(directory), 0o755)
        try:
            self._vfs.symlink_at(self._creds, self._at(f"{directory}/{number}"), f"../{path}")
        except FileExistsError:
            return

    def _at(self, path: str) -> PathOperation:
        return PathOperation(self._root, self._root, path, follow_final_symlink=False)


class DevtmpfsType(FilesystemType):
    """devtmpfs, by name."""

    name: ClassVar[str] = "devtmpfs"

    def get_filesystem(
        self, vfs: VirtualFilesystem, creds: Credentials, source: str, options: MountOptions
    ) -> TmpfsFilesystem:
        """See `FilesystemType.get_filesystem`.

        Errors: EINVAL for options that a tmpfs does not take; ENOSPC if they leave no room.
        """
        internal = DevtmpfsOptions() if options.internal is None else options.internal
        if not isinstance(internal, DevtmpfsOptions):
            raise error(errno.EINVAL)
        fs = TmpfsFilesystem(vfs, creds, _with_default_mode(options.data), type_name=self.name)
        fs.data = options.data
        if internal.populate:
            _populate(vfs, creds, fs)
        return fs


def _with_default_mode(data: str) -> str:
    # Of repeated options the last wins, so a mode that was given stays.
    return f"mode=0755,{data}" if data else "mode=0755"


def _populate(vfs: VirtualFilesystem, creds: Credentials, fs: TmpfsFilesystem) -> None:
    # A mount that nobody sees, to work through: the one that was asked for may be read-only or nodev.
    mount = cloning.new_mount(vfs, fs, fs.root, NO_MOUNT_FLAGS, "")
    accessor = Accessor(vfs, creds, VirtualDentry(mount, fs.root))
    try:
        accessor.user_space_init()
        for entry in vfs.devices:
            if entry.path is not None:
                accessor.create_device_file(entry.path, entry.kind, entry.number, entry.mode)
    except OSError:
        unmounting.let_go(mount)
        raise
    fs.mounts -= 1
