"""Who ends everything that a job started if devproxy is killed, and holds the lease until it has.

    devproxy job
      guard                 a session of its own, every signal blocked, adopts orphans (PR_SET_CHILD_SUBREAPER)
        command             a session and process group of its own; killed with the guard (PR_SET_PDEATHSIG)
          ...               whatever that starts; who loses its parent becomes the guard's child

When devproxy dies, however it dies, the stream between the two ends. The guard then kills its children until none is left: each is
its own child and not waited for yet, so that its number is nobody else's. It has the lease's descriptors, so the devices are free
after that and not before: nobody is given a device that the remains of a killed job still use. The command's process is never waited
for while the job lives: its number, and its group's, stay its own, and a signal to the group reaches nobody else.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import time
from contextlib import suppress

from devproxy.linux.paths import LAST_DESCRIPTOR, close_range
from devproxy.linux.process import adopt_orphans, block_signals, die_with_parent, reset_signals
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final, NoReturn

# What the guard says: that the command runs (its pid), could not be executed (errno), has ended (code or signal).
RUNS: Final = 1
REFUSED: Final = 2
EXITED: Final = 3
KILLED: Final = 4
_MESSAGE: Final = struct.Struct("=ii")
_ERRNO: Final = struct.Struct("=i")
# Between two looks for what is left to kill, in seconds.
_FIRST_PAUSE: Final = 0.001
_LAST_PAUSE: Final = 0.25


class Start(Record):
    """What to start: the words, the environment, the descriptors that become 0, 1 and 2, and those that it inherits."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    streams: tuple[int, int, int]
    inherited: tuple[int, ...]


class Guard:
    """The guard's process, as devproxy sees it."""

    def __init__(self, start: Start) -> None:
        """Errors: OSError when there can be no further process."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        mask = block_signals()
        try:
            self.pid = os.fork()
            if self.pid == 0:
                ours.close()
                _guard(theirs, start)
        except OSError:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            theirs.close()
        self._end = ours

    def fileno(self) -> int:
        """For poll(2): something was said."""
        return self._end.fileno()

    def read(self) -> tuple[int, int] | None:
        """What it said: one of the numbers above, and what belongs to it. None when it was killed."""
        try:
            data = self._end.recv(_MESSAGE.size)
        except ConnectionResetError:
            return None
        return _MESSAGE.unpack(data) if data else None

    def signal(self, number: int) -> None:
        """Send a signal to the command's process group."""
        try:
            self._end.send(_ERRNO.pack(number), socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError):
            return  # the guard was killed, and the command with it

    def finish(self, seconds: float) -> bool:
        """Let it end what is left, and itself. False when it has not within `seconds`: something cannot be killed."""
        self._end.close()
        pidfd = os.pidfd_open(self.pid)
        try:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            if not poll.poll(seconds * 1000):
                return False
        finally:
            os.close(pidfd)
        os.waitpid(self.pid, 0)
        return True


def children_of(parent: int) -> list[int]:
    """The processes whose parent is `parent`, zombies too, by /proc/PID/stat (proc_pid_stat(5), field 4)."""
    return [pid for pid, its in _parents() if its == parent]


def descendants_of(ancestor: int) -> frozenset[int]:
    """The processes that descend from `ancestor`."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    pending, found = [ancestor], set()
    while pending:
        below = [pid for pid in children.get(pending.pop(), []) if pid not in found]
        found.update(below)
        pending += below
    return frozenset(found)


def _parents() -> list[tuple[int, int]]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    # The name in parentheses may have any character; what follows its last one has none of them.
                    found.append((int(name), int(file.read().rpartition(b")")[2].split()[1])))
            except (OSError, IndexError):
                continue  # it has ended meanwhile
    return found


# in the guard's process


def _guard(end: socket.socket, start: Start) -> NoReturn:
    try:
        os.setsid()
        adopt_orphans()
        command = _start(end, start)
        _let_go(end.fileno(), start.inherited)
        if command is not None:
            _watch(end, command)
        _end_all(command)
    finally:
        os._exit(0)


def _let_go(end: int, inherited: tuple[int, ...]) -> None:
    """Keep the stream and the lease, and nothing else: whoever reads devproxy's output must not wait for what cannot be killed."""
    try:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        null = os.memfd_create("null")  # a chroot without one: nothing is written there in any case
    for number in range(3):
        os.dup2(null, number)
    first = 3
    for kept in sorted((end, *inherited)):
        close_range(first, kept - 1)
        first = kept + 1
    close_range(first, LAST_DESCRIPTOR)


def _start(end: socket.socket, start: Start) -> int | None:
    """Start the command and say so; None if it could not be executed."""
    reader, writer = os.pipe()
    guard = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(start, writer, guard)
    os.close(writer)
    told = os.read(reader, _ERRNO.size)
    os.close(reader)
    if told:
        os.waitpid(pid, 0)
        _say(end, REFUSED, *_ERRNO.unpack(told))
        return None
    _say(end, RUNS, pid)
    return pid


def _become(start: Start, writer: int, guard: int) -> NoReturn:
    try:
        die_with_parent()
        if os.getppid() != guard:
            os._exit(1)  # it died before it could be told
        os.setsid()
        streams = [os.dup(descriptor) for descriptor in start.streams]  # none of them is one of those that they become
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        for descriptor in start.inherited:
            os.set_inheritable(descriptor, True)  # noqa: FBT003 (os has it so)
        reset_signals()
        os.execvpe(start.argv[0], start.argv, start.environment)  # noqa: S606 (what the job is for)
    except OSError as error:
        os.write(writer, _ERRNO.pack(error.errno or 0))
    finally:
        os._exit(127)


def _watch(end: socket.socket, command: int) -> None:
    """Wait for devproxy's end; meanwhile pass signals on, tell when the command ends, and bury adopted orphans."""
    wake, wakes = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGCHLD,))
    os.write(wakes, b"\0")  # one that has ended before the handler was there
    poll = select.poll()
    poll.register(end, select.POLLIN)
    poll.register(wake, select.POLLIN)
    told = False
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if wake in ready:
            os.read(wake, 4096)
            told = _look(end, command, told=told)
        if end.fileno() in ready:
            asked = _hear(end)
            if not asked:
                return
            try:
                os.killpg(command, asked)  # never waited for, so the number is still its own
            except (ProcessLookupError, PermissionError):
                continue  # nobody is left in the group, or all that is left is another user's by now


def _hear(end: socket.socket) -> int:
    """The signal to pass on; 0 at the end of the stream."""
    try:
        data = end.recv(_ERRNO.size)
    except ConnectionResetError:
        return 0
    return int(_ERRNO.unpack(data)[0]) if data else 0


def _look(end: socket.socket, command: int, *, told: bool) -> bool:
    """Tell of the command's end, once; bury the others."""
    for pid in _children():
        if pid != command:
            os.waitpid(pid, os.WNOHANG)
    ended = None if told else os.waitid(os.P_PID, command, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is not None:
        _say(end, EXITED if ended.si_code == os.CLD_EXITED else KILLED, ended.si_status)
    return told or ended is not None


def _say(end: socket.socket, what: int, number: int) -> None:
    try:
        end.send(_MESSAGE.pack(what, number), socket.MSG_NOSIGNAL)
    except OSError:
        return  # devproxy is gone: the stream's end says so next


def _end_all(command: int | None) -> None:
    """Kill the children, then those that become children by that, until there are none. One that waits in the kernel for a driver,
    or is another user's by now, is waited for: the lease lasts as long.
    """
    pause = _FIRST_PAUSE
    if command is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(command, signal.SIGKILL)  # most of them at once
    while True:
        for pid in _children():
            with suppress(PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pause = _FIRST_PAUSE
        except ChildProcessError:
            return
        time.sleep(pause)
        pause = min(pause * 2, _LAST_PAUSE)


def _children() -> list[int]:
    """This process's children. What the kernel tells of them at once may lack one while others end (proc_pid_task(5)): the next look has
    it. Where it tells nothing (CONFIG_PROC_CHILDREN) all processes are looked through.
    """
    own = os.getpid()
    try:
        with open(f"/proc/{own}/task/{own}/children", "rb") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return children_of(own)
