"""Who ends the container's process when devproxy is killed, and gives the user's terminal back.

The kernel would end it (prctl(2), PR_SET_PDEATHSIG), but forgets it when a process changes its user, as every service does that starts
as root and goes on as somebody else, and when it executes a set-user-ID program or asks for it.
"""

from __future__ import annotations

import _socket  # the wrapper around it costs more to import than a root takes to build
import marshal
import os
import struct

from devproxy.linux.paths import LAST_DESCRIPTOR, above_stdio, close_range
from devproxy.linux.process import block_signals, send_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any, Final, NoReturn
else:
    import _signal as signal  # the enumerations around it take longer to load than a root to build

SIGKILL: Final = 9
_DESCRIPTOR: Final = struct.Struct("=i")
_MESSAGE: Final = 4096  # more than the attributes of two terminals


class Warden:
    """A child that kills the process of a descriptor when this process dies.

    It waits for the end of a socket whose other end is here alone: in a session of its own, so that what is sent to devproxy's
    process group does not reach it, with every signal blocked and no other descriptor open. It is made while the root is being
    built, when this process has nothing to do, and told of the process as soon as there is one.
    """

    def __init__(self) -> None:
        """Errors: OSError when there can be no further process, or no descriptor."""
        ends = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        ours, theirs = (above_stdio(end.detach()) for end in ends)
        mask = block_signals()
        try:
            self._child = os.fork()
            if self._child == 0:
                _watch(theirs)
        except OSError:
            os.close(ours)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(theirs)
        self._end = _socket.socket(fileno=ours)

    def watch(self, pidfd: int) -> None:
        """The process to kill. It is in the socket before this returns, however late the child reads it."""
        self._tell(b"\0", pidfd)

    def restore(self, terminal: int, raw: list[Any], before: list[Any]) -> None:
        """The terminal whose attributes are `raw` from now on, and what they are to be again when this process dies, as termios(3)
        has them in Python. Who has changed them by then, as a shell does that reads its next line, keeps them.
        Precondition: `watch` was called.
        """
        self._tell(marshal.dumps((raw, before)), terminal)

    def _tell(self, what: bytes, descriptor: int) -> None:
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _DESCRIPTOR.pack(descriptor))]
        self._end.sendmsg([what], rights, _socket.MSG_NOSIGNAL)

    def dismiss(self) -> None:
        """The process has ended, or is to be killed by somebody else: this one ends too, some time before `reap`."""
        if self._end.fileno() >= 0:
            os.kill(self._child, SIGKILL)  # sooner done than waking it up
            self._end.close()

    def reap(self) -> None:
        """Wait until it is gone."""
        self.dismiss()
        os.waitpid(self._child, 0)


def _watch(end: int) -> NoReturn:
    try:
        os.setsid()
        close_range(0, end - 1)
        close_range(end + 1, LAST_DESCRIPTOR)
        stream = _socket.socket(fileno=end)
        told, pidfd = _receive(stream)
        if told:
            terminals = []
            while (message := _receive(stream))[0]:
                terminals.append(message)
            send_signal(pidfd, SIGKILL)
            for attributes, terminal in terminals:
                _restore(terminal, *marshal.loads(attributes))  # noqa: S302 (of this process, before it was forked)
    finally:
        os._exit(0)


def _receive(stream: _socket.socket) -> tuple[bytes, int]:
    """A message and the descriptor with it; nothing once the other end is closed."""
    told, ancillary, _, _ = stream.recvmsg(_MESSAGE, _socket.CMSG_SPACE(_DESCRIPTOR.size), _socket.MSG_CMSG_CLOEXEC)
    return told, _DESCRIPTOR.unpack(ancillary[0][2])[0] if told else -1


def _restore(terminal: int, raw: list[Any], before: list[Any]) -> None:
    # A process of another session may do this: only those of the terminal's own are stopped for it (tcsetattr(3)).
    import termios

    if termios.tcgetattr(terminal) == raw:
        termios.tcsetattr(terminal, termios.TCSANOW, before)
