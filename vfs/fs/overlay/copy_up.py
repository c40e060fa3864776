"""Copying up: a file of a lower layer gets its part in the upper one before it is changed."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vfs import dcache
from vfs.credentials import ROOT
from vfs.errors import error
from vfs.options import MkdirOptions, MknodOptions, SetStat

if TYPE_CHECKING:
    from vfs.dentry import Dentry
    from vfs.file import File
    from vfs.fs.overlay.inode import OverlayInode
    from vfs.fs.overlay.layers import Marks, Part
    from vfs.inode import Inode

_CHUNK: Final = 1 << 20


def copy_up(inode: OverlayInode, *, size: int | None = None) -> Part:
    """The upper part of a file; made, with those of its parents, if there is none.

    With `size`, contents behind that many bytes are about to be cut off and need not be copied. Mode, owner, times and
    extended attributes come along; the times of the upper directory stay as they are, since nothing happened in it.

    Errors: EROFS without an upper layer; ENOENT for a file whose name is gone; ENOSPC, after which nothing is left behind.
    """
    chain = []
    while inode.upper is None:
        chain.append(inode)
        if inode.parent is None:
            # The root, which has an upper part if there is an upper layer; or a file that was removed.
            raise error(errno.ENOENT if inode.name else errno.EROFS)
        inode = inode.parent
    upper = inode.upper
    while chain:
        each = chain.pop()
        upper = _copy_one(each, upper, None if chain else size)
    return upper


def _copy_one(inode: OverlayInode, parent: Part, size: int | None) -> Part:
    lower = inode.lowers[0]
    directory = parent.dentry.inode
    times = SetStat(atime_ns=directory.atime_ns, mtime_ns=directory.mtime_ns)
    made = _make(lower.dentry, parent.dentry, inode.name)
    upper = parent.child(made)
    try:
        if stat.S_ISREG(inode.mode):
            _copy_contents(lower, upper, size)
        _copy_attributes(inode.fs.marks, lower.dentry, made)
    except OSError:
        (dcache.rmdir if stat.S_ISDIR(inode.mode) else dcache.unlink)(made)
        raise
    dcache.set_stat(parent.dentry, times)
    _place(inode, upper)
    return upper


def _make(lower: Dentry, parent: Dentry, name: str) -> Dentry:
    mode = lower.inode.mode
    if stat.S_ISDIR(mode):
        return dcache.mkdir(ROOT, parent, name, MkdirOptions(0o700))
    if stat.S_ISLNK(mode):
        return dcache.symlink(ROOT, parent, name, lower.inode.readlink())
    return dcache.mknod(ROOT, parent, name, MknodOptions(stat.S_IFMT(mode) | 0o600, lower.inode.rdev))


def _copy_contents(lower: Part, upper: Part, size: int | None) -> None:
    """Copy data and leave holes, which cost neither time nor room."""
    whole = lower.dentry.inode.stat().st_size
    end = whole if size is None else min(whole, size)
    source = lower.dentry.inode.open(lower.place, os.O_RDONLY, ROOT)
    try:
        target = upper.dentry.inode.open(upper.place, os.O_WRONLY, ROOT)
        try:
            for start, stop in _data(source, end):
                _copy_range(source, target, start, stop)
        finally:
            target.release()
    finally:
        source.release()
    dcache.set_stat(upper.dentry, SetStat(size=end))


def _data(source: File, end: int) -> Iterator[tuple[int, int]]:
    """The ranges of a file that are no holes, up to `end`."""
    position = 0
    while position < end:
        try:
            position = source.seek_hole_or_data(position, os.SEEK_DATA)
        except OSError as problem:
            if problem.errno == errno.ENXIO:
                return
            raise
        stop = min(source.seek_hole_or_data(position, os.SEEK_HOLE), end)
        if position < stop:
            yield position, stop
        position = stop


def _copy_range(source: File, target: File, start: int, stop: int) -> None:
    while start < stop:
        data = source.read_at(min(_CHUNK, stop - start), start)
        if not data:
            return
        while data:
            written = target.write_at(data, start)
            start += written
            data = data[written:]


def _copy_attributes(marks: Marks, lower: Dentry, upper: Dentry) -> None:
    source = lower.inode
    for name in _names(source):
        if not marks.is_own(name):
            _copy_xattr(source, upper.inode, name)
    found = source.stat()
    changes = SetStat(
        mode=None if stat.S_ISLNK(found.st_mode) else stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
        atime_ns=found.st_atime_ns,
        mtime_ns=found.st_mtime_ns,
    )
    dcache.set_stat(upper, changes)


def _names(source: Inode) -> list[str]:
    try:
        return source.list_xattr()
    except OSError as problem:
        if problem.errno == errno.ENOTSUP:
            return []
        raise


def _copy_xattr(source: Inode, target: Inode, name: str) -> None:
    try:
        target.set_xattr(name, source.get_xattr(name), 0)
    except OSError as problem:
        # An upper layer that keeps no such attribute loses it, as on Linux; one that vanished meanwhile was not there.
        if problem.errno not in {errno.ENOTSUP, errno.ENODATA}:
            raise


def _place(inode: OverlayInode, upper: Part) -> None:
    """The file has an upper part from now on."""
    real = upper.dentry.inode
    inode.upper = upper
    if not stat.S_ISDIR(inode.mode):
        if inode.nlink > 1:
            # Its other names stay with the lower file: this is a file of its own now.
            inode.ino = inode.fs.new_ino()
        inode.lowers = ()
    inode.fs.inos[real.fs.minor, real.ino] = inode.ino
    inode.refresh()
