"""Work that may hang with a driver: done by a child, which is waited for so long and no longer."""

from __future__ import annotations

import os
import pickle
import select
import signal
import time

from devproxy.errors import DevproxyError
from devproxy.linux.paths import LAST_DESCRIPTOR, close_range
from devproxy.linux.process import die_with_parent, reset_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, NoReturn, TypeVar

    from devproxy.jobs.job.interrupts import Interrupts

    T = TypeVar("T")

_PIECE: Final = 1 << 20
_LONGEST: Final = 256 << 20
# How long one that was killed may take to end. One that waits in the kernel may never, and is left to init.
_DYING: Final = 0.5
_HURRY: Final = 2  # who interrupts a second time wants no more looks


class Hung(DevproxyError):
    """There was no answer in time, or nobody wants it any more."""


def bounded(what: str, work: Callable[[], T], seconds: float, interrupts: Interrupts | None = None) -> T:
    """What `work` returns, done in a child of this process that has none of its descriptors but 0 to 2.

    Errors: Hung after `seconds`, and once `interrupts` says that somebody is in a hurry; DevproxyError as `work` raises it.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _work(work, writer)
    os.close(writer)
    try:
        data = _read(reader, what, time.monotonic() + seconds, seconds, interrupts)
    finally:
        os.close(reader)
        _end(pid)
    try:
        answer, error = pickle.loads(data)  # noqa: S301 (this process's own child wrote it)
    except (EOFError, pickle.UnpicklingError):
        raise Hung(f"{what} ended without an answer") from None
    if error is not None:
        raise DevproxyError(error[0], hint=error[1])
    found: T = answer
    return found


def _work(work: Callable[[], object], writer: int) -> NoReturn:
    try:
        die_with_parent()
        os.setsid()  # what a terminal sends is for those who stay
        reset_signals()
        # An answer that never comes must not keep a lease, nor what tells the guard that devproxy lives.
        close_range(3, writer - 1)
        close_range(writer + 1, LAST_DESCRIPTOR)
        answer: tuple[object, tuple[str, str] | None]
        try:
            answer = work(), None
        except DevproxyError as error:
            answer = None, (error.message, error.hint)
        except Exception as error:  # noqa: BLE001 (it is told where it can be)
            answer = None, (f"{type(error).__name__}: {error}", "")
        with open(writer, "wb") as file:
            pickle.dump(answer, file)
    finally:
        os._exit(0)


def _read(reader: int, what: str, deadline: float, seconds: float, interrupts: Interrupts | None) -> bytes:
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    if interrupts is not None:
        poll.register(interrupts, select.POLLIN)
    data = bytearray()
    while (left := deadline - time.monotonic()) > 0:
        if interrupts is not None and interrupts.ending >= _HURRY:
            raise Hung(f"{what} was broken off: interrupted twice")
        ready = {descriptor for descriptor, _ in poll.poll(left * 1000)}
        if interrupts is not None and interrupts.fileno() in ready:
            interrupts.take()
        if reader in ready:
            piece = os.read(reader, _PIECE)
            if not piece:
                return bytes(data)
            data += piece
            if len(data) > _LONGEST:
                raise Hung(f"{what} answered more than {_LONGEST} bytes")
    raise Hung(f"{what} did not answer within {seconds:g} s")


def _end(pid: int) -> None:
    """Kill it, and bury it if it dies. It is this process's child and was not waited for: the number is its own."""
    os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + _DYING
    while not os.waitpid(pid, os.WNOHANG)[0] and time.monotonic() < until:
        time.sleep(0.005)
