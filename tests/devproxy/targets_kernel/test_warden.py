"""A warden by itself; tests/devproxy/launch/test_warden.py has one beside a container's process."""

from __future__ import annotations

import errno
import os
import select
import signal
import time
from collections.abc import Iterator

import pytest

from devproxy.targets.kernel import builder
from devproxy.targets.kernel.warden import Warden
from tests.devproxy.targets_kernel.rig import build, tmpfs_root


@pytest.fixture
def sleeper() -> Iterator[int]:
    """A process that does nothing, by its descriptor. It has no other end of anything open."""
    pid = os.fork()
    if pid == 0:
        os.closerange(3, 1024)
        time.sleep(60)
        os._exit(0)
    pidfd = os.pidfd_open(pid)
    yield pidfd
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(pidfd)


def has_ended(pidfd: int, patience: float) -> bool:
    return bool(select.select([pidfd], [], [], patience)[0])


def dies_with(sleeper: int, *, told: bool) -> bool:
    """Whether the process dies with another one that has a warden."""
    owner = os.fork()
    if owner == 0:
        warden = Warden()
        if told:
            warden.watch(sleeper)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(owner, 0)
    return has_ended(sleeper, 10 if told else 0.3)


def test_it_kills_what_it_was_told_of(sleeper: int) -> None:
    assert dies_with(sleeper, told=True)


def test_it_kills_nothing_that_it_was_not_told_of(sleeper: int) -> None:
    assert not dies_with(sleeper, told=False)


def test_one_that_is_dismissed_kills_nothing(sleeper: int) -> None:
    warden = Warden()
    warden.watch(sleeper)
    warden.dismiss()
    warden.reap()
    assert not has_ended(sleeper, 0.1)


@pytest.mark.root
def test_without_a_warden_there_is_no_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """The builder is dropped, and signals reach the caller again."""

    def refuse() -> Warden:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(builder, "Warden", refuse)
    with pytest.raises(BlockingIOError):
        build(tmpfs_root)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
