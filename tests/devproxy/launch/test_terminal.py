"""A process with a terminal: keys, window size and control characters reach it through devproxy's own terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devproxy.launch import launch
from devproxy.oci.spec import Process, User
from tests.devproxy.launch.rig import PATH, make_rootfs, usual
from tests.devproxy.targets_kernel.rig import build, new_namespaces

pytestmark = pytest.mark.root


class Session:
    """devproxy at the other end of a terminal."""

    def __init__(self, master: int, child: int) -> None:
        self.master = master
        self.child = child
        self.seen = ""

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def until(self, words: str) -> None:
        deadline = time.monotonic() + 10
        while words not in self.seen:
            assert time.monotonic() < deadline, self.seen
            try:
                self.seen += os.read(self.master, 4096).decode()
            except OSError:
                raise AssertionError(f"it ended, having said {self.seen!r}") from None
        self.seen = self.seen.partition(words)[2]

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def end(self) -> int:
        code = os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])
        self.child = 0
        return code


@pytest.fixture(params=[User(), User(77, 77)], ids=["root", "user"])
def session(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Session]:
    rootfs = make_rootfs(tmp_path)
    child, master = pty.fork()
    if child == 0:
        code = 99
        try:
            before = termios.tcgetattr(0)
            with build(usual(rootfs), namespaces=new_namespaces("pid")) as root:
                process = Process(("sh",), env=(PATH, "PS1=$ "), terminal=True, user=request.param)
                code = launch(root, process=process)
            if termios.tcgetattr(0) != before:
                code = 98
        finally:
            os._exit(code)
    session = Session(master, child)
    session.resize(33, 111)
    yield session
    os.close(master)
    if session.child:
        os.kill(session.child, signal.SIGKILL)
        os.waitpid(session.child, 0)


def test_a_session(session: Session) -> None:
    session.until("$ ")
    session.type("tty; echo of $((6*7))\r")
    session.until("/dev/pts/0\r\n")
    session.until("of 42\r\n")
    session.resize(44, 123)
    # The window is resized by a signal that devproxy gets.
    session.type("while [ \"$(stty size)\" != '44 123' ]; do sleep 0.02; done; echo resized$?\r")
    session.until("resized0\r\n")
    session.type("sleep 100; echo interrupted$?\r")
    time.sleep(0.2)
    session.type("\x03")
    session.type("echo still $((1+1))\r")
    session.until("still 2\r\n")
    session.type("ls -l /proc/self/fd/0; exit 7\r")
    session.until("/dev/pts/0")
    assert session.end() == 7


def test_the_end_of_devproxys_terminal_ends_nothing_else(session: Session) -> None:
    session.until("$ ")
    session.type("kill -9 $$; (sleep 0.05; echo late) & exit 3\r")
    session.until("exit 3")
    assert session.end() == 3


def test_without_a_terminal_it_gets_the_plain_streams(tmp_path: Path) -> None:
    from tests.devproxy.launch.rig import run

    ran = run(make_rootfs(tmp_path), "sh", "-c", "tty; exit 4", terminal=True)
    assert ran.code == 4
