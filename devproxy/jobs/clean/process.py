"""Processes, each known by its number and its start time, and signals that reach no other.

What is read of one is read through its directory in /proc, held open: the kernel answers ESRCH there once the process has ended, also
when its number is another's by then (proc(5)).
"""

from __future__ import annotations

import os
import stat

from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Final, Self
else:
    import _signal as signal

_GONE: Final = (FileNotFoundError, ProcessLookupError, NotADirectoryError)
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MOST: Final = 8 << 20
_LONGEST: Final = 64 << 10
_ENDED: Final = "ZXx"
# include/linux/sched.h, PF_KTHREAD: a thread of the kernel's own, in field 9 of proc_pid_stat(5).
_KERNEL_THREAD: Final = 0x00200000


class Identity(Record):
    """Which process: a number is given again, a number with a start time (in clock ticks since boot) is not."""

    pid: int
    started: int


class Seen(Record):
    """What was seen of a process: who it is, its name and state (`R`, `S`, `T`, ...), its parent's number, its real, effective,
    saved and file system users, and its numbers in its pid namespaces, the outer first (NSpid).
    """

    identity: Identity
    name: str
    state: str
    parent: int
    uids: tuple[int, ...]
    numbers: tuple[int, ...]

    def describe(self) -> str:
        """`python3 (pid 7)`."""
        return f"{self.name} (pid {self.identity.pid})"

    def is_wholly(self, uid: int) -> bool:
        """Whether it is that user's and nobody else's in part, as a set-user-ID program is."""
        return set(self.uids) == {uid}


class Hidden(Exception):
    """Something of a process that may not be read."""


class Process:
    """A process, open for reading: a context manager. One whose first thread has ended lives on in the others, and is read through
    one of those: the first one's directory has neither descriptors nor environment any more.

    Errors: ProcessLookupError, here and wherever something is read, once it has ended.
    """

    def __init__(self, pid: int, proc: str = "/proc") -> None:
        try:
            self._directory = os.open(f"{proc}/{pid}", _DIRECTORY)
        except _GONE:
            raise ProcessLookupError(pid) from None
        self._through = ""
        self.is_of_the_kernel = False
        try:
            self.seen = self._look(pid)
            if self.seen.state in _ENDED:
                self._through = self._living_thread()
        except BaseException:
            os.close(self._directory)
            raise

    @property
    def has_ended(self) -> bool:
        """Whether it only waits for its parent to notice."""
        return self.seen.state in _ENDED and not self._through

    def read(self, name: str) -> bytes:
        """One of its files, whole (`environ`, `maps`, `cgroup`).

        Errors: Hidden where that may not be read.
        """
        return self._read(self._through + name)

    def _read(self, name: str) -> bytes:
        try:
            with open(os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory), "rb") as file:
                return file.read(_MOST)
        except _GONE:
            raise ProcessLookupError(name) from None
        except PermissionError:
            raise Hidden(name) from None

    def variables(self, name: str) -> frozenset[str]:
        """The values of a variable in the environment that it began with: one, as a rule (proc_pid_environ(5)). Errors: Hidden."""
        start = name.encode() + b"="
        lines = self.read("environ").split(b"\0")
        return frozenset(os.fsdecode(line[len(start) :]) for line in lines if line.startswith(start))

    def inode(self, number: str) -> tuple[int, int] | None:
        """Device and inode of what a descriptor is open on; None when it is closed by now."""
        try:
            found = os.stat(f"{self._through}fd/{number}", dir_fd=self._directory)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def content(self, number: str) -> bytes:
        """The beginning of the regular file that a descriptor is open on, by which it is not moved; empty of what is none."""
        try:
            if not stat.S_ISREG(os.stat(f"{self._through}fd/{number}", dir_fd=self._directory).st_mode):
                return b""
            return self._read(f"{self._through}fd/{number}")[:_LONGEST]
        except (OSError, Hidden):
            return b""

    def descriptors(self) -> Iterator[tuple[str, str, bytes]]:
        """Each of its descriptors: its number, where its link leads, and what the kernel says of it (proc_pid_fdinfo(5)). Nothing is
        followed, so that no dead file server can hang this. Errors: Hidden.
        """
        try:
            links = os.open(f"{self._through}fd", _DIRECTORY, dir_fd=self._directory)
        except _GONE:
            raise ProcessLookupError(self.seen.identity.pid) from None
        except PermissionError:
            raise Hidden("fd") from None
        try:
            for number in os.listdir(links):
                try:
                    yield number, os.readlink(number, dir_fd=links), self.read(f"fdinfo/{number}")
                except OSError:
                    continue  # closed meanwhile
        except PermissionError:
            raise Hidden("fd") from None
        finally:
            os.close(links)

    def parent(self) -> int:
        """Its parent's number now."""
        return self._look(self.seen.identity.pid).parent

    def _living_thread(self) -> str:
        """Where the files of a thread that has not ended are; empty where all have."""
        try:
            threads = os.listdir(f"/proc/self/fd/{self._directory}/task")
        except _GONE:
            return ""
        for thread in threads:
            state = self._read(f"task/{thread}/stat").rpartition(b")")[2].split()[0].decode()
            if state not in _ENDED:
                return f"task/{thread}/"
        return ""

    def _look(self, pid: int) -> Seen:
        before, _, after = self._read("stat").decode("utf-8", "backslashreplace").rpartition(")")
        words = after.split()
        self.is_of_the_kernel = bool(int(words[6]) & _KERNEL_THREAD)
        # There are hundreds of the kernel's, of which nothing else is wanted.
        status = b"" if self.is_of_the_kernel else self._read("status")
        name = before.partition("(")[2]
        uids, numbers = _numbers(status, b"\nUid:"), _numbers(status, b"\nNSpid:")
        return Seen(Identity(pid, int(words[19])), name, words[0], int(words[1]), uids, numbers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._directory)


def _numbers(status: bytes, field: bytes) -> tuple[int, ...]:
    return tuple(map(int, status.partition(field)[2].partition(b"\n")[0].split()))


def every(proc: str = "/proc") -> Iterator[Process]:
    """Each process, open while it is looked at. Those that have ended and only wait for their parents, and the kernel's own, are
    none. The newest come first: one that makes another and ends is seen before it has.
    """
    for name in sorted((name for name in os.listdir(proc) if name.isdigit()), key=int, reverse=True):
        try:
            with Process(int(name), proc) as process:
                if not process.has_ended and not process.is_of_the_kernel:
                    yield process
        except ProcessLookupError:
            continue


def is_alive(identity: Identity) -> bool:
    """Whether that very process has not ended."""
    try:
        with Process(identity.pid) as process:
            return process.seen.identity == identity and not process.has_ended
    except ProcessLookupError:
        return False


def send(identity: Identity, number: int) -> bool:
    """Send a signal to that very process. Returns whether it was there to get it.

    The number is bound to a descriptor first (pidfd_open(2)) and looked at afterwards: if the process that has it now is the one
    that is meant, it had it when the descriptor was made.

    Errors: PermissionError.
    """
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return False
    try:
        if not is_alive(identity):
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def ancestors(pid: int) -> frozenset[int]:
    """A process's own number, its parent's, and so on up to the first."""
    found = []
    while pid > 0 and pid not in found:
        found.append(pid)
        try:
            with Process(pid) as process:
                pid = process.seen.parent
        except (ProcessLookupError, Hidden):
            break
    return frozenset(found)
