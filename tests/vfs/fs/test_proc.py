"""What proc tells: mounts, types, devices, tasks (proc(5)), beside the running kernel where it can be compared."""

from __future__ import annotations

import errno
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.vfs.world import USER, World, raises
from vfs import ROOT, Credentials, DeviceKind, DeviceNumber, OpenOptions, PathOperation, Registration
from vfs.fs.cgroupfs import CgroupType
from vfs.fs.hostfs import HostfsType
from vfs.fs.proc import ProcType
from vfs.options import MountOptions
from vfs.task import Task


@pytest.fixture
def world() -> World:
    world = World()
    world.vfs.register_filesystem_type(ProcType())
    world.vfs.register_filesystem_type(HostfsType(), allow_user_mount=False, allow_user_list=False)
    world.mkdir("/proc")
    return world


def mount(world: World, data: str = "") -> None:
    world.vfs.mount_at(ROOT, "proc", world.at("/proc"), "proc", MountOptions(data=data))


def process(world: World, creds: Credentials = ROOT) -> Task:
    task = world.vfs.tasks.spawn(creds)
    task.root = task.cwd = world.ns.root
    return task


@pytest.mark.rows("S1", oracle="specification")
def test_s1_filesystems_are_those_that_may_be_listed(world: World) -> None:
    mount(world)
    assert world.read("/proc/filesystems") == b"nodev\ttmpfs\nnodev\tdevtmpfs\nnodev\tproc\n"
    for line in Path("/proc/filesystems").read_text().splitlines():
        assert re.fullmatch(r"(nodev)?\t\S+", line)


@pytest.mark.rows("H26", oracle="specification")
def test_h26_devices_are_those_of_the_table_in_the_kernels_words(world: World) -> None:
    class Nothing:
        def open(self, number: DeviceNumber, flags: int) -> object:
            raise AssertionError

    mount(world)
    for kind, major, group in (
        (DeviceKind.CHARACTER, 195, "nvidia"), (DeviceKind.CHARACTER, 1, "mem"), (DeviceKind.BLOCK, 7, "loop"),
    ):  # fmt: skip
        number = DeviceNumber(major, 0)
        world.vfs.devices.register(Registration(kind, number, Nothing(), group))  # type: ignore[arg-type]
    assert world.vfs.devices.reserve_major("nvidia-uvm") == 254
    text = world.read("/proc/devices").decode()
    assert text == "Character devices:\n  1 mem\n195 nvidia\n254 nvidia-uvm\n\nBlock devices:\n  7 loop\n"
    grammar = r"Character devices:\n( *\d+ \S+\n)+\nBlock devices:\n( *\d+ \S+\n)*"
    for each in (text, Path("/proc/devices").read_text()):
        assert re.fullmatch(grammar, each)


def test_self_is_whoever_acts(world: World) -> None:
    mount(world)
    assert {"self", "thread-self", "mounts"} <= set(world.listdir("/proc"))
    with raises(errno.ENOENT):
        world.vfs.readlink_at(ROOT, world.at("/proc/self"))
    first, second = process(world), process(world)
    thread = world.vfs.tasks.spawn(parent=second, thread=True)
    for task in (first, second):
        with world.vfs.tasks.acting_as(task):
            assert world.vfs.readlink_at(ROOT, world.at("/proc/self")) == str(task.tid)
            assert world.read("/proc/self/status").splitlines()[2] == b"Pid:\t%d" % task.tid
    with world.vfs.tasks.acting_as(thread):
        assert world.vfs.readlink_at(ROOT, world.at("/proc/thread-self")) == f"{second.tid}/task/{thread.tid}"
        assert world.vfs.readlink_at(ROOT, world.at("/proc/self")) == str(second.tid)
    assert world.listdir(f"/proc/{second.tid}/task") == [str(second.tid), str(thread.tid)]
    assert str(thread.tid) not in world.listdir("/proc")
    assert world.stat(f"/proc/{thread.tid}/comm").st_mode == 0o100644


def test_a_task_that_is_gone_has_no_directory(world: World) -> None:
    mount(world)
    task = process(world)
    with world.open(f"/proc/{task.tid}") as directory:
        world.vfs.tasks.exit(task)
        with raises(errno.ENOENT):
            directory.read_directory()
    with raises(errno.ENOENT):
        world.stat(f"/proc/{task.tid}/status")
    assert world.listdir("/proc") == ["devices", "filesystems", "mounts", "self", "thread-self"]


def test_root_cwd_and_exe_are_links_as_far_as_they_are_known(world: World) -> None:
    mount(world)
    world.mkdir("/jail")
    world.mkdir("/jail/inner")
    task = process(world)
    task.root = world.vfs.get_dentry_at(ROOT, world.at("/jail"))
    task.cwd = world.vfs.get_dentry_at(ROOT, world.at("/jail/inner"))
    prefix = f"/proc/{task.tid}"
    assert world.vfs.readlink_at(ROOT, world.at(f"{prefix}/root")) == "/jail"
    assert world.stat(f"{prefix}/cwd").st_ino == world.stat("/jail/inner").st_ino
    with raises(errno.ENOENT):
        world.vfs.readlink_at(ROOT, world.at(f"{prefix}/exe"))
    with world.vfs.tasks.acting_as(task):
        assert world.vfs.readlink_at(ROOT, world.at(f"{prefix}/cwd")) == "/inner"


def test_a_task_sees_the_mounts_below_its_root(world: World) -> None:
    mount(world)
    world.mkdir("/jail")
    world.mkdir("/jail/m")
    world.mount("/jail/m")
    task = process(world)
    with world.vfs.tasks.acting_as(task):
        assert [line.split()[1] for line in world.read("/proc/mounts").splitlines()] == [b"/", b"/proc", b"/jail/m"]
    task.root = world.vfs.get_dentry_at(ROOT, world.at("/jail"))
    for name, column in (("mounts", 1), ("mountinfo", 4), ("mountstats", 4)):
        assert [line.split()[column] for line in world.read(f"/proc/{task.tid}/{name}").splitlines()] == [b"/m"]


def test_comm_is_set_by_the_process_itself(world: World) -> None:
    mount(world)
    one, two = process(world), process(world)
    op = world.at(f"/proc/{one.tid}/comm")
    for task, answer in ((two, errno.EINVAL), (one, 0)):
        with world.vfs.tasks.acting_as(task), world.vfs.open_at(ROOT, op, OpenOptions(os.O_WRONLY)) as file:
            if answer:
                with raises(answer):
                    file.write(b"x")
            else:
                file.write(b"a name that is far too long")
    assert world.read(f"/proc/{one.tid}/comm") == b"a name that is \n"
    with open("/proc/self/comm", "r+b", buffering=0) as comm:
        before = comm.read()
        comm.write(b"a name that is far too long")
        assert Path("/proc/self/comm").read_bytes() == b"a name that is \n"
        comm.write(before.rstrip())


def test_cgroup_names_every_hierarchy(world: World) -> None:
    world.vfs.register_filesystem_type(CgroupType())
    mount(world)
    for path, data in (("/cpu", "cpu"), ("/named", "none,name=x")):
        world.mkdir(path)
        world.vfs.mount_at(ROOT, "none", world.at(path), "cgroup", MountOptions(data=data))
    world.mkdir("/cpu/group")
    task = process(world)
    with world.open("/cpu/group/tasks", os.O_WRONLY) as file:
        file.write(b"%d" % task.tid)
    assert world.read(f"/proc/{task.tid}/cgroup") == b"2:name=x:/\n1:cpu:/group\n"
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        assert re.fullmatch(r"\d+:[^:]*:/.*", line)


@pytest.mark.parametrize(
    ("data", "search", "listed"),
    [
        ("", 0, True), ("hidepid=1", errno.EPERM, True), ("hidepid=2", errno.ENOENT, False), ("hidepid=2,gid=1000", 0, True),
        ("hidepid=4", errno.EPERM, False), ("hidepid=4,gid=1000", errno.EPERM, False),
    ],
)  # fmt: skip
def test_hidepid(world: World, data: str, search: int, listed: bool) -> None:
    mount(world, data)
    roots, own = process(world), process(world, USER)
    with world.vfs.tasks.acting_as(own):
        names = world.vfs.listdir_at(USER, world.at("/proc"))
        assert (str(roots.tid) in names, str(own.tid) in names) == (listed, True)
        world.vfs.stat_at(USER, world.at(f"/proc/{own.tid}/status"))
    place = world.vfs.get_dentry_at(ROOT, world.at(f"/proc/{roots.tid}"))
    below = PathOperation(world.ns.root, place, "status")
    if search:
        with raises(search):
            world.vfs.stat_at(USER, below)
    else:
        world.vfs.stat_at(USER, below)


def test_subset_leaves_tasks_alone(world: World) -> None:
    mount(world, "subset=pid")
    task = process(world)
    assert world.listdir("/proc") == [str(task.tid), "self", "thread-self"]


@pytest.mark.rows("S56", oracle="specification")
@pytest.mark.root
def test_s56_mount_tables_are_escaped_as_the_kernels(world: World, tmp_path: Path) -> None:
    """Names and sources with everything that separates fields, in all three tables."""
    cases = [
        ("a b", "so urce"),
        ("h#h", "#s"),
        ("c\\d", "x\\y#"),
        ("n\nl", "nl\nx"),
        ("t\tt", "t\t#\\"),
        ("\xfc", "\xe9"),
    ]
    script = ["mount --make-rprivate /", 'mount -t tmpfs none "$1"', 'cd "$1"', "shift"]
    script += ['while [ $# -gt 0 ]; do mkdir "$1"; mount -i -t tmpfs "$2" "$1"; shift 2; done']
    script += [f"for f in mountinfo mounts mountstats; do tail -n {len(cases)} /proc/self/$f; done"]
    words = [word for case in cases for word in case]
    command = ["unshare", "-m", "sh", "-ec", "\n".join(script), "sh", str(tmp_path), *words]
    theirs = (
        subprocess.run(command, capture_output=True, check=True).stdout.replace(os.fsencode(tmp_path), b"").splitlines()
    )
    mount(world)
    for name, source in cases:
        world.mkdir(f"/{name}")
        world.vfs.mount_at(ROOT, source, world.at(f"/{name}"), "tmpfs")
    task = process(world)
    mine = [
        line
        for table in ("mountinfo", "mounts", "mountstats")
        for line in world.read(f"/proc/{task.tid}/{table}").splitlines()[-len(cases) :]
    ]

    def fields(line: bytes) -> list[bytes]:
        # Numbers and the options that differ from machine to machine are masked.
        words = line.split(b" ")
        start = 3 if words[0].isdigit() else 0
        kept = words[start:]
        return [re.sub(rb"^rw,.*|^rw$", b"rw", word) for word in kept]

    assert [fields(line) for line in mine] == [fields(line) for line in theirs]
