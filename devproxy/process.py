"""The only module that starts programs of the host."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess

from devproxy.errors import DevproxyError
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Completed(Record):
    """A program that ended: its exit code (negative: the signal that ended it), what it printed."""

    code: int
    out: str
    err: str


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


def _end(child: subprocess.Popen[bytes]) -> None:
    """End a program with whatever it started: children would keep its pipes open."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        child.kill()


def _ending(code: int) -> str:
    return f"code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
