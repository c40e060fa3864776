"""What is bound: in whatever order the spec has it, seen as it is now, and on both targets as the kernel sees it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import devproxy
from devproxy.build import Root
from devproxy.errors import DevproxyError
from devproxy.oci.configuration import parse_configuration
from tests.bundles import runc_spec_like, write_bundle
from tests.differential.peers import with_devproxy, with_runc
from tests.hosts import host_with_gpus

pytestmark = [pytest.mark.root, pytest.mark.peer]

HOST = host_with_gpus()


def bind(destination: str, source: Path, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": "bind", "source": str(source), "options": ["bind", *options]}


def bundle(directory: Path, mounts: list[dict[str, Any]], script: str = "true") -> str:
    config = runc_spec_like(root={"readonly": False}, process={"args": ["/bin/sh", "-c", script]})
    config["mounts"] += mounts
    return write_bundle(directory, config)


@pytest.mark.rows("S33", "S34", oracle="runc")
def test_a_bind_listed_before_its_parent_is_what_runc_shows_of_one_listed_after(tmp_path: Path) -> None:
    parent, child = tmp_path / "parent", tmp_path / "child"
    for directory, name in ((parent / "d", "of the parent"), (parent / "e", "of the parent"), (child, "of the child")):
        directory.mkdir(parents=True)
        (directory / "name").write_text(f"{name}\n")
    (parent / "f").write_text("hidden\n")
    (tmp_path / "file").write_text("file\n")
    children = [bind("/bd/f", tmp_path / "file"), bind("/bd/d", child), bind("/bd/d/name", tmp_path / "file", "ro")]
    look = "cat /bd/f /bd/d/name /bd/e/name; ls /bd /bd/d; grep -c ' /bd' /proc/self/mounts; touch /bd/d/name || echo sealed"
    theirs, words = with_runc(bundle(tmp_path / "runc", [bind("/bd", parent), *children], look))
    assert (theirs.code, theirs.text.splitlines()[:3]) == (0, ["file", "file", "of the parent"]), words
    for number, mounts in enumerate(
        ([*children, bind("/bd", parent)], [children[2], bind("/bd", parent), *children[:2]])
    ):
        ours, words = with_devproxy(bundle(tmp_path / str(number), mounts, look))
        assert (ours.code, ours.text) == (theirs.code, theirs.text), words


def replace_by_link(source: Path) -> None:
    (source / "b").unlink()
    (source / "b").symlink_to("sub/deep")


def of_another(source: Path) -> None:
    os.chmod(source / "sub", 0o700)
    os.chown(source / "sub", 3, 4)


def remove(source: Path) -> None:
    (source / "hard").unlink()
    (source / "deep/file").unlink()
    (source / "deep").rmdir()


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file is made": lambda source: (source / "a").write_text("new"),
    "a file is written": lambda source: (source / "b").write_text("more than before"),
    "a file is cut short": lambda source: os.truncate(source / "b", 1),
    "a file is replaced": lambda source: os.replace(source / "a", source / "b"),
    "a file becomes a link": replace_by_link,
    "modes and owners": of_another,
    "a directory is moved": lambda source: os.rename(source / "sub/deep", source / "deep"),
    "a hard link": lambda source: os.link(source / "deep/file", source / "hard"),
    "names go": remove,
    "a name comes back as another": lambda source: (source / "deep").write_text("a file now"),
}


def shown(root: Root, path: str) -> list[tuple[str, int, int, int, int, str | bytes]]:
    """A tree as a root shows it: kind and mode, owners, links, what is in it."""
    found = root.lstat(path)
    content: str | bytes = ""
    if stat.S_ISLNK(found.st_mode):
        content = root.readlink(path)
    elif stat.S_ISREG(found.st_mode):
        content = root.read_bytes(path)
    lines = [(path, found.st_mode, found.st_uid, found.st_gid, found.st_nlink, content)]
    if stat.S_ISDIR(found.st_mode):
        for name in sorted(root.listdir(path)):
            lines += shown(root, f"{path}/{name}")
    return lines


@pytest.mark.rows("S21", oracle="kernel")
@pytest.mark.parametrize("access", ["exclusive", "shared"])
def test_what_the_host_changes_is_seen_at_once_as_through_the_kernel(tmp_path: Path, access: str) -> None:
    source = tmp_path / "source"
    (source / "sub/deep").mkdir(parents=True)
    (source / "b").write_text("before")
    (source / "sub/deep/file").write_text("deep")
    config = parse_configuration(None, [f"file-access-mounts={access}", f"file-access={access}"]).configuration
    path = bundle(tmp_path / "bundle", [bind("/data", source), bind("/ro", source, "ro"), bind("/b", source / "b")])
    plan = devproxy.plan(devproxy.load(path), HOST, config=config)
    with devproxy.build(plan) as memory, devproxy.build(plan, "kernel") as kernel:
        for name, change in {"nothing yet": lambda _: None, **CHANGES}.items():
            change(source)
            for place in ("/data", "/ro", "/b"):
                ours, theirs = shown(memory, place), shown(kernel, place)
                assert (name, ours) == (name, theirs)
        options = [line for line in memory.mountinfo() if line.mount_point in ("/data", "/ro")]
        # Nothing of how the files are reached is shown (S21): neither descriptors nor caching.
        assert [line.super_options for line in options] == [("rw",), ("rw",)]


@pytest.mark.rows("S29", "S30", oracle="runc")
def test_no_descriptor_of_a_source_reaches_the_process(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    mounts = [bind(f"/m{number}", tmp_path / "source") for number in range(12)]
    look = "for f in /proc/self/fd/*; do readlink $f | sed 's/[0-9]//g'; done | sort"
    theirs, _ = with_runc(bundle(tmp_path / "runc", mounts, look))
    ours, words = with_devproxy(bundle(tmp_path / "devproxy", mounts, look))
    assert ours.text == theirs.text, words
    assert ours.text.count("\n") >= 2


@pytest.mark.rows("S11", oracle="kernel")
def test_as_many_links_are_followed_as_the_kernel_follows(tmp_path: Path) -> None:
    path = bundle(tmp_path / "bundle", [])
    rootfs = Path(path, "rootfs")
    (rootfs / "l0").mkdir()
    for number in range(1, 44):
        (rootfs / f"l{number}").symlink_to(f"l{number - 1}")
    plan = devproxy.plan(devproxy.load(path), HOST)
    with devproxy.build(plan) as memory, devproxy.build(plan, "kernel") as kernel:
        ours, theirs = ([found(root, f"/l{number}") for number in range(44)] for root in (memory, kernel))
    assert ours == theirs == [found_on_host(rootfs / f"l{number}") for number in range(44)]
    assert theirs.count(os.strerror(errno.ELOOP)) == 3


def found(root: Root, path: str) -> str:
    try:
        return stat.filemode(root.stat(path).st_mode)
    except OSError as error:
        return os.strerror(error.errno or 0)


def found_on_host(path: Path) -> str:
    try:
        return stat.filemode(path.stat().st_mode)
    except OSError as error:
        return os.strerror(error.errno or 0)


@pytest.mark.rows("S21", oracle="specification")
def test_in_memory_a_descriptor_can_be_a_source(tmp_path: Path) -> None:
    """It is named by procfs; what it holds may have another name by now. The kernel binds only what its builder can reach."""
    (tmp_path / "held").mkdir()
    (tmp_path / "held/file").write_text("of the descriptor\n")
    descriptor = os.open(tmp_path / "held", os.O_PATH)
    try:
        (tmp_path / "held").rename(tmp_path / "elsewhere")
        (tmp_path / "held").mkdir()
        path = bundle(tmp_path / "bundle", [bind("/d", Path(f"/proc/self/fd/{descriptor}"))])
        plan = devproxy.plan(devproxy.load(path), HOST)
        with devproxy.build(plan) as root:
            assert root.read_bytes("/d/file") == b"of the descriptor\n"
        with pytest.raises(DevproxyError, match=f"the source of /d, /proc/self/fd/{descriptor}: no such file"):
            devproxy.build(plan, "kernel")
    finally:
        os.close(descriptor)
