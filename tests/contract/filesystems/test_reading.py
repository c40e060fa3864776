"""What every file system type owes its callers, whether anything can be written or not."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

import pytest

from tests.contract.filesystems.subjects import root_of
from tests.vfs.world import raises
from vfs import ROOT, Dentry, Mount, OpenOptions, PathOperation, VirtualFilesystem, dcache
from vfs.mountinfo import mount_flags

MOST = 300
"""So many files of a big tree are enough."""


def walk(mount: Mount) -> Iterator[Dentry]:
    """The dentries of a mount, from its root on."""
    pending = [mount.root]
    for _ in range(MOST):
        if not pending:
            return
        dentry = pending.pop(0)
        yield dentry
        if stat.S_ISDIR(dentry.inode.mode):
            pending += [dcache.lookup(dentry, name) for name in dentry.inode.names()]


def test_a_listing_says_what_lookup_and_stat_say(mount: Mount) -> None:
    for dentry in walk(mount):
        if not stat.S_ISDIR(dentry.inode.mode):
            continue
        entries = list(dentry.inode.iterate())
        assert [entry.name for entry in entries] == dentry.inode.names()
        assert len({entry.name for entry in entries}) == len(entries)
        for entry in entries:
            info = dentry.inode.lookup(entry.name).stat()
            assert (entry.ino, entry.type) == (info.st_ino, stat.S_IFMT(info.st_mode)), entry
            assert entry.name not in {"", ".", ".."}


def test_a_name_stays_the_same_file(mount: Mount) -> None:
    for dentry in walk(mount):
        if dentry is not mount.root:
            assert dentry.parent.inode.lookup(dentry.name) is dentry.inode
            assert dcache.lookup(dentry.parent, dentry.name) is dentry


def test_attributes_are_what_stat_reports(mount: Mount) -> None:
    for dentry in walk(mount):
        inode, info = dentry.inode, dentry.inode.stat()
        assert isinstance(info, os.stat_result)
        assert (info.st_mode, info.st_uid, info.st_gid) == (inode.mode, inode.uid, inode.gid)
        assert (info.st_ino, info.st_dev, info.st_rdev) == (inode.ino, mount.fs.dev, inode.rdev)
        assert info.st_nlink >= 1
        assert info.st_size >= 0
        assert inode.fs is mount.fs


def test_a_missing_name_is_enoent(mount: Mount) -> None:
    for dentry in walk(mount):
        if stat.S_ISDIR(dentry.inode.mode):
            assert dentry.inode.find("no such name") is None
            with raises(errno.ENOENT):
                dentry.inode.lookup("no such name")


def test_only_directories_hold_names(mount: Mount) -> None:
    for dentry in walk(mount):
        if not stat.S_ISDIR(dentry.inode.mode):
            for call in (dentry.inode.names, lambda inode=dentry.inode: inode.lookup("x")):
                with raises(errno.ENOTDIR):
                    call()


def test_only_links_have_a_text(mount: Mount) -> None:
    for dentry in walk(mount):
        if stat.S_ISLNK(dentry.inode.mode):
            assert dentry.inode.readlink()
        else:
            with raises(errno.EINVAL):
                dentry.inode.readlink()


def test_files_that_may_be_read_are_read(vfs: VirtualFilesystem, mount: Mount) -> None:
    root = root_of(mount)
    for dentry in walk(mount):
        kind = stat.S_IFMT(dentry.inode.mode)
        if kind == stat.S_IFREG and dentry.inode.mode & 0o444:
            with vfs.open_at(ROOT, PathOperation(root, root, dentry.path())) as file:
                data = file.read(1 << 16)
                assert file.pread(len(data), 0) == data
                with raises(errno.ENOTDIR):
                    file.read_directory()
        elif kind == stat.S_IFDIR:
            with vfs.open_at(ROOT, PathOperation(root, root, dentry.path() + "/")) as file:
                assert [entry.name for entry in file.read_directory()] == dentry.inode.names()
                with raises(errno.EISDIR):
                    file.read(1)
    assert mount.open_files == mount.writers == 0


def test_a_read_only_mount_is_written_by_nobody(vfs: VirtualFilesystem, mount: Mount) -> None:
    vfs.set_mount_read_only(mount, read_only=True)
    root = root_of(mount)
    with raises(errno.EROFS):
        vfs.mkdir_at(ROOT, PathOperation(root, root, "/new"))
    with raises(errno.EROFS):
        vfs.open_at(ROOT, PathOperation(root, root, "/new"), OpenOptions(os.O_CREAT | os.O_WRONLY))


def test_extended_attributes_are_listed_and_missing_ones_say_so(mount: Mount) -> None:
    for dentry in walk(mount):
        for name in dentry.inode.list_xattr():
            assert isinstance(dentry.inode.get_xattr(name), bytes)
        with pytest.raises(OSError) as caught:
            dentry.inode.get_xattr("user.no-such-name")
        assert caught.value.errno in {errno.ENODATA, errno.ENOTSUP, errno.EPERM}


def test_statfs_and_mountinfo_have_something_to_show(mount: Mount) -> None:
    info = mount.fs.statfs()
    assert info.type > 0
    assert info.block_size > 0
    assert 0 <= info.blocks_available <= info.blocks_free <= info.blocks
    assert info.name_max == 255
    assert not mount.fs.mount_options().startswith(",")
    assert mount_flags(mount) == "rw"
