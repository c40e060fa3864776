"""Locks that a server keeps: waiting for them, giving them up, what ends them, and answers that cannot be.

What is asked without waiting is compared with the kernel's client in tests/differential/fuse/test_locks.py.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.vfs.fuse.fake import Answer, Client, Raw, mounted, packet
from tests.vfs.fuse.keeper import Keeper
from tests.vfs.world import raises
from vfs import File, FileLock, LockOwner
from vfs.abi import MAX_FILE_SIZE
from vfs.fuse.abi import LK_FLOCK, RELEASE_FLOCK_UNLOCK, InitFlags, Opcode
from vfs.fuse.records import FLUSH_IN, INTERRUPT_IN, LK_IN, LK_OUT, RELEASE_IN, InHeader, LkIn

ONE, OTHER = LockOwner("one", 1), LockOwner("other", 2)
WRITE = FileLock(fcntl.F_WRLCK, start=5, length=10)
PATIENCE = 20.0
"""More than any machine needs; no test passes by waiting for it."""
SOON = 0.05


class Slow(Keeper):
    """Answers SETLKW when it is told to. `asked` says that one came."""

    def __init__(self, flags: int = 0xFFFF_FFFF) -> None:
        self.asked_for = threading.Event()
        self.pending: list[int] = []
        super().__init__(flags=flags)

    def on_setlkw(self, header: InHeader, payload: bytes) -> Answer:
        self.pending.append(header.unique)
        self.asked_for.set()
        return None

    def say(self, error: int = 0) -> None:
        self._socket.send(packet(self.pending.pop(0), error=-error))

    def obey(self, header: InHeader, payload: bytes) -> Raw:
        assert INTERRUPT_IN.unpack(payload) == self.pending[0]
        return Raw((packet(self.pending.pop(0), error=-errno.EINTR),))

    def heard(self, *opcodes: Opcode) -> list[bytes]:
        return [payload for opcode, _, payload in self.log if opcode in opcodes]

    def locked(self, opcode: Opcode) -> list[LkIn]:
        return [LK_IN.unpack(payload) for payload in self.heard(opcode)]


@pytest.fixture
def server() -> Slow:
    return Slow()


def waiting(pool: ThreadPoolExecutor, client: Client, server: Slow, file: File) -> Future[None]:
    """A call that waits until the server has something to say."""
    found = pool.submit(client.vfs.locks.set, file, WRITE, ONE, timeout=PATIENCE)
    assert server.asked_for.wait(60)
    return found


@pytest.mark.parametrize("number", [0, errno.EDEADLK, errno.EINTR, errno.EAGAIN])
def test_others_are_served_while_somebody_waits(server: Slow, number: int) -> None:
    with mounted(server) as client, client.open("/a", os.O_RDWR) as file, ThreadPoolExecutor(1) as pool:
        result = waiting(pool, client, server, file)
        client.stat("/b")
        client.vfs.locks.flock(file, fcntl.LOCK_EX)
        assert not result.done()
        server.say(number)
        if number:
            with raises(number):
                result.result()
        else:
            result.result()
        (asked,) = server.locked(Opcode.SETLKW)
        assert (asked.start, asked.end, asked.type, asked.pid, asked.lk_flags) == (5, 14, fcntl.F_WRLCK, 1, 0)
        assert not server.heard(Opcode.INTERRUPT)


def test_an_answer_that_comes_to_somebody_else_is_passed_on(server: Slow) -> None:
    def both(header: InHeader, payload: bytes) -> Raw:
        granted, server.answers[Opcode.STATFS] = server.pending.pop(0), server.on_statfs
        statfs = server.on_statfs(header, payload)
        assert isinstance(statfs, bytes)
        return Raw((packet(granted), packet(header.unique, statfs)))

    server.answers[Opcode.STATFS] = both
    with mounted(server) as client, client.open("/a", os.O_RDWR) as file, ThreadPoolExecutor(1) as pool:
        result = waiting(pool, client, server, file)
        client.fs.statfs()
        result.result()


def test_nobody_waits_unless_told_to(server: Slow) -> None:
    with mounted(server) as client, client.open("/a", os.O_RDWR) as file:
        client.vfs.locks.set(file, WRITE, ONE)
        with raises(errno.EAGAIN):
            client.vfs.locks.set(file, WRITE, OTHER)
        client.vfs.locks.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB, timeout=PATIENCE)
        assert not server.heard(Opcode.SETLKW)


def test_who_has_waited_too_long_interrupts(server: Slow) -> None:
    server.answers[Opcode.INTERRUPT] = server.obey
    with mounted(server) as client, client.open("/a", os.O_RDWR) as file:
        with raises(errno.EAGAIN):
            client.vfs.locks.set(file, WRITE, ONE, timeout=SOON)
        with raises(errno.EAGAIN):
            client.vfs.locks.flock(file, fcntl.LOCK_SH, timeout=SOON)
        client.stat("/b")
        assert [each.lk_flags for each in server.locked(Opcode.SETLKW)] == [0, LK_FLOCK]
        assert len(server.heard(Opcode.INTERRUPT)) == 2


@pytest.mark.parametrize("number", [0, errno.EINTR])
def test_a_lock_that_comes_too_late_is_given_back(server: Slow, number: int) -> None:
    with mounted(server) as client, client.open("/a", os.O_RDWR) as file:
        client.fs.connection.timeout = SOON
        with raises(errno.EAGAIN):
            client.vfs.locks.set(file, WRITE, ONE, timeout=SOON)
        client.fs.connection.timeout = PATIENCE
        server.say(number)
        client.stat("/b")
        (asked,) = server.locked(Opcode.SETLKW)
        given_back = asked._replace(type=fcntl.F_UNLCK, pid=0)
        assert server.locked(Opcode.SETLK) == ([] if number else [given_back])


class Enough(Exception):
    """What a signal's handler raises."""


def test_a_signals_handler_that_takes_over_leaves_no_lock(server: Slow) -> None:
    def handler(number: int, frame: object) -> None:
        raise Enough

    with mounted(server) as client, client.open("/a", os.O_RDWR) as file:
        before = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, SOON)
            with pytest.raises(Enough):
                client.vfs.locks.set(file, WRITE, ONE, timeout=PATIENCE)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        server.say()
        client.stat("/b")
        assert len(server.heard(Opcode.INTERRUPT)) == 1
        assert [each.type for each in server.locked(Opcode.SETLK)] == [fcntl.F_UNLCK]


def test_nothing_is_given_back_through_a_handle_that_is_no_more(server: Slow) -> None:
    with mounted(server) as client:
        with client.open("/a", os.O_RDWR) as file:
            client.fs.connection.timeout = SOON
            with raises(errno.EAGAIN):
                client.vfs.locks.set(file, WRITE, ONE, timeout=SOON)
            client.fs.connection.timeout = PATIENCE
        server.say()
        client.stat("/b")
        assert not server.heard(Opcode.SETLK)


def test_a_file_closed_while_it_waits_gets_no_lock(server: Slow) -> None:
    with mounted(server) as client, ThreadPoolExecutor(1) as pool:
        file = client.open("/a", os.O_RDWR)
        result = waiting(pool, client, server, file)
        file.close()
        with raises(errno.EBADF):
            result.result()
        server.say()
        client.stat("/b")
        order = [opcode for opcode, _, _ in server.log if opcode in {Opcode.INTERRUPT, Opcode.SETLK, Opcode.RELEASE}]
        assert order == [Opcode.INTERRUPT, Opcode.RELEASE]


def test_a_connection_that_ends_fails_who_waits(server: Slow) -> None:
    with mounted(server) as client, ThreadPoolExecutor(1) as pool:
        file = client.open("/a", os.O_RDWR)
        result = waiting(pool, client, server, file)
        server.die()
        with raises(errno.ECONNABORTED):
            result.result()
        with raises(errno.ENOTCONN):
            client.vfs.locks.flock(file, fcntl.LOCK_EX, timeout=PATIENCE)
        with raises(errno.ENOTCONN):
            file.close()


def test_the_last_close_ends_what_was_locked_through_it(server: Slow) -> None:
    with mounted(server) as client:
        locks = client.vfs.locks
        with client.open("/a", os.O_RDWR) as file, client.open("/b", os.O_RDWR) as second:
            locks.set(file, WRITE, ONE)
            locks.set(second, WRITE, ONE)
            locks.set(file, WRITE._replace(start=50), OTHER)
            locks.set(file, WRITE._replace(start=80))
            locks.flock(file, fcntl.LOCK_SH)
            one, again, other, own, flocked = (each.owner for each in server.locked(Opcode.SETLK))
            assert one == again
            assert own == flocked
            assert len({one, other, own}) == 3
            server.log.clear()
            file.close()
            assert {FLUSH_IN.unpack(each).lock_owner for each in server.heard(Opcode.FLUSH)} == {one, other}
            (unlocked,) = server.locked(Opcode.SETLK)
            assert (unlocked.owner, unlocked.start, unlocked.end) == (own, 0, MAX_FILE_SIZE)
            (released,) = (RELEASE_IN.unpack(each) for each in server.heard(Opcode.RELEASE))
            assert (released.release_flags, released.lock_owner) == (RELEASE_FLOCK_UNLOCK, own)
            # It is the same owner still, for it has locked the other file.
            locks.set(second, WRITE, ONE)
            assert server.locked(Opcode.SETLK)[-1].owner == one
        assert not server.world.vfs.locks.held


def test_each_flush_of_a_last_close_is_made_and_the_handle_given_back(server: Slow) -> None:
    server.answers[Opcode.FLUSH] = lambda *_: errno.EDQUOT
    with mounted(server) as client:
        file = client.open("/a", os.O_RDWR)
        client.vfs.locks.set(file, FileLock(fcntl.F_RDLCK), ONE)
        client.vfs.locks.set(file, FileLock(fcntl.F_RDLCK), OTHER)
        with raises(errno.EDQUOT):
            file.close()
        assert server.asked()[-3:] == ["FLUSH", "FLUSH", "RELEASE"]


@pytest.mark.parametrize(
    "answer",
    [
        LK_OUT.pack(5, 4, fcntl.F_WRLCK, 1),
        LK_OUT.pack(0, MAX_FILE_SIZE + 1, fcntl.F_WRLCK, 1),
        LK_OUT.pack(MAX_FILE_SIZE + 1, MAX_FILE_SIZE + 2, fcntl.F_RDLCK, 1),
        LK_OUT.pack(0, 5, 3, 1),
        b"",
        bytes(LK_OUT.size + 1),
    ],
)
def test_locks_that_cannot_be(server: Slow, answer: bytes) -> None:
    server.answers[Opcode.GETLK] = lambda *_: answer
    with mounted(server) as client, client.open("/a", os.O_RDWR) as file, raises(errno.EIO):
        client.vfs.locks.get(file, WRITE, ONE)


def test_the_lock_in_the_way_is_told(server: Slow) -> None:
    with mounted(server) as client, client.open("/a", os.O_RDWR) as file:
        locks = client.vfs.locks
        locks.set(file, WRITE, OTHER)
        assert locks.get(file, FileLock(fcntl.F_RDLCK), ONE) == FileLock(fcntl.F_WRLCK, os.SEEK_SET, 5, 10, 2)
        # As Linux: of whom an open file description asks, it cannot say whose it is.
        assert locks.get(file, FileLock(fcntl.F_RDLCK)).pid == -1
        wanted = FileLock(fcntl.F_WRLCK, os.SEEK_END, -3, 2, 7)
        assert locks.get(file, wanted, ONE) == wanted._replace(type=fcntl.F_UNLCK)


def test_a_server_from_before_flock_keeps_both_kinds_or_none() -> None:
    for flags, asked in ((InitFlags.POSIX_LOCKS, 1), (InitFlags.FLOCK_LOCKS, 0)):
        server = Slow(int(flags))
        server.init = server.init._replace(minor=16, flags=int(flags & InitFlags.POSIX_LOCKS))
        with mounted(server) as client, client.open("/a", os.O_RDWR) as file:
            client.vfs.locks.flock(file, fcntl.LOCK_EX)
            assert len(server.heard(Opcode.SETLK)) == asked


def test_directories_are_locked_here(server: Slow) -> None:
    with mounted(server) as client, client.open("/", os.O_DIRECTORY) as one, client.open("/", os.O_DIRECTORY) as other:
        client.vfs.locks.flock(one, fcntl.LOCK_EX)
        with raises(errno.EAGAIN):
            client.vfs.locks.flock(other, fcntl.LOCK_SH)
        assert not server.heard(Opcode.SETLK)
