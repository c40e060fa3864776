"""What is true of a VFS after any program of calls, whatever the calls answered."""

from __future__ import annotations

import stat

import pytest
from hypothesis import given

from tests.differential.vfs.mounts import SimulatedWorld
from tests.differential.vfs.programs import MOUNTING, SEVERAL, Call
from vfs import Dentry, Mount, MountFlags, VirtualDentry
from vfs.dentry import ODD_MOUNTED
from vfs.fs.tmpfs import TmpfsFilesystem
from vfs.fs.tmpfs.inode import Directory, Symlink, TmpfsInode
from vfs.fs.tmpfs.regular import RegularFile
from vfs.resolve import PathOperation, Walk

pytestmark = pytest.mark.property

START = [Call("mkdir", (path, 0o777)) for path in ("a", "b", "a/b", "c")]


def run(program: list[Call]) -> SimulatedWorld:
    world = SimulatedWorld(MountFlags(0))
    for call in [*START, *program]:
        world.attempt(call)
    world.cwd = world.root
    return world


def mounts(world: SimulatedWorld) -> list[Mount]:
    return world.root.mount.tree()


def cached(dentry: Dentry) -> list[Dentry]:
    found = [dentry]
    for each in found:
        found += each.children.values()
    return found


def the_dentry_cache_says_what_the_file_system_says(world: SimulatedWorld) -> None:
    for mount in mounts(world):
        for dentry in cached(mount.fs.root):
            assert not dentry.dead
            for name, child in dentry.children.items():
                assert (child.name, child.parent) == (name, dentry)
                assert dentry.inode.find(name) is child.inode
            before = dentry.odd
            dentry.update_flags()
            assert dentry.odd == before


def mounts_hang_together(world: SimulatedWorld) -> None:
    namespace, tree = world.root.mount.namespace, mounts(world)
    assert namespace is not None
    assert namespace.mount_count == len(tree)
    for mount in tree:
        assert mount.namespace is namespace
        assert not mount.dead
        for point, child in mount.children.items():
            assert (child.parent, child.mountpoint) == (mount, point)
            assert point.odd & ODD_MOUNTED
            assert child in world.vfs.mountpoints[point]
    attached = [mount for here in world.vfs.mountpoints.values() for mount in here]
    assert sorted(mount.id for mount in attached) == sorted(mount.id for mount in tree[1:])


def remembered_walks_are_what_a_new_walk_finds(world: SimulatedWorld) -> None:
    for (creds, root, start, path, follow), found in list(world.vfs.path_cache.entries.items()):
        if not found.dentry.dead:
            assert Walk.begin(creds, PathOperation(root, start, path)).to_end(follow=follow) == found


def links_pages_and_inodes_are_counted_right(world: SimulatedWorld) -> None:
    fs = world.root.mount.fs
    assert isinstance(fs, TmpfsFilesystem)
    names: list[TmpfsInode] = []
    directories = [fs.root.inode]
    for directory in directories:
        assert isinstance(directory, Directory)
        below = list(directory.entries.values())
        names += below
        directories += [inode for inode in below if isinstance(inode, Directory)]
        assert directory.nlink == 2 + sum(isinstance(inode, Directory) for inode in below)
        assert directory.size == 20 * (len(below) + 2)
    held = {file.inode for file in world.files.values()}
    files = {inode for inode in {*names, *held} if isinstance(inode, RegularFile)}
    for file in files:
        assert file.nlink == names.count(file)
        assert file.opens == sum(each.inode is file for each in world.files.values())
    long_links = sum(isinstance(inode, Symlink) and inode.size >= 128 for inode in {*names})
    assert fs.pages == sum(len(file.pages) for file in files) + long_links
    assert fs.inodes == len(names) + 1 + sum(not file.nlink for file in files)


def every_path_shown_leads_back(world: SimulatedWorld) -> None:
    for dentry in cached(world.root.dentry):
        place = VirtualDentry(world.root.mount, dentry)
        path = world.vfs.path_from(world.root, place)
        assert path is not None
        assert stat.S_ISLNK(dentry.inode.mode) or world.vfs.get_dentry_at(world.creds, world.at(path)) == place


def closing_everything_leaves_no_file_open(world: SimulatedWorld) -> None:
    for slot in list(world.files):
        world.close(slot)
    mount = world.root.mount
    assert (mount.open_files, mount.writers) == (0, 0)


@given(MOUNTING.strategy())
def test_after_any_program_with_mounts(program: list[Call]) -> None:
    world = run(program)
    the_dentry_cache_says_what_the_file_system_says(world)
    mounts_hang_together(world)


@given(SEVERAL.strategy())
def test_after_any_program(program: list[Call]) -> None:
    world = run(program)
    the_dentry_cache_says_what_the_file_system_says(world)
    remembered_walks_are_what_a_new_walk_finds(world)
    links_pages_and_inodes_are_counted_right(world)
    every_path_shown_leads_back(world)
    closing_everything_leaves_no_file_open(world)
