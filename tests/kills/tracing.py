"""A command that is killed at a system call of one's choice: ptrace(2), for every process that it makes."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

_CONT, _DETACH, _SYSCALL, _SEIZE = 7, 17, 24, 0x4206
_TRACESYSGOOD, _TRACEFORK, _TRACEVFORK, _TRACECLONE, _TRACEEXEC = 1, 2, 4, 8, 16
_OPTIONS = _TRACESYSGOOD | _TRACEFORK | _TRACEVFORK | _TRACECLONE | _TRACEEXEC
_EVENT_STOP = 128
_WALL = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, pid: int, data: int = 0) -> None:
    if _libc.ptrace(request, pid, None, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Traced:
    """A child that runs `work`, and all that it forks. `stops` counts the borders of system calls, entries and exits, in all of
    them together.
    """

    def __init__(self, work: Callable[[], int]) -> None:
        reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.close(writer)
                os.read(reader, 1)
                os.close(reader)
                code = work()
            finally:
                os._exit(code)
        os.close(reader)
        _ptrace(_SEIZE, self.pid, _OPTIONS)
        self.stops = 0
        self._attached = {self.pid}
        # Until the first stop it runs untraced: SEIZE does not stop it. It is stopped while it waits for the other end to close, so
        # that little work is not done before.
        os.kill(self.pid, signal.SIGSTOP)
        os.close(writer)

    def run_until(self, stop: int, kill: Callable[[int], None]) -> bool:
        """Go on until the border number `stop`; then `kill` is called with the process that stands there, and all others are let
        go. False if everything ended before.
        """
        while True:
            try:
                pid, status = os.waitpid(-1, _WALL)
            except ChildProcessError:
                return False
            if not os.WIFSTOPPED(status):
                self._attached.discard(pid)
                continue
            self._attached.add(pid)
            if os.WSTOPSIG(status) == signal.SIGTRAP | 0x80:
                self.stops += 1
                if self.stops == stop:
                    kill(pid)
                    self._let_go(pid)
                    return True
            self._go_on(pid, status, _SYSCALL)

    def _go_on(self, pid: int, status: int, request: int) -> None:
        event, number = status >> 16, os.WSTOPSIG(status)
        ours = event or number in (signal.SIGTRAP, signal.SIGTRAP | 0x80, signal.SIGSTOP)
        try:
            _ptrace(request, pid, 0 if ours else number)
        except ProcessLookupError:
            return  # killed meanwhile: its end is reaped

    def _let_go(self, stopped: int) -> None:
        """Stop tracing. The processes go on as if nothing had been."""
        self._go_on(stopped, signal.SIGTRAP << 8, _DETACH)
        self._attached.discard(stopped)

    def reap(self, pid: int, status: int) -> None:
        """What a wait told of a process after the kill: one that is traced still is let go at its next stop."""
        if os.WIFSTOPPED(status):
            self._go_on(pid, status, _DETACH)
