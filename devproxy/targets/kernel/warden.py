"""Who ends the container's process when devproxy is killed.

The kernel would (prctl(2), PR_SET_PDEATHSIG), but forgets it when a process changes its user, as every service does that starts
as root and goes on as somebody else, and when it executes a set-user-ID program or asks for it.
"""

from __future__ import annotations

import _socket  # the wrapper around it costs more to import than a root takes to build
import os
import struct

from devproxy.linux.paths import LAST_DESCRIPTOR, above_stdio, close_range
from devproxy.linux.process import block_signals, send_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Final, NoReturn
else:
    import _signal as signal  # the enumerations around it take longer to load than a root to build

SIGKILL: Final = 9
_DESCRIPTOR: Final = struct.Struct("=i")


class Warden:
    """A child that kills the process of a descriptor when this process dies.

    It waits for the end of a stream whose other end is here alone: in a session of its own, so that what is sent to devproxy's
    process group does not reach it, with every signal blocked and no other descriptor open. It is made while the root is being
    built, when this process has nothing to do, and told of the process as soon as there is one.
    """

    def __init__(self) -> None:
        """Errors: OSError when there can be no further process, or no descriptor."""
        ends = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
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
        """The process to kill. It is in the stream before this returns, however late the child reads it."""
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, _DESCRIPTOR.pack(pidfd))]
        self._end.sendmsg([b"\0"], rights, _socket.MSG_NOSIGNAL)

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
        told, ancillary, _, _ = stream.recvmsg(1, _socket.CMSG_SPACE(_DESCRIPTOR.size), _socket.MSG_CMSG_CLOEXEC)
        if told:
            (pidfd,) = _DESCRIPTOR.unpack(ancillary[0][2])
            stream.recv(1)
            send_signal(pidfd, SIGKILL)
    finally:
        os._exit(0)
