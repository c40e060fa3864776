"""A file that is there whole or not at all, and never in the place of another."""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from devproxy.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_NOT_THERE = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT)


def require_new(path: str) -> None:
    """Raises InputError unless a file can be made at `path`: something is there, or its directory is missing or not to be written."""
    if os.path.lexists(path):
        raise InputError(f"{path} exists, and nothing is written over", hint="remove it, or name another file")
    directory = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(directory):
        raise InputError(f"{path} cannot be written: {directory} is no directory")
    if why := why_not_to_write(directory):
        raise InputError(f"{path} cannot be written: {why}")


def why_not_to_write(directory: str) -> str:
    """Why nothing can be made in a directory that is there, or empty: root may write anywhere but on a read-only file system."""
    if os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        return ""
    read_only = os.statvfs(directory).f_flag & os.ST_RDONLY
    return f"{directory} is on a read-only file system" if read_only else f"{directory} is not yours to write"


class NewFile:
    """A context in which a file is written; `keep` gives it its name. Until then it has none where the file system can do that
    (open(2), O_TMPFILE), so that a devproxy that is killed leaves nothing.

    Errors: OSError; EEXIST if something has the name by then.
    """

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)
        self._temporary = ""
        directory = os.path.dirname(self._path)
        try:
            descriptor = os.open(directory, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in _NOT_THERE or not os.path.isdir(directory):
                raise
            self._temporary = f"{self._path}.{os.urandom(4).hex()}.tmp"
            descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self.file = os.fdopen(descriptor, "wb")

    def keep(self) -> None:
        """It is whole: write it out to the disk, and give it its name."""
        self.file.flush()
        descriptor = self.file.fileno()
        os.fsync(descriptor)
        directory = os.open(os.path.dirname(self._path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            name = os.path.basename(self._path)
            # link(2), not rename(2): it refuses a name that is taken.
            source = self._temporary or f"/proc/self/fd/{descriptor}"
            os.link(source, name, dst_dir_fd=directory, follow_symlinks=not self._temporary)
            os.fsync(directory)
        finally:
            os.close(directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._temporary:
            with suppress(FileNotFoundError):
                os.unlink(self._temporary)
        with suppress(OSError):
            self.file.close()
