"""Jobs of many kinds, each in a fork of this process: a lease, then what the kind does with it.

A job writes its lease, as the note of `devproxy lease --note`, to a pipe, so that whoever started it knows what it has.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Final

import devproxy
from devproxy.jobs.busy import Busy
from devproxy.jobs.devices import Kind, Wanted, environment, leasable
from devproxy.jobs.lease import Asking, Lease, acquire
from devproxy.jobs.restrict import given
from devproxy.jobs.scope import Scope, read_scope, scope_document
from devproxy.jobs.state import State
from hwtests.lab.guest.conftest import LAB, bundle

ASK: Final = str(LAB / "ask")
USERS: Final = (1001, 1002)
# What a job is given, in seconds: one waits while another has what it wants, or the driver is loaded again.
_WAIT: Final = 120.0


class Job:
    """A job: its process, where it tells of its lease, the standard input that it waits for the end of, what it prints."""

    def __init__(self, kind: str, pid: int, told: int, input_end: int, output: int) -> None:
        self.kind = kind
        self.pid = pid
        self.told = told
        self._input = input_end
        self._output = os.fdopen(output)

    @cached_property
    def scope(self) -> Scope:
        """Its lease, which it may still wait for."""
        with tempfile.NamedTemporaryFile("w") as note, os.fdopen(self.told) as said:
            note.write(said.read())
            note.flush()
            return read_scope(note.name)

    def read_line(self) -> str:
        return self._output.readline()

    def wait_for_answers(self) -> list[str]:
        """What each of its devices answered: it has them all open then."""
        return [self.read_line().split()[1] for _ in nodes(self.scope)]

    def end(self) -> int:
        """Its exit code, once it was let go; negative the signal that ended it."""
        os.close(self._input)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self._output.close()
        return code


Work = Callable[[Lease, dict[str, str]], int]


def start(kind: str, work: Work, wanted: Wanted, uid: int = 0) -> Job:
    """Fork, lease, work."""
    (waits_for, input_end), (output, output_end), (told, teller) = (os.pipe() for _ in range(3))
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            os.dup2(waits_for, 0)
            os.dup2(output_end, 1)
            # Of other jobs' pipes too: their ends come when nobody has the other end.
            os.closerange(3, teller)
            os.closerange(teller + 1, 1 << 10)
            _become(uid)
            code = _job(work, wanted, teller)
        except Exception:  # noqa: BLE001
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(code)
    for descriptor in (waits_for, output_end, teller):
        os.close(descriptor)
    return Job(kind, pid, told, input_end, output)


def _become(uid: int) -> None:
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def _job(work: Work, wanted: Wanted, teller: int) -> int:
    host = devproxy.probe()
    every = leasable(host)
    with State() as state:
        asking = Asking(every, wanted, (work.__name__,), Busy(host).why)
        lease = acquire(state, asking, wait=_WAIT, progress=lambda _: None)
    with os.fdopen(teller, "w") as note:
        note.write(scope_document(lease.scope))
    return work(lease, environment(lease.scope, every))


# What jobs do.


def asks(lease: Lease, env: dict[str, str]) -> int:
    """Become a program that opens the devices and ends."""
    return _execute([ASK, *nodes(lease.scope)], lease, env)


def holds(lease: Lease, env: dict[str, str]) -> int:
    """Become one that keeps them open until its input ends."""
    return _execute([ASK, "-w", *nodes(lease.scope)], lease, env)


def in_a_root(lease: Lease, env: dict[str, str]) -> int:
    """Ask in a bundle's root, where no other device is."""
    others = {"/dev/nvidia0", "/dev/nvidia1", "/dev/nvidia2", "/dev/accel0", "/dev/accel1"} - set(nodes(lease.scope))
    there = " ".join(nodes(lease.scope))
    absent = " && ".join(f"test ! -e {path}" for path in sorted(others))
    return _launch(lease, f"ask {there} && {absent}")


def crashes(lease: Lease, env: dict[str, str]) -> int:
    """A program in a bundle's root dies by a signal, and the shell that is the first process there ends with it."""
    return _launch(lease, f"ask {' '.join(nodes(lease.scope))}; sh -c 'kill -SEGV $$'; exit $?")


def says_when(lease: Lease, env: dict[str, str]) -> int:
    """Tell when the lease was had, in nanoseconds of the monotonic clock."""
    os.write(1, f"{time.monotonic_ns()}\n".encode())
    return 0


def leaves_much(lease: Lease, env: dict[str, str]) -> int:
    """End well, and leave a process behind that holds the devices, and shared memory that it has open."""
    if os.fork() == 0:
        os.setsid()
        memory = os.open(f"/dev/shm/lab-{lease.scope.ident}", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        never, its_other_end = os.pipe()
        os.dup2(never, 0)
        for descriptor in (memory, its_other_end):
            os.set_inheritable(descriptor, True)
        return holds(lease, env)
    return 0


def nodes(scope: Scope) -> list[str]:
    return [path for device in scope.devices for path in device.nodes]


def is_gpu(scope: Scope) -> bool:
    return scope.devices[0].kind is Kind.GPU


def _execute(command: list[str], lease: Lease, env: dict[str, str]) -> int:
    for descriptor in lease.descriptors:
        os.set_inheritable(descriptor, True)
    os.execve(command[0], command, {**os.environ, **env})


def _launch(lease: Lease, command: str) -> int:
    with tempfile.TemporaryDirectory(prefix="lab-job-") as directory:
        if is_gpu(lease.scope):
            wanted = ["NVIDIA_VISIBLE_DEVICES=all"]
        else:
            wanted = [f"TPU_VISIBLE_DEVICE_PATHS={','.join(nodes(lease.scope))}"]
        host, _ = given(devproxy.probe(), frozenset(lease.scope.names), lambda _: None)
        plan = devproxy.plan(devproxy.load(bundle(Path(directory), *wanted)), host)
        with devproxy.build(plan, "kernel") as root:
            return devproxy.launch(root, ["sh", "-c", command])


CRASHED: Final = 128 + signal.SIGSEGV
