"""Changes made to a root that is to be saved, the same ones in memory and on the kernel, and what a save then holds."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import devproxy
from devproxy.build import Root
from devproxy.layer.entry import Entry, Kind
from devproxy.layer.reader import read_layer
from devproxy.oci.configuration import parse_configuration
from devproxy.plan.plan import Plan
from devproxy.targets.memory import MemoryRoot
from tests.bundles import runc_spec_like, write_bundle
from tests.hosts import host_with_gpus
from vfs import ROOT, MkdirOptions, MknodOptions, OpenOptions, PathOperation, SetStat

XATTRS = "user.x"


def fill(root: Path) -> None:
    """An image in which there is something of everything."""
    for name in ("etc", "d/sub/deep", "tmp", "proc", "sys", "dev", "bin", "data", "over", "ro"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "file").write_text("covered")
    (root / "etc" / "hosts").write_text("127.0.0.1 localhost\n")
    (root / "d" / "f").write_text("f of the image")
    os.link(root / "d" / "f", root / "d" / "g")
    os.symlink("f", root / "d" / "l")
    (root / "d" / "sub" / "x").write_bytes(b"x" * 5000)
    (root / "d" / "sub" / "deep" / "y").write_text("y")
    (root / "data" / "hidden").write_text("below the tmpfs")
    os.chmod(root / "d" / "sub", 0o1770)
    os.setxattr(root / "d" / "f", XATTRS, b"image")


def bundle(directory: Path, **changes: Any) -> str:
    """A bundle with a tmpfs at /data, a directory bound at /over (with an overlay under `all`) and another bound read-only, a file
    bound at /file.
    """
    source = directory / "source"
    (source / "s").mkdir(parents=True)
    (source / "s" / "t").write_text("of the host")
    (source / "file").write_text("a file of the host")
    mounts = [
        {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["mode=0755"]},
        {"destination": "/over", "type": "bind", "source": str(source), "options": ["rbind"]},
        {"destination": "/ro", "type": "bind", "source": str(source), "options": ["rbind", "ro"]},
        {"destination": "/file", "type": "bind", "source": str(source / "file"), "options": ["bind"]},
    ]
    config = runc_spec_like(root={"readonly": False}, mounts=[*runc_spec_like()["mounts"], *mounts], **changes)
    path = write_bundle(directory / "bundle", config, rootfs="empty")
    fill(directory / "bundle" / "rootfs")
    return path


def planned(bundle: str, overlay2: str = "all:memory", mode: str = "none") -> Plan:
    """The plan of a bundle, on a host that is not this one."""
    config = parse_configuration(None, [f"overlay2={overlay2}"])[0]
    host = host_with_gpus(0)._replace(nvidia=None)
    return devproxy.plan(devproxy.load(bundle), host, mode=mode, config=config)


class World(Protocol):
    """The few calls that changes are made of. Paths begin with a slash, and no link is on the way."""

    def lstat(self, path: str) -> os.stat_result: ...
    def listdir(self, path: str) -> list[str]: ...
    def mkdir(self, path: str, mode: int) -> None: ...
    def write(self, path: str, offset: int, data: bytes) -> None: ...
    def truncate(self, path: str, size: int) -> None: ...
    def symlink(self, path: str, target: str) -> None: ...
    def link(self, path: str, new: str) -> None: ...
    def rename(self, path: str, new: str) -> None: ...
    def unlink(self, path: str) -> None: ...
    def rmdir(self, path: str) -> None: ...
    def chmod(self, path: str, mode: int) -> None: ...
    def chown(self, path: str, uid: int, gid: int) -> None: ...
    def utime(self, path: str, ns: int) -> None: ...
    def setxattr(self, path: str, value: bytes) -> None: ...
    def mkfifo(self, path: str, mode: int) -> None: ...


class KernelWorld:
    """A root on the kernel, by way of its process's root directory."""

    def __init__(self, root: Root) -> None:
        self._base = f"/proc/{root.tree.pid}/root"  # type: ignore[attr-defined]
        self._mount_points = {line.mount_point for line in root.mountinfo()}

    def _refuse_mount_points(self, *paths: str) -> None:
        """What the kernel says inside (EBUSY). From another mount namespace, as here, the mount would go with its name."""
        for path in paths:
            if path in self._mount_points:
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)

    def lstat(self, path: str) -> os.stat_result:
        return os.lstat(self._base + path)

    def listdir(self, path: str) -> list[str]:
        return os.listdir(self._base + path)

    def mkdir(self, path: str, mode: int) -> None:
        os.mkdir(self._base + path)
        os.chmod(self._base + path, mode)

    def write(self, path: str, offset: int, data: bytes) -> None:
        descriptor = os.open(self._base + path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        try:
            os.pwrite(descriptor, data, offset)
        finally:
            os.close(descriptor)

    def truncate(self, path: str, size: int) -> None:
        os.truncate(self._base + path, size)

    def symlink(self, path: str, target: str) -> None:
        os.symlink(target, self._base + path)

    def link(self, path: str, new: str) -> None:
        os.link(self._base + path, self._base + new, follow_symlinks=False)

    def rename(self, path: str, new: str) -> None:
        self._refuse_mount_points(path, new)
        os.rename(self._base + path, self._base + new)

    def unlink(self, path: str) -> None:
        self._refuse_mount_points(path)
        os.unlink(self._base + path)

    def rmdir(self, path: str) -> None:
        self._refuse_mount_points(path)
        os.rmdir(self._base + path)

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(self._base + path, mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        os.lchown(self._base + path, uid, gid)

    def utime(self, path: str, ns: int) -> None:
        os.utime(self._base + path, ns=(ns, ns), follow_symlinks=False)

    def setxattr(self, path: str, value: bytes) -> None:
        os.setxattr(self._base + path, XATTRS, value)

    def mkfifo(self, path: str, mode: int) -> None:
        os.mkfifo(self._base + path)
        os.chmod(self._base + path, mode)


class MemoryWorld:
    """A root in memory."""

    def __init__(self, root: Root) -> None:
        tree = root.tree
        assert isinstance(tree, MemoryRoot)
        self._vfs, self._root = tree.vfs, tree.namespace.root

    def _at(self, path: str) -> PathOperation:
        return PathOperation(self._root, self._root, path, follow_final_symlink=False)

    def lstat(self, path: str) -> os.stat_result:
        return self._vfs.stat_at(ROOT, self._at(path))

    def listdir(self, path: str) -> list[str]:
        return self._vfs.listdir_at(ROOT, self._at(path))

    def mkdir(self, path: str, mode: int) -> None:
        self._vfs.mkdir_at(ROOT, self._at(path), MkdirOptions(0o755))
        self.chmod(path, mode)

    def write(self, path: str, offset: int, data: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        with self._vfs.open_at(ROOT, self._at(path), OpenOptions(flags, 0o644)) as file:
            file.pwrite(data, offset)

    def truncate(self, path: str, size: int) -> None:
        self._vfs.set_stat_at(ROOT, self._at(path), SetStat(size=size))

    def symlink(self, path: str, target: str) -> None:
        self._vfs.symlink_at(ROOT, self._at(path), target)

    def link(self, path: str, new: str) -> None:
        self._vfs.link_at(ROOT, self._at(path), self._at(new))

    def rename(self, path: str, new: str) -> None:
        self._vfs.rename_at(ROOT, self._at(path), self._at(new))

    def unlink(self, path: str) -> None:
        self._vfs.unlink_at(ROOT, self._at(path))

    def rmdir(self, path: str) -> None:
        self._vfs.rmdir_at(ROOT, self._at(path))

    def chmod(self, path: str, mode: int) -> None:
        self._vfs.set_stat_at(ROOT, self._at(path), SetStat(mode=mode))

    def chown(self, path: str, uid: int, gid: int) -> None:
        self._vfs.set_stat_at(ROOT, self._at(path), SetStat(uid=uid, gid=gid, chown=True))

    def utime(self, path: str, ns: int) -> None:
        self._vfs.set_stat_at(ROOT, self._at(path), SetStat(atime_ns=ns, mtime_ns=ns))

    def setxattr(self, path: str, value: bytes) -> None:
        self._vfs.setxattr_at(ROOT, self._at(path), XATTRS, value)

    def mkfifo(self, path: str, mode: int) -> None:
        self._vfs.mknod_at(ROOT, self._at(path), MknodOptions(stat.S_IFIFO | 0o644))
        self.chmod(path, mode)


class Change(NamedTuple):
    """One call: its name in `World`, the path, and what else it takes. `remove` takes a whole tree away."""

    call: str
    path: str
    rest: tuple[Any, ...] = ()

    def make(self, world: World) -> None:
        """Make it, if no link is on the way; what cannot be done is left."""
        paths = [self.path, *(each for each in self.rest if isinstance(each, str) and each.startswith("/"))]
        if self.call == "symlink":
            paths = paths[:1]
        if any(_leads_away(world, path) for path in paths):
            return
        try:
            if self.call == "remove":
                _remove(world, self.path)
            elif self.call in ("chmod", "truncate", "setxattr") and stat.S_ISLNK(world.lstat(self.path).st_mode):
                return
            else:
                getattr(world, self.call)(self.path, *self.rest)
        except OSError:
            return


def _leads_away(world: World, path: str) -> bool:
    names = path.split("/")[1:-1]
    for count in range(1, len(names) + 1):
        try:
            if not stat.S_ISDIR(world.lstat("/" + "/".join(names[:count])).st_mode):
                return True
        except OSError:
            return True
    return False


def _remove(world: World, path: str) -> None:
    if not stat.S_ISDIR(world.lstat(path).st_mode):
        world.unlink(path)
        return
    for name in world.listdir(path):
        _remove(world, f"{path}/{name}")
    world.rmdir(path)


def saved(file: str, *, times: bool = True) -> dict[str, Any]:
    """What a saved file holds, by path: the entries without where their data lie, with what these are."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        layer = read_layer(descriptor)
        found = {}
        for entry in layer.entries:
            content = b"".join(_content(descriptor, entry))
            plain = entry._replace(extents=(), mtime_ns=entry.mtime_ns if times else 0)
            found[entry.path] = (plain, content)
        return found
    finally:
        os.close(descriptor)


def _content(descriptor: int, entry: Entry) -> Iterator[bytes]:
    if entry.kind is not Kind.FILE:
        return
    end = 0
    for extent in entry.extents:
        yield bytes(extent.offset - end)
        yield os.pread(descriptor, extent.length, extent.at)
        end = extent.offset + extent.length
    yield bytes(entry.size - end)
