"""Regular files of a tmpfs: pages in a dictionary, so that holes cost nothing and any size is set in no time.

A page has at most PAGE_SIZE bytes; what it lacks at its end is zeros. A page that is there counts against the limit of the file
system, however short it is.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from typing import TYPE_CHECKING, Final

from vfs.abi import FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, MAX_FILE_SIZE, PAGE_SIZE
from vfs.credentials import Capability, without_set_id
from vfs.errors import error
from vfs.file import File
from vfs.fs.tmpfs.inode import TmpfsInode

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.fs.tmpfs.filesystem import TmpfsFilesystem
    from vfs.mount import VirtualDentry

Page = bytes | bytearray | memoryview
"""Immutable as it was written, or a bytearray once it was changed."""

_SHIFT: Final = PAGE_SIZE.bit_length() - 1
_MASK: Final = PAGE_SIZE - 1
_BEHIND_ALL: Final = MAX_FILE_SIZE + 1
_GONE: Final = -1
# Of every file that has none: nothing is put into it.
_NO_PAGES: Final[dict[int, Page]] = {}
_ZEROS: Final = bytes(PAGE_SIZE)
_SHARED: Final = 16 * PAGE_SIZE


class RegularFile(TmpfsInode):
    """Contents by page index. `opens` counts open files: a file without names, with all that it takes, lives as long as one is
    open; after that it is -1.

    Invariant: no page lies wholly at or behind `size`, unless fallocate(2) was told to keep the size.
    """

    __slots__ = ("opens", "pages")

    def __init__(self, fs: TmpfsFilesystem, mode: int, uid: int, gid: int) -> None:
        # As super() does, which takes a third longer for the whole file.
        TmpfsInode.__init__(self, fs, mode, uid, gid)
        self.pages = _NO_PAGES
        self.opens = 0

    def stat(self) -> os.stat_result:
        """Each page counts as eight blocks of 512 bytes."""
        return self.stat_result(len(self.pages) << (_SHIFT - 9))

    def open(self, location: VirtualDentry, flags: int, creds: Credentials) -> File:
        """See `Inode.open`."""
        if self.opens == _GONE:
            # Somebody kept the place: a file of zeros that counts again.
            self.opens = 0
            self.fs.inodes += 1
        self.opens += 1
        return RegularOpenFile(location, flags, creds)

    def open_path(self, location: VirtualDentry, flags: int, creds: Credentials) -> File:
        """See `Inode.open_path`."""
        return self.open(location, flags, creds)

    def free(self) -> None:
        """See `TmpfsInode.free`: not while it is open."""
        if not self.opens:
            super().free()
            self.fs.uncharge_pages(len(self.pages))
            self.pages, self.xattrs, self.opens = _NO_PAGES, None, _GONE

    def resize(self, size: int) -> bool:
        """Cut off or extend by a hole. Cutting off takes what fallocate(2) put behind the end, too; with the size that it has, a
        file with pages counts as changed, and one without as it was (shmem_setattr).
        """
        changes = size != self.size or bool(self.pages)
        if size <= self.size:
            self.punch(size, _BEHIND_ALL)
        self.size = size
        return changes

    def read(self, size: int, offset: int) -> bytes:
        """At most `size` bytes from `offset`, zeros where there are no pages."""
        size = min(size, self.size - offset)
        if size <= 0:
            return b""
        index, start = offset >> _SHIFT, offset & _MASK
        page = self.pages.get(index, b"")
        if start + size <= len(page):
            return bytes(page[start : start + size])
        pieces: list[bytes | memoryview] = []
        while size > 0:
            wanted = min(size, PAGE_SIZE - start)
            piece = memoryview(self.pages.get(index, b""))[start : start + wanted]
            pieces.append(piece)
            if len(piece) < wanted:
                pieces.append(_ZEROS[: wanted - len(piece)])
            size -= wanted
            index += 1
            start = 0
        return b"".join(pieces)

    def write(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """Write as much as the file system takes.

        Errors: ENOSPC if it takes nothing; EFBIG.
        """
        data = bytes(data)
        if data and offset >= MAX_FILE_SIZE:
            raise error(errno.EFBIG)
        data = data[: MAX_FILE_SIZE - offset]
        total = len(data)
        # Pages share what the caller gave, which never changes; but only if a single page left over keeps little alive.
        source = memoryview(data) if PAGE_SIZE < total <= _SHARED else data
        if not self.pages:
            self.pages = {}
        pages = self.pages
        room = self.fs.free_pages()
        done = added = 0
        index, start = offset >> _SHIFT, offset & _MASK
        while done < total:
            page = pages.get(index)
            if page is None:
                if added == room:
                    break
                added += 1
            chunk = source[done : done + PAGE_SIZE - start]
            pages[index] = chunk if not start and len(chunk) >= len(page or b"") else _merged(page, start, chunk)
            done += len(chunk)
            index += 1
            start = 0
        self.fs.charge_pages(added)
        if total:
            # The attempt counts, as on Linux.
            self.mtime_ns = self.ctime_ns = time.time_ns()
            if not done:
                raise error(errno.ENOSPC)
            self.size = max(self.size, offset + done)
        return done

    def punch(self, offset: int, end: int) -> None:
        """Make a hole: whole pages go, the rest becomes zeros."""
        pages = self.pages
        if offset == 0 and end == _BEHIND_ALL:
            self.fs.uncharge_pages(len(pages))
            self.pages = _NO_PAGES
            return
        first, last = -(-offset >> _SHIFT), end >> _SHIFT
        gone = [index for index in pages if first <= index < last]
        for index in gone:
            del pages[index]
        self.fs.uncharge_pages(len(gone))
        for index in {offset >> _SHIFT, last}:
            page = pages.get(index)
            if page is not None:
                base = index << _SHIFT
                start, stop = max(offset - base, 0), min(end - base, len(page))
                if start < stop:
                    pages[index] = _merged(page, start, _ZEROS[start:stop])

    def reserve(self, offset: int, end: int) -> None:
        """Make all pages of a range exist.

        Errors: ENOSPC, and then none was made.
        """
        if not self.pages:
            self.pages = {}
        pages = self.pages
        first, last = offset >> _SHIFT, -(-end >> _SHIFT)
        present = sum(1 for index in pages if first <= index < last)
        self.fs.charge_pages(last - first - present)
        for index in range(first, last):
            page = pages.get(index)
            if not page:
                # Reserved twice, a page counts as written: Linux fills it then (shmem_get_folio_gfp()).
                pages[index] = b"" if page is None else _ZEROS[:1]


class UnnamedFile(RegularFile):
    """A file that was made without a name (O_TMPFILE). It stays of this class when it is given one."""

    __slots__ = ("linkable",)

    def __init__(self, fs: TmpfsFilesystem, mode: int, uid: int, gid: int) -> None:
        super().__init__(fs, mode, uid, gid)
        self.nlink = 0
        self.linkable = True

    def get_name(self) -> None:
        """Without it again, the file is gone for good."""
        self.linkable = False


def _merged(page: Page | None, start: int, chunk: bytes | memoryview) -> bytearray:
    """The page with a chunk put over it; changed in place if it can be."""
    page = page if isinstance(page, bytearray) else bytearray(page or b"")
    if len(page) < start:
        page.extend(_ZEROS[len(page) : start])
    page[start : start + len(chunk)] = chunk
    return page


class RegularOpenFile(File):
    """An open regular file."""

    __slots__ = ()

    inode: RegularFile  # type: ignore[mutable-override]  # an open file never changes its inode

    def read_at(self, size: int, offset: int) -> bytes:
        """See `File.read_at`."""
        return self.inode.read(size, offset)

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """See `File.write_at`. Writing takes set-user-id away, unless the writer may keep it."""
        inode = self.inode
        with inode.fs.lock:
            if data and offset < MAX_FILE_SIZE:
                self._drop_privileges()
            return inode.write(data, offset)

    def seek_hole_or_data(self, offset: int, whence: int) -> int:
        """See `File.seek_hole_or_data`; holes are pages that nobody wrote."""
        inode = self.inode
        if not 0 <= offset < inode.size:
            raise error(errno.ENXIO)
        index = offset >> _SHIFT
        pages = inode.pages
        if whence == os.SEEK_HOLE:
            while pages.get(index):
                index += 1
            return min(max(index << _SHIFT, offset), inode.size)
        if not pages.get(index):
            written = (other for other, page in list(pages.items()) if page and other > index)
            index = min(written, default=inode.size)
        position = max(index << _SHIFT, offset)
        if position >= inode.size:
            raise error(errno.ENXIO)
        return position

    def allocate_range(self, mode: int, offset: int, length: int) -> None:
        """See `File.allocate_range`: mode 0, FALLOC_FL_KEEP_SIZE, and a hole with both flags."""
        if mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE):
            raise error(errno.EOPNOTSUPP)
        end = offset + length
        inode = self.inode
        with inode.fs.lock:
            if mode & FALLOC_FL_PUNCH_HOLE:
                inode.punch(offset, end)
            else:
                inode.reserve(offset, end)
                if not mode & FALLOC_FL_KEEP_SIZE:
                    inode.size = max(inode.size, end)
            inode.mtime_ns = inode.ctime_ns = time.time_ns()
            self._drop_privileges()

    def _drop_privileges(self) -> None:
        """What a changed file may no longer do to whoever executes it (file_remove_privs of Linux)."""
        inode = self.inode
        if inode.mode & (stat.S_ISUID | stat.S_ISGID) and not self.creds.has(Capability.FSETID):
            before = inode.mode
            inode.mode = without_set_id(self.creds, inode.mode, inode.gid)
            if inode.mode != before:
                inode.fs.watches.attributes(self.location.dentry)
        if inode.xattrs:
            inode.drop_capability()

    def release(self) -> None:
        """See `File.release`."""
        inode = self.inode
        inode.opens -= 1
        if not inode.nlink:
            inode.free()
