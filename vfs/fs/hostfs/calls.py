"""What hostfs asks of the machine beyond what `os` offers."""

from __future__ import annotations

from typing import Protocol


class HostCalls(Protocol):
    """System calls that the caller of the VFS fills in. Directories and files are given by descriptors, of which O_PATH ones do
    for directories. Errors are OSError with the errno of the call.
    """

    def rename(self, directory: int, name: str, new_directory: int, new_name: str, flags: int) -> None:
        """renameat2(2), with any of its flags."""

    def allocate(self, descriptor: int, mode: int, offset: int, length: int) -> None:
        """fallocate(2), with any of its modes."""

    def birth_ns(self, descriptor: int) -> int | None:
        """When a file was made (statx(2), STATX_BTIME); None where nobody noted it."""
