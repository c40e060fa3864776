"""Control groups: hierarchies, what they share, and members (cgroups(7))."""

from __future__ import annotations

import errno
import os

import pytest

from tests.vfs.fs.cgroups import mount, new_world, write
from tests.vfs.world import USER, World, raises
from vfs import ROOT
from vfs.options import MountOptions, SetStat


@pytest.fixture
def world() -> World:
    return new_world()


@pytest.mark.rows("S23", oracle="specification")
def test_s23_the_same_controllers_are_the_same_hierarchy(world: World) -> None:
    mount(world, "/one", "cgroup", "memory,cpu")
    mount(world, "/two", "cgroup", "cpu,memory")
    world.mkdir("/one/group")
    assert world.stat("/two/group").st_ino == world.stat("/one/group").st_ino
    assert world.stat("/one").st_dev == world.stat("/two").st_dev
    assert write(world, "/two/group/cpu.shares", "77") == "ok"
    assert world.read("/one/group/cpu.shares") == b"77\n"
    world.vfs.rmdir_at(ROOT, world.at("/two/group"))
    assert "group" not in world.listdir("/one")
    with raises(errno.ENOENT):
        world.stat("/one/group/cpu.shares")


@pytest.mark.parametrize(
    ("first", "second", "number"),
    [
        ("cpu", "cpu,memory", errno.EBUSY),
        ("cpu", "all", errno.EBUSY),
        ("cpu", "", errno.EBUSY),
        ("none,name=a", "cpu,name=a", errno.EBUSY),
        ("cpu,name=a", "none,name=a", errno.EBUSY),
        ("cpu", "name=a", errno.EINVAL),
        ("cpu", "memory", 0),
        ("cpu,name=a", "cpu", 0),
        ("cpu,name=a", "name=a", 0),
        ("cpu,name=a", "cpu,name=b", errno.EBUSY),
        ("none,name=a", "none,name=b", 0),
    ],
)
def test_a_controller_is_in_one_hierarchy_and_a_name_is_of_one(
    world: World, first: str, second: str, number: int
) -> None:
    mount(world, "/one", "cgroup", first)
    world.mkdir("/two")
    if not number:
        world.vfs.mount_at(ROOT, "none", world.at("/two"), "cgroup", MountOptions(data=second))
        return
    with raises(number):
        world.vfs.mount_at(ROOT, "none", world.at("/two"), "cgroup", MountOptions(data=second))


def test_a_hierarchy_with_groups_outlives_its_mounts(world: World) -> None:
    mount(world, "/c", "cgroup", "cpu")
    world.vfs.umount_at(ROOT, world.at("/c"))
    world.vfs.mount_at(ROOT, "none", world.at("/c"), "cgroup", MountOptions(data="cpu,cpuacct"))
    world.mkdir("/c/group")
    world.vfs.umount_at(ROOT, world.at("/c"))
    with raises(errno.EBUSY):
        world.vfs.mount_at(ROOT, "none", world.at("/c"), "cgroup", MountOptions(data="cpu"))
    world.vfs.mount_at(ROOT, "none", world.at("/c"), "cgroup", MountOptions(data="cpu,cpuacct"))
    assert "group" in world.listdir("/c")


def test_worlds_know_nothing_of_each_other(world: World) -> None:
    other = new_world()
    mount(world, "/c", "cgroup", "cpu")
    mount(other, "/c", "cgroup", "cpu,memory")
    world.mkdir("/c/group")
    assert "group" not in other.listdir("/c")


def test_children_begin_where_their_parent_is_and_pids_max_holds(world: World) -> None:
    mount(world, "/c", "cgroup", "pids")
    world.mkdir("/c/group")
    tasks = world.vfs.tasks
    first = tasks.spawn()
    assert write(world, "/c/group/cgroup.procs", str(first.tid)) == "ok"
    assert write(world, "/c/group/pids.max", "3") == "ok"
    thread, child = tasks.spawn(parent=first, thread=True), tasks.spawn(parent=first)
    assert world.read("/c/group/tasks").split() == [str(task.tid).encode() for task in (first, thread, child)]
    assert world.read("/c/group/cgroup.procs").split() == [str(task.tid).encode() for task in (first, child)]
    with raises(errno.EAGAIN):
        tasks.spawn(parent=child)
    tasks.exit(child)
    assert world.read("/c/group/pids.current") == b"2\n"
    tasks.spawn(parent=first)


def test_zero_is_who_writes(world: World) -> None:
    mount(world, "/c", "cgroup", "none,name=x")
    world.mkdir("/c/group")
    assert write(world, "/c/group/tasks", "0") == "ESRCH"
    task = world.vfs.tasks.spawn()
    with world.vfs.tasks.acting_as(task):
        assert write(world, "/c/group/tasks", "0") == "ok"
    assert world.read("/c/group/tasks") == b"%d\n" % task.tid


def test_a_users_group_is_not_an_others(world: World) -> None:
    mount(world, "/c", "cgroup", "none,name=x")
    with raises(errno.EACCES):
        world.vfs.mkdir_at(USER, world.at("/c/group"))
    world.mkdir("/c/group")
    world.vfs.set_stat_at(ROOT, world.at("/c/group"), SetStat(uid=USER.uid))
    world.vfs.mkdir_at(USER, world.at("/c/group/own"))
    assert world.stat("/c/group/own/tasks").st_uid == USER.uid
    assert write(world, "/c/group/tasks", "1", USER) == "EACCES"


def test_release_agent_and_flags_are_handed_on(world: World) -> None:
    mount(world, "/c", "cgroup", "cpuset,release_agent=/bin/agent,clone_children")
    assert world.read("/c/release_agent") == b"/bin/agent\n"
    assert write(world, "/c/notify_on_release", "1") == "ok"
    world.mkdir("/c/group")
    assert world.read("/c/group/notify_on_release") == world.read("/c/group/cgroup.clone_children") == b"1\n"
    assert world.read("/c/group/cpuset.cpus") == world.read("/c/cpuset.cpus")
    with raises(errno.ENOENT):
        world.stat("/c/group/release_agent")


@pytest.mark.rows("S23", oracle="specification")
def test_s23_job_is_a_number_for_a_group(world: World) -> None:
    mount(world, "/c", "cgroup", "job")
    assert write(world, "/c/job.id", "17") == "ok"
    assert world.read("/c/job.id") == b"17\n"


class TestUnified:
    """cgroup-v2.rst: "Enabling and Disabling", "Top-down Constraint", "No Internal Process Constraint"."""

    def test_files_come_and_go_with_their_controller(self, world: World) -> None:
        mount(world, "/c", "cgroup2")
        world.mkdir("/c/group")
        assert world.read("/c/cgroup.controllers") == b"cpu memory pids\n"
        with raises(errno.ENOENT):
            world.stat("/c/group/memory.max")
        assert write(world, "/c/cgroup.subtree_control", "+memory +pids") == "ok"
        assert world.read("/c/group/cgroup.controllers") == b"memory pids\n"
        with world.open("/c/group/memory.max") as file:
            assert file.read() == b"max\n"
            assert write(world, "/c/group/memory.max", "1m") == "ok"
            assert write(world, "/c/cgroup.subtree_control", "-memory") == "ok"
            with raises(errno.ENOENT):
                world.stat("/c/group/memory.max")
            with raises(errno.ENODEV):
                file.pread(10, 0)
        assert write(world, "/c/cgroup.subtree_control", "+memory") == "ok"
        assert world.read("/c/group/memory.max") == b"max\n"

    def test_what_is_not_handed_down_cannot_be_handed_on(self, world: World) -> None:
        mount(world, "/c", "cgroup2")
        world.mkdir("/c/group")
        assert write(world, "/c/group/cgroup.subtree_control", "+pids") == "ENOENT"
        assert write(world, "/c/cgroup.subtree_control", "+pids") == "ok"
        assert write(world, "/c/group/cgroup.subtree_control", "+pids") == "ok"
        assert write(world, "/c/cgroup.subtree_control", "-pids") == "EBUSY"

    def test_a_group_with_tasks_hands_nothing_on(self, world: World) -> None:
        mount(world, "/c", "cgroup2")
        world.mkdir("/c/group")
        task = world.vfs.tasks.spawn()
        assert write(world, "/c/cgroup.subtree_control", "+pids") == "ok"
        assert write(world, "/c/group/cgroup.procs", str(task.tid)) == "ok"
        assert world.read("/c/group/cgroup.events").startswith(b"populated 1\n")
        assert write(world, "/c/group/cgroup.subtree_control", "+pids") == "EBUSY"
        assert write(world, "/c/cgroup.procs", str(task.tid)) == "ok"
        assert write(world, "/c/group/cgroup.subtree_control", "+pids") == "ok"
        assert write(world, "/c/group/cgroup.procs", str(task.tid)) == "EBUSY"

    def test_version_1_takes_controllers_away(self, world: World) -> None:
        mount(world, "/c", "cgroup2")
        mount(world, "/pids", "cgroup", "pids")
        assert world.read("/c/cgroup.controllers") == b"cpu memory\n"
        assert write(world, "/c/cgroup.subtree_control", "+pids") == "EINVAL"
        assert write(world, "/c/cgroup.subtree_control", "+cpu") == "ok"
        world.mkdir("/cpu")
        with raises(errno.EBUSY):
            world.vfs.mount_at(ROOT, "none", world.at("/cpu"), "cgroup", MountOptions(data="cpu"))

    def test_cpu_max_and_weight(self, world: World) -> None:
        mount(world, "/c", "cgroup2")
        world.mkdir("/c/group")
        assert write(world, "/c/cgroup.subtree_control", "+cpu") == "ok"
        for text, shown in (
            ("50000", b"50000 100000\n"),
            ("max 20000", b"max 20000\n"),
            ("999", b""),
            ("5 5 5", b""),
            ("x", b""),
        ):
            assert write(world, "/c/group/cpu.max", text) == ("ok" if shown else "EINVAL"), text
            assert not shown or world.read("/c/group/cpu.max") == shown
        assert write(world, "/c/group/cpu.weight", "10001") == "ERANGE"
        assert write(world, "/c/group/cpu.weight", "10000") == "ok"


def test_writing_nothing_changes_nothing_and_too_much_is_refused(world: World) -> None:
    mount(world, "/c", "cgroup", "cpu")
    world.mkdir("/c/group")
    assert write(world, "/c/group/cpu.shares", "") == "ok"
    assert write(world, "/c/group/cpu.shares", "7" + " " * 5000) == "E2BIG"
    with world.open("/c/group/cpu.shares", os.O_RDWR) as file:
        assert (file.read(2), file.read(9)) == (b"10", b"24\n")
