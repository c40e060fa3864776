"""A rootfs that wants out, verb by verb: every path is a link or `..` towards a directory of the host, the canary."""

from __future__ import annotations

import errno
import itertools
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devproxy.linux.syscalls import check, libc
from devproxy.node import DeviceNumber, NodeKind
from devproxy.targets.kernel.paths import KernelPaths
from devproxy.targets.kernel.root import KernelRoot
from devproxy.targets.kernel.target import KernelTarget
from tests.devproxy.targets_kernel.rig import (
    EVERY_WAY,
    bind_root,
    build,
    make_rootfs,
    new_namespaces,
    table,
    tmpfs,
    usable,
)

pytestmark = pytest.mark.root

NULL = DeviceNumber(1, 3)

Verb = Callable[[KernelTarget, str], Any]
VERBS: dict[str, Verb] = {
    "attach": lambda target, path: target.attach(tmpfs(target), path),
    "directory mount point": lambda target, path: target.make_mount_point(path, directory=True),
    "file mount point": lambda target, path: target.make_mount_point(path, directory=False),
    "directory": lambda target, path: target.make_directory(path, 0o755),
    "node": lambda target, path: target.make_node(path, NodeKind.CHARACTER, NULL, 0o666, 1, 1),
    "symlink": lambda target, path: target.make_symlink(path, "x"),
    "look": lambda target, path: target.look(path),
    "list": lambda target, path: target.list_directory(path),
    "mask": lambda target, path: target.mask(path),
    "cover": lambda target, path: target.cover(path, b"ours", 0o444),
    "seal path": lambda target, path: target.seal_path(path),
}


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "canary"
    (directory / "inside").mkdir(parents=True)
    (directory / "secret").write_text("of the host")
    before = shape(directory)
    yield directory
    assert shape(directory) == before, "the rootfs reached the host"


def shape(directory: Path) -> list[tuple[str, int, int, int]]:
    found = []
    for path in sorted([directory, *directory.rglob("*")]):
        about = path.lstat()
        found.append((str(path), about.st_mode, about.st_uid, about.st_mtime_ns))
    return found


def ways_out(rootfs: Path, canary: Path) -> list[str]:
    """Paths that lead to the canary, or into it, for whoever follows them as the host would."""
    up = "../" * len(rootfs.parts)
    (rootfs / "absolute").symlink_to(canary)
    (rootfs / "relative").symlink_to(up + str(canary).lstrip("/"))
    (rootfs / "chain").symlink_to("relative/../canary")
    (rootfs / "dangling").symlink_to(canary / "new")
    (rootfs / "parent").symlink_to("..")
    return [
        *("/absolute", "/absolute/new", "/absolute/inside", "/absolute/secret"),
        *("/relative", "/relative/new", "/chain/new", "/dangling", "/dangling/new"),
        *("/parent/canary/new", "/parent/../canary/secret", "/../canary/new", f"/{up}{canary}/new"),
    ]


@pytest.mark.parametrize("paths", EVERY_WAY)
@pytest.mark.parametrize("verb", VERBS)
def test_no_verb_reaches_the_host(paths: KernelPaths, verb: str, tmp_path: Path, canary: Path) -> None:
    usable(paths)
    rootfs = make_rootfs(tmp_path)
    ways = ways_out(rootfs, canary)

    def work(target: KernelTarget) -> list[str]:
        bind_root(target, rootfs)
        answers = []
        for way in ways:
            try:
                answers.append(str(VERBS[verb](target, way)))
            except OSError as error:
                answers.append(errno.errorcode[error.errno or 0])
        return answers

    with build(work, paths=paths) as root:
        assert len(root.outcomes) == len(ways)
        # What was made is told by its path in the root, which may be like one of the host's; the canary tells those apart.
        found = [answer for answer in root.outcomes if not answer.startswith("/")]
        assert not any("inside" in answer or "of the host" in answer for answer in found)
        for point, _, _ in table(root)[1:]:
            assert (rootfs / point.lstrip("/")).resolve().is_relative_to(rootfs), "what was mounted is in the rootfs"


@pytest.mark.parametrize("paths", EVERY_WAY)
def test_a_finished_root_shows_nothing_of_the_host(paths: KernelPaths, tmp_path: Path, canary: Path) -> None:
    usable(paths)
    rootfs = make_rootfs(tmp_path)
    ways = ways_out(rootfs, canary)

    def looked(root: KernelRoot, call: Callable[[str], Any], way: str) -> Any:
        try:
            return call(way)
        except OSError as error:
            return errno.errorcode[error.errno or 0]

    with build(lambda target: bind_root(target, rootfs), paths=paths) as root:
        for way in ways:
            assert looked(root, root.stat, way) in ("ENOENT", "ELOOP")
            assert looked(root, root.listdir, way) in ("ENOENT", "ELOOP")
            assert looked(root, root.read_bytes, way) in ("ENOENT", "ELOOP")


def test_looking_opens_no_device_and_no_fifo(tmp_path: Path) -> None:
    rootfs = make_rootfs(tmp_path)
    os.mkfifo(rootfs / "fifo")
    os.mknod(rootfs / "tape", stat.S_IFCHR | 0o666, os.makedev(10, 253))
    with build(lambda target: bind_root(target, rootfs)) as root:
        for path in ("/fifo", "/tape", "/srv"):
            with pytest.raises(OSError) as caught:
                root.read_bytes(path)
            assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, path)
        with pytest.raises(OSError) as caught:
            root.readlink("/file")
        assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("link", ["/evil", "canary"])
def test_a_proc_that_is_a_link_is_mounted_where_it_leads_inside(link: str, tmp_path: Path, canary: Path) -> None:
    rootfs = make_rootfs(tmp_path)
    (rootfs / "proc").rmdir()
    (rootfs / "evil").mkdir()
    (rootfs / "proc").symlink_to(link)

    def work(target: KernelTarget) -> None:
        bind_root(target, rootfs)
        from tests.devproxy.targets_kernel.rig import NO_CHANGE

        target.attach(target.filesystem("proc", "proc", NO_CHANGE, (), ()), "/proc")

    if link == "/evil":
        with build(work, namespaces=new_namespaces("pid")) as root:
            assert table(root)[-1][:2] == ("/evil", "proc")
            assert "self" in root.listdir("/proc")
    else:
        with pytest.raises(FileNotFoundError):
            build(work, namespaces=new_namespaces("pid"))


@pytest.fixture
def exchanging(tmp_path: Path, canary: Path) -> Iterator[Path]:
    """A rootfs in which `a/b` is a directory, then a link to the canary, and so on for ever (CVE-2021-30465)."""
    rootfs = make_rootfs(tmp_path)
    (rootfs / "a/b/inside").mkdir(parents=True)
    (rootfs / "a/l").symlink_to(canary)
    folder, stop = os.open(rootfs / "a", os.O_PATH), threading.Event()

    def exchange() -> None:
        while not stop.is_set():
            check(libc.renameat2(folder, b"b", folder, b"l", 2))

    thread = threading.Thread(target=exchange)
    thread.start()
    yield rootfs
    stop.set()
    thread.join()
    os.close(folder)


@pytest.mark.parametrize("paths", [KernelPaths(), KernelPaths(openat2=False)], ids=["openat2", "walk"])
def test_a_race_for_the_mount_point_is_lost(paths: KernelPaths, exchanging: Path, canary: Path) -> None:
    usable(paths)

    def work(target: KernelTarget) -> list[int]:
        bind_root(target, exchanging)
        done, deadline = [0, 0], time.monotonic() + 10
        for number in itertools.count():
            if (number > 100 and all(done)) or time.monotonic() > deadline:
                break
            VERBS["attach"](target, "/mnt")  # whatever is held of /a is let go
            for verb in ("directory mount point", "file mount point", "node", "symlink", "attach"):
                path = "/a/b/inside" if verb == "attach" else f"/a/b/x/{verb}{number}"
                try:
                    VERBS[verb](target, path)
                    done[0] += 1
                except OSError:
                    done[1] += 1
        return done

    with build(work, paths=paths) as root:
        assert all(root.outcomes), "both states were met"
        assert len(table(root)) > 1
