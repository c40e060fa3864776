"""Removing System V IPC (shmctl(2), semctl(2), msgctl(2)), which `os` has no calls for."""

from __future__ import annotations

from devproxy.linux.syscalls import INT, POINTER, check, libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_REMOVE: Final = 0  # IPC_RMID
_LAST_PROCESS: Final = 11  # GETPID

_shmctl, _semctl, _msgctl = libc.shmctl, libc.semctl, libc.msgctl
_shmctl.argtypes = _msgctl.argtypes = (INT, INT, POINTER)
_semctl.argtypes = (INT, INT, INT, POINTER)


def remove_memory(ident: int) -> None:
    """A segment goes: at once where nobody has it attached. Errors: EIDRM, EINVAL when it has gone; EPERM."""
    check(_shmctl(ident, _REMOVE, None))


def remove_semaphores(ident: int) -> None:
    """A set goes; whoever waits for it is told. Errors: as above."""
    check(_semctl(ident, 0, _REMOVE, None))


def remove_queue(ident: int) -> None:
    """A message queue goes, with what is in it. Errors: as above."""
    check(_msgctl(ident, _REMOVE, None))


def last_process(ident: int, number: int) -> int:
    """Who did the last operation on a semaphore of a set, 0 if nobody did. Errors: EACCES, EINVAL, EIDRM."""
    return check(_semctl(ident, number, _LAST_PROCESS, None))
