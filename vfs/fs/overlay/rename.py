"""Renaming through an overlay (ovl_rename of Linux)."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from vfs import dcache
from vfs.abi import RENAME_EXCHANGE
from vfs.errors import error
from vfs.fs.overlay import layers
from vfs.fs.overlay.copy_up import copy_up
from vfs.options import RenameOptions

if TYPE_CHECKING:
    from vfs.dentry import Dentry
    from vfs.fs.overlay.directory import OverlayDirectory
    from vfs.fs.overlay.inode import OverlayInode
    from vfs.fs.overlay.layers import Part

_LONGEST: Final = 255
"""The longest redirect, in bytes (redirect_max of the module)."""


def rename(directory: OverlayDirectory, name: str, new_directory: OverlayDirectory, new_name: str) -> None:
    """Move a name, over what is called `new_name` there. Errors: see `OverlayDirectory.rename`."""
    moved, replaced = directory.known[name], new_directory.find(new_name)
    _check_can_move(moved)
    has_whiteouts = isinstance(replaced, type(directory)) and not replaced.is_pure
    if has_whiteouts and isinstance(replaced, type(directory)) and not replaced.is_empty():
        raise error(errno.ENOTEMPTY, new_name)
    shows = moved.upper is None or moved.fs.marks.lower_shows(directory.lowers, name)
    copy_up(moved)
    target = copy_up(new_directory)
    _mark(moved, new_directory, same_directory=new_directory is directory)
    assert directory.upper is not None
    # By name: what an inode calls its upper part may be another name of the file.
    _move_upper(dcache.lookup(directory.upper.dentry, name), target, new_name, has_whiteouts=has_whiteouts)
    if shows:
        moved.fs.marks.put_whiteout(directory.upper, name)
    if replaced is not None:
        new_directory.forget(new_name, replaced)
    del directory.known[name]
    _put(moved, new_directory, new_name)


def exchange(directory: OverlayDirectory, name: str, new_directory: OverlayDirectory, new_name: str) -> None:
    """Exchange two names: both have upper parts from then on, and no whiteout is needed. Errors: as `rename`."""
    ours, theirs = directory.known[name], new_directory.known[new_name]
    _check_can_move(ours)
    _check_can_move(theirs)
    copy_up(ours)
    copy_up(theirs)
    assert directory.upper is not None
    assert new_directory.upper is not None
    same = new_directory is directory
    _mark(ours, new_directory, same_directory=same)
    _mark(theirs, directory, same_directory=same)
    source = dcache.lookup(directory.upper.dentry, name)
    target = dcache.lookup(new_directory.upper.dentry, new_name)
    dcache.rename(source, new_directory.upper.dentry, new_name, target, RenameOptions(RENAME_EXCHANGE))
    _put(theirs, directory, name)
    _put(ours, new_directory, new_name)


def _put(moved: OverlayInode, directory: OverlayDirectory, name: str) -> None:
    directory.known[name] = moved
    moved.parent, moved.name = directory, name


def _check_can_move(inode: OverlayInode) -> None:
    """Errors: EXDEV for a directory that has a part in a lower layer, unless redirects may say where."""
    in_lower = inode.upper is None or bool(inode.lowers)
    if in_lower and stat.S_ISDIR(inode.mode) and not inode.fs.renames_directories:
        raise error(errno.EXDEV, inode.name)


def _mark(moved: OverlayInode, target: OverlayDirectory, *, same_directory: bool) -> None:
    """Mark a directory, which has an upper part, for where it is moved to: there the lower layers have others, or none.

    Errors: EXDEV for what cannot be written down, as for a directory that cannot be moved.
    """
    if not stat.S_ISDIR(moved.mode):
        return
    assert moved.upper is not None
    upper, marks = moved.upper.dentry.inode, moved.fs.marks
    try:
        if moved.lowers:
            _redirect(moved, same_directory=same_directory)
        elif target.lowers and not marks.is_opaque(upper):
            marks.set_opaque(upper)
    except OSError as problem:
        raise error(errno.EXDEV, moved.name) from problem


def _redirect(moved: OverlayInode, *, same_directory: bool) -> None:
    """ovl_set_redirect of Linux: the name that the lower layers have, or the path if that is in another directory."""
    old = redirect_of(moved)
    if old is not None and (same_directory or old[0] == "/"):
        return
    assert moved.upper is not None
    text = moved.name if same_directory else _path(moved)
    moved.fs.marks.set_redirect(moved.upper.dentry.inode, text)
    set_redirect(moved, text)


def redirect_of(inode: OverlayInode) -> str | None:
    """The redirect of a directory."""
    from vfs.fs.overlay.directory import OverlayDirectory

    return inode.redirect if isinstance(inode, OverlayDirectory) else None


def set_redirect(inode: OverlayInode, text: str) -> None:
    """Note the redirect of a directory."""
    from vfs.fs.overlay.directory import OverlayDirectory

    assert isinstance(inode, OverlayDirectory)
    inode.redirect = text


def _path(inode: OverlayInode) -> str:
    """The path from the roots of the lower layers.

    Errors: EXDEV for one that is too long.
    """
    path, left = "", _LONGEST
    each: OverlayInode | None = inode
    while each is not None and each.parent is not None:
        name = redirect_of(each) or each.name
        length = len(os.fsencode(name))
        if length + (name[0] != "/") > left:
            raise error(errno.EXDEV, inode.name)
        path, left = name + path, left - length
        if name[0] == "/":
            break
        path, left = "/" + path, left - 1
        each = each.parent
    return path


def _move_upper(source: Dentry, target: Part, new_name: str, *, has_whiteouts: bool) -> None:
    """Move the upper part of a file, over what the upper layer has under the new name."""
    over = layers.find(target, new_name)
    if over is not None and stat.S_ISDIR(source.inode.mode):
        # A directory moves over an empty one, not over a whiteout nor over one that whiteouts fill.
        if stat.S_ISDIR(over.dentry.inode.mode):
            if has_whiteouts:
                clear(over)
        else:
            dcache.unlink(over.dentry)
            over = None
    dcache.rename(source, target.dentry, new_name, None if over is None else over.dentry)


def clear(directory: Part) -> None:
    """Take the whiteouts out of a directory of the upper layer that shows nothing else."""
    for entry in list(directory.dentry.inode.iterate()):
        dcache.unlink(dcache.lookup(directory.dentry, entry.name))
