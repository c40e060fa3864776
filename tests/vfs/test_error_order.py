"""Which error wins when several apply (fs/namei.c). The comparison with the kernel proves the order; this says it.

The world of each row: `/d/full/x` and `/d/f` and a link `/d/l` to `f`; `/ro`, a read-only mount with `f` and `d` in it;
`/closed`, a directory of mode 0700 with `f` in it; `/sticky`, mode 1777, with root's `f`; `/open`, mode 0777, with root's `d`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import pytest

from tests.vfs.world import USER, World, raises
from vfs import ROOT, Credentials, MkdirOptions, MknodOptions, OpenOptions, RenameOptions, SetStat

LONG = "n" * 256


class Call(NamedTuple):
    """A call, and how it is shown."""

    text: str
    carry_out: Callable[[World, Credentials], object]


def shown(value: object) -> str:
    return value.text[:60] if isinstance(value, Call) else errno.errorcode[value] if isinstance(value, int) else ""


def mkdir(path: str) -> Call:
    return Call(f"mkdir {path}", lambda world, creds: world.vfs.mkdir_at(creds, world.at(path), MkdirOptions()))


def mknod(path: str, mode: int = stat.S_IFIFO, rdev: int = 0) -> Call:
    options = MknodOptions(mode | 0o600, rdev)
    return Call(f"mknod {path} {mode:o}", lambda world, creds: world.vfs.mknod_at(creds, world.at(path), options))


def symlink(path: str, target: str = "x") -> Call:
    text = f"symlink {path} {target}"
    return Call(text, lambda world, creds: world.vfs.symlink_at(creds, world.at(path), target))


def link(old: str, new: str) -> Call:
    def carry_out(world: World, creds: Credentials) -> None:
        world.vfs.link_at(creds, world.at(old, follow=False), world.at(new))

    return Call(f"link {old} {new}", carry_out)


def unlink(path: str) -> Call:
    return Call(f"unlink {path}", lambda world, creds: world.vfs.unlink_at(creds, world.at(path)))


def rmdir(path: str) -> Call:
    return Call(f"rmdir {path}", lambda world, creds: world.vfs.rmdir_at(creds, world.at(path)))


def rename(old: str, new: str, flags: int = 0) -> Call:
    def carry_out(world: World, creds: Credentials) -> None:
        world.vfs.rename_at(creds, world.at(old), world.at(new), RenameOptions(flags))

    return Call(f"rename {old} {new} {flags}", carry_out)


def opening(path: str, flags: int) -> Call:
    def carry_out(world: World, creds: Credentials) -> None:
        world.vfs.open_at(creds, world.at(path), OpenOptions(flags)).close()

    return Call(f"open {path} {flags:o}", carry_out)


def change(path: str, changes: SetStat) -> Call:
    def carry_out(world: World, creds: Credentials) -> None:
        world.vfs.set_stat_at(creds, world.at(path, follow=False), changes)

    return Call(f"change {path} {changes}", carry_out)


def setxattr(path: str, name: str, flags: int = 0) -> Call:
    def carry_out(world: World, creds: Credentials) -> None:
        world.vfs.setxattr_at(creds, world.at(path, follow=False), name, b"", flags)

    return Call(f"setxattr {path} {name} {flags}", carry_out)


def getxattr(path: str, name: str) -> Call:
    def carry_out(world: World, creds: Credentials) -> None:
        world.vfs.getxattr_at(creds, world.at(path, follow=False), name)

    return Call(f"getxattr {path} {name}", carry_out)


@pytest.fixture
def furnished(world: World) -> World:
    for path, mode in [("/d", 0o755), ("/d/full", 0o755), ("/ro", 0o755), ("/closed", 0o700)]:
        world.mkdir(path, mode)
    for path, mode in [("/sticky", 0o1777), ("/open", 0o777), ("/open/d", 0o755)]:
        world.mkdir(path, mode)
    world.mkdir("/mounted")
    mount = world.mount("/ro", "mode=0755")
    world.mkdir("/ro/d")
    for path in ("/d/full/x", "/d/f", "/ro/f", "/closed/f", "/sticky/f"):
        world.mknod(path)
    world.symlink("f", "/d/l")
    world.mount("/mounted")
    world.vfs.set_mount_read_only(mount, read_only=True)
    return world


@pytest.mark.parametrize(
    ("number", "call"),
    [
        # making: what exists, what cannot be, what may not be written, who may not
        (errno.ENOENT, mkdir("")),
        (errno.ENOENT, mkdir("/missing/new")),
        (errno.ENOTDIR, mkdir("/d/f/new")),
        (errno.EEXIST, mkdir("/")),
        (errno.EEXIST, mkdir("/ro/.")),
        (errno.EEXIST, mkdir("/ro/..")),
        (errno.EEXIST, mkdir("/ro/f")),
        (errno.ENAMETOOLONG, mkdir("/ro/" + LONG)),
        (errno.EROFS, mkdir("/ro/new")),
        (errno.EEXIST, mknod("/ro/f/")),
        (errno.ENOENT, mknod("/ro/new/")),
        (errno.EROFS, mknod("/ro/new")),
        (errno.EPERM, mknod("/missing/new", stat.S_IFDIR)),
        (errno.EINVAL, mknod("/missing/new", stat.S_IFLNK)),
        (errno.ENOENT, symlink("/d/new", "")),
        (errno.ENOENT, symlink("/d/new/")),
        (errno.ENAMETOOLONG, symlink("/d/new", "x" * 4096)),
        (errno.ENOENT, link("/missing", "/d/f")),
        (errno.EEXIST, link("/d/f", "/ro/f")),
        (errno.EROFS, link("/d/f", "/ro/new")),
        (errno.EXDEV, link("/ro/f", "/d/new")),
        (errno.EPERM, link("/d/full", "/d/new")),
        # removing: the shape of the path, the mount, the name, the kind
        (errno.EISDIR, unlink("/ro/.")),
        (errno.EROFS, unlink("/ro/missing")),
        (errno.ENOENT, unlink("/d/missing/")),
        (errno.EISDIR, unlink("/d/full/")),
        (errno.ENOTDIR, unlink("/d/f/")),
        (errno.EISDIR, unlink("/d/full")),
        (errno.EINVAL, rmdir("/ro/.")),
        (errno.ENOTEMPTY, rmdir("/ro/..")),
        (errno.EBUSY, rmdir("/")),
        (errno.EROFS, rmdir("/ro/missing")),
        (errno.ENOENT, rmdir("/d/missing")),
        (errno.ENOTDIR, rmdir("/d/f")),
        (errno.ENOTEMPTY, rmdir("/d/full")),
        (errno.EBUSY, rmdir("/mounted")),
        # moving
        (errno.EINVAL, rename("/missing/x", "/d/f", 8)),
        (errno.EINVAL, rename("/missing/x", "/d/f", 3)),
        (errno.EINVAL, rename("/missing/x", "/d/f", 6)),
        (errno.ENOENT, rename("/d/f", "/d/missing/", 2)),
        (errno.ENOTDIR, rename("/d", "/open/d/../../d/f/", 2)),
        (errno.EINVAL, rename("/d/full/x", "/d/full", 2)),
        (errno.EXDEV, rename("/ro/.", "/d/new")),
        (errno.EBUSY, rename("/ro/.", "/ro/new")),
        (errno.EBUSY, rename("/ro/f", "/ro/..")),
        (errno.EEXIST, rename("/ro/f", "/ro/.", 1)),
        (errno.EROFS, rename("/ro/missing", "/ro/new")),
        (errno.ENOENT, rename("/d/missing", "/d/f", 1)),
        (errno.EEXIST, rename("/d/f", "/d/full", 1)),
        (errno.ENOTDIR, rename("/d/f/", "/d/new")),
        (errno.ENOTDIR, rename("/d/f", "/d/new/")),
        (errno.EINVAL, rename("/d", "/d/full/new")),
        (errno.ENOTEMPTY, rename("/d/full/x", "/d/full")),
        (errno.ENOTEMPTY, rename("/open/d", "/d/full")),
        (errno.EISDIR, rename("/d/f", "/open")),
        (errno.ENOTDIR, rename("/open/d", "/d/f")),
        (errno.EBUSY, rename("/mounted", "/new")),
        (errno.EBUSY, rename("/open/d", "/mounted")),
        # opening
        (errno.EINVAL, opening("/missing/x", os.O_CREAT | os.O_DIRECTORY)),
        (errno.EISDIR, opening("/d", os.O_CREAT)),
        (errno.EISDIR, opening("/d/new/", os.O_CREAT)),
        (errno.EISDIR, opening("/d/.", os.O_CREAT)),
        (errno.EEXIST, opening("/d/..", os.O_CREAT | os.O_EXCL)),
        (errno.EEXIST, opening("/d/l", os.O_CREAT | os.O_EXCL)),
        (errno.ELOOP, opening("/d/l", os.O_CREAT | os.O_NOFOLLOW)),
        (errno.ELOOP, opening("/d/l", os.O_NOFOLLOW)),
        (errno.ENOTDIR, opening("/d/l", os.O_NOFOLLOW | os.O_DIRECTORY)),
        (errno.ENOTDIR, opening("/d/f", os.O_DIRECTORY)),
        (errno.EISDIR, opening("/d", os.O_RDWR)),
        (errno.EISDIR, opening("/d", os.O_TRUNC)),
        (errno.EROFS, opening("/ro/new", os.O_CREAT)),
        (errno.EROFS, opening("/ro/f", os.O_RDWR)),
        (errno.EROFS, opening("/ro/f", os.O_TRUNC)),
        (errno.EINVAL, opening("/d", os.O_TMPFILE)),
        (errno.ENOTDIR, opening("/d/f", os.O_TMPFILE | os.O_RDWR)),
        (errno.EROFS, opening("/ro", os.O_TMPFILE | os.O_RDWR)),
        # changing
        (errno.EINVAL, change("/missing", SetStat(size=-1))),
        (errno.EISDIR, change("/ro/d", SetStat(size=0))),
        (errno.EINVAL, change("/d/l", SetStat(size=0))),
        (errno.EROFS, change("/ro/f", SetStat(mode=0))),
        (errno.EOPNOTSUPP, change("/d/l", SetStat(mode=0))),
        (errno.EINVAL, setxattr("/missing", "user.a", 8)),
        (errno.ERANGE, setxattr("/missing", "")),
        (errno.ERANGE, setxattr("/missing", "user." + LONG)),
        (errno.EROFS, setxattr("/ro/f", "other.a")),
        (errno.ENOTSUP, setxattr("/d/f", "other.a")),
        (errno.EINVAL, setxattr("/d/f", "user.")),
        (errno.EPERM, setxattr("/d/l", "user.a")),
        (errno.ENODATA, setxattr("/d/f", "user.a", os.XATTR_REPLACE)),
        (errno.ENODATA, getxattr("/d/l", "user.a")),
        (errno.ENODATA, getxattr("/d/f", "user.a")),
    ],
    ids=shown,
)
def test_for_the_superuser(furnished: World, number: int, call: Call) -> None:
    with raises(number):
        call.carry_out(furnished, ROOT)


@pytest.mark.parametrize(
    ("number", "call"),
    [
        (errno.EACCES, mkdir("/closed/f")),
        (errno.EEXIST, mkdir("/d/f")),
        (errno.EROFS, mkdir("/ro/new")),
        (errno.EACCES, mkdir("/d/new")),
        (errno.EACCES, mknod("/d/new", stat.S_IFCHR, 1)),
        (errno.EPERM, mknod("/open/new", stat.S_IFCHR, 1)),
        (errno.EPERM, mknod("/open/new", stat.S_IFBLK)),
        (errno.EPERM, link("/d/f", "/d/new")),
        (errno.EACCES, unlink("/d/full")),
        (errno.EPERM, unlink("/sticky/f")),
        (errno.EACCES, rmdir("/d/f")),
        (errno.EACCES, rename("/d/f", "/open/new")),
        (errno.EPERM, rename("/sticky/f", "/open/new")),
        (errno.EACCES, rename("/open/d", "/sticky/new")),
        (errno.EACCES, opening("/closed/f", os.O_RDONLY)),
        (errno.EACCES, opening("/d/f", os.O_WRONLY)),
        (errno.EACCES, opening("/d/new", os.O_CREAT)),
        (errno.EACCES, opening("/ro/f", os.O_WRONLY)),
        (errno.EPERM, opening("/d/f", os.O_NOATIME)),
        (errno.EACCES, change("/d/f", SetStat(size=0))),
        (errno.EPERM, change("/d/f", SetStat(mode=0))),
        (errno.EPERM, setxattr("/sticky", "user.a")),
        (errno.EACCES, setxattr("/d/f", "user.a")),
        (errno.EACCES, setxattr("/d/f", "other.a")),
    ],
    ids=shown,
)
def test_for_others(furnished: World, number: int, call: Call) -> None:
    with raises(number):
        call.carry_out(furnished, USER)


def test_a_whiteout_needs_no_capability(furnished: World) -> None:
    mknod("/open/w", stat.S_IFCHR).carry_out(furnished, USER)
    assert furnished.stat("/open/w").st_rdev == 0


@pytest.mark.parametrize(
    "call",
    [
        mkdir("/open/n\0"),
        mknod("/open/n\0"),
        symlink("/open/n\0"),
        link("/d/f", "/open/n\0"),
        link("/n\0", "/open/n"),
        unlink("/open/n\0"),
        rmdir("/open/n\0/"),
        rename("/d/f", "/n\0"),
        rename("/n\0", "/open/n"),
        opening("n\0", os.O_CREAT | os.O_WRONLY),
        opening("n\0", os.O_RDONLY),
        change("/n\0", SetStat(mode=0)),
    ],
    ids=shown,
)
def test_no_name_has_a_nul(furnished: World, call: Call) -> None:
    before = furnished.listdir("/"), furnished.listdir("/open")
    with raises(errno.EINVAL):
        call.carry_out(furnished, ROOT)
    assert (furnished.listdir("/"), furnished.listdir("/open")) == before


def test_nothing_is_made_below_a_removed_directory(furnished: World) -> None:
    gone = furnished.vfs.get_dentry_at(ROOT, furnished.at("/open/d"))
    rmdir("/open/d").carry_out(furnished, ROOT)
    op = replace(furnished.at("new"), start=gone)
    with raises(errno.ENOENT):
        furnished.vfs.mkdir_at(ROOT, op)


def test_opening_follows_a_dangling_link_to_make_its_target(furnished: World) -> None:
    furnished.symlink("../open/made", "/d/dangling")
    opening("/d/dangling", os.O_CREAT).carry_out(furnished, ROOT)
    assert stat.S_ISREG(furnished.stat("/open/made").st_mode)
