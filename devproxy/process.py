"""The only module that starts programs of the host."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time

from devproxy.errors import DevproxyError
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

# How long a program may take to die once it was killed. One that waits for a driver in the kernel may never.
_DYING: Final = 0.2
_PIECE: Final = 1 << 16


class Completed(Record):
    """A program that ended: its exit code (negative: the signal that ended it), what it printed."""

    code: int
    out: str
    err: str


class Heard(Record):
    """What a program said until it ended, or until it was ended: `code` is None then, and `why` says why."""

    code: int | None
    out: bytes
    why: str = ""

    @property
    def ending(self) -> str:
        """`code 1`, `signal SIGSEGV`, or why it was ended."""
        return self.why if self.code is None else _ending(self.code)


def find_program(name: str) -> str | None:
    """Where a program is, by PATH and then in the directories of the system's own programs, or None."""
    return shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")


def run(
    argv: Sequence[str],
    *,
    timeout: float = 30.0,
    check: bool = True,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
) -> Completed:
    """Run a program to its end. Its standard streams are pipes, the input closed: some runtimes treat /dev/null
    otherwise than a file, and one is known to take it for its own.

    Raises DevproxyError with the command to paste when it cannot be started, runs longer than `timeout` seconds, or (with
    `check`) ends with a code other than 0.
    """
    command = shlex.join(argv)
    try:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
    except OSError as error:
        raise DevproxyError(f"cannot start '{command}': {(error.strerror or '').lower()}") from error
    with child:
        try:
            out, err = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            _end(child)
            raise DevproxyError(f"'{command}' did not end within {timeout:g} s") from None
        except BaseException:
            _end(child)
            raise
    completed = Completed(child.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
    if check and completed.code != 0:
        last = completed.err.strip().rpartition("\n")[2]
        told = f": {last}" if last else ""
        raise DevproxyError(f"'{command}' ended with {_ending(completed.code)}{told}")
    return completed


def listen(argv: Sequence[str], *, seconds: float, limit: int, env: Mapping[str, str]) -> Heard:
    """Run a program of which an answer may never come, and return what it wrote to its standard output until it ended or
    `seconds` were over, at most `limit` bytes of it. Nothing that it started is left, as far as it can be killed: one that
    waits for a driver inside the kernel cannot, and is not waited for. It runs in `/` with `env` alone.

    Raises DevproxyError when it cannot be started.
    """
    deadline = time.monotonic() + seconds
    nowhere = subprocess.DEVNULL
    try:
        child = subprocess.Popen(
            list(argv), stdin=nowhere, stdout=subprocess.PIPE, stderr=nowhere, cwd="/", env=env, start_new_session=True
        )
    except OSError as error:
        raise DevproxyError(f"cannot start '{shlex.join(argv)}': {(error.strerror or '').lower()}") from error
    assert child.stdout is not None
    with child.stdout:
        try:
            out, why = _read_until(child.stdout.fileno(), deadline, limit)
            code = None if why else child.wait(max(deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            code, why = None, _LATE
        finally:
            _end(child)
    try:
        child.wait(_DYING)
    except subprocess.TimeoutExpired:
        why = f"{why}, and cannot be killed"
        _undying.append(child)
    return Heard(code, out, why)


_LATE: Final = "no answer in time"
# Kept, so that nobody warns of them; they are init's when this process ends.
_undying: Final[list[subprocess.Popen[bytes]]] = []


def _read_until(fd: int, deadline: float, limit: int) -> tuple[bytes, str]:
    """What comes from a pipe until its end, and why there was none."""
    import select

    poll = select.poll()
    poll.register(fd, select.POLLIN)
    out = bytearray()
    while (left := deadline - time.monotonic()) > 0:
        if not poll.poll(left * 1000):
            continue
        piece = os.read(fd, _PIECE)
        if not piece:
            return bytes(out), ""
        out += piece
        if len(out) > limit:
            return bytes(out[:limit]), f"more than {limit} bytes of answer"
    return bytes(out), _LATE


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a program with whatever it started: children would keep its pipes open."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        child.kill()


def _ending(code: int) -> str:
    return f"code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
