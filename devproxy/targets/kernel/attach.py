"""How a mount comes to its place in a tree that is being built."""

from __future__ import annotations

import errno
import os
import stat

from devproxy.linux import mounts
from devproxy.linux.paths import is_same_place
from devproxy.targets.kernel.handles import KernelMount
from devproxy.targets.kernel.tree import Tree
from devproxy.targets.target import OverRoot


def attach(tree: Tree, mount: KernelMount, path: str) -> bool:
    """Attach a mount at a path, the topmost mount there. Says whether it was by its name in a directory that `tree` holds.

    Errors: ENOENT, ENOTDIR, EISDIR, OverRoot, and what else move_mount(2) says, about the path.
    """
    if attach_by_name(tree, mount, path):
        return True
    mount_point = tree.open(path, os.O_PATH | os.O_DIRECTORY if mount.is_directory else os.O_PATH)
    tree.done(mount_point)
    if mount.is_directory and is_same_place(mount_point, tree.root):
        raise OverRoot(path)
    try:
        mounts.move_mount(mount.descriptor, mount_point)
    except OSError as error:
        kind = stat.S_ISDIR(os.fstat(mount_point).st_mode)
        number = errno.EISDIR if kind and not mount.is_directory else error.errno
        raise OSError(number, os.strerror(number or 0), path) from None
    return False


def attach_by_name(tree: Tree, mount: KernelMount, path: str) -> bool:
    """Attach a directory at a name. Says whether that could be done.

    One system call where the directory that the path is in is held open. A link is not followed, and refused, since a directory
    goes over nothing else (a file could cover the link itself): for it, and for whatever fails, the longer way finds the place, or
    the words.
    """
    if not mount.is_directory:
        return False
    try:
        parent, name = tree.parent(path)
        if name == ".":
            return False
        mounts.move_mount(mount.descriptor, parent, name)
    except OSError:
        return False
    return True
