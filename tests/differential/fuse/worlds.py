"""Two ways to a FUSE server: our client over a socket, and the kernel's over /dev/fuse.

Programs run in new directories below one mount. What the server has is on a tmpfs, so that sizes are counted alike.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from tests.differential.fuse.servers import served
from tests.differential.vfs import kernel, simulated
from vfs import (
    ROOT,
    File,
    MkdirOptions,
    MountFlags,
    MountOptions,
    PathOperation,
    SetStat,
    VirtualDentry,
    VirtualFilesystem,
)
from vfs.fs.fuse import FuseType

if TYPE_CHECKING:
    from tests.differential.vfs.programs import Call

Run = Callable[[list["Call"]], list[object]]
REQUIRED = "rootmode=40755,user_id=0,group_id=0"


class Server(NamedTuple):
    """How to start a server for a directory, and where in what it shows programs are to run."""

    command: Callable[[str], list[str]]
    below: Callable[[str], str] = lambda directory: ""
    prepare: Callable[[str], None] = lambda directory: None


class World(simulated.World):
    """The calls below a directory of a fuse mount."""

    def __init__(self, root: VirtualDentry) -> None:
        self.vfs = root.mount.fs.vfs
        self.root = self.cwd = root
        self.files: dict[int, File] = {}
        self.opened: dict[int, int] = {}
        self.creds = ROOT

    def close_all(self) -> None:
        for file in self.files.values():
            with suppress(OSError):
                file.close()


@contextmanager
def backing() -> Iterator[str]:
    """A directory on a tmpfs."""
    directory = tempfile.mkdtemp(prefix="fuse-", dir=kernel.PLACE)
    os.chmod(directory, 0o777)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@contextmanager
def ours(server: Server, options: str) -> Iterator[Run]:
    """Runs programs through our client."""
    vfs = VirtualFilesystem()
    vfs.register_filesystem_type(FuseType())
    with backing() as directory:
        server.prepare(directory)
        with served(*server.command(directory)) as (descriptor, _):
            data = f"fd={descriptor},{REQUIRED},{options}"
            # libfuse, which mounts on the kernel's side, wants these unless it is told otherwise.
            flags = MountFlags.NODEV | MountFlags.NOSUID
            mount = vfs.mount_disconnected(ROOT, "server", "fuse", MountOptions(flags, data))
            root = VirtualDentry(mount, mount.root)
            numbers = itertools.count()

            def run(program: list[Call]) -> list[object]:
                place = PathOperation(root, root, f"{server.below(directory)}/{next(numbers)}")
                vfs.mkdir_at(ROOT, place, MkdirOptions(0o777))
                vfs.set_stat_at(ROOT, place, SetStat(mode=0o777))
                world = World(vfs.get_dentry_at(ROOT, place))
                try:
                    return world.run(program)
                finally:
                    world.close_all()

            try:
                yield run
            finally:
                vfs.discard_mount(mount)


def theirs(server: Server, options: str, programs: list[list[Call]]) -> list[list[object]]:
    """Run programs through the kernel's client on a server that ends with the child that mounts it."""
    processes: list[subprocess.Popen[bytes]] = []
    directory = f"{kernel.PLACE}/directory"

    def prepare() -> None:
        kernel.prepare()
        os.mkdir("mnt")
        os.mkdir(directory, 0o777)
        server.prepare(directory)
        command = [*server.command(directory), "-f", "-o", options, f"{kernel.PLACE}/mnt"]
        processes.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        device = os.stat(".").st_dev
        for _ in range(500):
            if os.stat("mnt").st_dev != device:
                break
            time.sleep(0.01)
        else:
            raise AssertionError(f"{command} did not start")

    def enter(number: int, program: list[Call]) -> list[object]:
        place = f"mnt{server.below(directory)}/{number}"
        os.mkdir(place, 0o777)
        os.chmod(place, 0o777)
        os.chroot(place)
        os.chdir("/")
        return kernel.World().run(program)

    def end() -> list[object]:
        processes[0].terminate()
        return [processes[0].wait()]

    jobs: list[Callable[[], list[object]]] = [
        *(partial(enter, number, program) for number, program in enumerate(programs)),
        end,
    ]
    return kernel.in_children(jobs, prepare)[:-1]
