"""What is special about a root in memory: no privilege, nothing of the machine touched, nothing left behind."""

from __future__ import annotations

import errno
import os
import resource
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

import devproxy
from devproxy.mount_options import Attribute, Change
from devproxy.node import DeviceNumber, NodeKind
from devproxy.targets.memory import MemoryRoot, MemoryTarget
from devproxy.targets.memory.flags import of_descriptor
from devproxy.targets.target import FileKind, Target
from tests.bundles import runc_spec_like, write_bundle
from tests.contract.targets.rig import HOST, bind_root, in_memory, make_image, overlay_root, tmpfs, tmpfs_root, told
from tests.hosts import host_with_gpus
from vfs.credentials import ROOT
from vfs.options import MountFlags, OpenOptions
from vfs.resolve import PathOperation

NULL = DeviceNumber(1, 3)
NOBODY = 65534


@pytest.fixture
def image(tmp_path: Path) -> str:
    return make_image(tmp_path)


def build_in_memory(work: Callable[[Target], object]) -> MemoryRoot:
    with MemoryTarget(HOST) as target:
        work(target)
        target.finish()
        return target.root()


def opened(root: MemoryRoot, path: str, flags: int) -> str:
    place = root.namespace.root
    return told(root.vfs.open_at, ROOT, PathOperation(place, place, path), OpenOptions(flags))


def in_a_child(work: Callable[[], object], uid: int) -> str:
    """What `work` returns, or says, as another user without any privilege."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.write(writing, repr(work()).encode())
        except BaseException as problem:  # noqa: BLE001 (whatever it is, the parent compares it)
            os.write(writing, repr(problem).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer.decode()


@pytest.mark.root
def test_an_ordinary_user_can_build_a_whole_bundle() -> None:
    def work() -> list[object]:
        plan = devproxy.plan(devproxy.load(bundle), host_with_gpus())
        with devproxy.build(plan, "memory") as root:
            null = root.stat("/dev/null")
            return [os.geteuid(), stat.S_ISCHR(null.st_mode), null.st_rdev == NULL.rdev, "proc" in root.listdir("/")]

    with tempfile.TemporaryDirectory() as directory:  # pytest's own are root's alone
        os.chmod(directory, 0o755)
        bundle = write_bundle(directory, runc_spec_like())
        assert in_a_child(work, NOBODY) == repr([NOBODY, True, True, True])


def test_what_is_made_in_a_bound_image_is_shown_there_and_not_made(image: str) -> None:
    before = {path: path.lstat() for path in sorted(Path(image).rglob("*"))}

    def work(target: Target) -> list[str]:
        bind_root(target, image)
        target.make_node("/dev/gpu/null", NodeKind.CHARACTER, NULL, 0o640, 3, 4)
        target.make_symlink("/dev/link", "gpu/null")
        taken = told(target.make_node, "/file", NodeKind.CHARACTER, NULL, 0o666, 0, 0)
        made = target.make_mount_point("/new/deep", directory=True)
        target.attach(tmpfs(target, "mode=0701"), "/new/deep")
        return [taken, made, told(target.make_symlink, "/" + "n" * 256, "x")]

    with in_memory(work) as (root, result):
        assert result == ["EEXIST /file", "/new", f"ENAMETOOLONG /{'n' * 256}"]
        null = root.stat("/dev/link")
        assert (oct(null.st_mode), null.st_rdev, null.st_uid, null.st_gid) == ("0o20640", NULL.rdev, 3, 4)
        assert stat.S_IMODE(root.stat("/new/deep").st_mode) == 0o701
        assert root.listdir("/dev") == ["gpu", "link"]
    assert {path: path.lstat() for path in sorted(Path(image).rglob("*"))} == before


def test_in_proc_and_sysfs_directories_are_taken_to_be_there() -> None:
    def work(target: Target) -> list[str]:
        tmpfs_root(target)
        answers = []
        for fstype in ("proc", "sysfs"):
            target.make_mount_point(f"/{fstype}", directory=True)
            target.attach(target.filesystem(fstype, fstype, Change(), (), ()), f"/{fstype}")
            answers.append(told(target.make_directory, f"/{fstype}/x", 0o755))
            answers.append(told(target.make_symlink, f"/{fstype}/x", "y"))
            answers.append(target.make_mount_point(f"/{fstype}/a/b", directory=True))
            target.attach(tmpfs(target), f"/{fstype}/a/b")
        return answers

    with in_memory(work) as (root, result):
        proc, sysfs = result[:3], result[3:]
        assert proc == ["True", "EEXIST /proc/x", "/proc/a"]
        assert sysfs == ["True", "EEXIST /sysfs/x", "/sysfs/a"]
        assert root.listdir("/proc/a") == ["b"]


def test_devices_open_what_their_numbers_mean() -> None:
    def work(target: Target) -> None:
        tmpfs_root(target)
        for name, major, minor in (("null", 1, 3), ("tty", 5, 0), ("tun", 10, 200), ("gpu", 195, 0), ("lost", 240, 0)):
            target.make_node(f"/{name}", NodeKind.CHARACTER, DeviceNumber(major, minor), 0o666, 0, 0)

    with build_in_memory(work) as root:
        answers = {name: opened(root, f"/{name}", os.O_RDWR).split()[0] for name in ("tty", "gpu", "lost")}
        assert answers == {"tty": "ENXIO", "gpu": "ENXIO", "lost": "ENXIO"}
        place = root.namespace.root
        with root.vfs.open_at(ROOT, PathOperation(place, place, "/null"), OpenOptions(os.O_RDWR)) as null:
            assert (null.read(10), null.write(b"abc")) == (b"", 3)


def test_the_machines_devices_and_fifos_are_never_opened(image: str) -> None:
    def work(target: Target) -> None:
        fuse = target.open_source("/dev/null")
        overlay_root(target, image)
        target.make_mount_point("/dev/x", directory=False)
        target.attach(target.bind(fuse, recursive=False), "/dev/x")

    with build_in_memory(work) as root:
        assert opened(root, "/pipe", os.O_WRONLY | os.O_NONBLOCK).startswith("ENXIO")
        assert told(root.read_bytes, "/pipe") == "EINVAL /pipe"
        assert root.stat("/dev/x").st_rdev == NULL.rdev


def test_a_bind_begins_with_the_flags_of_the_machines_mount(image: str) -> None:
    fd = os.open(image, os.O_PATH)
    expected = of_descriptor(fd)
    os.close(fd)

    def work(target: Target) -> None:
        tmpfs_root(target)
        target.make_mount_point("/b", directory=True)
        mount = target.bind(target.open_source(image), recursive=True)
        target.change(mount, Change(Attribute.NOEXEC), recursive=True)
        target.attach(mount, "/b")

    with build_in_memory(work) as root:
        mount = next(mount for mount in root.namespace if mount.fs.type_name == "hostfs")
        assert mount.flags == expected | MountFlags.NOEXEC


def test_a_bind_that_is_not_recursive_hides_what_is_mounted_inside() -> None:
    def work(target: Target) -> None:
        sources = [target.open_source("/") for _ in range(2)]
        tmpfs_root(target)
        for source, recursive in zip(sources, (True, False), strict=True):
            path = f"/{recursive}"
            target.make_mount_point(path, directory=True)
            target.attach(target.bind(source, recursive=recursive), path)

    with build_in_memory(work) as root:
        assert "self" in root.listdir("/True/proc")
        assert root.listdir("/False/proc") == []


def test_a_build_that_fails_leaves_no_descriptor(image: str) -> None:
    before = os.listdir("/proc/self/fd")
    with MemoryTarget(HOST) as target, pytest.raises(FileNotFoundError):
        for name in ("etc", "file", "mnt"):
            target.open_source(f"{image}/{name}")
        overlay_root(target, image)
        target.bind(target.open_source(image), recursive=True)
        target.attach(tmpfs(target), "/missing")
    assert os.listdir("/proc/self/fd") == before


def test_closing_twice_is_closing_once(image: str) -> None:
    before = os.listdir("/proc/self/fd")
    root = build_in_memory(lambda target: overlay_root(target, image))
    root.close()
    root.close()
    assert os.listdir("/proc/self/fd") == before


def test_many_binds_need_one_descriptor_each(image: str) -> None:
    count, limits = 300, resource.getrlimit(resource.RLIMIT_NOFILE)

    def work(target: Target) -> None:
        sources = [target.open_source(f"{image}/etc") for _ in range(count)]
        tmpfs_root(target)
        for index, source in enumerate(sources):
            target.make_mount_point(f"/{index}", directory=True)
            target.attach(target.bind(source, recursive=True), f"/{index}")

    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 200, limits[1]))
    try:
        with build_in_memory(work) as root:
            assert all(root.listdir(f"/{index}") == ["name"] for index in range(count))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_superblock_flags_are_accepted_and_unknown_ones_named() -> None:
    def work(target: Target) -> str:
        tmpfs_root(target)
        target.filesystem("tmpfs", "tmpfs", Change(), ("sync", "dirsync"), ())
        return told(target.filesystem, "tmpfs", "tmpfs", Change(), ("colour",), ())

    with in_memory(work) as (_, result):
        assert result == "EINVAL colour"


@pytest.mark.parametrize("fstype", ["hostfs", "overlay", "ext4", "fuse.sshfs", "hostfs.x"])
def test_what_cannot_be_mounted_by_name_is_unknown(fstype: str) -> None:
    with MemoryTarget(HOST) as target:
        assert told(target.filesystem, fstype, "none", Change(), (), ()) == f"ENODEV {fstype}"


def test_look_in_a_source_leaves_it_to_be_used(image: str) -> None:
    def work(target: Target) -> str:
        source = target.open_source(image)
        seen = target.look_in(source, "/up")
        assert seen is not None
        target.attach(target.overlay(source), "/")
        return f"{seen.kind is FileKind.SYMLINK} {seen.link}"

    with in_memory(work) as (_, result):
        assert result == "True ../../../../mnt"


def test_stat_after_a_change_on_the_machine_is_fresh_in_a_bind_and_so_are_its_errors(image: str) -> None:
    with build_in_memory(lambda target: bind_root(target, image)) as root:
        assert root.stat("/file").st_size == 7
        Path(image, "file").write_text("longer than before\n")
        assert root.stat("/file").st_size == 19
        Path(image, "file").unlink()
        with pytest.raises(OSError) as gone:
            root.stat("/file")
        assert gone.value.errno == errno.ENOENT
