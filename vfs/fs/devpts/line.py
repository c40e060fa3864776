"""The line discipline: what becomes of bytes between a master and a slave (termios(3); drivers/tty/n_tty.c)."""

from __future__ import annotations

import errno
import struct
from typing import Final, NamedTuple

from vfs.errors import error

# Bits of struct termios (include/uapi/asm-generic/termbits.h).
INLCR: Final = 0o100
IGNCR: Final = 0o200
ICRNL: Final = 0o400
OPOST: Final = 0o1
ONLCR: Final = 0o4
OCRNL: Final = 0o10
ISIG: Final = 0o1
ICANON: Final = 0o2
ECHO: Final = 0o10
ECHOE: Final = 0o20
ECHOK: Final = 0o40
ECHONL: Final = 0o100
ECHOCTL: Final = 0o1000
ECHOKE: Final = 0o4000
NOFLSH: Final = 0o200

VINTR, VQUIT, VERASE, VKILL, VEOF = range(5)
VSUSP: Final = 10
VEOL: Final = 11
VEOL2: Final = 16

_LAYOUT: Final = struct.Struct("=IIIIB19s")
_EOF: Final = b"\0"
"""What stands for the end of file behind a line, as in the kernel's buffer (__DISABLED_CHAR)."""
ROOM: Final = 4096
"""So many bytes wait at each end; of a line without an end, the last one of them is kept for its end."""


class Termios(NamedTuple):
    """struct termios as TCGETS has it."""

    iflag: int = 0x500
    oflag: int = OPOST | ONLCR
    cflag: int = 0xBF
    lflag: int = 0x8A3B
    line: int = 0
    characters: bytes = bytes((3, 0x1C, 0x7F, 0x15, 4, 0, 1, 0, 0x11, 0x13, 0x1A, 0, 0x12, 0xF, 0x17, 0x16, 0, 0, 0))

    def pack(self) -> bytes:
        """The bytes of it."""
        return _LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, data: bytes) -> Termios:
        """Errors: EFAULT for too few bytes."""
        if len(data) < _LAYOUT.size:
            raise error(errno.EFAULT)
        return cls(*_LAYOUT.unpack(data[: _LAYOUT.size]))


class Line:
    """Both directions of one terminal. `to_master` is what the master reads; input waits in `ready`, whole lines of it in
    canonical mode, and in `_editing`, the line that has no end yet.
    """

    __slots__ = ("_editing", "ready", "termios", "to_master")

    def __init__(self) -> None:
        self.termios = Termios()
        self.to_master = bytearray()
        self.ready: list[bytes] = []
        self._editing = bytearray()

    # from the slave's program to the master

    def output(self, data: bytes) -> int:
        """What the slave writes; the number of bytes taken.

        Errors: EAGAIN when there is no room.
        """
        taken = 0
        for byte in data:
            processed = self._processed(byte)
            if len(self.to_master) + len(processed) > ROOM:
                break
            self.to_master += processed
            taken += 1
        if data and not taken:
            raise error(errno.EAGAIN)
        return taken

    def _processed(self, byte: int) -> bytes:
        flags = self.termios.oflag
        if not flags & OPOST:
            return bytes((byte,))
        if byte == 0x0A and flags & ONLCR:
            return b"\r\n"
        if byte == 0x0D and flags & OCRNL:
            return b"\n"
        return bytes((byte,))

    # from the master to the slave's program

    def input(self, data: bytes) -> None:
        """What the master writes."""
        for byte in data:
            self._typed(byte)
        if not self.termios.lflag & ICANON and self._editing:
            self.ready.append(bytes(self._editing))
            self._editing.clear()

    def _typed(self, byte: int) -> None:
        flags, local, characters = self.termios.iflag, self.termios.lflag, self.termios.characters
        if local & ISIG and byte and byte in {characters[VINTR], characters[VQUIT], characters[VSUSP]}:
            self._interrupted(byte)
            return
        if byte == 0x0D:
            if flags & IGNCR:
                return
            byte = 0x0A if flags & ICRNL else byte
        elif byte == 0x0A and flags & INLCR:
            byte = 0x0D
        if local & ICANON:
            self._edited(byte)
        elif len(self._editing) + sum(map(len, self.ready)) < ROOM - 1:
            self._editing.append(byte)
            self._echo(byte)

    def _interrupted(self, byte: int) -> None:
        if not self.termios.lflag & NOFLSH:
            self.ready.clear()
            self._editing.clear()
        self._echo(byte)

    def _edited(self, byte: int) -> None:
        characters = self.termios.characters
        if byte and byte == characters[VERASE]:
            self._erase(1)
        elif byte and byte == characters[VKILL]:
            self._kill(byte)
        elif byte and byte == characters[VEOF]:
            self.ready.append(bytes(self._editing) + _EOF)
            self._editing.clear()
        elif byte == 0x0A or (byte and byte in {characters[VEOL], characters[VEOL2]}):
            self._editing.append(byte)
            self.ready.append(bytes(self._editing))
            self._editing.clear()
            if byte == 0x0A and self.termios.lflag & (ECHO | ECHONL):
                self._show(b"\n")
            elif byte != 0x0A:
                self._echo(byte)
        elif len(self._editing) + sum(map(len, self.ready)) < ROOM - 1:
            self._editing.append(byte)
            self._echo(byte)

    def _erase(self, count: int) -> None:
        local = self.termios.lflag
        for _ in range(min(count, len(self._editing))):
            byte = self._editing.pop()
            if local & ECHO and local & ECHOE:
                self._show(b"\b \b" * (2 if self._is_control(byte) and local & ECHOCTL else 1))
            elif local & ECHO:
                self._echo(self.termios.characters[VERASE])

    def _kill(self, byte: int) -> None:
        local = self.termios.lflag
        if local & ECHO and local & ECHOK and local & ECHOKE and local & ECHOE:
            self._erase(len(self._editing))
            return
        self._editing.clear()
        self._echo(byte)
        if local & ECHO and local & ECHOK:
            self._show(b"\n")

    @staticmethod
    def _is_control(byte: int) -> bool:
        return (byte < 0x20 and byte != 0x09) or byte == 0x7F

    def _echo(self, byte: int) -> None:
        local = self.termios.lflag
        if not local & ECHO:
            return
        if local & ECHOCTL and self._is_control(byte) and byte != 0x0A:
            self._show(bytes((0x5E, byte ^ 0x40)))
        else:
            self._show(bytes((byte,)))

    def _show(self, data: bytes) -> None:
        for byte in data:
            processed = self._processed(byte)
            if len(self.to_master) + len(processed) <= ROOM:
                self.to_master += processed

    def read(self, size: int) -> bytes:
        """What the slave reads: a line at most in canonical mode, and nothing for an end of file.

        Errors: EAGAIN if nothing is ready.
        """
        if not self.ready:
            raise error(errno.EAGAIN)
        if not self.termios.lflag & ICANON:
            everything = b"".join(self.ready)
            self.ready = [everything[size:]] if len(everything) > size else []
            return everything[:size]
        line = self.ready[0]
        if len(line) > size:
            self.ready[0] = line[size:]
            if self.ready[0] == _EOF:
                # An end of file behind just what was asked for is no further line.
                del self.ready[0]
            return line[:size]
        del self.ready[0]
        return line.removesuffix(_EOF)

    def set(self, termios: Termios, *, flush: bool) -> None:
        """TCSETS and its kin. What waits becomes plain bytes when canonical mode ends, ends of file too, and one line when it
        begins (n_tty_set_termios).
        """
        if flush:
            self.ready.clear()
            self._editing.clear()
        if (self.termios.lflag ^ termios.lflag) & ICANON:
            everything = b"".join(self.ready) + bytes(self._editing)
            self._editing.clear()
            self.ready = [everything] if everything else []
        self.termios = termios

    @property
    def waiting(self) -> int:
        """How many bytes the slave could read (FIONREAD)."""
        return sum(map(len, self.ready))
