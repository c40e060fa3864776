"""The user's terminal, relayed to the pseudoterminal of the process (pty(7))."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import termios

from devproxy.launch.signals import Handling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

_BLOCK: Final = 65536
_WINDOW_SIZE: Final = 8


def relay(terminal: int, pidfd: int, restoring: Callable[[int, list[Any], list[Any]], None]) -> None:
    """Copy between this process's terminal and the master `terminal` until the process of `pidfd` has ended and what it
    wrote is shown. The user's terminal is raw meanwhile, so that keys reach the process's own line discipline, and
    its window size is the process's. `restoring` is told of the terminal, its raw attributes and its own, for the case that this
    process is killed.
    """
    before = termios.tcgetattr(0)
    raw = raw_attributes(before)
    _copy_size(terminal)
    try:
        restoring(0, raw, before)
        termios.tcsetattr(0, termios.TCSAFLUSH, raw)
        with Handling([signal.SIGWINCH], lambda _number: _copy_size(terminal)):
            _copy(terminal, pidfd)
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        os.close(terminal)


def raw_attributes(attributes: list[Any]) -> list[Any]:
    """The attributes of a terminal that passes on every byte as it is (cfmakeraw in termios(3))."""
    iflag, oflag, cflag, lflag, *speeds, characters = attributes
    translated = termios.BRKINT | termios.PARMRK | termios.ISTRIP | termios.INLCR | termios.IGNCR | termios.ICRNL
    iflag &= ~(termios.IGNBRK | translated | termios.IXON)
    cflag = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    characters = [*characters]
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    return [iflag, oflag & ~termios.OPOST, cflag, lflag, *speeds, characters]


def _copy_size(terminal: int) -> None:
    """TIOCSWINSZ makes the kernel send SIGWINCH to the process (ioctl_tty(2))."""
    size = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(_WINDOW_SIZE))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)


def _copy(terminal: int, pidfd: int) -> None:
    poll = select.poll()
    for descriptor in (0, terminal, pidfd):
        poll.register(descriptor, select.POLLIN)
    ended = False
    while True:
        ready = {descriptor for descriptor, _ in poll.poll(0 if ended else None)}
        if terminal in ready and not _copy_block(terminal, 1):
            return
        if 0 in ready and not ended and not _copy_block(0, terminal):
            poll.unregister(0)
        if ended and terminal not in ready:
            return
        ended = ended or pidfd in ready


def _copy_block(source: int, destination: int) -> bool:
    """Copy what is there; false at the end. A master whose other end nobody has open says EIO."""
    try:
        data = os.read(source, _BLOCK)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return False
    view = memoryview(data)
    while view:
        view = view[os.write(destination, view) :]
    return bool(data)
