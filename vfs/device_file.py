"""An open device node."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vfs.file import File

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.device import OpenDevice
    from vfs.mount import VirtualDentry


class DeviceFile(File):
    """An open device node: what the driver returned answers."""

    __slots__ = ("device",)

    def __init__(self, location: VirtualDentry, flags: int, creds: Credentials, device: OpenDevice) -> None:
        super().__init__(location, flags, creds)
        self.device = device

    def read_at(self, size: int, offset: int) -> bytes:
        """What the driver says."""
        return self.device.read(size, offset)

    def write_at(self, data: bytes | bytearray | memoryview, offset: int) -> int:
        """What the driver says."""
        return self.device.write(bytes(data), offset)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """What the driver says."""
        self.check_open()
        self.position = self.device.seek(offset, whence, self.position)
        return self.position

    def ioctl(self, request: int, argument: object = None) -> object:
        """What the driver says."""
        self.check_open()
        return self.device.ioctl(request, argument)

    def release(self) -> None:
        """Tell the driver."""
        self.device.close()
