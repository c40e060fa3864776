"""Locks where waiting is: what is waited for, circles, who closes meanwhile. Answers without waiting are compared with the kernel's."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from tests.vfs.world import World, raises
from vfs import File, FileLock, LockOwner

ONE, OTHER = LockOwner("one", 1), LockOwner("other", 2)
WRITE = FileLock(fcntl.F_WRLCK, length=10)
BEHIND = FileLock(fcntl.F_WRLCK, start=10, length=10)
UNLOCK = FileLock(fcntl.F_UNLCK)
PATIENCE = 20.0
"""More than any machine needs; no test passes by waiting for it."""


def opened(world: World) -> File:
    return world.open("/f", os.O_RDWR | os.O_CREAT)


def wait_until_waiting(world: World, count: int) -> None:
    # Between looking and waiting the lock is held: once the waiter is seen to wait, it does.
    while True:
        with world.vfs.lock:
            if len(world.vfs.locks.waiting) >= count:
                return
        threading.Event().wait(0.001)


def in_thread(pool: ThreadPoolExecutor, call: Callable[[], None]) -> Future[None]:
    return pool.submit(call)


def test_a_wait_ends_when_the_lock_goes(world: World) -> None:
    locks = world.vfs.locks
    with opened(world) as file, ThreadPoolExecutor(1) as pool:
        locks.set(file, WRITE, ONE)
        waiting = in_thread(pool, lambda: locks.set(file, WRITE, OTHER, timeout=PATIENCE))
        wait_until_waiting(world, 1)
        # The lock of the VFS is free meanwhile.
        world.mkdir("/made")
        locks.set(file, UNLOCK, ONE)
        waiting.result()
        with raises(errno.EAGAIN):
            locks.set(file, WRITE, ONE)


def test_a_wait_that_is_too_long_is_eagain(world: World) -> None:
    locks = world.vfs.locks
    with opened(world) as file, opened(world) as second:
        locks.set(file, WRITE, ONE)
        locks.flock(file, fcntl.LOCK_EX)
        with raises(errno.EAGAIN):
            locks.set(file, WRITE, OTHER, timeout=0.001)
        with raises(errno.EAGAIN):
            locks.flock(second, fcntl.LOCK_SH, timeout=0.001)
        assert not locks.waiting


def test_owners_that_wait_for_each_other_are_told(world: World) -> None:
    locks = world.vfs.locks
    with opened(world) as file, ThreadPoolExecutor(1) as pool:
        locks.set(file, WRITE, ONE)
        locks.set(file, BEHIND, OTHER)
        waiting = in_thread(pool, lambda: locks.set(file, BEHIND, ONE, timeout=PATIENCE))
        wait_until_waiting(world, 1)
        with raises(errno.EDEADLK):
            locks.set(file, WRITE, OTHER, timeout=PATIENCE)
        with raises(errno.EAGAIN):
            locks.set(file, WRITE, OTHER)
        locks.close(file, OTHER)
        waiting.result()


def test_open_file_descriptions_wait_in_circles_unnoticed(world: World) -> None:
    locks = world.vfs.locks
    with opened(world) as file, opened(world) as second, ThreadPoolExecutor(1) as pool:
        locks.set(file, WRITE)
        locks.set(second, BEHIND)
        waiting = in_thread(pool, lambda: locks.set(file, BEHIND, timeout=PATIENCE))
        wait_until_waiting(world, 1)
        with raises(errno.EAGAIN):
            locks.set(second, WRITE, timeout=0.001)
        second.close()
        waiting.result()


def test_a_file_closed_while_it_waits_gets_no_lock(world: World) -> None:
    locks = world.vfs.locks
    with opened(world) as file, opened(world) as second, ThreadPoolExecutor(1) as pool:
        locks.flock(file, fcntl.LOCK_EX)
        waiting = in_thread(pool, lambda: locks.flock(second, fcntl.LOCK_EX, timeout=PATIENCE))
        wait_until_waiting(world, 1)
        second.close()
        with raises(errno.EBADF):
            waiting.result()


def test_the_last_close_drops_what_was_locked_through_it(world: World) -> None:
    locks = world.vfs.locks
    with opened(world) as file:
        locks.set(file, WRITE, ONE)
        locks.set(file, BEHIND)
        locks.flock(file, fcntl.LOCK_SH)
    assert not locks.held


def test_threads_that_count_under_a_lock_count_right(world: World) -> None:
    locks = world.vfs.locks
    world.write("/f", b"0")

    def count(_: int) -> None:
        for _ in range(30):
            with opened(world) as file:
                locks.flock(file, fcntl.LOCK_EX, timeout=PATIENCE)
                number = int(file.pread(10, 0))
                file.pwrite(b"%d" % (number + 1), 0)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))
    assert world.read("/f") == b"120"
    assert not locks.held
