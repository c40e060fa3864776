"""A process with a terminal: keys, window size and control characters reach it through devproxy's own terminal."""

from __future__ import annotations

import ctypes
import fcntl
import os
import pty
import signal
import socket
import struct
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from devproxy.launch import launch
from devproxy.launch.terminal import raw_attributes
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
        deadline = time.monotonic() + 60
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


class UnderShell:
    """devproxy as the foreground job of a shell, which has the terminal and does no more than wait for it."""

    def __init__(self, master: int, shell: int) -> None:
        self.master = master
        self._shell = shell

    def kill(self) -> None:
        """Kill devproxy, as the kernel's killer of processes would, and wait until nothing of it is left."""
        job = psutil.Process(int.from_bytes(os.read(self._shell, 4), "big"))
        left = job.children()
        os.write(self._shell, b"k")
        assert os.read(self._shell, 1) == b"r"
        assert psutil.wait_procs(left, timeout=60)[1] == []

    def attributes(self) -> list[Any]:
        """The terminal's, which its master tells too (ioctl_tty(2))."""
        return termios.tcgetattr(self.master)

    def become(self, attributes: list[Any]) -> None:
        """Wait until the terminal has these attributes."""
        deadline = time.monotonic() + 60
        while self.attributes() != attributes:
            assert time.monotonic() < deadline, self.attributes()
            time.sleep(0.01)


@pytest.fixture
def under_shell(tmp_path: Path) -> Iterator[UnderShell]:
    """The container's process has said that it is there, and the terminal is raw."""
    rootfs = make_rootfs(tmp_path)
    ours, theirs = (end.detach() for end in socket.socketpair())
    child, master = pty.fork()
    if child == 0:
        os.close(ours)
        job = os.fork()
        if job == 0:
            os.close(theirs)
            os.setpgid(0, 0)
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            os.tcsetpgrp(0, os.getpid())
            with build(usual(rootfs), namespaces=new_namespaces("pid")) as root:
                launch(root, process=Process(("sh", "-c", "echo up; sleep 100"), env=(PATH,), terminal=True))
            os._exit(0)
        os.write(theirs, job.to_bytes(4, "big"))
        os.read(theirs, 1)
        os.kill(job, signal.SIGKILL)
        os.waitpid(job, 0)
        os.write(theirs, b"r")
        os.read(theirs, 1)  # a terminal loses its attributes with the process that leads its session
        os._exit(0)
    os.close(theirs)
    session = Session(master, child)
    session.until("up\r\n")
    yield UnderShell(master, ours)
    for descriptor in (ours, master):
        os.close(descriptor)
    os.waitpid(child, 0)


def test_the_terminal_is_given_back_when_devproxy_is_killed(under_shell: UnderShell) -> None:
    raw = under_shell.attributes()
    fresh_master, fresh = pty.openpty()
    before = termios.tcgetattr(fresh)
    os.close(fresh_master)
    os.close(fresh)
    assert raw != before
    under_shell.kill()
    under_shell.become(before)


def test_what_a_shell_has_made_of_its_terminal_by_then_stays(under_shell: UnderShell) -> None:
    own = under_shell.attributes()
    own[3] |= termios.ECHO
    termios.tcsetattr(under_shell.master, termios.TCSANOW, own)
    under_shell.kill()
    assert under_shell.attributes() == own


def _cfmakeraw(terminal: int) -> None:
    """tty.setraw clears other flags, from Python 3.12 on more of them."""
    library = ctypes.CDLL(None)
    attributes = ctypes.create_string_buffer(256)  # more than any struct termios
    assert library.tcgetattr(terminal, attributes) == 0
    library.cfmakeraw(attributes)
    assert library.tcsetattr(terminal, termios.TCSANOW, attributes) == 0


def test_raw_is_what_the_c_library_makes_of_it() -> None:
    masters, terminals = zip(*(pty.openpty() for _ in range(2)), strict=True)
    _cfmakeraw(terminals[0])
    raw = raw_attributes(termios.tcgetattr(terminals[1]))
    termios.tcsetattr(terminals[1], termios.TCSANOW, raw)
    assert termios.tcgetattr(terminals[1]) == raw == termios.tcgetattr(terminals[0])
    for descriptor in (*masters, *terminals):
        os.close(descriptor)
