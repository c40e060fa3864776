"""overlay: what the comparison with the kernel does not reach: layers, options, numbers that keep, hostile lowers."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vfs.credentials import ROOT
from vfs.fs.hostfs import HostfsOptions, HostfsType
from vfs.fs.overlay import OverlayOptions, OverlayType
from vfs.fs.tmpfs import TmpfsType
from vfs.mount import VirtualDentry
from vfs.options import MkdirOptions, MknodOptions, MountFlags, MountOptions, OpenOptions, RenameOptions, SetStat
from vfs.resolve import PathOperation
from vfs.virtual_filesystem import VirtualFilesystem

OPAQUE = "trusted.overlay.opaque"


class World:
    """A VFS with layers to make, and an overlay to look through."""

    def __init__(self) -> None:
        self.vfs = VirtualFilesystem()
        for each in (TmpfsType(), HostfsType(), OverlayType()):
            self.vfs.register_filesystem_type(each)

    def layer(self, files: dict[str, bytes | None] | None = None, data: str = "mode=0755") -> VirtualDentry:
        """A tmpfs with files; None makes a directory."""
        mount = self.vfs.mount_disconnected(ROOT, "layer", "tmpfs", MountOptions(data=data))
        place = VirtualDentry(mount, mount.root)
        for path, contents in (files or {}).items():
            op = PathOperation(place, place, path)
            if contents is None:
                self.vfs.mkdir_all_at(ROOT, op, 0o755)
            else:
                with self.vfs.open_at(ROOT, op, OpenOptions(os.O_WRONLY | os.O_CREAT, 0o644)) as file:
                    file.write(contents)
        return place

    def overlay(self, upper: VirtualDentry | None, *lowers: VirtualDentry) -> Tree:
        options = MountOptions(internal=OverlayOptions(upper, lowers))
        return Tree(self.vfs, self.vfs.new_mount_namespace(ROOT, "overlay", "overlay", options).root)


class Tree:
    """A tree by its root."""

    def __init__(self, vfs: VirtualFilesystem, root: VirtualDentry) -> None:
        self.vfs = vfs
        self.root = root

    def at(self, path: str) -> PathOperation:
        return PathOperation(self.root, self.root, path)

    def stat(self, path: str) -> os.stat_result:
        return self.vfs.stat_at(ROOT, self.at(path))

    def read(self, path: str) -> bytes:
        with self.vfs.open_at(ROOT, self.at(path), OpenOptions(os.O_RDONLY)) as file:
            return file.read()

    def write(self, path: str, data: bytes) -> None:
        with self.vfs.open_at(ROOT, self.at(path), OpenOptions(os.O_WRONLY)) as file:
            file.write(data)

    def listdir(self, path: str) -> list[str]:
        return sorted(self.vfs.listdir_at(ROOT, self.at(path)))


@pytest.fixture
def world() -> World:
    return World()


# layers


def test_the_first_lower_layer_is_on_top(world: World) -> None:
    tree = world.overlay(
        None, world.layer({"/f": b"1", "/d/": None}), world.layer({"/f": b"2", "/d/x": None, "/g": b""})
    )
    assert (tree.read("/f"), tree.listdir("/"), tree.listdir("/d")) == (b"1", ["d", "f", "g"], ["x"])


def test_five_hundred_layers_are_the_most(world: World) -> None:
    layers = [world.layer({f"/{number}": b""}) for number in range(501)]
    assert len(world.overlay(None, *layers[:500]).listdir("/")) == 500
    for lowers in (layers, layers[:1], []):
        with pytest.raises(OSError) as refused:
            world.overlay(None, *lowers)
        assert refused.value.errno == errno.EINVAL


@pytest.mark.rows("S43", oracle="specification")
def test_layers_are_directories_and_the_upper_one_writable(world: World) -> None:
    layer = world.layer({"/f": b""})
    file = world.vfs.get_dentry_at(ROOT, PathOperation(layer, layer, "/f"))
    with pytest.raises(OSError) as refused:
        world.overlay(layer, file)
    assert refused.value.errno == errno.EINVAL
    sealed = world.vfs.mount_disconnected(ROOT, "sealed", "tmpfs", MountOptions(MountFlags.RDONLY))
    with pytest.raises(OSError) as refused:
        world.overlay(VirtualDentry(sealed, sealed.root), layer)
    assert refused.value.errno == errno.EINVAL


def test_without_an_upper_layer_nothing_can_be_changed(world: World) -> None:
    tree = world.overlay(None, world.layer({"/f": b"1", "/d/x": None}), world.layer())
    changes: dict[str, Callable[[], object]] = {
        "mkdir": lambda: tree.vfs.mkdir_at(ROOT, tree.at("/new")),
        "open": lambda: tree.write("/f", b"x"),
        "unlink": lambda: tree.vfs.unlink_at(ROOT, tree.at("/f")),
        "rmdir": lambda: tree.vfs.rmdir_at(ROOT, tree.at("/d/x")),
        "rename": lambda: tree.vfs.rename_at(ROOT, tree.at("/f"), tree.at("/g"), RenameOptions()),
        "link": lambda: tree.vfs.link_at(ROOT, tree.at("/f"), tree.at("/g")),
        "chmod": lambda: tree.vfs.set_stat_at(ROOT, tree.at("/d"), SetStat(mode=0)),
        "setxattr": lambda: tree.vfs.setxattr_at(ROOT, tree.at("/f"), "user.a", b""),
    }
    for name, change in changes.items():
        with pytest.raises(OSError) as refused:
            change()
        assert refused.value.errno == errno.EROFS, name


def test_layers_that_nobody_else_has_go_with_the_overlay(world: World) -> None:
    upper, lower = world.layer(), world.layer({"/f": b""})
    mount = world.vfs.mount_disconnected(
        ROOT, "overlay", "overlay", MountOptions(internal=OverlayOptions(upper, (lower,)))
    )
    world.vfs.discard_mount(mount)
    assert upper.mount.dead
    assert lower.mount.dead


# text options


def test_layers_are_named_by_paths_with_escaped_colons(world: World) -> None:
    root = world.layer({"/a:b/f": None, "/l/g": None, "/u": None, "/w": None})
    data = r"lowerdir=/a\:b:/l,upperdir=/u,workdir=/w"
    options = MountOptions(data=data, internal=OverlayOptions(root=root))
    tree = Tree(world.vfs, world.vfs.new_mount_namespace(ROOT, "overlay", "overlay", options).root)
    assert tree.listdir("/") == ["f", "g"]
    tree.vfs.mkdir_at(ROOT, tree.at("/new"), MkdirOptions(0o755))
    assert world.vfs.stat_at(ROOT, PathOperation(root, root, "/u/new")).st_mode == stat.S_IFDIR | 0o755
    assert tree.root.mount.fs.mount_options() == data.replace("\\", r"\134")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("lowerdir=/l,upperdir=/u,colour=red", errno.EINVAL),
        ("lowerdir=l,upperdir=/u", errno.EINVAL),
        ("lowerdir=,upperdir=/u", errno.EINVAL),
        ("lowerdir=/l", errno.EINVAL),
        ("upperdir=/u", errno.EINVAL),
        ("lowerdir=/missing,upperdir=/u,workdir=/w", errno.ENOENT),
        ("lowerdir=/l/g,upperdir=/u,workdir=/w", errno.EINVAL),
        ("lowerdir=/l/g/h,upperdir=/u,workdir=/w", errno.ENOTDIR),
    ],
)
def test_a_text_that_names_no_overlay(world: World, data: str, expected: int) -> None:
    root = world.layer({"/u": None, "/w": None, "/l": None, "/l/g": b""})
    with pytest.raises(OSError) as refused:
        world.vfs.mount_disconnected(
            ROOT, "overlay", "overlay", MountOptions(data=data, internal=OverlayOptions(root=root))
        )
    assert refused.value.errno == expected


def test_paths_need_a_root_to_be_looked_up_in(world: World) -> None:
    with pytest.raises(OSError) as refused:
        world.vfs.mount_disconnected(ROOT, "overlay", "overlay", MountOptions(data="lowerdir=/a:/b"))
    assert refused.value.errno == errno.EINVAL


# numbers, names, open files


def test_numbers_keep_through_copy_up_and_rename(world: World) -> None:
    tree = world.overlay(world.layer(), world.layer({"/d": None, "/d/f": b"hello"}))
    before = {path: (tree.stat(path).st_dev, tree.stat(path).st_ino) for path in ("/", "/d", "/d/f")}
    assert len(set(before.values())) == 3
    tree.write("/d/f", b"J")
    assert {path: (tree.stat(path).st_dev, tree.stat(path).st_ino) for path in before} == before
    with tree.vfs.open_at(ROOT, tree.at("/d"), OpenOptions(os.O_RDONLY)) as directory:
        assert [entry.ino for entry in directory.read_directory()] == [before["/d/f"][1]]
    tree.vfs.rename_at(ROOT, tree.at("/d/f"), tree.at("/g"))
    assert tree.stat("/g").st_ino == before["/d/f"][1]


@pytest.mark.rows("S43", oracle="specification")
def test_a_reader_sees_what_is_written_after_copy_up(world: World) -> None:
    tree = world.overlay(world.layer(), world.layer({"/f": b"hello"}))
    with tree.vfs.open_at(ROOT, tree.at("/f"), OpenOptions(os.O_RDONLY)) as reader:
        assert reader.read(1) == b"h"
        tree.write("/f", b"JELLO!")
        assert reader.read() == b"ELLO!"


def test_a_removed_file_can_be_read_on(world: World) -> None:
    tree = world.overlay(world.layer(), world.layer({"/f": b"hello"}))
    with tree.vfs.open_at(ROOT, tree.at("/f"), OpenOptions(os.O_RDONLY)) as reader:
        tree.vfs.unlink_at(ROOT, tree.at("/f"))
        assert reader.read() == b"hello"
        with pytest.raises(FileNotFoundError):
            reader.set_stat(SetStat(mode=0o600))


def test_holes_are_not_filled_by_copying_up(world: World) -> None:
    lower, size = world.layer({"/f": b"x"}), 1 << 40
    inner = PathOperation(lower, lower, "/f")
    world.vfs.set_stat_at(ROOT, inner, SetStat(size=size))
    tree = world.overlay(world.layer(data="size=64k,mode=0755"), lower)
    tree.vfs.set_stat_at(ROOT, tree.at("/f"), SetStat(mode=0o600))
    assert (tree.stat("/f").st_size, tree.stat("/f").st_blocks) == (size, 8)


def test_a_copy_up_that_finds_no_room_leaves_nothing_behind(world: World) -> None:
    upper = world.layer(data="size=8k,mode=0755")
    tree = world.overlay(upper, world.layer({"/f": b"x" * 100_000}))
    with pytest.raises(OSError) as full:
        tree.write("/f", b"y")
    assert full.value.errno == errno.ENOSPC
    assert world.vfs.listdir_at(ROOT, PathOperation(upper, upper, "/")) == []
    assert tree.read("/f") == b"x" * 100_000
    # Cutting it off needs no room for what is cut.
    with tree.vfs.open_at(ROOT, tree.at("/f"), OpenOptions(os.O_RDONLY)):
        tree.vfs.set_stat_at(ROOT, tree.at("/f"), SetStat(size=10))
    assert tree.read("/f") == b"x" * 10


def test_names_of_one_upper_file_are_one_file(world: World) -> None:
    upper = world.layer({"/a": b"1"})
    world.vfs.link_at(ROOT, PathOperation(upper, upper, "/a"), PathOperation(upper, upper, "/b"))
    tree = world.overlay(upper, world.layer())
    assert tree.stat("/a").st_ino == tree.stat("/b").st_ino
    tree.write("/a", b"2")
    assert tree.read("/b") == b"2"
    tree.vfs.rename_at(ROOT, tree.at("/b"), tree.at("/c"))
    tree.vfs.unlink_at(ROOT, tree.at("/a"))
    assert (tree.read("/c"), tree.stat("/c").st_nlink) == (b"2", 1)


def test_an_attribute_named_like_the_overlays_own_is_only_an_attribute(world: World) -> None:
    upper = world.layer()
    tree = world.overlay(upper, world.layer({"/d/f": None}))
    tree.vfs.setxattr_at(ROOT, tree.at("/d"), OPAQUE, b"y")
    assert tree.vfs.listxattr_at(ROOT, tree.at("/d")) == [OPAQUE]
    assert tree.vfs.getxattr_at(ROOT, tree.at("/d"), OPAQUE) == b"y"
    stored = world.vfs.listxattr_at(ROOT, PathOperation(upper, upper, "/d"))
    assert stored == ["trusted.overlay.overlay.opaque"]
    # The same layers in another overlay: the directory is as transparent as before.
    assert world.overlay(upper, world.layer({"/d/g": None})).listdir("/d") == ["g"]


# layers of the machine


@pytest.fixture
def machine(world: World, tmp_path: Path) -> Iterator[Tree]:
    """An overlay over a directory of the machine."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("hello")
    fd = os.open(tmp_path, os.O_PATH)
    mount = world.vfs.mount_disconnected(ROOT, "host", "hostfs", MountOptions(internal=HostfsOptions(fd)))
    os.close(fd)
    options = MountOptions(internal=OverlayOptions(world.layer(), (VirtualDentry(mount, mount.root),)))
    overlay = world.vfs.mount_disconnected(ROOT, "overlay", "overlay", options)
    yield Tree(world.vfs, VirtualDentry(overlay, overlay.root))
    world.vfs.discard_mount(overlay)


def test_the_machine_is_not_changed(machine: Tree, tmp_path: Path) -> None:
    machine.write("/d/f", b"J")
    machine.vfs.mknod_at(ROOT, machine.at("/d/null"), MknodOptions(stat.S_IFCHR | 0o666, os.makedev(1, 3)))
    machine.vfs.set_stat_at(ROOT, machine.at("/"), SetStat(mode=0o700))
    machine.vfs.rename_at(ROOT, machine.at("/d/f"), machine.at("/f"))
    with pytest.raises(OSError) as refused:
        machine.vfs.rename_at(ROOT, machine.at("/d"), machine.at("/e"))
    assert refused.value.errno == errno.EXDEV
    assert (machine.read("/f"), machine.listdir("/d"), machine.listdir("/")) == (b"Jello", ["null"], ["d", "f"])
    assert (tmp_path / "d" / "f").read_text() == "hello"
    assert os.listdir(tmp_path) == ["d"]


@pytest.mark.root
def test_whiteouts_and_opaque_directories_of_an_image_hide_nothing_but_themselves(
    machine: Tree, tmp_path: Path
) -> None:
    os.mknod(tmp_path / "gone", stat.S_IFCHR, 0)
    os.setxattr(tmp_path / "d", OPAQUE, b"y")
    assert machine.listdir("/") == ["d"]
    with pytest.raises(FileNotFoundError):
        machine.stat("/gone")
    assert machine.vfs.listxattr_at(ROOT, machine.at("/d")) == []
    machine.vfs.mkdir_at(ROOT, machine.at("/gone"), MkdirOptions(0o755))
    assert machine.listdir("/gone") == []
