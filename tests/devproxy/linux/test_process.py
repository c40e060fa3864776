"""What a process sets on itself, read back from where the kernel shows it."""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading

import pytest

from devproxy.linux import capabilities, namespaces, process
from tests.devproxy.linux.forked import in_child


def status(field: str) -> str:
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(line.split()[1] for line in file if line.startswith(field + ":"))


def test_signals_are_as_in_a_fresh_process() -> None:
    def work() -> list[str]:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        process.reset_signals()
        return [status(field) for field in ("SigBlk", "SigIgn", "SigCgt")]

    # Signals 32 and 33 are the C library's own.
    assert {int(value, 16) & ~(3 << 31) for value in in_child(work)} == {0}


def test_no_new_privileges_can_be_seen() -> None:
    def work() -> str:
        process.forbid_new_privileges()
        return status("NoNewPrivs")

    assert in_child(work) == "1"


def test_the_environment_keeps_order_and_duplicates() -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 1)
        process.execve("/usr/bin/env", ["env"], ["B=1", "A=2", "B=3", "odd"])
    os.close(writer)
    with open(reader, encoding="utf-8") as file:
        printed = file.read()
    os.waitpid(child, 0)
    assert printed.splitlines()[:3] == ["B=1", "A=2", "B=3"]


def test_a_nul_in_an_argument_is_refused() -> None:
    with pytest.raises(OSError) as caught:
        process.execve("/bin/true", ["a\0b"], [])
    assert caught.value.errno == errno.EINVAL


def test_a_signal_for_one_that_has_ended_is_an_error() -> None:
    child = os.fork()
    if child == 0:
        signal.pause()
    pidfd = os.pidfd_open(child)
    process.send_signal(pidfd, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        process.send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)


@pytest.mark.root
def test_the_child_dies_with_its_parent() -> None:
    reader, writer = os.pipe()
    parent = os.fork()
    if parent == 0:
        if os.fork() == 0:
            process.die_with_parent()
            os.write(writer, b"ready")
            signal.pause()
        signal.pause()
    os.close(writer)
    assert os.read(reader, 5) == b"ready"
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert os.read(reader, 1) == b"", "the pipe ends when the grandchild is gone"
    os.close(reader)


def test_names_and_numbers_of_capabilities_are_the_kernels() -> None:
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
        assert len(capabilities.NAMES) == int(file.read()) + 1
    assert capabilities.NUMBERS["CAP_SYS_ADMIN"] == 21
    assert capabilities.NUMBERS["CAP_SETFCAP"] == 31


@pytest.mark.root
def test_capability_sets_are_what_the_kernel_shows() -> None:
    kill, chown = capabilities.NUMBERS["CAP_KILL"], capabilities.NUMBERS["CAP_CHOWN"]

    def work() -> list[int]:
        capabilities.limit_bounding({kill, chown})
        capabilities.capset(capabilities.Sets(1 << kill, 1 << kill | 1 << chown, 1 << kill))
        capabilities.set_ambient([kill])
        return [int(status(field), 16) for field in ("CapBnd", "CapEff", "CapPrm", "CapInh", "CapAmb")]

    both = 1 << kill | 1 << chown
    assert in_child(work) == [both, 1 << kill, both, 1 << kill, 1 << kill]


@pytest.mark.root
def test_capget_reads_what_status_says() -> None:
    assert capabilities.capget() == tuple(int(status(field), 16) for field in ("CapEff", "CapPrm", "CapInh"))


@pytest.mark.root
def test_ambient_needs_inheritable() -> None:
    with pytest.raises(PermissionError):
        in_child(lambda: capabilities.set_ambient([capabilities.NUMBERS["CAP_KILL"]]))


@pytest.mark.root
def test_loopback_answers_in_a_new_network() -> None:
    def work() -> bool:
        namespaces.unshare(namespaces.CLONE["network"])
        namespaces.bring_up_loopback()
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen()
            socket.create_connection(server.getsockname()).close()
        return True

    assert in_child(work) is True


@pytest.mark.root
def test_names_belong_to_the_uts_namespace() -> None:
    def work() -> list[str]:
        namespaces.unshare(namespaces.CLONE["uts"])
        namespaces.sethostname("a-box")
        namespaces.setdomainname("a.domain")
        with open("/proc/sys/kernel/domainname", encoding="ascii") as file:
            return [os.uname().nodename, file.read().strip()]

    before = os.uname().nodename
    assert in_child(work) == ["a-box", "a.domain"]
    assert os.uname().nodename == before
    with pytest.raises(OSError) as caught:
        in_child(lambda: namespaces.sethostname("x" * 65))
    assert caught.value.errno == errno.EINVAL


@pytest.mark.root
def test_one_child_starts_a_pid_namespace_and_the_next_does_not() -> None:
    def work() -> list[int]:
        told = []
        with namespaces.ChildrenInNewPidNamespace() as new:
            told.append(_pid_of_child())
        assert new.entered
        return [*told, _pid_of_child()]

    first, second = in_child(work)
    assert first == 1
    assert second > 1


@pytest.mark.root
def test_other_threads_go_on_forking_where_they_are() -> None:
    def work() -> int:
        found: list[int] = []
        now = threading.Event()
        other = threading.Thread(target=lambda: found.append(_pid_of_child() if now.wait() else 0))
        other.start()
        with namespaces.ChildrenInNewPidNamespace():
            now.set()
            other.join()
        return found[0]

    assert in_child(work) > 1


def _pid_of_child() -> int:
    """What a new child's pid is to itself."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, str(os.getpid()).encode())
        os._exit(0)
    os.close(writer)
    told = int(os.read(reader, 20))
    os.close(reader)
    os.waitpid(child, 0)
    return told
