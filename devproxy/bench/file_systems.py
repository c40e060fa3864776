"""The VFS beside the kernel's tmpfs in the same process, beside the packages that keep files in memory, and beside itself when
there is more of everything.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time

from devproxy.bench import files
from devproxy.bench.files import Files
from devproxy.bench.measure import Budget, Row, Run, side_by_side, speed_row, time_row
from devproxy.build import build
from devproxy.host.facts import Host
from devproxy.linux.mountinfo import parse_line
from devproxy.mount_options import MountOptions
from devproxy.overlay import Overlay
from devproxy.plan.plan import Mode, Plan
from devproxy.plan.steps import MakeDirectory, MountFilesystem, MountRoot, Reason
from devproxy.process import run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_KERNEL = f"tmpfs of Linux {os.uname().release}"
_STAT = Budget(1, at_least=True)
_HALF = Budget(0.5, at_least=True)
_TENFOLD = Budget(10, at_least=True)
_WRITE = Budget(0.8, at_least=True)
_LIST = Budget(5, at_least=True)
_MEMORY = Budget(700, unit=" MB")
_LINEAR = Budget(1.5)
_WORK = ("create", "open and read 4 KiB", "rename", "unlink")
_WRITES = "write in 64 KiB chunks"
_MILLION = "a million empty files in 1,000 directories"


def rows(*, quick: bool) -> Iterator[Row]:
    """The figures, each as soon as it is there."""
    rounds = 5 if quick else 9
    directory = find_tmpfs()
    if directory is None:
        yield from (
            Row(what, _KERNEL, budget, note="neither TMPDIR nor /dev/shm is a tmpfs") for what, budget in _kernel()
        )
    else:
        with tempfile.TemporaryDirectory(dir=directory) as scratch:
            yield from _stat_rows(scratch, 2000 if quick else 20000, rounds)
            theirs = files.of_os(os, scratch)
            count = 300 if quick else 2000
            yield from _work_rows(theirs, _KERNEL, _HALF, count, rounds)
            yield from _bulk_rows(theirs, _KERNEL, (_WRITE, _LIST), rounds)
    yield from _peer_rows(100 if quick else 300, 3 if quick else 5)
    yield from _growth_rows(2_000 if quick else 20_000, rounds)
    yield _memory_row(100_000 if quick else 1_000_000)


def _kernel() -> list[tuple[str, Budget]]:
    works = [(f"vfs {what}", _HALF) for what in _WORK]
    return [("Root.stat on tmpfs", _STAT), *works, (f"vfs {_WRITES}", _WRITE), ("vfs list 10,000 entries", _LIST)]


def find_tmpfs() -> str | None:
    """A directory on a tmpfs where files may be made, or None."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        on_tmpfs = {line.device for line in map(parse_line, file) if line.fstype == "tmpfs"}
    for directory in (tempfile.gettempdir(), "/dev/shm"):  # noqa: S108 (a fresh directory is made in it)
        if os.access(directory, os.W_OK):
            device = os.stat(directory).st_dev
            if f"{os.major(device)}:{os.minor(device)}" in on_tmpfs:
                return directory
    return None


# stat


def _stat_rows(scratch: str, operations: int, rounds: int) -> Iterator[Row]:
    paths = {depth: "/mnt" + "/d" * depth for depth in (1, 8, 32)}
    with tempfile.TemporaryDirectory() as rootfs, build(_plan(rootfs, paths[32])) as root:
        os.makedirs(scratch + paths[32])
        for depth, path in paths.items():
            ours, theirs = _stat_run(root.stat, path, operations), _stat_run(os.stat, scratch + path, operations)
            pair = side_by_side(ours, theirs, rounds)
            yield speed_row(f"Root.stat on tmpfs, depth {depth}", f"os.stat, {_KERNEL}", _STAT, pair, operations)


def _stat_run(stat: Callable[[str], os.stat_result], path: str, operations: int) -> Run:
    return lambda: _timed(lambda: [stat(path) for _ in range(operations)])


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _plan(rootfs: str, deepest: str) -> Plan:
    reason = Reason("bench")
    return Plan(
        bundle=rootfs,
        mode=Mode.NONE,
        steps=(
            MountRoot(rootfs, Overlay(), None, None, reason),
            MountFilesystem("/mnt", "tmpfs", "tmpfs", MountOptions(), None, reason),
            MakeDirectory(deepest, 0o755, reason),
        ),
        host=Host("none", True, "", "", (), (), (), (), (), None, ()),  # noqa: FBT003 (a record's field)
        process=None,
        namespaces=(),
        hostname="",
        domainname="",
        strict=False,
    )


# create, read, rename, unlink; write, list


def _work_rows(theirs: Files, peer: str, budget: Budget | None, count: int, rounds: int) -> Iterator[Row]:
    ours = files.of_vfs()
    for what in _WORK:
        pair = side_by_side(_work_run(ours, what, count), _work_run(theirs, what, count), rounds)
        yield speed_row(f"vfs {what}", peer, budget, pair, count)


def _work_run(system: Files, what: str, count: int, before: int = 0) -> Run:
    """Do one thing to `count` files that are made before and gone afterwards, and time just that. `before` says how many
    other files are there already.
    """
    names = [(f"file{number}",) for number in range(before, before + count)]
    moves = [(name, f"other{name}") for (name,) in names]
    moved = [(other,) for _, other in moves]
    cases: dict[str, tuple[Callable[..., None], list[Any], list[Any]]] = {
        "create": (system.create, names, names),
        "open and read 4 KiB": (system.read, names, names),
        "rename": (system.rename, moves, moved),
        "unlink": (system.unlink, names, []),
    }
    work, arguments, left = cases[what]

    def run() -> float:
        if what != "create":
            _each(system.create, names)
            _each(system.fill, names)
        taken = _timed(lambda: _each(work, arguments))
        _each(system.unlink, left)
        return taken

    return run


def _each(work: Callable[..., None], arguments: list[Any]) -> None:
    for each in arguments:
        work(*each)


def _bulk_rows(theirs: Files, peer: str, budgets: tuple[Budget | None, Budget | None], rounds: int) -> Iterator[Row]:
    ours = files.of_vfs()
    pair = side_by_side(_write_run(ours), _write_run(theirs), rounds)
    yield speed_row(f"vfs {_WRITES}", peer, budgets[0], pair, files.CHUNKS)
    names = [(f"file{number}",) for number in range(10_000)]
    for system in (ours, theirs):
        _each(system.create, names)
    pair = side_by_side(lambda: _timed(ours.names), lambda: _timed(theirs.names), rounds)
    yield speed_row("vfs list 10,000 entries", peer, budgets[1], pair, len(names))
    _each(theirs.unlink, names)


def _write_run(system: Files) -> Run:
    def run() -> float:
        taken = _timed(lambda: system.write("chunks"))
        system.unlink("chunks")
        return taken

    return run


# other packages


def _peer_rows(count: int, rounds: int) -> Iterator[Row]:
    """Only pyfakefs has a budget: the others check less than a file system does, and are shown for the record."""
    makers: tuple[tuple[str, Callable[[], tuple[str, Files]], Budget | None], ...] = (
        ("pyfakefs", files.of_pyfakefs, _TENFOLD),
        ("PyFilesystem2", files.of_memoryfs, None),
        ("fsspec", files.of_fsspec, None),
    )
    for name, make, budget in makers:
        try:
            peer, theirs = make()
        except ImportError as problem:
            yield from (
                Row(f"vfs {what}", name, budget, note=f"{name} cannot be imported: {problem}") for what in _WORK
            )
            continue
        yield from _work_rows(theirs, peer, budget, count, rounds)
        yield from _bulk_rows(theirs, peer, (None, None), rounds)


# growth


def _growth_rows(more: int, rounds: int) -> Iterator[Row]:
    """The same work where there is much already, beside where there is little."""
    crowded, empty = files.of_vfs(), files.of_vfs()
    _each(crowded.create, [(f"file{number}",) for number in range(more)])
    for what in _WORK:
        pair = side_by_side(_work_run(crowded, what, 200, more), _work_run(empty, what, 200, more), rounds)
        yield time_row(f"vfs {what}, among {more:,} files", "itself, among none", _LINEAR, pair)


def _memory_row(count: int) -> Row:
    """How much a million files take, by a process that does nothing else; a part of a million is scaled up."""
    done = run([sys.executable, "-m", "devproxy.bench.many_files", str(count)], timeout=300)
    megabytes = int(done.out) / 1e6 * 1_000_000 / count
    note = "" if count == 1_000_000 else f"measured with {count:,}"
    return Row(_MILLION, "-", _MEMORY, f"{megabytes:.0f} MB", figure=megabytes, note=note)
