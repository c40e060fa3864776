"""Where the volumes of a pod live on the kernel: in a mount namespace of their own, which holds nothing else.

    /pod.json   what the pod's first container said, and the volumes: {"document": ..., "volumes": {KEY: [NUMBER, MAKER]}}
    /0 /1 ...   the volumes, each a tmpfs of its own

No process is in it. Descriptors keep it alive (namespaces(7)), one in each devproxy that has a container of the pod, so that the
kernel frees all of it with the last one, however that ends. Whoever builds a container sends a child in, which makes what
is missing, and returns with copies of the mounts (open_tree(2)): those can be attached in any other namespace.

Without privileges the namespace belongs to a user namespace that maps the caller alone; each container has a user namespace
of its own beside it, with the same user.
"""

from __future__ import annotations

import gc
import json
import os
import signal

from devproxy.errors import DevproxyError
from devproxy.linux import mounts, process
from devproxy.linux.namespaces import CLONE, is_privileged, setns, unshare
from devproxy.targets.kernel.builder import enter_user_namespace, leave_the_caller, open_proc, tell
from devproxy.targets.kernel.channel import Channel
from devproxy.targets.kernel.failure import from_json
from devproxy.targets.kernel.filesystems import new_filesystem
from devproxy.targets.kernel.handles import HeldVolume
from devproxy.targets.rootless import Rootless

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Any, Final, NoReturn, Self

_TABLE: Final = "/pod.json"


class PodNamespace:
    """The namespace by its descriptors: `mount`, and `user` if it has a user namespace of its own, else -1."""

    def __init__(self, mount: int, user: int = -1) -> None:
        self.mount = mount
        self.user = user

    @classmethod
    def make(cls, document: list[list[object]]) -> PodNamespace:
        """A new one without volumes. `document` is a JSON value that whoever enters it can read.

        Errors: DevproxyError, OSError where namespaces cannot be had.
        """
        with _Child(lambda channel: _make(channel, document)) as child:
            return cls(*child.receive()[1])

    def enter(self) -> Inside:
        """Send a child in: a context manager. Precondition: nobody else is in there who changes it."""
        held = [descriptor for descriptor in (self.mount, self.user) if descriptor >= 0]
        inside = Inside(_serve)
        try:
            inside.send({"enter": True}, tuple(held))
        except BaseException:
            inside.close()
            raise
        return inside

    def close(self) -> None:
        """Let go of it. Closing again does nothing."""
        for descriptor in (self.mount, self.user):
            if descriptor >= 0:
                os.close(descriptor)
        self.mount = self.user = -1


class _Child:
    """A forked child that talks through a channel until that is closed."""

    def __init__(self, work: Callable[[Channel], None]) -> None:
        self._channel, theirs = Channel.pair()
        mask = process.block_signals()
        try:
            self._pid = os.fork()
            if self._pid == 0:
                _live(work, theirs)
        finally:
            theirs.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def send(self, value: object, descriptors: tuple[int, ...] = ()) -> None:
        """Ask for something."""
        try:
            self._channel.send(value, descriptors)
        except BrokenPipeError:
            return  # what it said last tells why

    def receive(self) -> tuple[Any, list[int]]:
        """The answer, with descriptors that are the caller's now. Raises what went wrong there."""
        try:
            message = self._channel.receive()
        except EOFError:
            raise DevproxyError("the process that works in the pod's namespace was killed") from None
        if isinstance(message.value, dict) and "error" in message.value:
            raise from_json(message.value["error"])
        return message.value, message.descriptors

    def close(self) -> None:
        """Let it end."""
        self._channel.close()
        try:
            os.waitpid(self._pid, 0)
        except ChildProcessError:
            return  # somebody else reaps what this process forks

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Inside(_Child):
    """A child in the pod's namespace."""

    def document(self) -> list[Any]:
        """What the namespace was made with."""
        self.send({"document": True})
        document: list[Any] = self.receive()[0]
        return document

    def volume(self, key: str, flags: Sequence[str], data: Sequence[str], maker: str) -> HeldVolume:
        """A mount of a volume, made if it is missing; see `Target.volume`. Its descriptor is the caller's to close."""
        self.send({"volume": [key, list(flags), list(data), maker]})
        before, descriptors = self.receive()
        return HeldVolume(descriptors[0], before)


# in the child


def _live(work: Callable[[Channel], None], channel: Channel) -> NoReturn:
    try:
        gc.disable()
        leave_the_caller(channel)
        work(channel)
    except EOFError:
        pass  # the caller needs nothing more
    except BaseException as error:  # noqa: BLE001 (told to the caller)
        tell(channel, error)
    finally:
        os._exit(0)


def _make(channel: Channel, document: object) -> None:
    proc = open_proc()
    kinds = ["mnt"]
    if not is_privileged():
        enter_user_namespace(Rootless(os.geteuid(), os.getegid(), frozenset(), {}), proc)
        kinds.append("user")
    unshare(CLONE["mount"])
    mounts.set_propagation_of_everything(mounts.MS_PRIVATE)
    root = new_filesystem("tmpfs", "devproxy-pod", 0, (), ("mode=0700",))
    mounts.cover_root(root)
    os.fchdir(root)
    mounts.pivot_root_here()
    _write_table({"document": document, "volumes": {}})
    with process.Dumpable():
        held = [os.open(f"self/ns/{kind}", os.O_RDONLY, dir_fd=proc) for kind in kinds]
    channel.send({}, tuple(held))


def _serve(channel: Channel) -> None:
    """Enter the namespace whose descriptors come first, and answer until the caller is done."""
    descriptors = channel.receive().descriptors
    if len(descriptors) > 1:
        setns(descriptors[1], CLONE["user"])
    setns(descriptors[0], CLONE["mount"])
    while True:
        asked = channel.receive().value
        try:
            if "document" in asked:
                channel.send(_read_table()["document"])
            else:
                _give_volume(channel, *asked["volume"])
        except OSError as error:
            tell(channel, error)


def _give_volume(channel: Channel, key: str, flags: list[str], data: list[str], maker: str) -> None:
    table = _read_table()
    number, before = table["volumes"].get(key, (len(table["volumes"]), ""))
    if key not in table["volumes"]:
        mount = new_filesystem("tmpfs", "tmpfs", 0, flags, data)
        os.makedirs(f"/{number}", 0o700, exist_ok=True)
        place = os.open(f"/{number}", os.O_PATH | os.O_DIRECTORY)
        mounts.move_mount(mount, place)
        os.close(place)
        os.close(mount)
        table["volumes"][key] = number, maker
        _write_table(table)
    place = os.open(f"/{number}", os.O_PATH | os.O_DIRECTORY)
    copy = mounts.clone_tree(place, recursive=False)
    channel.send(before, (copy,))
    os.close(copy)
    os.close(place)


def _read_table() -> dict[str, Any]:
    with open(_TABLE, "rb") as file:
        table: dict[str, Any] = json.loads(file.read())
        return table


def _write_table(table: object) -> None:
    """Whole or not at all, should this process be killed."""
    with open(f"{_TABLE}.new", "wb") as file:
        file.write(json.dumps(table).encode())
    os.rename(f"{_TABLE}.new", _TABLE)
