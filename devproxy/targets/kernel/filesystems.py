"""New file systems and overlays, attached nowhere."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from devproxy.linux import mounts
from devproxy.linux.cgroups import OwnView
from devproxy.overlay import LAYERS


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


def new_overlay(lower: int, layer: int, *, by_fd: bool, rootless: bool) -> int:
    """An overlay over a directory, with its upper and work directories made in another, `layer`.

    It hides the layers of other overlays. The upper directory gets the owner and mode of the lower one (S45), since it
    is what shows as the root. In a user namespace that maps one user it has that one's, and what the overlay notes for
    itself goes to user xattrs (userxattr; a tmpfs has those since 6.6).
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
    context = mounts.fsopen("overlay")
    try:
        mounts.fsconfig_string(context, "source", "overlay")
        set_layer = mounts.fsconfig_descriptor if by_fd else _set_layer_by_path
        set_layer(context, "lowerdir+" if by_fd else "lowerdir", lower)
        set_layer(context, "upperdir", upper)
        set_layer(context, "workdir", work)
        for option in (*_OVERLAY_OPTIONS, *(["userxattr"] if rootless else [])):
            _configure(context, option)
        mounts.fsconfig_create(context)
        return mounts.fsmount(context, 0)
    finally:
        for descriptor in (upper, work, context):
            os.close(descriptor)


def _set_layer_by_path(context: int, key: str, descriptor: int) -> None:
    """Name a layer by its descriptor in /proc, so that no path of the host is parsed (a `:` in one would split it)."""
    mounts.fsconfig_string(context, key, f"/proc/self/fd/{descriptor}")
