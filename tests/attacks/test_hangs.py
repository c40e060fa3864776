"""A file system whose server never answers, in the way of everything that devproxy looks at: an interrupt ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import devproxy
from devproxy.linux.syscalls import check, libc
from tests.attacks.scene import Scene, scene
from tests.attacks.ways import MEMORY, NONE, OLDEST, Way

pytestmark = [pytest.mark.root, pytest.mark.newest]  # the oldest kernel is one of the ways
SOURCE = Path(devproxy.__file__).parents[1]
_DETACH = 2


@contextmanager
def silent(place: Path) -> Iterator[None]:
    """A fuse file system at `place` whose server says nothing; whoever waits for it is let go at the end."""
    server = os.open("/dev/fuse", os.O_RDWR)
    try:
        options = f"fd={server},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        check(libc.mount(b"silent", os.fsencode(place), b"fuse", 0, options))
        try:
            yield
        finally:
            check(libc.umount2(os.fsencode(place), _DETACH))
    finally:
        os.close(server)


def _root(made: Scene) -> Path:
    return made.rootfs


def _volume(made: Scene) -> Path:
    """/etc, in which passwd is looked up for the process once the root is built."""
    made.bind("/etc", made.volume)
    return made.volume


def _program(made: Scene) -> Path:
    made.bind("/programs", made.volume)
    made.config["process"]["args"] = ["/programs/one"]
    return made.volume


@pytest.mark.parametrize("way", [NONE, MEMORY, OLDEST], ids=lambda way: way.name)
@pytest.mark.parametrize("where", [_root, _volume, _program])
def test_an_interrupt_ends_it(where: object, way: Way) -> None:
    assert callable(where)
    with scene() as made:
        place = where(made)
        made.write()
        with silent(place):
            environment = {**os.environ, "DEVPROXY_KERNEL": way.kernel}
            words = [
                sys.executable,
                "-m",
                "devproxy",
                "run",
                str(made.bundle),
                *(f"--set={each}" for each in way.settings),
            ]
            running = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd=SOURCE,
            )
            try:
                until_it_waits(running.pid)
                running.send_signal(signal.SIGINT)
                _, err = running.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                running.kill()
                running.communicate()
                raise AssertionError("an interrupt does not end it") from None
            assert running.returncode == 130, err
            assert b"Traceback" not in err


def until_it_waits(pid: int) -> None:
    """Until a process of devproxy's waits for the file system: its kernel stack says so."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for each in (pid, *_below(pid)):
            try:
                if (
                    "fuse" in Path(f"/proc/{each}/stack").read_text()
                    or "request_wait" in Path(f"/proc/{each}/wchan").read_text()
                ):
                    return
            except OSError:
                continue
        time.sleep(0.02)
    raise AssertionError("nobody waits for the file system")


def _below(pid: int) -> Iterator[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from _below(child)
