"""Every file system type, mounted with something in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

from example.mappingfs import MappingType
from tests.differential.fuse.servers import example, served
from vfs import ROOT, FilesystemType, Mount, MountOptions, PathOperation, VirtualDentry, VirtualFilesystem
from vfs.fs.cgroupfs import Cgroup2Type, CgroupType
from vfs.fs.devpts import DevptsType
from vfs.fs.devtmpfs import DevtmpfsType
from vfs.fs.fuse import FuseType
from vfs.fs.fuse.options import FuseOptions
from vfs.fs.hostfs import HostfsOptions, HostfsType
from vfs.fs.mqueue import MqueueType
from vfs.fs.overlay import OverlayOptions, OverlayType
from vfs.fs.proc import ProcType
from vfs.fs.sysfs import SysfsType
from vfs.fs.tmpfs import TmpfsType

TYPES: tuple[FilesystemType, ...] = (
    CgroupType(),
    Cgroup2Type(),
    DevptsType(),
    DevtmpfsType(),
    FuseType(),
    HostfsType(),
    MappingType(),
    MqueueType(),
    OverlayType(),
    ProcType(),
    SysfsType(),
    TmpfsType(),
)


def new_vfs() -> VirtualFilesystem:
    """A VFS that knows every type."""
    vfs = VirtualFilesystem()
    for each in TYPES:
        vfs.register_filesystem_type(each)
    return vfs


def root_of(mount: Mount) -> VirtualDentry:
    """The place to start from in a detached mount."""
    return VirtualDentry(mount, mount.root)


class Subject(NamedTuple):
    """How to mount one type; `writable` says that anything can be made in it, `flat` that regular files can, and nothing else.
    `makes` is the one call that makes something in a type where the others are refused. `served` says that the files are those
    of a FUSE server, which starts and ends with the mount.
    """

    name: str
    mount: Callable[[VirtualFilesystem, Path], Mount]
    writable: bool
    flat: bool = False
    makes: str = ""
    served: bool = False


def _by_name(name: str) -> Callable[[VirtualFilesystem, Path], Mount]:
    return lambda vfs, _place: vfs.mount_disconnected(ROOT, "none", name)


def _hostfs(*, writable: bool, exclusive: bool = False) -> Callable[[VirtualFilesystem, Path], Mount]:
    def mount(vfs: VirtualFilesystem, place: Path) -> Mount:
        (place / "directory").mkdir()
        (place / "directory" / "file").write_bytes(b"contents")
        (place / "link").symlink_to("directory/file")
        os.mkfifo(place / "fifo")
        descriptor = os.open(place, os.O_PATH | os.O_DIRECTORY)
        try:
            options = MountOptions(internal=HostfsOptions(descriptor, writable=writable, exclusive=exclusive))
            return vfs.mount_disconnected(ROOT, str(place), "hostfs", options)
        finally:
            os.close(descriptor)

    return mount


def _mapping(vfs: VirtualFilesystem, place: Path) -> Mount:
    options = MountOptions(internal={"one": b"first", "two": b""})
    return vfs.mount_disconnected(ROOT, "none", "mapping", options)


def _overlay(layers: int) -> Callable[[VirtualFilesystem, Path], Mount]:
    def mount(vfs: VirtualFilesystem, place: Path) -> Mount:
        upper, *lowers = (root_of(vfs.mount_disconnected(ROOT, "none", "tmpfs")) for _ in range(1 + layers))
        for number, root in enumerate(lowers):
            vfs.mkdir_all_at(ROOT, PathOperation(root, root, f"/directory/below{number}"))
            vfs.symlink_at(ROOT, PathOperation(root, root, "/link"), "directory")
        options = MountOptions(internal=OverlayOptions(upper, tuple(lowers)))
        return vfs.mount_disconnected(ROOT, "none", "overlay", options)

    return mount


def _fuse(vfs: VirtualFilesystem, connection: Path) -> Mount:
    options = FuseOptions(connection=int(connection.name))
    data = "rootmode=40755,user_id=0,group_id=0,allow_other,default_permissions"
    return vfs.mount_disconnected(ROOT, "none", "fuse.passthrough", MountOptions(data=data, internal=options))


def _proc(vfs: VirtualFilesystem, _place: Path) -> Mount:
    vfs.tasks.default = vfs.tasks.spawn()
    return vfs.mount_disconnected(ROOT, "none", "proc")


SUBJECTS = (
    Subject("cgroup", _by_name("cgroup"), writable=False, makes="mkdir"),
    Subject("cgroup2", _by_name("cgroup2"), writable=False, makes="mkdir"),
    Subject("devpts", _by_name("devpts"), writable=False),
    Subject("devtmpfs", _by_name("devtmpfs"), writable=True),
    Subject("fuse, of a server of libfuse's", _fuse, writable=True, served=True),
    Subject("hostfs", _hostfs(writable=False), writable=False),
    Subject("hostfs, writable", _hostfs(writable=True), writable=True),
    Subject("mapping, of the page on writing a type", _mapping, writable=False, flat=True),
    Subject("hostfs, exclusive", _hostfs(writable=True, exclusive=True), writable=True),
    Subject("overlay", _overlay(1), writable=True),
    Subject("overlay of several layers", _overlay(3), writable=True),
    Subject("mqueue", _by_name("mqueue"), writable=False, makes="open"),
    Subject("proc", _proc, writable=False),
    Subject("sysfs", _by_name("sysfs"), writable=False),
    Subject("tmpfs", _by_name("tmpfs"), writable=True),
)


@contextmanager
def mounted(subject: Subject, place: Path) -> Iterator[tuple[VirtualFilesystem, Mount]]:
    """The subject, mounted for the length of a test."""
    with _server(place) if subject.served else nullcontext(place) as source:
        vfs = new_vfs()
        mount = subject.mount(vfs, source)
        try:
            yield vfs, mount
        finally:
            vfs.discard_mount(mount)


@contextmanager
def _server(place: Path) -> Iterator[Path]:
    """The connection to a server that shows `place`, by its path in /dev/fd."""
    command = [example("passthrough_ll"), "-o", f"source={place},cache=never,xattr"]
    with served(*command) as (connection, _):
        yield Path("/dev/fd", str(connection))
