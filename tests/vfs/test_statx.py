"""statx: what it tells that stat does not. The rest is compared with the kernel's."""

from __future__ import annotations

import errno
import os
import time

from tests.vfs.world import World, raises
from vfs import ROOT, SetStat
from vfs.abi import STATX_ATTR_MOUNT_ROOT, STATX_BASIC_STATS, STATX_BTIME, STATX_MNT_ID, STATX_MNT_ID_UNIQUE
from vfs.fs.proc import ProcType


def test_the_time_of_birth_never_changes(world: World) -> None:
    before = time.time_ns()
    world.mknod("/f")
    born = world.vfs.statx_at(ROOT, world.at("/f")).btime_ns
    assert before <= born <= time.time_ns()
    world.vfs.set_stat_at(ROOT, world.at("/f"), SetStat(atime_ns=5, mtime_ns=5))
    world.write("/f", b"x")
    with world.open("/f") as file:
        found = file.statx()
    assert (found.btime_ns, found.stat.st_size) == (born, 1)
    assert found.mask == STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID
    assert world.vfs.statx_at(ROOT, world.at("/f"), STATX_BASIC_STATS).btime_ns == 0


def test_where_a_mount_begins(world: World) -> None:
    world.mkdir("/m")
    mount = world.mount("/m")
    world.mkdir("/m/d")
    root, below = (world.vfs.statx_at(ROOT, world.at(path), STATX_MNT_ID_UNIQUE) for path in ("/m", "/m/d"))
    assert (root.attributes, below.attributes) == (STATX_ATTR_MOUNT_ROOT, 0)
    assert root.mount_id == below.mount_id == mount.id != world.vfs.statx_at(ROOT, world.at("/")).mount_id
    assert root.mask == STATX_BASIC_STATS | STATX_MNT_ID_UNIQUE


def test_a_type_without_times_of_birth_says_so(world: World) -> None:
    world.vfs.register_filesystem_type(ProcType())
    world.mkdir("/proc")
    world.vfs.mount_at(ROOT, "none", world.at("/proc"), "proc")
    found = world.vfs.statx_at(ROOT, world.at("/proc"))
    assert (found.mask & STATX_BTIME, found.btime_ns) == (0, 0)


def test_a_reserved_mask_is_refused_before_the_path(world: World) -> None:
    with raises(errno.EINVAL):
        world.vfs.statx_at(ROOT, world.at("/missing"), 0x8000_0000)
    with world.open("/", os.O_PATH) as file, raises(errno.EINVAL):
        file.statx(0x8000_0000)
