"""The VFS beside the kernel's tmpfs in the same process, and beside pyfakefs."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from devproxy.bench.measure import Budget, Row, Run, side_by_side, speed_row
from devproxy.build import build
from devproxy.host.facts import Host
from devproxy.linux.mountinfo import parse_line
from devproxy.mount_options import MountOptions
from devproxy.overlay import Overlay
from devproxy.plan.plan import Mode, Plan
from devproxy.plan.steps import MakeDirectory, MountFilesystem, MountRoot, Reason

_KERNEL = f"tmpfs of Linux {os.uname().release}"
_STAT = Budget(1, at_least=True)
_HALF = Budget(0.5, at_least=True)
_TENFOLD = Budget(10, at_least=True)
_PAGE = bytes(4096)
_WORK = ("create", "open and read 4 KiB", "rename", "unlink")


class Files(NamedTuple):
    """What a file system does with one path, whatever file system it is."""

    create: Callable[[str], None]
    fill: Callable[[str], None]
    read: Callable[[str], None]
    rename: Callable[[str, str], None]
    unlink: Callable[[str], None]


def rows(*, quick: bool) -> Iterator[Row]:
    """The figures, each as soon as it is there."""
    rounds = 5 if quick else 9
    directory = find_tmpfs()
    if directory is None:
        for what in ("stat", *_WORK):
            yield Row(what, _KERNEL, _STAT if what == "stat" else _HALF, note="neither TMPDIR nor /dev/shm is a tmpfs")
    else:
        with tempfile.TemporaryDirectory(dir=directory) as scratch:
            yield from _stat_rows(scratch, 2000 if quick else 20000, rounds)
            theirs = _files_of_os(os, scratch)
            yield from _work_rows(theirs, _KERNEL, _HALF, 300 if quick else 2000, rounds)
    yield from _pyfakefs_rows(100 if quick else 300, 3 if quick else 5)


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
    def run() -> float:
        start = time.perf_counter()
        for _ in range(operations):
            stat(path)
        return time.perf_counter() - start

    return run


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


# create, read, rename, unlink


def _work_rows(theirs: Files, peer: str, budget: Budget, count: int, rounds: int) -> Iterator[Row]:
    ours = _files_of_vfs()
    for what in _WORK:
        pair = side_by_side(_work_run(ours, what, count), _work_run(theirs, what, count), rounds)
        yield speed_row(f"vfs {what}", peer, budget, pair, count)


def _work_run(files: Files, what: str, count: int) -> Run:
    """Do one thing to `count` files that are made before and gone afterwards, and time just that."""
    names = [(f"file{number}",) for number in range(count)]
    moves = [(f"file{number}", f"other{number}") for number in range(count)]
    moved = [(other,) for _, other in moves]
    cases: dict[str, tuple[Callable[..., None], list[Any], list[Any]]] = {
        "create": (files.create, names, names),
        "open and read 4 KiB": (files.read, names, names),
        "rename": (files.rename, moves, moved),
        "unlink": (files.unlink, names, []),
    }
    work, arguments, left = cases[what]

    def run() -> float:
        if what != "create":
            _each(files.create, names)
            _each(files.fill, names)
        start = time.perf_counter()
        _each(work, arguments)
        taken = time.perf_counter() - start
        _each(files.unlink, left)
        return taken

    return run


def _each(work: Callable[..., None], arguments: list[Any]) -> None:
    for each in arguments:
        work(*each)


def _files_of_vfs() -> Files:
    from vfs.credentials import ROOT
    from vfs.fs.tmpfs import TmpfsType
    from vfs.options import OpenOptions
    from vfs.resolve import PathOperation
    from vfs.virtual_filesystem import VirtualFilesystem

    vfs = VirtualFilesystem()
    vfs.register_filesystem_type(TmpfsType())
    top = vfs.new_mount_namespace(ROOT, "none", "tmpfs").root
    making, writing = OpenOptions(os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644), OpenOptions(os.O_WRONLY)
    reading = OpenOptions(os.O_RDONLY)

    def create(path: str) -> None:
        vfs.open_at(ROOT, PathOperation(top, top, path), making).close()

    def fill(path: str) -> None:
        with vfs.open_at(ROOT, PathOperation(top, top, path), writing) as file:
            file.write(_PAGE)

    def read(path: str) -> None:
        with vfs.open_at(ROOT, PathOperation(top, top, path), reading) as file:
            file.read(4096)

    return Files(
        create,
        fill,
        read,
        lambda old, new: vfs.rename_at(ROOT, PathOperation(top, top, old), PathOperation(top, top, new)),
        lambda path: vfs.unlink_at(ROOT, PathOperation(top, top, path)),
    )


def _files_of_os(system: Any, directory: str) -> Files:  # noqa: ANN401 (the os module, or one that pretends to be it)
    """The same through `os`, or through something that has its functions."""
    prefix = directory + "/"

    def create(path: str) -> None:
        system.close(system.open(prefix + path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))

    def fill(path: str) -> None:
        descriptor = system.open(prefix + path, os.O_WRONLY)
        system.write(descriptor, _PAGE)
        system.close(descriptor)

    def read(path: str) -> None:
        descriptor = system.open(prefix + path, os.O_RDONLY)
        system.read(descriptor, 4096)
        system.close(descriptor)

    return Files(
        create,
        fill,
        read,
        lambda old, new: system.rename(prefix + old, prefix + new),
        lambda path: system.unlink(prefix + path),
    )


def _pyfakefs_rows(count: int, rounds: int) -> Iterator[Row]:
    try:
        from pyfakefs.fake_filesystem import FakeFilesystem
        from pyfakefs.fake_os import FakeOsModule
    except ImportError:
        for what in _WORK:
            yield Row(f"vfs {what}", "pyfakefs", _TENFOLD, note="pyfakefs is not installed")
        return
    from importlib.metadata import version

    filesystem = FakeFilesystem()
    filesystem.create_dir("/bench")
    theirs = _files_of_os(FakeOsModule(filesystem), "/bench")
    yield from _work_rows(theirs, f"pyfakefs {version('pyfakefs')}", _TENFOLD, count, rounds)
