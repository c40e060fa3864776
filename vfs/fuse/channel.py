"""Whole FUSE messages over a socket.

A SOCK_SEQPACKET socket keeps requests apart as /dev/fuse does, so that an unmodified libfuse server takes its other end for
/dev/fuse (it is given /dev/fd/N as mount point). A stream works too: each message begins with its length.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
import sys
import time
from collections.abc import Sequence
from typing import Final, Protocol

from vfs.errors import error

_DONT_WAIT: Final = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
_LENGTH: Final = 4
_LONGEST_WAIT: Final = 1e6
_SHORTEST: Final = 16
_SEND_BUFFER_FORCE: Final = 32
_RECEIVE_BUFFER_FORCE: Final = 33
"""SO_SNDBUFFORCE and SO_RCVBUFFORCE (socket(7)), which `socket` does not name."""


class Channel(Protocol):
    """Carries messages. Times are those of time.monotonic().

    `send` and `receive` raise ETIMEDOUT when the time has come, ECONNABORTED when the other side is gone, EIO for what is no
    message. One thread at a time uses a channel; `shut_down` alone may come from another, and makes the others fail.
    """

    def send(self, parts: Sequence[bytes | memoryview], deadline: float) -> None:
        """Send one message."""

    def receive(self, deadline: float) -> bytes:
        """The next message."""

    def waiting(self) -> bool:
        """Whether `receive` would not wait."""

    def shut_down(self) -> None:
        """End the conversation."""

    def close(self) -> None:
        """Let go of everything."""


class SocketChannel:
    """A channel over a socket. `limit` is the longest message that is taken."""

    __slots__ = ("_buffer", "_held", "_packets", "_poll", "_socket", "limit")

    def __init__(self, descriptor: int, limit: int) -> None:
        """Duplicates the descriptor. Errors: EBADF; EINVAL for what is no socket with messages in order."""
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            raise error(errno.EINVAL)
        self._socket = socket.socket(fileno=os.dup(descriptor))
        if self._socket.type not in {socket.SOCK_SEQPACKET, socket.SOCK_STREAM}:
            self._socket.close()
            raise error(errno.EINVAL)
        self._packets = self._socket.type == socket.SOCK_SEQPACKET
        self.limit = limit
        self._make_room(limit)
        self._buffer = bytearray(limit)
        self._held = bytearray()
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)

    def _make_room(self, size: int) -> None:
        # A packet has to fit whole. Without privileges, net.core.wmem_max is the limit.
        for forced, plain in ((_SEND_BUFFER_FORCE, socket.SO_SNDBUF), (_RECEIVE_BUFFER_FORCE, socket.SO_RCVBUF)):
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, forced, 2 * size)
            except OSError:
                self._socket.setsockopt(socket.SOL_SOCKET, plain, 2 * size)

    def send(self, parts: Sequence[bytes | memoryview], deadline: float) -> None:
        """See `Channel`."""
        pending = [memoryview(part) for part in parts]
        while pending:
            try:
                sent = self._socket.sendmsg(pending, (), _DONT_WAIT)
            except BlockingIOError:
                self._wait(select.POLLOUT, deadline)
                continue
            except OSError as problem:
                raise _gone(problem) from None
            while pending and sent >= len(pending[0]):
                sent -= len(pending.pop(0))
            if pending:
                pending[0] = pending[0][sent:]

    def receive(self, deadline: float) -> bytes:
        """See `Channel`. Answers that were spliced come as several packets, the header in the first."""
        held = self._held
        while True:
            if len(held) >= _SHORTEST:
                length = int.from_bytes(held[:_LENGTH], sys.byteorder)
                if not _SHORTEST <= length <= self.limit or (self._packets and len(held) > length):
                    raise error(errno.EIO)
                if len(held) >= length:
                    message = bytes(held[:length])
                    del held[:length]
                    return message
            elif held and self._packets:
                raise error(errno.EIO)
            self._take(deadline)

    def _take(self, deadline: float) -> None:
        while True:
            self._wait(select.POLLIN, deadline)
            try:
                size, _, flags, _ = self._socket.recvmsg_into([self._buffer], 0, _DONT_WAIT)
                break
            except BlockingIOError:
                continue
            except OSError as problem:
                raise _gone(problem) from None
        if not size:
            raise error(errno.ECONNABORTED)
        if flags & socket.MSG_TRUNC:
            raise error(errno.EIO)
        self._held += memoryview(self._buffer)[:size]

    def _wait(self, event: int, deadline: float) -> None:
        poll = self._poll
        if event != select.POLLIN:
            poll = select.poll()
            poll.register(self._socket, event)
        left = min(max(deadline - time.monotonic(), 0), _LONGEST_WAIT)
        if not poll.poll(left * 1000):
            raise error(errno.ETIMEDOUT)

    def waiting(self) -> bool:
        """See `Channel`. The end of the conversation counts too."""
        return bool(self._held or self._poll.poll(0))

    def shut_down(self) -> None:
        """See `Channel`."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError as problem:
            # The other side was faster, or the descriptor is closed already.
            if problem.errno not in {errno.ENOTCONN, errno.EBADF}:
                raise

    def close(self) -> None:
        """See `Channel`."""
        self._socket.close()


def _gone(problem: OSError) -> OSError:
    """The error of a channel for that of a socket."""
    if problem.errno in {errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF}:
        return error(errno.ECONNABORTED)
    return error(errno.EIO)
