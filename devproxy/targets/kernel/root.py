"""A root on the kernel, seen from outside through one descriptor, and the process that holds it."""

from __future__ import annotations

import errno
import os
import stat

from devproxy.errors import DevproxyError
from devproxy.linux.mountinfo import MountLine, parse_line
from devproxy.linux.paths import above_stdio
from devproxy.linux.process import send_signal
from devproxy.linux.syscalls import about
from devproxy.targets.kernel.channel import Channel, Message
from devproxy.targets.kernel.failure import from_json
from devproxy.targets.kernel.look import Looker
from devproxy.targets.kernel.warden import Warden
from devproxy.targets.root import Kept
from devproxy.targets.rootless import Rootless

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from types import TracebackType
    from typing import IO, Any, Final, Self

    from devproxy.linux.paths import Opener
else:
    import _signal as signal  # the enumerations around it take longer to load than a root to build

_CHUNK: Final = 1 << 16
_MOST_LINKS: Final = 40  # path_resolution(7)
_PLAIN: Final = str.maketrans({"b": None, "t": None, "x": "w"})  # what an open descriptor has still to be told


class KernelRoot:
    """A `Root` that a builder made and holds: when the builder ends, everything vanishes.

    `pid` is the process that will become the container's; `outcomes` is what the builder's work returned; `rootless`
    says what it lacked, if it had no privileges. Nothing here opens a device, and every path is resolved inside the
    root, whoever changes it meanwhile. Owners are told as the host sees them.

    Concurrency: none of its own; it belongs to the thread that built it.
    """

    def __init__(
        self, channel: Channel, child: int, opener: Opener, *, simulated: bool, rootless: Rootless | None = None
    ) -> None:
        self._channel = channel
        self._child = child
        self._opener = opener
        self._simulated = simulated
        self._root = -1
        self._pidfd = -1
        self._code: int | None = None
        self._ending = False
        self._warden: Warden | None = None
        self._mountinfo = -1
        self._kept: list[tuple[str, str, str, int]] = []
        self.pid = 0
        self.outcomes: list[Any] = []
        self.rootless = rootless

    @property
    def simulated(self) -> bool:
        """See `Root.simulated`."""
        return self._simulated

    @property
    def pidfd(self) -> int:
        """A descriptor of the process `pid` (pidfd_open(2)): readable once it has ended."""
        return self._pidfd

    # looking

    def listdir(self, path: str) -> list[str]:
        """See `Root.listdir`."""
        directory = self._open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return sorted(os.listdir(directory))
        finally:
            os.close(directory)

    def stat(self, path: str) -> os.stat_result:
        """See `Root.stat`."""
        return self._stat(path, os.O_PATH)

    def lstat(self, path: str) -> os.stat_result:
        """See `Root.lstat`."""
        return self._stat(path, os.O_PATH | os.O_NOFOLLOW)

    def read_bytes(self, path: str) -> bytes:
        """See `Root.read_bytes`. It is opened a second time, through its descriptor, once it is known what it is."""
        found = self._open(path, os.O_PATH)
        try:
            _require(stat.S_ISREG(os.fstat(found).st_mode), path)
            with open(f"/proc/self/fd/{found}", "rb") as file:
                return file.read()
        finally:
            os.close(found)

    def open(self, path: str, mode: str = "rb", *, devices: bool = False) -> IO[Any]:
        """See `Root.open`. What is there is looked at first, and opened through the descriptor that found it."""
        # Files are opened this way by few, and every run imports this module.
        import io

        from devproxy.targets.opening import flags_of, require_openable, wrapped

        flags = flags_of(mode)
        try:
            descriptor = self._make(path, flags) if flags & os.O_CREAT else -1
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None
        if descriptor < 0:
            found = self._open(path, os.O_PATH)
            try:
                require_openable(os.fstat(found).st_mode, path, devices=devices)
                with about(path):
                    descriptor = os.open(f"/proc/self/fd/{found}", flags & ~os.O_CREAT | os.O_NOCTTY)
            finally:
                os.close(found)
        return wrapped(io.FileIO(descriptor, mode.translate(_PLAIN)), mode)

    def _make(self, path: str, flags: int) -> int:
        """Make a file that is missing and open it; -1 if something is there.

        Errors: EEXIST where it had to be new; ELOOP for links in a circle.
        """
        place = path
        for _ in range(_MOST_LINKS):
            directory, _, name = place.rpartition("/")
            if name in ("", ".", ".."):
                return -1
            parent = self._open(directory or "/", os.O_PATH | os.O_DIRECTORY)
            try:
                return os.open(name, flags & ~os.O_TRUNC | os.O_EXCL | os.O_NOFOLLOW, 0o666, dir_fd=parent)
            except FileExistsError:
                if flags & os.O_EXCL:
                    raise
                found = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=parent)
            finally:
                os.close(parent)
            try:
                if not stat.S_ISLNK(os.fstat(found).st_mode):
                    return -1
                target = os.readlink("", dir_fd=found)
            finally:
                os.close(found)
            place = target if target.startswith("/") else f"{directory}/{target}"
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))

    def readlink(self, path: str) -> str:
        """See `Root.readlink`."""
        found = self._open(path, os.O_PATH | os.O_NOFOLLOW)
        try:
            _require(stat.S_ISLNK(os.fstat(found).st_mode), path)
            return os.readlink("", dir_fd=found)
        finally:
            os.close(found)

    def mountinfo(self) -> list[MountLine]:
        """See `Root.mountinfo`. It is the kernel's, read anew each time, also when the process has ended."""
        read: list[bytes] = []
        size = 0
        while chunk := os.pread(self._mountinfo, _CHUNK, size):
            read.append(chunk)
            size += len(chunk)
        return [parse_line(line) for line in os.fsdecode(b"".join(read)).split("\n") if line]

    def looker(self) -> Looker:
        """Something that looks at many paths for less. Precondition: nothing is mounted meanwhile."""
        return Looker(self._root, self._opener)

    def _stat(self, path: str, flags: int) -> os.stat_result:
        found = self._open(path, flags)
        try:
            return os.fstat(found)
        finally:
            os.close(found)

    def _open(self, path: str, flags: int) -> int:
        return self._opener(self._root, path, flags)

    # the process

    def guard(self, warden: Warden) -> None:
        """Have the process killed by `warden`, which is this root's from now on, when this process dies."""
        self._warden = warden

    def restoring(self, terminal: int, raw: list[Any], before: list[Any]) -> None:
        """Have a terminal restored when this process dies; see `Warden.restore`."""
        if self._warden is not None:
            self._warden.restore(terminal, raw, before)

    def await_report(self) -> None:
        """Wait until the root is whole. Raises what the builder raised."""
        try:
            message = self._receive()
        except EOFError:
            raise ChildProcessError(errno.ECHILD, f"the builder ended with code {self.wait()}") from None
        self.outcomes = message.value["outcomes"]
        if self.rootless is not None:
            self.rootless = self.rootless._replace(refused=message.value["refused"])
        (self._root, self._mountinfo), self.pid = message.descriptors, message.sender
        self._pidfd = above_stdio(os.pidfd_open(self.pid))
        if self._warden is not None:
            self._warden.watch(self._pidfd)
        for _ in range(message.value["kept"]):
            self._keep(self._channel.receive())

    def _keep(self, message: Message) -> None:
        if not message.descriptors:
            limit = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            raise DevproxyError(
                f"what is to be saved cannot be held: {(limit.strerror or '').lower()}", hint="see 'ulimit -n'"
            )
        destination, path, kind = message.value
        self._kept.append((destination, path, kind, message.descriptors[0]))

    def kept(self) -> list[Kept]:
        """See `Root.kept`. What a process without privileges may not read its owner outside may not read either."""
        from devproxy.targets.kernel.descriptor_tree import DescriptorTree

        owner = None if self.rootless is None else (self.rootless.uid, self.rootless.gid)
        return [
            Kept(destination, path, kind, DescriptorTree(descriptor, owner))
            for destination, path, kind, descriptor in self._kept
        ]

    def start(self, request: object, descriptors: tuple[int, ...]) -> int | None:
        """Let the builder become the process of `request` (devproxy.targets.kernel.become).

        Returns the master of its terminal, if it has one. Raises what kept it from starting.
        """
        terminal = None
        try:
            self._channel.send(request, descriptors)
        except BrokenPipeError:
            raise DevproxyError("the root was used already, or its process has ended", hint="build another") from None
        while True:
            try:
                terminal = self._receive().descriptors[0]
            except EOFError:
                # exec closed the other end: the process runs.
                return terminal
            except BaseException:
                if terminal is not None:
                    os.close(terminal)
                raise

    def _receive(self) -> Message:
        try:
            message = self._channel.receive()
        except EOFError:
            self._ending = self._pidfd < 0
            raise
        if "error" in message.value:
            self._ending = True
            raise from_json(message.value["error"])
        return message

    def is_running(self) -> bool:
        """Whether the builder has become the process, or ended: exec closed its end of the channel."""
        return self._channel.is_over()

    def wait(self) -> int:
        """Wait for the process to end: its exit code, or 128+n when the signal n ended it."""
        if self._code is None:
            self._code = exit_code(os.waitpid(self._child, 0)[1])
            if self._warden is not None:
                self._warden.dismiss()
        return self._code

    def close(self) -> None:
        """Drop the root: the process, if it runs, is killed."""
        self._channel.close()
        if self._code is None:
            if not self._ending:
                self._kill()
            self.wait()
        for descriptor in (self._root, self._mountinfo, self._pidfd, *(each[3] for each in self._kept)):
            if descriptor >= 0:
                os.close(descriptor)
        self._root = self._mountinfo = self._pidfd = -1
        self._kept = []
        if self._warden is not None:
            self._warden.reap()  # last of all: it ends while the rest is let go
            self._warden = None

    def _kill(self) -> None:
        # The process itself where it is known: the one that waits for it reaps it then, and ends too.
        try:
            if self._pidfd >= 0:
                send_signal(self._pidfd, signal.SIGKILL)
            else:
                os.kill(self._child, signal.SIGKILL)
        except ProcessLookupError:
            return  # it has ended already

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def exit_code(status: int) -> int:
    """What a shell makes of a wait status: the code, or 128+n for the signal n."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _require(found: bool, path: str) -> None:  # noqa: FBT001 (an assertion)
    if not found:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
