"""The layers of overlays in memory: all of them are, whatever medium was asked for."""

from __future__ import annotations

import errno
import os
import stat

from devproxy.overlay import LAYERS
from devproxy.targets.memory.flags import DEFAULT
from devproxy.targets.memory.names import path_error
from devproxy.targets.target import NOT_OVERLAID
from vfs.credentials import ROOT
from vfs.fs.overlay import OverlayOptions, RedirectDir
from vfs.fs.tmpfs import TmpfsOptions
from vfs.mount import Mount, VirtualDentry
from vfs.options import MknodOptions, MountOptions, OpenOptions, SetStat
from vfs.resolve import PathOperation, at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from vfs.virtual_filesystem import VirtualFilesystem

_CHUNK: Final = 1 << 20
_WHITEOUT: Final = MknodOptions(stat.S_IFCHR, 0)


def overlay_options(layers: Sequence[VirtualDentry], data: Sequence[str], *, writable: bool) -> OverlayOptions:
    """For layers of which the first is the upper one if it is `writable`. What is about inode numbers, file handles or how
    layers are kept in order on a disk changes nothing here.
    """
    asked = dict(word.partition("=")[::2] for word in data)
    redirect = asked.get("redirect_dir", "off")
    return OverlayOptions(
        layers[0] if writable else None,
        tuple(layers[1:] if writable else layers),
        redirect_dir=RedirectDir.FOLLOW if redirect == "off" else RedirectDir(redirect),
        user_xattr="userxattr" in asked,
        volatile="volatile" in asked,
    )


def over_upper(vfs: VirtualFilesystem, like: os.stat_result, owner: tuple[int, int]) -> Mount:
    """A layer for the changes to an overlay whose own upper one is the host's."""
    return vfs.mount_disconnected(ROOT, "overlay", "tmpfs", MountOptions(data=_data(like, owner, "")))


def new_layer(vfs: VirtualFilesystem, like: os.stat_result, owner: tuple[int, int], size: str) -> Mount:
    """An upper layer: its root looks like the lower one's (S45), and hides the layers of other overlays."""
    mount = vfs.mount_disconnected(ROOT, "overlay", "tmpfs", MountOptions(data=_data(like, owner, size)))
    root = VirtualDentry(mount, mount.root)
    vfs.mknod_at(ROOT, PathOperation(root, root, LAYERS, follow_final_symlink=False), _WHITEOUT)
    return mount


def copy_file(vfs: VirtualFilesystem, descriptor: int, owner: tuple[int, int], size: str) -> Mount:
    """A tmpfs that is a copy of one file of the machine (S43, S44). Errors: EINVAL for what is no regular file;
    ENOSPC.
    """
    like = os.fstat(descriptor)
    if not stat.S_ISREG(like.st_mode):
        raise path_error(errno.EINVAL, "", NOT_OVERLAID)
    options = MountOptions(DEFAULT, _data(like, owner, size), internal=TmpfsOptions(stat.S_IFREG))
    mount = vfs.mount_disconnected(ROOT, "overlay", "tmpfs", options)
    place = at(VirtualDentry(mount, mount.root))
    try:
        _copy(vfs, descriptor, place)
    except OSError:
        vfs.discard_mount(mount)
        raise
    vfs.set_stat_at(ROOT, place, SetStat(atime_ns=like.st_atime_ns, mtime_ns=like.st_mtime_ns))
    return mount


def _data(like: os.stat_result, owner: tuple[int, int], size: str) -> str:
    data = f"mode={stat.S_IMODE(like.st_mode):o},uid={owner[0]},gid={owner[1]}"
    return f"{data},size={size}" if size else data


def _copy(vfs: VirtualFilesystem, descriptor: int, place: PathOperation) -> None:
    with (
        open(f"/proc/self/fd/{descriptor}", "rb", buffering=0) as source,
        vfs.open_at(ROOT, place, OpenOptions(os.O_WRONLY)) as copy,
    ):
        while chunk := source.read(_CHUNK):
            view = memoryview(chunk)
            while view:
                view = view[copy.write(view) :]
