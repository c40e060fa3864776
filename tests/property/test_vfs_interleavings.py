"""Every place at which another thread can come in between: a call without the lock sees what was before or what is after.

One of two calls is stopped at each of its lines in turn, and the other one runs there, in a thread of its own.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

import vfs as package
from tests.differential.vfs import operations
from tests.property.coherence import check
from tests.vfs.world import World
from vfs import ROOT, BindOptions, PathOperation, Propagation, SetStat, UmountOptions, VirtualDentry
from vfs.abi import MNT_DETACH
from vfs.mountinfo import mountinfo

if TYPE_CHECKING:
    from types import FrameType

pytestmark = pytest.mark.property

SOME = 2
"""Lines at which a call is stopped, where it is not stopped at all of them."""
CODE = os.path.dirname(package.__file__)
Call = Callable[["Prepared"], object]
Outcome = object

READERS: dict[str, Call] = {
    "stat": lambda world: world.stat("/a/d/f").st_ino,
    "stat a mark": lambda world: identity(world, "/m/mark"),
    "stat through a link": lambda world: world.stat("/l/f").st_ino,
    "climb": lambda world: identity(world, "/m/d/../../a"),
    "climb from inside": lambda world: world.vfs.stat_at(ROOT, inside(world, "../..")).st_ino,
    "see what covers": lambda world: identity(world, "/q/c"),
    "see what covers, too": lambda world: identity(world, "/q/below"),
    "list": lambda world: world.listdir("/a/d"),
    "list a mount": lambda world: world.listdir("/m"),
    "read a link": lambda world: world.vfs.readlink_at(ROOT, world.at("/l")),
    "access": lambda world: world.vfs.access_at(ROOT, world.at("/a/d/f"), 4),
    "statfs": lambda world: world.vfs.statfs_at(ROOT, world.at("/m/mark")).type,
    "getcwd": lambda world: world.vfs.path_from(world.root, inside(world, "").start),
    "mountinfo": lambda world: len(mountinfo(world.ns, world.root)),
}
WRITERS: dict[str, Call] = {
    "move a directory": lambda world: rename(world, "/a/d", "/b/d"),
    "move a file over another": lambda world: rename(world, "/b/g", "/a/d/f"),
    "unlink": lambda world: world.vfs.unlink_at(ROOT, world.at("/a/d/f")),
    "remove the link": lambda world: world.vfs.unlink_at(ROOT, world.at("/l")),
    "move the link": lambda world: rename(world, "/l", "/k"),
    "make a name": lambda world: world.mknod("/a/d/new"),
    "seal a directory": lambda world: world.vfs.set_stat_at(ROOT, world.at("/a/d"), SetStat(mode=0)),
    "mount": lambda world: world.mount("/a/d").source,
    "umount": lambda world: world.vfs.umount_at(ROOT, world.at("/m"), UmountOptions(MNT_DETACH)),
    "move a mount": lambda world: world.vfs.move_mount_at(ROOT, world.at("/m"), world.at("/b")),
    "cover a mount": lambda world: world.mount("/m").source,
    "mount beneath": lambda world: world.mount("/p/c").source,
    "umount beneath": lambda world: world.vfs.umount_at(ROOT, world.at("/p/below")),
    "bind": lambda world: world.vfs.bind_at(ROOT, world.at("/m"), world.at("/a/d"), BindOptions(recursive=True)).source,
    "pivot": lambda world: bool(world.vfs.pivot_root_at(ROOT, world.at("/m"), world.at("/m/d"))),
}


class Prepared(World):
    """/m is a mount with /m/d in it; /q is a slave of /p, and /q/c is covered by a mount that /p has not."""

    def __init__(self) -> None:
        super().__init__()
        self.root: VirtualDentry = self.ns.root
        for path in ("/a", "/a/d", "/b", "/b/d", "/m", "/p", "/q"):
            self.mkdir(path)
        for path in ("/a/d/f", "/b/g"):
            self.mknod(path)
        self.symlink("a/d", "/l")
        self.mount("/m")
        self.mkdir("/m/d")
        self.mknod("/m/mark")
        self.cwd = self.vfs.get_dentry_at(ROOT, self.at("/m/d"))
        self.mount("/p")
        for name in ("c", "below"):
            self.mkdir(f"/p/{name}")
        self.vfs.set_propagation_at(ROOT, self.at("/p"), Propagation.SHARED)
        self.vfs.bind_at(ROOT, self.at("/p"), self.at("/q"))
        self.vfs.set_propagation_at(ROOT, self.at("/q"), Propagation.SLAVE)
        self.mount("/q/c")
        self.mount("/p/below")
        self.vfs.set_propagation_at(ROOT, self.at("/q/below"), Propagation.PRIVATE)
        self.mount("/q/below")

    def at(self, path: str, *, follow: bool = True) -> PathOperation:
        """The path for a process whose root stays what it was, whatever is pivoted."""
        return PathOperation(self.root, self.root, path, follow)


def identity(world: Prepared, path: str) -> tuple[int, int]:
    found = world.stat(path)
    return found.st_dev, found.st_ino


def inside(world: Prepared, path: str) -> PathOperation:
    """A path from a working directory in the mount that is at /m in the beginning."""
    return PathOperation(world.root, world.cwd, path)


def rename(world: Prepared, old: str, new: str) -> None:
    world.vfs.rename_at(ROOT, world.at(old), world.at(new))


def outcome(call: Call, world: Prepared) -> Outcome:
    """What a call says: its answer or its errno."""
    try:
        return "answer", call(world)
    except OSError as raised:
        return "errno", raised.errno


def stopped(
    call: Call,
    world: Prepared,
    line: int,
    interrupt: Callable[[], object] = lambda: None,
    seen: Callable[[int, str], object] = lambda line, file: None,
) -> tuple[Outcome, int]:
    """Run a call, and something else when it gets to its nth line; what it says, and how many lines it took."""
    taken = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal taken
        if not frame.f_code.co_filename.startswith(CODE):
            return None
        if event == "line":
            taken += 1
            seen(taken, frame.f_code.co_filename)
            if taken == line:
                interrupt()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return outcome(call, world), taken
    finally:
        sys.settrace(before)


def lines_of(call: Call, prepare: Call | None = None) -> list[int]:
    """Where to stop a call: at every line in a soak, else at some."""
    world = Prepared()
    if prepare is not None:
        outcome(prepare, world)
    count = stopped(call, world, 0)[1]
    every = range(1, count + 1)
    return list(every) if operations.WANTED > 100_000 else sorted(Random(count).sample(every, min(SOME, count)))


def allowed(reader: Call, writer: Call) -> list[Outcome]:
    """What the reader says before and after the writer."""
    before, after = Prepared(), Prepared()
    outcome(writer, after)
    return [outcome(reader, before), outcome(reader, after)]


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_change_comes_between_the_lines_of_a_reader(writer: str, *, warm: bool) -> None:
    for reader, read in READERS.items():
        before, after = allowed(read, WRITERS[writer])
        for line in lines_of(read, read if warm else None):
            world = Prepared()
            if warm:
                outcome(read, world)
            came: list[bool] = []
            found, _ = stopped(read, world, line, partial(change, WRITERS[writer], world, came))
            assert found in (before, after), f"{reader}, stopped at its line {line}"
            check(world.vfs, [world.ns])
            assert outcome(read, world) == (after if came == [True] else before), f"{reader}, after its line {line}"


def change(writer: Call, world: Prepared, came: list[bool]) -> None:
    """Let another thread change something, unless the lock keeps it away."""

    def attempt() -> None:
        came.append(world.vfs.lock.acquire(blocking=False))
        if came[0]:
            outcome(writer, world)
            world.vfs.lock.release()

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()


@pytest.mark.parametrize("writer", WRITERS)
def test_a_reader_comes_between_the_lines_of_a_change(writer: str) -> None:
    lines = lines_of(WRITERS[writer])
    for reader, read in READERS.items():
        expected = allowed(read, WRITERS[writer])
        for line in lines:
            world = Prepared()
            answers: list[Outcome] = []
            threads: list[threading.Thread] = []
            stopped(WRITERS[writer], world, line, partial(look, read, world, answers, threads))
            threads[0].join(30)
            assert len(answers) == 1
            assert answers[0] in expected, f"{reader}, at line {line} of the change"
            check(world.vfs, [world.ns])


@pytest.mark.parametrize("writer", ["mount beneath", "umount beneath", "move a mount", "pivot"])
def test_what_is_covered_never_shows(writer: str) -> None:
    for reader in ("see what covers", "see what covers, too"):
        expected = allowed(READERS[reader], WRITERS[writer])
        assert expected[0] == expected[1]
        for line in lines_in("mount_tree.py", WRITERS[writer]):
            world = Prepared()
            answers: list[Outcome] = []
            threads: list[threading.Thread] = []
            stopped(WRITERS[writer], world, line, partial(look, READERS[reader], world, answers, threads))
            threads[0].join(30)
            assert answers == [expected[0]], f"{reader}, at line {line} of the change"


def lines_in(file: str, call: Call) -> list[int]:
    """Those of the lines of a call that are in one file."""
    numbers: list[int] = []
    stopped(call, Prepared(), 0, seen=lambda line, name: numbers.append(line) if name.endswith(file) else None)
    return numbers


def look(reader: Call, world: Prepared, answers: list[Outcome], threads: list[threading.Thread]) -> None:
    """Let another thread look. If it waits for the lock, it goes on after the change."""
    threads.append(threading.Thread(target=lambda: answers.append(outcome(reader, world)), daemon=True))
    threads[0].start()
    threads[0].join(0.002)
