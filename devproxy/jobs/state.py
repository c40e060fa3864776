"""Where leases are kept: a directory that every user of a host can read, and nobody but root can rearrange.

    /run/devproxy-leases/        root's, 0755
        devices/                 root's, 0755: an empty file a device, 0444. A lock on it is the lease.
        queue/                   root's, 1777: who waits. A file is its owner's, and locked while its owner waits.
        held/                    root's, 1777: who has what. A file is its owner's, and locked while its owner has it.

A device's file is root's, so that nobody can put another in its place and lock that one. Files in the other two are claims: what
they say is believed as far as the kernel says the same (st_uid, /proc/locks).
"""

from __future__ import annotations

import errno
import os
import stat

from devproxy.errors import DevproxyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Final, Self

PLACE: Final = "/run/devproxy-leases"
VARIABLE: Final = "DEVPROXY_LEASE_STATE"
"""The variable that tells a lease's command where the lease is kept, where that is not the usual place."""
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PARTS: Final = (("devices", 0o755), ("queue", 0o1777), ("held", 0o1777))
_OTHER: Final = "look at who made it; --state names another directory"
_HINT: Final = "root makes it: sudo devproxy setup; for leases of your own, or of a recorded host: --state DIR"


def elsewhere(place: str) -> dict[str, str]:
    """What is set for a lease's command, so that those below it (pytest) can see whether the lease still is one."""
    return {} if place == PLACE else {VARIABLE: os.path.abspath(place)}


class State:
    """The directory, open: a context manager.

    Errors: DevproxyError where there is none and it cannot be made, and where it is not root's (or, of a directory of one's
    own, the caller's).
    """

    def __init__(self, place: str = PLACE) -> None:
        self._place = place
        self._open: dict[str, int] = {}

    @property
    def queue(self) -> int:
        """The directory of those who wait."""
        return self._open["queue"]

    @property
    def held(self) -> int:
        """The directory of those who have something."""
        return self._open["held"]

    def device(self, name: str) -> int:
        """A device's file, open for reading; locking it is for the caller, and closing it.

        Errors: DevproxyError where there is none and only root can make it.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        folder = self._open["devices"]
        try:
            return self._checked(os.open(name, flags, dir_fd=folder), name)
        except FileNotFoundError:
            pass
        try:
            return self._checked(os.open(name, flags | os.O_CREAT, 0o444, dir_fd=folder), name)
        except PermissionError:
            raise DevproxyError(
                f"{self._place}/devices has no file for {name}, which is new here", hint=_HINT
            ) from None

    def devices(self) -> list[str]:
        """The names that have a file."""
        return sorted(os.listdir(self._open["devices"]))

    def _checked(self, descriptor: int, name: str) -> int:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid not in (0, os.geteuid()):
            os.close(descriptor)
            raise DevproxyError(f"{self._place}/devices/{name} is {_told(found)}, expected a regular file of root's")
        return descriptor

    def __enter__(self) -> Self:
        try:
            self._enter()
        except OSError as error:
            self.close()
            raise DevproxyError(f"cannot keep leases in {self._place}: {(error.strerror or '').lower()}") from error
        except BaseException:
            self.close()
            raise
        return self

    def _enter(self) -> None:
        top = self._directory(None, self._place, 0o755)
        self._open[""] = top
        for name, mode in _PARTS:
            self._open[name] = self._directory(top, name, mode)

    def _directory(self, parent: int | None, name: str, mode: int) -> int:
        try:
            folder = os.open(name, _DIRECTORY, dir_fd=parent)
        except FileNotFoundError:
            folder = self._make(parent, name, mode)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            where = name if parent is None else f"{self._place}/{name}"
            raise DevproxyError(f"{where} is no directory, expected one that leases are kept in", hint=_OTHER) from None
        found = os.fstat(folder)
        loose = found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX
        if found.st_uid not in (0, os.geteuid()) or loose or (mode == 0o755 and found.st_mode & 0o022):
            os.close(folder)
            told = f"{name} of {self._place} is {_told(found)}, expected a directory of root's with mode {mode:04o}"
            raise DevproxyError(told, hint=f"whoever could write there could take others' leases. {_OTHER}")
        return folder

    def _make(self, parent: int | None, name: str, mode: int) -> int:
        try:
            if parent is None:
                os.makedirs(os.path.dirname(os.path.abspath(name)), 0o755, exist_ok=True)
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            pass
        except PermissionError:
            raise DevproxyError(f"there is no directory {self._place} yet, where leases are kept", hint=_HINT) from None
        folder = os.open(name, _DIRECTORY, dir_fd=parent)
        if os.fstat(folder).st_uid == os.geteuid():
            os.fchmod(folder, mode)  # whatever the umask is
        return folder

    def close(self) -> None:
        """Let the directories go; locks that somebody has stay."""
        while self._open:
            os.close(self._open.popitem()[1])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _told(found: os.stat_result) -> str:
    return f"{stat.filemode(found.st_mode)} of uid {found.st_uid}"
