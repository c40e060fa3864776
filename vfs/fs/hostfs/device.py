"""A character device of the machine, opened because the mount was asked to pass it through."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from vfs.device import OpenDevice
from vfs.fs.hostfs.file import open_host

if TYPE_CHECKING:
    from vfs.fs.hostfs.inode import HostInode


class HostDevice(OpenDevice):
    """What a driver of the machine's kernel answers. It is opened without waiting for anything, and never becomes the
    terminal that controls the process.
    """

    def __init__(self, host: HostInode, flags: int) -> None:
        """Errors: ENXIO without a driver on the machine; ESTALE; the driver's own."""
        self._fd = open_host(host, flags & os.O_ACCMODE | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)

    def read(self, size: int, offset: int) -> bytes:
        """At `offset` where the driver has places, else what comes next. Errors: EAGAIN if nothing is there yet."""
        try:
            return os.pread(self._fd, size, offset)
        except OSError as problem:
            if problem.errno != errno.ESPIPE:
                raise
            return os.read(self._fd, size)

    def write(self, data: bytes, offset: int) -> int:
        """As `read`."""
        try:
            return os.pwrite(self._fd, data, offset)
        except OSError as problem:
            if problem.errno != errno.ESPIPE:
                raise
            return os.write(self._fd, data)

    def ioctl(self, request: int, argument: object) -> object:
        """What the driver makes of a number or of bytes (fcntl.ioctl). Errors: EFAULT for anything else; the driver's."""
        from fcntl import ioctl

        if argument is None:
            return ioctl(self._fd, request)
        if not isinstance(argument, int | bytes):
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        return ioctl(self._fd, request, argument)

    def seek(self, offset: int, whence: int, position: int) -> int:
        """Where the driver says. Errors: ESPIPE, EINVAL of the driver."""
        if whence == os.SEEK_CUR:
            offset, whence = position + offset, os.SEEK_SET
        return os.lseek(self._fd, offset, whence)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._fd)
