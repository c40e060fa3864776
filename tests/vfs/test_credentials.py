from __future__ import annotations

import errno
import stat

import pytest

from tests.vfs.world import USER, World, raises
from vfs import ROOT, Capability, Credentials, Inode, SetStat
from vfs.abi import MAY_EXEC, MAY_READ, MAY_WRITE
from vfs.credentials import check_delete, checked_set_stat, new_owner, permits


def make(world: World, mode: int, uid: int = 0, gid: int = 0) -> Inode:
    return Inode(world.ns.root_mount.fs, 1, mode, uid, gid)


@pytest.mark.parametrize(
    ("mode", "uid", "gid", "expected"),
    [
        (0o700, 1000, 0, 7),
        (0o077, 1000, 1000, 0),
        (0o070, 0, 1000, 7),
        (0o070, 0, 5, 7),
        (0o707, 0, 5, 0),
        (0o007, 0, 0, 7),
    ],
)
def test_one_class_alone_decides(world: World, mode: int, uid: int, gid: int, expected: int) -> None:
    creds = Credentials(1000, 1000, frozenset({5}))
    inode = make(world, stat.S_IFREG | mode, uid, gid)
    granted = sum(bit for bit in (MAY_READ, MAY_WRITE, MAY_EXEC) if permits(creds, inode, bit))
    assert granted == expected


def test_capabilities_make_up_for_bits(world: World) -> None:
    file, directory = make(world, 0o100000), make(world, 0o040000)
    reader = Credentials(1, 1, capabilities=Capability.DAC_READ_SEARCH)
    writer = Credentials(1, 1, capabilities=Capability.DAC_OVERRIDE)
    assert permits(reader, file, MAY_READ)
    assert not permits(reader, file, MAY_READ | MAY_WRITE)
    assert permits(reader, directory, MAY_READ | MAY_EXEC)
    assert not permits(reader, directory, MAY_WRITE)
    assert permits(writer, file, MAY_READ | MAY_WRITE)
    assert permits(writer, directory, 7)
    assert not permits(writer, file, MAY_EXEC)
    assert permits(writer, make(world, 0o100010), MAY_EXEC)


def test_only_the_owner_deletes_from_a_sticky_directory(world: World) -> None:
    sticky = make(world, 0o041777)
    with raises(errno.EPERM):
        check_delete(USER, sticky, make(world, 0o100666, uid=5))
    check_delete(USER, sticky, make(world, 0o100666, uid=1000))
    check_delete(USER, make(world, 0o041777, uid=1000), make(world, 0o100666, uid=5))
    check_delete(ROOT, sticky, make(world, 0o100666, uid=5))


@pytest.mark.parametrize(
    "changes", [SetStat(mode=0o777), SetStat(uid=0), SetStat(gid=0), SetStat(atime_ns=1), SetStat(mtime_ns=1)]
)
def test_changes_are_the_owners(world: World, changes: SetStat) -> None:
    with raises(errno.EPERM):
        checked_set_stat(USER, make(world, 0o100666), changes)


def test_whoever_may_write_may_touch(world: World) -> None:
    assert checked_set_stat(USER, make(world, 0o100666), SetStat(touch=True)).touch
    with raises(errno.EACCES):
        checked_set_stat(USER, make(world, 0o100644), SetStat(touch=True))


def test_an_owner_gives_files_to_own_groups_only(world: World) -> None:
    creds = Credentials(1000, 1000, frozenset({5}))
    own = make(world, 0o100644, 1000, 1000)
    assert checked_set_stat(creds, own, SetStat(gid=5)).gid == 5
    with raises(errno.EPERM):
        checked_set_stat(creds, own, SetStat(gid=6))
    with raises(errno.EPERM):
        checked_set_stat(creds, own, SetStat(uid=5))


def test_a_new_owner_costs_a_file_its_set_id_bits(world: World) -> None:
    assert checked_set_stat(ROOT, make(world, 0o106755), SetStat(uid=5)).mode == 0o755
    assert checked_set_stat(ROOT, make(world, 0o102745), SetStat(uid=5)).mode is None
    assert checked_set_stat(ROOT, make(world, 0o042755), SetStat(uid=5)).mode is None


def test_a_set_group_id_directory_hands_on_its_group(world: World) -> None:
    shared = make(world, 0o042777, 0, 50)
    assert new_owner(USER, shared, 0o040755) == (50, 0o042755)
    assert new_owner(USER, shared, 0o102775) == (50, 0o100775)
    assert new_owner(ROOT, shared, 0o102775) == (50, 0o102775)
    assert new_owner(USER, make(world, 0o040777, 0, 50), 0o100644) == (1000, 0o100644)
