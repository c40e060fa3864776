"""copy_file_range(2): data from one open file to another, in the order of checks of fs/read_write.c.

Between two files of the same file system or of different ones alike; Linux leaves the latter to some of its types.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from vfs.abi import MAX_FILE_SIZE
from vfs.errors import error

if TYPE_CHECKING:
    from vfs.file import File

_CHUNK: Final = 1 << 20


def copy_range(source: File, source_offset: int | None, target: File, target_offset: int | None, length: int) -> int:
    """Copy at most `length` bytes and return how many; none at the end of the source.

    An offset of None means the position of the file, which then moves.

    Errors: EBADF for files not open for reading and for writing, or for a target with O_APPEND; EISDIR; EINVAL for what is no
    regular file, for negative offsets and for ranges of one file that overlap; EFBIG; ENOSPC.
    """
    source.check_open()
    target.check_open()
    start = source.position if source_offset is None else source_offset
    to = target.position if target_offset is None else target_offset
    modes = source.inode.mode, target.inode.mode
    if any(stat.S_ISDIR(mode) for mode in modes):
        raise error(errno.EISDIR)
    if not all(stat.S_ISREG(mode) for mode in modes):
        raise error(errno.EINVAL)
    if not source.readable or not target.writable or target.flags & os.O_APPEND:
        raise error(errno.EBADF)
    if min(start, to, length) < 0:
        raise error(errno.EINVAL)
    if to >= MAX_FILE_SIZE:
        raise error(errno.EFBIG)
    with target.inode.fs.lock:
        length = max(min(length, source.stat().st_size - start, MAX_FILE_SIZE - to), 0)
        if source.inode is target.inode and to < start + length and start < to + length:
            raise error(errno.EINVAL)
        own = source.copy_to(start, target, to, length) if length else 0
        copied = _copy(source, start, target, to, length) if own is None else own
        if own:
            source.inode.fs.watches.accessed(source)
            target.inode.fs.watches.modified(target)
    if source_offset is None:
        source.position += copied
    if target_offset is None:
        target.position += copied
    return copied


def _copy(source: File, start: int, target: File, to: int, length: int) -> int:
    copied = 0
    while copied < length:
        data = source.pread(min(_CHUNK, length - copied), start + copied)
        if not data:
            break
        try:
            written = target.pwrite(data, to + copied)
        except OSError:
            # What was copied was copied (write(2)): the next call says why no more is.
            if copied:
                break
            raise
        copied += written
        if written < len(data):
            break
    return copied
