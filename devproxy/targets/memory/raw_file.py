"""An open file of the VFS as Python's own."""

from __future__ import annotations

import io
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from vfs.file import File


class RawFile(io.RawIOBase):
    """A `vfs.file.File` as a raw stream (io, "Raw I/O"). Closing it closes the file."""

    def __init__(self, file: File, flags: int) -> None:
        self._file = file
        self._access = flags & os.O_ACCMODE

    def readable(self) -> bool:
        """See `io.RawIOBase`."""
        return self._access != os.O_WRONLY

    def writable(self) -> bool:
        """See `io.RawIOBase`."""
        return self._access != os.O_RDONLY

    def seekable(self) -> bool:
        """See `io.RawIOBase`."""
        return self._file.seekable

    def readinto(self, buffer: WriteableBuffer) -> int:
        """See `io.RawIOBase`."""
        view = memoryview(buffer).cast("B")
        data = self._file.read(len(view))
        view[: len(data)] = data
        return len(data)

    def write(self, data: ReadableBuffer) -> int:
        """See `io.RawIOBase`."""
        return self._file.write(memoryview(data).cast("B"))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """See `io.RawIOBase`."""
        return self._file.seek(offset, whence)

    def truncate(self, size: int | None = None) -> int:
        """See `io.RawIOBase`."""
        wanted = self._file.position if size is None else size
        self._file.truncate(wanted)
        return wanted

    def close(self) -> None:
        """See `io.RawIOBase`."""
        if not self.closed:
            try:
                self._file.close()
            finally:
                super().close()
