"""Locks that a server keeps: what our client asks it and answers is what the kernel's does, and what the kernel's locks are."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.differential.fuse.servers import example
from tests.differential.fuse.test_examples import Client as Mounted
from tests.differential.fuse.test_examples import client
from tests.differential.vfs import kernel, kernel_locks, simulated_locks
from tests.differential.vfs.explore import Comparison, explore
from tests.differential.vfs.lock_programs import FILES, LOCKING, PROCESSES, TOP, LockCall
from tests.vfs.fuse.fake import Client, mounted
from tests.vfs.fuse.keeper import Keeper, Told
from tests.vfs.world import raises
from vfs import File
from vfs.fuse.abi import InitFlags, Opcode

needs_device = pytest.mark.skipif(not os.path.exists("/dev/fuse"), reason="needs /dev/fuse")
LOCKS = InitFlags.POSIX_LOCKS | InitFlags.FLOCK_LOCKS
Refusals = dict[Opcode, int]


class Device:
    """/dev/fuse, as the socket that a scripted server knows."""

    def __init__(self) -> None:
        self.descriptor = os.open("/dev/fuse", os.O_RDWR)

    def recv(self, size: int) -> bytes:
        return os.read(self.descriptor, size)

    def send(self, data: bytes) -> int:
        return os.write(self.descriptor, data)

    def shutdown(self, how: int) -> None:
        """It ends with the mount."""

    def close(self) -> None:
        os.close(self.descriptor)


def script(server: Keeper, refusals: Refusals) -> None:
    for opcode, number in refusals.items():
        server.answers[opcode] = lambda *_, number=number: number


def without_pid(result: object) -> object:
    """Whose lock it is: an open file description's is said to be its maker's, whom our callers do not tell."""
    return (*result[:-1], result[-1] == -1) if isinstance(result, tuple) else result


def theirs(flags: InitFlags, refusals: Refusals, programs: list[list[LockCall]]) -> list[list[object]]:
    """The results of the kernel's client, and what it asked."""

    def job() -> list[object]:
        os.mkdir("mnt")
        device = Device()
        data = f"fd={device.descriptor},rootmode=40755,user_id=0,group_id=0"
        kernel.check(kernel.libc.mount(b"x", b"mnt", b"fuse", 0, data.encode()))
        processes = kernel_locks.Processes()
        server = Keeper(device, flags)
        script(server, refusals)
        results: list[object] = []
        for program in programs:
            answers = processes.run([_below(call) for call in program])
            # RELEASE is not waited for; what is asked after it is.
            os.stat("mnt/a")
            results.append([*map(without_pid, answers), _heard(server)])
        return results

    (results,) = kernel.in_children([job], kernel.prepare)
    return results  # type: ignore[return-value]  # lists, as they were put in


def _below(call: LockCall) -> LockCall:
    if call.name != "open":
        return call
    slot, name, flags = call.arguments
    return call._replace(arguments=(slot, f"mnt/{name}", flags))


def _heard(server: Keeper) -> list[Told]:
    """What was told since this was called last, with handles counted from the first one on, and without what we say alone: a last FLUSH,
    for whoever tells nobody of descriptors, and before RELEASE the end of open file description locks, which Linux leaves to the server.
    """
    told = server.told()
    first = min((each.handle for each in told), default=0)
    found: list[Told] = []
    for each in told:
        if each.opcode == "RELEASE":
            while found and found[-1].handle == each.handle - first and _unlocks_all(found[-1]):
                found.pop()
        if each.owner is not None:
            found.append(each._replace(handle=each.handle - first))
    return found


def _unlocks_all(told: Told) -> bool:
    return told.opcode == "SETLK" and told.rest == (0, TOP, fcntl.F_UNLCK, 0, 0)


class World:
    """What a process of `simulated_locks` needs."""

    def __init__(self, fuse: Client | Mounted) -> None:
        self.vfs = fuse.vfs
        self._fuse = fuse

    def open(self, name: str, flags: int) -> File:
        return self._fuse.open(f"/{name}", flags)


def by_us(fuse: Client | Mounted, program: list[LockCall]) -> list[object]:
    uses = Counter[File]()
    processes = [simulated_locks.Process(World(fuse), number + 1, uses) for number in range(PROCESSES)]
    return simulated_locks.run_in(processes, program)


def ours(flags: InitFlags, refusals: Refusals, program: list[LockCall]) -> list[object]:
    server = Keeper(flags=flags)
    script(server, refusals)
    with mounted(server) as fuse:
        answers = by_us(fuse, program)
        assert not fuse.vfs.locks.held
        assert not server.world.vfs.locks.held
        return [*map(without_pid, answers), _heard(server)]


CASES: dict[str, tuple[InitFlags, Refusals]] = {
    "all": (LOCKS, {}),
    "records": (InitFlags.POSIX_LOCKS, {}),
    "flock": (InitFlags.FLOCK_LOCKS, {}),
    "nothing": (InitFlags(0), {}),
    "no such calls": (LOCKS, {Opcode.SETLK: errno.ENOSYS, Opcode.SETLKW: errno.ENOSYS, Opcode.GETLK: errno.ENOSYS}),
    "no flush": (LOCKS, {Opcode.FLUSH: errno.ENOSYS}),
}


@needs_device
@pytest.mark.root
@pytest.mark.property
@pytest.mark.parametrize("case", CASES)
def test_any_program_of_lock_calls_asks_a_server_what_the_kernel_asks(case: str) -> None:
    flags, refusals = CASES[case]
    explore("locks over fuse", Comparison(LOCKING, partial(ours, flags, refusals), partial(theirs, flags, refusals)))


@pytest.mark.peer
@pytest.mark.property
def test_any_program_of_lock_calls_does_the_same_over_an_unmodified_server(tmp_path: Path) -> None:
    """passthrough_ll takes BSD locks on the files below it, and leaves record locks to us."""
    for name in FILES:
        (tmp_path / name).write_bytes(b"x" * 100)
    with (
        client(example("passthrough_ll"), "-o", f"source={tmp_path},flock") as fuse,
        kernel_locks.processes() as others,
    ):

        def ours(program: list[LockCall]) -> list[object]:
            answers = by_us(fuse, program)
            assert not fuse.vfs.locks.held
            return [without_pid(each) for each in answers]

        def theirs(programs: list[list[LockCall]]) -> list[list[object]]:
            return [[without_pid(each) for each in others.run(program)] for program in programs]

        explore("locks over fuse", Comparison(LOCKING, ours, theirs))


def flocked(path: Path, operation: int) -> int:
    """What another process is told that wants a BSD lock on the file itself, and gives it back."""
    words = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), int(sys.argv[2]) | fcntl.LOCK_NB)"
    ended = subprocess.run([sys.executable, "-c", words, path, str(operation)], stderr=subprocess.DEVNULL, check=False)
    return ended.returncode


@pytest.mark.peer
@pytest.mark.parametrize("command", ["passthrough_ll", "passthrough_fh"])
def test_another_process_sees_our_locks_and_we_see_its(command: str, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.touch()
    options = ["-o", f"source={tmp_path},flock"] if command == "passthrough_ll" else []
    name = "/f" if options else str(path)
    with client(example(command), *options) as fuse, fuse.open(name, os.O_RDWR) as file:
        locks = fuse.vfs.locks
        locks.flock(file, fcntl.LOCK_SH)
        assert (flocked(path, fcntl.LOCK_SH), flocked(path, fcntl.LOCK_EX)) == (0, 1)
        locks.flock(file, fcntl.LOCK_EX)
        assert flocked(path, fcntl.LOCK_SH) == 1
        with fuse.open(name) as second, raises(errno.EAGAIN):
            locks.flock(second, fcntl.LOCK_SH)
        locks.flock(file, fcntl.LOCK_UN)
        with path.open() as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            with raises(errno.EAGAIN):
                locks.flock(file, fcntl.LOCK_SH)
        locks.flock(file, fcntl.LOCK_EX)
        file.close()
        assert flocked(path, fcntl.LOCK_EX) == 0


@pytest.mark.peer
def test_a_lock_that_another_process_has_is_waited_for_and_given_up(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.touch()
    with client(example("passthrough_ll"), "-o", f"source={tmp_path},flock") as fuse, fuse.open("/f") as file:
        locks = fuse.vfs.locks
        with path.open() as other, ThreadPoolExecutor(1) as pool:
            fcntl.flock(other, fcntl.LOCK_EX)
            waiting = pool.submit(locks.flock, file, fcntl.LOCK_EX, timeout=60)
            while not has_waiter(path) and not waiting.done():
                time.sleep(0.001)
            # The server answers others meanwhile.
            assert fuse.listdir("/") == ["f"]
            fcntl.flock(other, fcntl.LOCK_UN)
            waiting.result()
        locks.flock(file, fcntl.LOCK_UN)
        with path.open() as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            with raises(errno.EAGAIN):
                locks.flock(file, fcntl.LOCK_EX, timeout=0.05)
            # The server takes no INTERRUPT and waits on. What it gets then is given back.
            assert fuse.listdir("/") == ["f"]
        while has_waiter(path):
            time.sleep(0.001)
        limit = time.monotonic() + 60
        while flocked(path, fcntl.LOCK_EX) and time.monotonic() < limit:
            fuse.stat("/f")
        assert flocked(path, fcntl.LOCK_EX) == 0


@pytest.mark.peer
def test_threads_that_count_under_a_servers_lock_count_right(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0")
    with client(example("passthrough_ll"), "-o", f"source={tmp_path},flock") as fuse:

        def count(_: int) -> None:
            for _ in range(20):
                with fuse.open("/f", os.O_RDWR) as file:
                    fuse.vfs.locks.flock(file, fcntl.LOCK_EX, timeout=60)
                    number = int(file.pread(10, 0))
                    file.pwrite(b"%d" % (number + 1), 0)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(count, range(4)))
        assert fuse.read("/f") == b"80"


def has_waiter(path: Path) -> bool:
    """Whether somebody waits for a lock of the file (/proc/locks)."""
    number = path.stat().st_ino
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and f":{number} " in line for line in lines)
