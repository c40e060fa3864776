"""New file systems and overlays, attached nowhere."""

from __future__ import annotations

import os
import stat

from devproxy.linux import mounts
from devproxy.linux.cgroups import OwnView
from devproxy.overlay import LAYERS
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final


def new_filesystem(fstype: str, source: str, attributes: int, flags: Sequence[str], data: Sequence[str]) -> int:
    """The mount of a new file system (fsopen, fsconfig, fsmount).

    `devtmpfs` is an empty tmpfs: the kernel's own is the host's /dev, whoever mounts it. Of cgroups the caller's own are
    shown, and nothing of the machine's is changed (CVE-2023-25809). Each devpts is one of its own
    (Documentation/filesystems/devpts.rst).
    """
    options = list(data)
    if fstype == "devtmpfs":
        fstype, options = "tmpfs", ["mode=0755", *options]
    if fstype in ("cgroup", "cgroup2"):
        with OwnView():
            return _new(fstype, source, attributes, flags, options)
    return _new(fstype, source, attributes, flags, options)


def _new(fstype: str, source: str, attributes: int, flags: Sequence[str], options: Sequence[str]) -> int:
    context = mounts.fsopen(fstype)
    try:
        if source:
            mounts.fsconfig_string(context, "source", source)
        for flag in flags:
            mounts.fsconfig_flag(context, flag)
        for option in options:
            _configure(context, option)
        mounts.fsconfig_create(context)
        return mounts.fsmount(context, attributes)
    finally:
        os.close(context)


def _configure(context: int, option: str) -> None:
    key, separator, value = option.partition("=")
    if separator:
        mounts.fsconfig_string(context, key, value)
    else:
        mounts.fsconfig_flag(context, key)


# A rootfs is hostile: a layer in it must not be able to point at data or directories elsewhere in it, nor is an index
# needed for an upper layer that nobody mounts twice (Documentation/filesystems/overlayfs.rst).
_OVERLAY_OPTIONS = ("index=off", "metacopy=off", "redirect_dir=nofollow")


def new_overlay(lower: int, layer: int, *, by_fd: bool, rootless: bool, kept: list[int] | None = None) -> int:
    """An overlay over a directory, with its upper and work directories made in another, `layer`.

    It hides the layers of other overlays. The upper directory gets the owner and mode of the lower one (S45), since it
    is what shows as the root. In a user namespace that maps one user it has that one's, and what the overlay notes for
    itself goes to user xattrs (userxattr; a tmpfs has those since 6.6). `kept` is given the upper directory's descriptor.
    """
    like = os.fstat(lower)
    os.mkdir("upper", 0o700, dir_fd=layer)
    if not rootless:
        os.chown("upper", like.st_uid, like.st_gid, dir_fd=layer)
    os.chmod("upper", stat.S_IMODE(like.st_mode), dir_fd=layer)
    os.mkdir("work", 0o700, dir_fd=layer)
    upper = os.open("upper", os.O_PATH | os.O_DIRECTORY, dir_fd=layer)
    work = os.open("work", os.O_PATH | os.O_DIRECTORY, dir_fd=layer)
    os.mknod(LAYERS, stat.S_IFCHR, 0, dir_fd=upper)
    options = (*_OVERLAY_OPTIONS, *(["userxattr"] if rootless else []))
    try:
        mount = layered(LayerDescriptors((lower,), upper, work), "overlay", 0, (), options, by_fd=by_fd)
        if kept is not None:
            kept.append(os.dup(upper))
        return mount
    finally:
        for descriptor in (upper, work):
            os.close(descriptor)


class LayerDescriptors(Record):
    """The layers of an overlay, opened; the topmost lower one first. -1 stands for no upper layer."""

    lowers: tuple[int, ...]
    upper: int = -1
    work: int = -1


def layered(
    layers: LayerDescriptors, source: str, attributes: int, flags: Sequence[str], data: Sequence[str], *, by_fd: bool
) -> int:
    """The mount of an overlay of these layers, given by descriptor or, to an older kernel, by path."""
    context = mounts.fsopen("overlay")
    try:
        if source:
            mounts.fsconfig_string(context, "source", source)
        if by_fd:
            for lower in layers.lowers:
                mounts.fsconfig_descriptor(context, "lowerdir+", lower)
        else:
            _set_lowers_by_path(context, layers.lowers)
        for key, descriptor in (("upperdir", layers.upper), ("workdir", layers.work)):
            if descriptor >= 0 and by_fd:
                mounts.fsconfig_descriptor(context, key, descriptor)
            elif descriptor >= 0:
                mounts.fsconfig_string(context, key, _by_path(descriptor))
        for flag in flags:
            mounts.fsconfig_flag(context, flag)
        for option in data:
            _configure(context, option)
        mounts.fsconfig_create(context)
        return mounts.fsmount(context, attributes)
    finally:
        os.close(context)


def _set_lowers_by_path(context: int, lowers: Sequence[int]) -> None:
    """All at once where the string is short enough for fsconfig(2), else one by one, which the kernel takes since 6.8."""
    paths = [_by_path(lower) for lower in lowers]
    together = ":".join(paths)
    if len(together) < _LONGEST_STRING:
        mounts.fsconfig_string(context, "lowerdir", together)
        return
    for path in paths:
        mounts.fsconfig_string(context, "lowerdir+", path)


_LONGEST_STRING: Final = 256


def _by_path(descriptor: int) -> str:
    """A layer by its descriptor in /proc, so that no path of the host is parsed (a `:` in one would split it)."""
    return f"/proc/self/fd/{descriptor}"
