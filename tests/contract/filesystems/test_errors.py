"""Every error that the file system interface documents, raised by every type that can be written to.

`RAISED` has an entry for each errno under `Errors:` of `Inode`, `File`, `Filesystem` and `FilesystemType`; what is not raised
here stands in `ELSEWHERE` with the reason. A test holds the two together with the docstrings.
"""

from __future__ import annotations

import errno
import inspect
import os
import re
import stat
from collections.abc import Callable

import pytest

from tests.contract.filesystems.conftest import WRITABLE
from tests.contract.filesystems.tree import Tree
from tests.vfs.world import USER, raises
from vfs import (
    ROOT,
    File,
    Filesystem,
    FilesystemType,
    Inode,
    MkdirOptions,
    MknodOptions,
    Mount,
    MountOptions,
    OpenOptions,
    RenameOptions,
    SetStat,
    VirtualFilesystem,
    dcache,
)
from vfs.abi import MAY_WRITE, RENAME_EXCHANGE, XATTR_CREATE, XATTR_REPLACE

INTERFACE = (Inode, File, Filesystem, FilesystemType)
READ_ONLY_TYPE = "where nothing can be made: tests/contract/filesystems/test_refusing.py"
FULL = "a matter of limits, compared with the kernel's on a full tmpfs by tests/differential/vfs"
NO_LIMIT = "no type here has this limit"
ELSEWHERE = {
    **{
        f"Inode.{name}.EPERM": READ_ONLY_TYPE
        for name in ["set_stat", "mknod", "mkdir", "symlink", "link", "unlink", "rmdir", "rename"]
    },
    **{
        f"Inode.{name}.ENOSPC": FULL
        for name in ["set_stat", "mknod", "mkdir", "symlink", "link", "rename", "tmpfile", "set_xattr"]
    },
    **{
        f"File.{name}.ENOSPC": FULL
        for name in ["allocate_range", "write_at", "write", "truncate", "allocate", "set_stat"]
    },
    **{f"Inode.{name}.EMLINK": NO_LIMIT for name in ("mkdir", "link")},
    **{
        f"Inode.{name}.ENOTSUP": "the types that can be written have attributes"
        for name in ("get_xattr", "set_xattr", "remove_xattr")
    },
    "Inode.set_stat.EFBIG": NO_LIMIT,
    "Inode.rename.EXDEV": "of an overlay, whose layers decide: tests/differential/vfs",
    "Inode.symlink.ENAMETOOLONG": "of a host whose page is smaller: tests/differential/vfs",
    "Inode.tmpfile.EOPNOTSUPP": "the types that can be written make files without names, or say so: below",
    "File.allocate.ENODEV": "of devices: tests/vfs/test_file.py",
    "File.allocate_range.EOPNOTSUPP": "as File.allocate",
    "File.read.EAGAIN": "of pipes: tests/vfs/test_pipe.py",
    "File.write.EPIPE": "of pipes: tests/vfs/test_pipe.py",
    "File.write_at.EFBIG": "as File.write",
    "File.write.EFBIG": "of limits that the kernel of a host has, too: tests/differential/vfs",
    "File.truncate.EFBIG": NO_LIMIT,
    "File.seek_hole_or_data.ENXIO": "as File.seek",
    "Filesystem.__init__.EMFILE": "of the numbers of devices: tests/vfs/test_device.py",
    "Filesystem.statfs.ENOSYS": "every type here tells: test_reading.py",
}
"""Where an error of the interface is raised that is not raised here, or why by none."""

Raiser = Callable[[Tree], object]


def _inode(tree: Tree, path: str) -> Inode:
    return tree.vfs.get_dentry_at(ROOT, tree.at(path)).dentry.inode


def _opened(path: str, flags: int, call: Callable[[File], object]) -> Raiser:
    def raiser(tree: Tree) -> None:
        with tree.open(path, flags) as file:
            call(file)

    return raiser


def _closed(call: Callable[[File], object]) -> Raiser:
    return _opened("/t/f", os.O_PATH, call)


def _read_removed(tree: Tree) -> None:
    tree.mkdir("/t/e")
    with tree.open("/t/e", os.O_RDONLY) as directory:
        tree.vfs.rmdir_at(ROOT, tree.at("/t/e"))
        directory.read_directory()


def _as_user(changes: SetStat) -> Raiser:
    def raiser(tree: Tree) -> None:
        with tree.open("/t/f", os.O_RDWR) as file:
            file.creds = USER
            file.set_stat(changes)

    return raiser


def _sealed(tree: Tree) -> None:
    with tree.open("/t/f", os.O_RDONLY) as file:
        tree.vfs.set_mount_read_only(tree.root.mount, read_only=True)
        file.set_stat(SetStat(mode=0o600))


def _remove_full(tree: Tree) -> None:
    directory = _inode(tree, "/t")
    directory.rmdir("d", directory.lookup("d"))


def _rename_over_full(tree: Tree) -> None:
    tree.mkdir("/t/e")
    _inode(tree, "/t").rename("e", _inode(tree, "/t"), "d", RenameOptions())


def _mount_badly(tree: Tree) -> None:
    fs = tree.root.mount.fs
    found = fs.vfs.filesystem_types.find(fs.type_name).type
    found.get_filesystem(fs.vfs, ROOT, "none", MountOptions(data="no-such-option=1"))


RDONLY, WRONLY, RDWR = os.O_RDONLY, os.O_WRONLY, os.O_RDWR
RAISED: dict[str, Raiser] = {
    "Inode.set_stat.EINVAL": lambda tree: tree.vfs.set_stat_at(ROOT, tree.at("/t/l"), SetStat(size=0)),
    "Inode.check_access.EACCES": lambda tree: _inode(tree, "/t/f").check_access(USER, MAY_WRITE),
    "Inode.access.EACCES": lambda tree: _inode(tree, "/t/f").access(USER, MAY_WRITE),
    "Inode.lookup.ENOENT": lambda tree: _inode(tree, "/t").lookup("none"),
    "Inode.lookup.ENOTDIR": lambda tree: _inode(tree, "/t/f").lookup("none"),
    "Inode.find.ENOTDIR": lambda tree: _inode(tree, "/t/f").find("none"),
    "Inode.iterate.ENOTDIR": lambda tree: list(_inode(tree, "/t/f").iterate()),
    "Inode.names.ENOTDIR": lambda tree: _inode(tree, "/t/f").names(),
    "Inode.rmdir.ENOTEMPTY": _remove_full,
    "Inode.rename.ENOTEMPTY": _rename_over_full,
    "Inode.rename.EINVAL": lambda tree: tree.vfs.rename_at(ROOT, tree.at("/t/f"), tree.at("/t/x"), RenameOptions(64)),
    "Inode.readlink.EINVAL": lambda tree: _inode(tree, "/t/f").readlink(),
    "Inode.open.ENXIO": lambda tree: tree.open("/t/s", RDONLY),
    "Inode.open.EINVAL": lambda tree: _inode(tree, "/t/p").open(
        tree.vfs.get_dentry_at(ROOT, tree.at("/t/p")), os.O_ACCMODE, ROOT
    ),
    "Inode.get_xattr.ENODATA": lambda tree: _inode(tree, "/t/f").get_xattr("user.none"),
    "Inode.set_xattr.EEXIST": lambda tree: _inode(tree, "/t/f").set_xattr("user.a", b"", XATTR_CREATE),
    "Inode.set_xattr.ENODATA": lambda tree: _inode(tree, "/t/f").set_xattr("user.none", b"", XATTR_REPLACE),
    "Inode.remove_xattr.ENODATA": lambda tree: _inode(tree, "/t/f").remove_xattr("user.none"),
    "File.read.EBADF": _opened("/t/f", WRONLY, lambda file: file.read(1)),
    "File.read.EISDIR": _opened("/t", RDONLY, lambda file: file.read(1)),
    "File.read.EINVAL": _opened("/t/p", os.O_PATH, lambda file: File.read_at(file, 1, 0)),
    "File.read_at.EINVAL": _opened("/t/p", os.O_PATH, lambda file: File.read_at(file, 1, 0)),
    "File.read_at.EISDIR": _opened("/t", RDONLY, lambda file: file.read_at(1, 0)),
    "File.write_at.EINVAL": _opened("/t/p", os.O_PATH, lambda file: File.write_at(file, b"x", 0)),
    "File.pread.ESPIPE": _opened("/t/p", RDWR, lambda file: file.pread(1, 0)),
    "File.pread.EINVAL": _opened("/t/f", RDONLY, lambda file: file.pread(1, -1)),
    "File.write.EBADF": _opened("/t/f", RDONLY, lambda file: file.write(b"x")),
    "File.write.EINVAL": _opened("/t/p", os.O_PATH, lambda file: File.write_at(file, b"x", 0)),
    "File.pwrite.ESPIPE": _opened("/t/p", RDWR, lambda file: file.pwrite(b"x", 0)),
    "File.pwrite.EINVAL": _opened("/t/f", RDWR, lambda file: file.pwrite(b"x", -1)),
    "File.seek.ESPIPE": _opened("/t/p", RDWR, lambda file: file.seek(0)),
    "File.seek.EINVAL": _opened("/t/f", RDONLY, lambda file: file.seek(-1)),
    "File.seek.ENXIO": _opened("/t/f", RDONLY, lambda file: file.seek(100, os.SEEK_DATA)),
    "File.truncate.EINVAL": _opened("/t/f", RDONLY, lambda file: file.truncate(0)),
    "File.truncate.EBADF": _closed(lambda file: file.truncate(0)),
    "File.allocate.EINVAL": _opened("/t/f", RDWR, lambda file: file.allocate(0, 0, 0)),
    "File.allocate.EOPNOTSUPP": _opened("/t/f", RDWR, lambda file: file.allocate(1 << 20, 0, 1)),
    "File.allocate.EBADF": _opened("/t/f", RDONLY, lambda file: file.allocate(0, 0, 1)),
    "File.allocate.ESPIPE": _opened("/t/p", RDWR, lambda file: file.allocate(0, 0, 1)),
    "File.allocate.EFBIG": _opened("/t/f", RDWR, lambda file: file.allocate(0, (1 << 63) - 1, 1)),
    "File.statx.EINVAL": _opened("/t/f", RDONLY, lambda file: file.statx(0x8000_0000)),
    "File.set_stat.EBADF": _closed(lambda file: file.set_stat(SetStat(mode=0))),
    "File.set_stat.EPERM": _as_user(SetStat(mode=0)),
    "File.set_stat.EACCES": _as_user(SetStat(touch=True)),
    "File.set_stat.EROFS": _sealed,
    "File.get_xattr.EBADF": _closed(lambda file: file.get_xattr("user.a")),
    "File.read_directory.ENOTDIR": _opened("/t/f", RDONLY, lambda file: file.read_directory()),
    "File.read_directory.ENOENT": _read_removed,
    "File.ioctl.ENOTTY": _opened("/t/f", RDONLY, lambda file: file.ioctl(0xDEAD)),
    "File.check_open.EBADF": _closed(lambda file: file.check_open()),
    "FilesystemType.get_filesystem.EINVAL": _mount_badly,
}


_ON_WRITABLE = pytest.mark.parametrize("subject", WRITABLE, indirect=True)


@pytest.fixture
def tree(vfs: VirtualFilesystem, mount: Mount) -> Tree:
    """A directory /t with one of each: f, with an attribute; d, with an entry; l, a link; p, a fifo; s, a socket."""
    tree = Tree(vfs, mount)
    tree.mkdir("/t")
    vfs.set_stat_at(ROOT, tree.at("/t"), SetStat(mode=0o755))
    tree.write("/t/f", b"contents")
    vfs.setxattr_at(ROOT, tree.at("/t/f"), "user.a", b"x")
    vfs.mkdir_at(ROOT, tree.at("/t/d"), MkdirOptions())
    tree.write("/t/d/f", b"")
    vfs.symlink_at(ROOT, tree.at("/t/l"), "f")
    for name, kind in (("p", stat.S_IFIFO), ("s", stat.S_IFSOCK)):
        vfs.mknod_at(ROOT, tree.at(f"/t/{name}"), MknodOptions(kind | 0o600))
    return tree


def documented() -> set[str]:
    """The errors that the docstrings of the interface name."""
    found = set()
    for each in INTERFACE:
        for name, function in vars(each).items():
            if inspect.isfunction(function):
                _, _, errors = (inspect.getdoc(function) or "").partition("Errors:")
                found |= {f"{each.__name__}.{name}.{code}" for code in re.findall(r"\bE[A-Z0-9]{3,}\b", errors)}
    return found


def test_every_documented_error_is_raised_here_or_elsewhere() -> None:
    assert not RAISED.keys() & ELSEWHERE.keys()
    assert documented() == RAISED.keys() | ELSEWHERE.keys()


@_ON_WRITABLE
@pytest.mark.parametrize("name", RAISED)
def test_an_error_is_raised_as_documented(tree: Tree, name: str) -> None:
    with raises(getattr(errno, name.rpartition(".")[2])):
        RAISED[name](tree)


def makes_unnamed(tree: Tree) -> bool:
    """Whether the type has a `tmpfile` of its own; that of fuse asks the server, which has none."""
    inode = tree.root.dentry.inode
    return type(inode).tmpfile is not Inode.tmpfile and inode.fs.type_name.partition(".")[0] != "fuse"


@_ON_WRITABLE
def test_files_without_names_are_made_or_refused(tree: Tree) -> None:
    unnamed = OpenOptions(os.O_TMPFILE | os.O_RDWR, 0o600)
    if not makes_unnamed(tree):
        with raises(errno.EOPNOTSUPP):
            tree.vfs.open_at(ROOT, tree.at("/t"), unnamed)
        return
    with tree.vfs.open_at(ROOT, tree.at("/t"), unnamed) as file:
        file.write(b"x")
        assert file.stat().st_nlink == 0
        tree.vfs.link_file_at(ROOT, file, tree.at("/t/new"))
    assert tree.read("/t/new") == b"x"


@_ON_WRITABLE
def test_names_of_different_kinds_are_exchanged(tree: Tree) -> None:
    before = tree.stat("/t/f").st_ino, tree.stat("/t/d").st_ino
    exchange = RenameOptions(RENAME_EXCHANGE)
    if tree.root.mount.fs.type_name.startswith(("hostfs", "fuse")):
        # `os` has no renameat2, and nobody gave this one `HostCalls`; the server refuses flags.
        with raises(errno.EINVAL):
            tree.vfs.rename_at(ROOT, tree.at("/t/f"), tree.at("/t/d"), exchange)
        return
    tree.vfs.rename_at(ROOT, tree.at("/t/f"), tree.at("/t/d"), exchange)
    assert (tree.stat("/t/d").st_ino, tree.stat("/t/f").st_ino) == before


@_ON_WRITABLE
def test_attributes_are_kept_listed_and_removed(tree: Tree) -> None:
    inode = _inode(tree, "/t/f")
    inode.set_xattr("user.b", b"value", 0)
    assert inode.get_xattr("user.b") == b"value"
    assert {"user.a", "user.b"} <= set(inode.list_xattr())
    inode.remove_xattr("user.b")
    assert "user.b" not in inode.list_xattr()


@_ON_WRITABLE
def test_what_was_made_is_what_lookup_finds(tree: Tree) -> None:
    with tree.vfs.lock:
        made = dcache.mkdir(ROOT, tree.vfs.get_dentry_at(ROOT, tree.at("/t")).dentry, "new", MkdirOptions(0o700))
        assert made.inode is _inode(tree, "/t/new")
        assert made.inode.stat().st_nlink in {1, 2}
