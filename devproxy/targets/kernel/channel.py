"""Messages between devproxy and the process it forked: JSON, and descriptors with them."""

from __future__ import annotations

import _socket  # the wrapper around it costs more to import than a root takes to build
import struct

from devproxy.json_text import dumps, loads
from devproxy.linux.paths import above_stdio
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, Self

_LENGTH: Final = struct.Struct("=Q")
_CREDENTIALS: Final = struct.Struct("=3i")
_DESCRIPTORS: Final = 8
_MAXIMUM: Final = 1 << 28


class Message(Record):
    """What came: a JSON value, descriptors that are the receiver's now (none of 0, 1 and 2), and the pid of the sender
    as seen from here.
    """

    value: Any
    descriptors: list[int]
    sender: int


class Channel:
    """One end of a stream socket (unix(7)). The other end's last close is the end of the stream."""

    def __init__(self, socket: _socket.socket) -> None:
        self._socket = socket

    @classmethod
    def pair(cls) -> tuple[Self, Self]:
        """Two connected ends, closed by exec. The first one is told who sends."""
        ends = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
        ours, theirs = (_socket.socket(fileno=above_stdio(end.detach())) for end in ends)
        ours.setsockopt(_socket.SOL_SOCKET, _socket.SO_PASSCRED, 1)
        return cls(ours), cls(theirs)

    def fileno(self) -> int:
        """The descriptor."""
        return self._socket.fileno()

    def send(self, value: object, descriptors: tuple[int, ...] = ()) -> None:
        """Send a value, and descriptors with it. Errors: EPIPE when nobody is there any more."""
        data = dumps(value).encode()
        rights = struct.pack(f"={len(descriptors)}i", *descriptors)
        ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if descriptors else []
        self._socket.sendmsg([_LENGTH.pack(len(data))], ancillary, _socket.MSG_NOSIGNAL)
        self._socket.sendall(data, _socket.MSG_NOSIGNAL)

    def receive(self) -> Message:
        """Wait for a value.

        Raises:
            EOFError: The other end was closed.
        """
        space = _socket.CMSG_SPACE(4 * _DESCRIPTORS) + _socket.CMSG_SPACE(_CREDENTIALS.size)
        header, ancillary, _, _ = self._socket.recvmsg(_LENGTH.size, space, _socket.MSG_CMSG_CLOEXEC)
        sender, descriptors = 0, list[int]()
        for _, kind, data in ancillary:
            if kind == _socket.SCM_RIGHTS:
                descriptors += map(above_stdio, struct.unpack(f"={len(data) // 4}i", data))
            elif kind == _socket.SCM_CREDENTIALS:
                sender = _CREDENTIALS.unpack(data)[0]
        header += self._read(_LENGTH.size - len(header)) if header else b""
        if not header:
            raise EOFError
        return Message(loads(self._read(_LENGTH.unpack(header)[0]).decode()), descriptors, sender)

    def _read(self, length: int) -> bytes:
        assert length < _MAXIMUM
        parts = []
        while length:
            part = self._socket.recv(length)
            if not part:
                raise EOFError
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def is_over(self) -> bool:
        """Whether the other end was closed, without waiting."""
        try:
            return not self._socket.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Close this end."""
        self._socket.close()
