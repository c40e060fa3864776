"""Another user's rights for files alone (setfsuid(2))."""

from __future__ import annotations

import os

from devproxy.linux.syscalls import INT, libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Final

_setfsuid = libc.setfsuid
_setfsuid.argtypes, _setfsuid.restype = (INT,), INT
_setfsgid = libc.setfsgid
_setfsgid.argtypes, _setfsgid.restype = (INT,), INT

_NOBODYS: Final = 65534
_NONE: Final = -1  # no user: the call then changes nothing, and says who it is


class FileUser:
    """A context in which this thread opens and removes files as a user would, and with nobody's group. With the user, the kernel takes
    away the capabilities that pass over a file's owner and mode (capabilities(7)), and gives them back. Signals and /proc are as before.

    Only root can; for everybody else, and for root itself, it changes nothing.
    """

    def __init__(self, uid: int) -> None:
        self._uid = uid if os.geteuid() == 0 and uid != 0 else None

    def __enter__(self) -> None:
        if self._uid is None:
            return
        _setfsgid(_NOBODYS)
        _setfsuid(self._uid)
        if _setfsuid(_NONE) != self._uid:
            self._back()
            raise PermissionError(f"cannot act on files as uid {self._uid}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._uid is not None:
            self._back()

    def _back(self) -> None:
        _setfsuid(os.geteuid())
        _setfsgid(os.getegid())
