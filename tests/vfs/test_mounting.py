"""Mounts: what the comparison with the kernel leaves out, and what is ours alone."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from tests.vfs.world import USER, World, raises
from vfs import (
    ROOT,
    BindOptions,
    Capability,
    Credentials,
    MountFlags,
    MountOptions,
    PathOperation,
    UmountOptions,
    VirtualDentry,
)
from vfs.abi import MNT_DETACH, MNT_FORCE, MOUNT_MAX
from vfs.fs.tmpfs import TmpfsOptions, TmpfsType
from vfs.mount_tree import path_from


def umount(world: World, path: str, flags: int = 0) -> None:
    world.vfs.umount_at(ROOT, world.at(path), UmountOptions(flags))


@pytest.mark.rows("S2", oracle="specification")
def test_unknown_types_and_subtypes(world: World) -> None:
    with raises(errno.ENODEV):
        world.vfs.mount_at(ROOT, "none", world.at("/"), "foofs")
    world.vfs.mount_at(ROOT, "none", world.at("/"), "tmpfs.sub")


@pytest.mark.rows("S1", oracle="specification")
def test_a_type_registered_for_the_inside_only(world: World) -> None:
    class Inner(TmpfsType):
        name = "inner"

    world.vfs.register_filesystem_type(Inner(), allow_user_mount=False)
    with raises(errno.ENODEV):
        world.vfs.mount_disconnected(ROOT, "none", "inner", MountOptions(user_mount=True))
    world.vfs.mount_disconnected(ROOT, "none", "inner")
    with pytest.raises(ValueError, match="already registered"):
        world.vfs.register_filesystem_type(Inner())
    assert [each.type.name for each in world.vfs.filesystem_types] == ["tmpfs", "devtmpfs", "inner"]


def test_mounts_stack_and_come_off_again(world: World) -> None:
    world.mkdir("/m")
    world.mknod("/m/0")
    world.mount("/m")
    world.mknod("/m/1")
    world.mount("/m")
    world.mknod("/m/2")
    for name in "210":
        assert world.listdir("/m") == [name]
        if name != "0":
            umount(world, "/m")
    with raises(errno.EINVAL):
        umount(world, "/m")
    with raises(errno.EINVAL):
        umount(world, "/")


@pytest.mark.rows("H23", oracle="specification")
def test_kinds_must_match(world: World) -> None:
    world.mkdir("/d")
    world.mknod("/f")
    file = MountOptions(internal=TmpfsOptions(stat.S_IFREG))
    with raises(errno.ENOTDIR):
        world.mount("/f")
    with raises(errno.ENOTDIR):
        world.vfs.mount_at(ROOT, "none", world.at("/d"), "tmpfs", file)
    world.vfs.mount_at(ROOT, "none", world.at("/f"), "tmpfs", file)
    world.write("/f", b"inside")
    umount(world, "/f")
    assert world.read("/f") == b""


def test_a_failed_mount_leaves_nothing(world: World) -> None:
    before = world.vfs.anonymous_devices.allocate()
    world.vfs.anonymous_devices.release(before)
    world.mknod("/f")
    with raises(errno.ENOTDIR):
        world.mount("/f")
    assert world.vfs.anonymous_devices.allocate() == before


def test_busy_mounts_need_detaching(world: World) -> None:
    world.mkdir("/m")
    world.mount("/m")
    file = world.open("/m/f", os.O_RDWR | os.O_CREAT)
    with raises(errno.EBUSY):
        umount(world, "/m")
    umount(world, "/m", MNT_DETACH)
    assert world.listdir("/m") == []
    file.write(b"still there")
    file.close()


def test_the_last_close_releases_a_detached_file_system(world: World) -> None:
    world.mkdir("/m")
    minor = world.mount("/m").fs.minor
    with world.open("/m/f", os.O_RDWR | os.O_CREAT):
        umount(world, "/m", MNT_DETACH)
        assert world.vfs.anonymous_devices.allocate() != minor
    assert world.vfs.anonymous_devices.allocate() == minor


def test_force_needs_the_capability(world: World) -> None:
    world.mkdir("/m")
    world.mount("/m")
    op, force = world.at("/m"), UmountOptions(MNT_FORCE)
    with raises(errno.EPERM):
        world.vfs.umount_at(USER, op, force)
    with raises(errno.EINVAL):
        world.vfs.umount_at(ROOT, op, UmountOptions(64))
    world.vfs.umount_at(Credentials(1000, 1000, capabilities=Capability.SYS_ADMIN), op, force)


def test_a_bind_shows_the_same_files_under_its_own_flags(world: World) -> None:
    world.vfs.mkdir_all_at(ROOT, world.at("/src/sub"), 0o755)
    world.mkdir("/dst")
    world.vfs.bind_at(ROOT, world.at("/src"), world.at("/dst"), BindOptions(flags=MountFlags.RDONLY))
    world.mknod("/src/sub/f")
    assert world.stat("/dst/sub/f").st_ino == world.stat("/src/sub/f").st_ino
    with raises(errno.EROFS):
        world.mknod("/dst/sub/g")
    with raises(errno.EXDEV):
        world.vfs.rename_at(ROOT, world.at("/src/sub/f"), world.at("/dst/sub/g"))


@pytest.mark.parametrize("recursive", [False, True])
def test_only_a_recursive_bind_takes_the_mounts_below(world: World, *, recursive: bool) -> None:
    world.vfs.mkdir_all_at(ROOT, world.at("/src/in/deep"), 0o755)
    world.vfs.mkdir_all_at(ROOT, world.at("/out"), 0o755)
    world.mount("/src/in")
    world.mknod("/src/in/mark")
    world.mount("/out")
    world.mkdir("/dst")
    world.vfs.bind_at(ROOT, world.at("/src"), world.at("/dst"), BindOptions(recursive=recursive))
    assert world.listdir("/dst/in") == (["mark"] if recursive else ["deep"])
    assert world.ns.mount_count == (5 if recursive else 4) == len(list(world.ns))


def test_sealing_waits_for_writers(world: World) -> None:
    mount, vfs = world.ns.root_mount, world.vfs
    with world.open("/f", os.O_WRONLY | os.O_CREAT), raises(errno.EBUSY):
        vfs.set_mount_read_only(mount, read_only=True)
    with world.open("/f", os.O_RDONLY):
        vfs.set_mount_read_only(mount, read_only=True)
    for call in (
        lambda: world.mkdir("/d"),
        lambda: world.open("/f", os.O_WRONLY),
        lambda: vfs.unlink_at(ROOT, world.at("/f")),
        lambda: vfs.setxattr_at(ROOT, world.at("/f"), "user.a", b""),
        lambda: vfs.access_at(ROOT, world.at("/f"), 2),
    ):
        with raises(errno.EROFS):
            call()
    with raises(errno.EEXIST):
        world.mkdir("/f")
    vfs.set_mount_read_only(mount, read_only=False)
    world.mkdir("/d")


@pytest.mark.rows("S55", "H24", oracle="specification")
def test_nodev_and_noexec(world: World) -> None:
    world.mkdir("/m")
    world.mount("/m", flags=MountFlags.NODEV | MountFlags.NOEXEC)
    world.mknod("/m/null", 0o020666, os.makedev(1, 3))
    world.mknod("/m/run", 0o100777)
    with raises(errno.EACCES):
        world.open("/m/null")
    with raises(errno.EACCES):
        world.vfs.access_at(ROOT, world.at("/m/run"), 1)
    world.vfs.access_at(ROOT, world.at("/m"), 1)


def test_a_namespace_takes_so_many_mounts(world: World) -> None:
    world.ns.mount_count = MOUNT_MAX - 1
    world.mount("/")
    with raises(errno.ENOSPC):
        world.mount("/")
    world.ns.mount_count = 2


def test_a_tree_is_built_detached_and_attached_whole(world: World) -> None:
    vfs = world.vfs
    tree = vfs.mount_disconnected(ROOT, "none", "tmpfs")
    root = VirtualDentry(tree, tree.root)
    inner = PathOperation(root, root, "/inner")
    vfs.mkdir_at(ROOT, inner)
    below = vfs.mount_at(ROOT, "none", inner, "tmpfs")
    assert path_from(world.ns.root, VirtualDentry(below, below.root)) is None
    with raises(errno.EINVAL):
        vfs.connect_mount_at(ROOT, tree, inner)
    world.mkdir("/m")
    vfs.connect_mount_at(ROOT, tree, world.at("/m"))
    assert below.namespace is world.ns
    assert path_from(world.ns.root, VirtualDentry(below, below.root)) == "/m/inner"
    for mount in (tree, below):
        with raises(errno.EINVAL):
            vfs.connect_mount_at(ROOT, mount, world.at("/m"))
        with raises(errno.EBUSY):
            vfs.discard_mount(mount)


def test_a_discarded_mount_is_gone(world: World) -> None:
    mount = world.vfs.mount_disconnected(ROOT, "none", "tmpfs")
    world.vfs.discard_mount(mount)
    world.vfs.discard_mount(mount)
    with raises(errno.EINVAL):
        world.vfs.connect_mount_at(ROOT, mount, world.at("/"))
    gone = VirtualDentry(mount, mount.root)
    with raises(errno.ENOENT):
        world.vfs.mount_at(ROOT, "none", PathOperation(gone, gone, "/"), "tmpfs")


def test_removing_a_name_unmounts_what_other_namespaces_have_there(world: World) -> None:
    world.mkdir("/d")
    other = world.vfs.clone_mount(ROOT, world.at("/"))
    root = VirtualDentry(other, other.root)
    world.vfs.mount_at(ROOT, "none", PathOperation(root, root, "/d"), "tmpfs")
    world.vfs.rmdir_at(ROOT, world.at("/d"))
    assert not other.children


def test_path_from(world: World) -> None:
    world.vfs.mkdir_all_at(ROOT, world.at("/a/b/c"), 0o755)
    world.mount("/a/b")
    world.mkdir("/a/b/d")
    d = world.vfs.get_dentry_at(ROOT, world.at("/a/b/d"))
    a = world.vfs.get_dentry_at(ROOT, world.at("/a"))
    assert world.vfs.path_from(world.ns.root, d) == "/a/b/d"
    assert world.vfs.path_from(a, d) == "/b/d"
    assert world.vfs.path_from(d, a) is None
    world.vfs.rmdir_at(ROOT, world.at("/a/b/d"))
    assert world.vfs.path_from(world.ns.root, d) is None


@pytest.mark.parametrize("directory", [True, False])
def test_a_mount_point_is_made_with_its_parents(world: World, *, directory: bool) -> None:
    for _ in range(2):
        world.vfs.make_synthetic_mountpoint(ROOT, world.at("/x/y/z"), directory=directory)
    assert world.stat("/x").st_mode == 0o040755
    assert world.stat("/x/y/z").st_mode == (0o040755 if directory else 0o100644)
    world.mknod("/f")
    with raises(errno.ENOTDIR):
        world.vfs.make_synthetic_mountpoint(ROOT, world.at("/f/z"), directory=directory)


def test_mkdir_all(world: World) -> None:
    world.vfs.mkdir_all_at(ROOT, world.at("a/b//c/"), 0o700)
    assert world.stat("/a/b/c").st_mode == 0o040700
    world.vfs.mkdir_all_at(ROOT, world.at("/a/b"), 0o755)
    assert world.stat("/a/b").st_mode == 0o040700
    world.mknod("/f")
    with raises(errno.ENOTDIR):
        world.vfs.mkdir_all_at(ROOT, world.at("/f"), 0o755)
    world.vfs.mkdir_all_at(ROOT, world.at("/f"), 0o755, must_be_dir=False)
    with raises(errno.ENOTDIR):
        world.vfs.mkdir_all_at(ROOT, world.at("/f/g"), 0o755)
