"""Files in directories that everybody can write in: looked at by descriptor, removed with their owner's own rights.

Names there are anybody's to choose, and to exchange between two looks. A file is known by device and inode; it is removed by its name
in its directory, by somebody who may remove no more than its owner: so that a name which is another's by then is refused by the kernel.
"""

from __future__ import annotations

import os
import stat

from devproxy.linux.file_user import FileUser
from devproxy.linux.host_calls import MachineCalls
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOK: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


class File(Record):
    """What is in a directory: its name, device and inode, owner, mode with type, and when it was made, in seconds since the epoch (None
    where the file system does not say).
    """

    directory: str
    name: str
    device: int
    inode: int
    uid: int
    mode: int
    born: float | None

    @property
    def path(self) -> str:
        """Where it was found."""
        return os.path.join(self.directory, self.name)

    @property
    def is_regular(self) -> bool:
        """Whether it is a file in the narrow sense."""
        return stat.S_ISREG(self.mode)


def files_in(directory: str) -> tuple[File, ...]:
    """What is in a directory, by name; nothing if there is no such directory (a link to one is none).

    Errors: PermissionError.
    """
    try:
        folder = os.open(directory, _DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as error:
        if isinstance(error, PermissionError):
            raise
        return ()  # ELOOP: a link
    try:
        found = (_look(folder, directory, name) for name in sorted(os.listdir(folder)))
        return tuple(file for file in found if file is not None)
    finally:
        os.close(folder)


def file_at(path: str) -> File | None:
    """What is at a path, itself, be it a link; None if nothing is. Errors: PermissionError."""
    directory, name = os.path.split(path)
    try:
        folder = os.open(directory, _DIRECTORY)
    except PermissionError:
        raise
    except OSError:
        return None
    try:
        return _look(folder, directory, name)
    finally:
        os.close(folder)


def remove(file: File) -> str:
    """Remove it, if it is still what it was. Returns why it could not be done, empty when it is gone."""
    try:
        folder = os.open(file.directory, _DIRECTORY)
    except OSError as error:
        return f"{file.directory}: {os.strerror(error.errno or 0)}"
    try:
        now = _look(folder, file.directory, file.name)
        if now is None:
            return ""
        if (now.device, now.inode, now.uid) != (file.device, file.inode, file.uid):
            return "it was replaced while it was looked at"
        with FileUser(file.uid):
            (os.rmdir if stat.S_ISDIR(file.mode) else os.unlink)(file.name, dir_fd=folder)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"cannot be removed: {os.strerror(error.errno or 0).lower()}"
    finally:
        os.close(folder)
    return ""


def _look(folder: int, directory: str, name: str) -> File | None:
    try:
        descriptor = os.open(name, _LOOK, dir_fd=folder)
    except OSError:
        return None  # gone meanwhile
    try:
        found = os.fstat(descriptor)
        born = MachineCalls().birth_ns(descriptor)
    finally:
        os.close(descriptor)
    seconds = None if born is None else born / 1e9
    return File(directory, name, found.st_dev, found.st_ino, found.st_uid, found.st_mode, seconds)
