"""Control groups in memory beside the kernel's: in a group of our own, that is removed again.

Where the machine has no hierarchy of version 1 for a controller, its cases are skipped by name.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.vfs.fs import cgroups
from tests.vfs.fs.cgroups import kernel_write, mount, new_world
from tests.vfs.world import World
from vfs import ROOT, MkdirOptions, SetStat

pytestmark = pytest.mark.root

NUMBERS = (
    "100", "0", "1", "2", "-1", "-5", "999", "1000", "1000001", "262144", "262145", "99999999999999999999",
    "18446744073709551615", "abc", " 7 \n", "7\n", "0x10", "0x", "010", "09", "5 6", "", "\n", "+5", "1m", "1K", "1mm", "max", " max\n",
    "4194304", "4194305", "5000", "201", "8T",
)  # fmt: skip
SETS = (
    "0", "0-1", "1,0", "0-", "5-2", "abc", "99999", "0-99999", "", "0,1\n", "0-1:1/2", "0-1:0/2", "0-1:3/2", "0-1:1/0", ",0,", "0 1",
)  # fmt: skip
FILES: dict[str, dict[str, tuple[str, ...]]] = {
    "cpu": {"cpu.shares": NUMBERS, "cpu.cfs_period_us": NUMBERS, "cpu.cfs_quota_us": NUMBERS, "notify_on_release": NUMBERS},
    "cpuacct": {"cpuacct.usage": NUMBERS, "cgroup.clone_children": NUMBERS},
    "memory": dict.fromkeys(("memory.limit_in_bytes", "memory.soft_limit_in_bytes", "memory.swappiness", "memory.use_hierarchy", "memory.oom_control", "memory.max_usage_in_bytes", "memory.failcnt"), NUMBERS),
    "pids": {"pids.max": NUMBERS, "cgroup.procs": ("abc", "-1", "0x", "1 2", "4194305", ""), "tasks": ("abc", "-5", "4194305\n")},
    "cpuset": {"cpuset.cpus": SETS, "cpuset.mems": SETS, "cpuset.cpu_exclusive": NUMBERS, "cpuset.mem_exclusive": NUMBERS, "cpuset.sched_load_balance": NUMBERS},
}  # fmt: skip


def place_of(controller: str) -> str:
    """Where the machine has a hierarchy of that controller alone."""
    with open("/proc/self/mounts") as mounts:
        for line in mounts:
            _, point, fstype, options, *_ = line.split()
            if fstype == "cgroup" and controller in options.split(","):
                return point
    pytest.skip(f"this machine has no cgroup hierarchy of version 1 with {controller}")


@pytest.fixture
def group(request: pytest.FixtureRequest) -> Iterator[str]:
    """A group of the machine's in the hierarchy that the test's parameter names."""
    path = f"{place_of(request.param)}/devproxy-test-{os.getpid()}"
    os.mkdir(path)
    yield path
    for below, _, _ in os.walk(path, topdown=False):
        os.rmdir(below)


def ours(controller: str) -> World:
    world = new_world()
    mount(world, "/c", "cgroup", controller)
    world.mkdir("/c/group")
    return world


def add_siblings(world: World, group: str) -> None:
    """The groups that the machine has beside it (other containers'): what one of them has, none may have for itself alone."""
    parent, own = os.path.split(group)
    for name in (name for name in os.listdir(parent) if os.path.isdir(f"{parent}/{name}") and name != own):
        world.mkdir(f"/c/{name}")
        for file in ("cpuset.cpus", "cpuset.mems", "cpuset.cpu_exclusive", "cpuset.mem_exclusive"):
            assert cgroups.write(world, f"/c/{name}/{file}", Path(parent, name, file).read_text()) == "ok"


@pytest.mark.rows("H25", oracle="kernel")
@pytest.mark.parametrize(("group", "controller"), [(name, name) for name in FILES], indirect=["group"])
def test_what_is_written_is_understood_as_the_kernel_understands_it(group: str, controller: str) -> None:
    world = ours(controller)
    if controller == "cpuset":
        add_siblings(world, group)
    for name, texts in FILES[controller].items():
        for text in texts:
            theirs = kernel_write(f"{group}/{name}", text), Path(group, name).read_text()
            mine = cgroups.write(world, f"/c/group/{name}", text), world.read(f"/c/group/{name}").decode()
            assert mine == theirs, (name, text)


@pytest.mark.rows("H25", oracle="kernel")
@pytest.mark.parametrize(("group", "controller"), [(name, name) for name in FILES], indirect=["group"])
def test_files_have_the_kernels_names_modes_and_first_values(group: str, controller: str) -> None:
    world = ours(controller)
    for mine, theirs in (("/c", os.path.dirname(group)), ("/c/group", group)):
        names = [name for name in world.listdir(mine) if name != "group"]
        assert set(names) <= set(os.listdir(theirs))
        for name in names:
            found = os.stat(f"{theirs}/{name}")
            shown = world.stat(f"{mine}/{name}")
            assert (shown.st_mode, shown.st_uid, shown.st_size) == (found.st_mode, found.st_uid, found.st_size), name
            # What the root of a live machine holds is that machine's.
            if mine == "/c/group":
                assert world.read(f"{mine}/{name}").decode() == Path(theirs, name).read_text(), name


def answer(call: Callable[[], object]) -> str:
    try:
        call()
    except OSError as problem:
        return errno.errorcode[problem.errno or 0]
    return "ok"


@pytest.mark.parametrize("group", ["cpu"], indirect=True)
def test_groups_are_made_moved_and_removed_as_on_the_kernel(group: str) -> None:
    world = ours("cpu")
    vfs, at = world.vfs, world.at
    pairs: list[tuple[str, Callable[[], object], Callable[[], object]]] = []

    def both(name: str, mine: Callable[[str], object], theirs: Callable[[str], object]) -> None:
        pairs.append((name, lambda: mine("/c/group"), lambda: theirs(group)))

    def rename(old: str, new: str) -> None:
        both(
            f"rename {old} {new}",
            lambda top: vfs.rename_at(ROOT, at(top + old), at(top + new)),
            lambda top: os.rename(top + old, top + new),
        )

    def simple(call: str, path: str) -> None:
        both(
            f"{call} {path}",
            lambda top: getattr(vfs, f"{call}_at")(ROOT, at(top + path)),
            lambda top: getattr(os, call)(top + path),
        )

    for path in ("/a", "/b", "/a/deep", "/x\ny", "/tasks", "/a"):
        both(
            f"mkdir {path!r}",
            lambda top, path=path: vfs.mkdir_at(ROOT, at(top + path), MkdirOptions(0o755)),  # type: ignore[misc]
            lambda top, path=path: os.mkdir(top + path, 0o755),  # type: ignore[misc]
        )
    simple("rmdir", "/a")
    for old, new in (
        ("/a", "/a2"),
        ("/a2", "/b"),
        ("/a2/deep", "/deep"),
        ("/tasks", "/t"),
        ("/a2", "/tasks"),
        ("/a2", "/n\nl"),
    ):
        rename(old, new)
    simple("unlink", "/tasks")
    simple("rmdir", "/tasks")
    both("symlink", lambda top: vfs.symlink_at(ROOT, at(top + "/l"), "x"), lambda top: os.symlink("x", top + "/l"))
    both(
        "link",
        lambda top: vfs.link_at(ROOT, at(top + "/tasks"), at(top + "/l")),
        lambda top: os.link(top + "/tasks", top + "/l"),
    )
    both(
        "create",
        lambda top: world.open(top + "/f", os.O_CREAT | os.O_WRONLY),
        lambda top: os.open(top + "/f", os.O_CREAT | os.O_WRONLY),
    )
    both("fifo", lambda top: world.mknod(top + "/f", 0o10600), lambda top: os.mkfifo(top + "/f"))
    both(
        "chmod",
        lambda top: vfs.set_stat_at(ROOT, at(top + "/tasks"), SetStat(mode=0o600)),
        lambda top: os.chmod(top + "/tasks", 0o600),
    )
    both(
        "chown",
        lambda top: vfs.set_stat_at(ROOT, at(top + "/b"), SetStat(uid=5, gid=6)),
        lambda top: os.chown(top + "/b", 5, 6),
    )
    both("truncate", lambda top: vfs.set_stat_at(ROOT, at(top + "/cpu.shares"), SetStat(size=0)), lambda top: os.truncate(top + "/cpu.shares", 0))  # fmt: skip
    simple("rmdir", "/a2/deep")
    for name, mine, theirs in pairs:
        assert answer(mine) == answer(theirs), name
        for path in ("", "/a", "/a2", "/b"):
            if os.path.exists(group + path):
                shown, found = world.stat("/c/group" + path), os.stat(group + path)
                assert (shown.st_mode, shown.st_nlink, shown.st_uid) == (found.st_mode, found.st_nlink, found.st_uid), (
                    name,
                    path,
                )
        assert [each for each in world.listdir("/c/group") if "." not in each] == sorted(
            each for each in os.listdir(group) if "." not in each
        )


@pytest.mark.parametrize("group", ["cpu"], indirect=True)
def test_bandwidth_is_within_that_of_the_group_above(group: str) -> None:
    world = ours("cpu")
    os.mkdir(f"{group}/a")
    vfs = world.vfs
    vfs.mkdir_at(ROOT, world.at("/c/group/a"), MkdirOptions(0o755))
    for path, text in (
        ("a/cpu.cfs_quota_us", "60000"), ("cpu.cfs_quota_us", "50000"), ("a/cpu.cfs_quota_us", "40000"), ("cpu.cfs_quota_us", "50000"),
        ("a/cpu.cfs_quota_us", "60000"), ("a/cpu.cfs_period_us", "1000"), ("a/cpu.cfs_quota_us", "-1"), ("cpu.cfs_period_us", "200000"),
    ):  # fmt: skip
        assert cgroups.write(world, f"/c/group/{path}", text) == kernel_write(f"{group}/{path}", text), (path, text)
        assert world.read(f"/c/group/{path}").decode() == Path(group, path).read_text()


@pytest.mark.parametrize("group", ["pids"], indirect=True)
def test_tasks_are_members_and_keep_a_group(group: str) -> None:
    world = ours("pids")
    child = os.fork()
    if not child:
        signal.pause()
    try:
        task = world.vfs.tasks.spawn()

        def same(name: str, text: tuple[str, str] | None = None) -> None:
            if text is not None:
                assert cgroups.write(world, f"/c/{name}", text[0]) == kernel_write(
                    f"{os.path.dirname(group)}/{name}", text[1]
                )

        here = os.path.basename(group)
        os.rename(group, f"{os.path.dirname(group)}/group")
        try:
            same("group/tasks", (f"{task.tid}\n", f"{child}\n"))
            for name in ("cgroup.procs", "tasks"):
                mine, theirs = (
                    world.read(f"/c/group/{name}").decode(),
                    Path(os.path.dirname(group), "group", name).read_text(),
                )
                assert mine.replace(str(task.tid), "N") == theirs.replace(str(child), "N") == "N\n"
            assert (
                world.read("/c/group/pids.current")
                == Path(os.path.dirname(group), "group/pids.current").read_bytes()
                == b"1\n"
            )
            assert answer(lambda: world.vfs.rmdir_at(ROOT, world.at("/c/group"))) == "EBUSY"
            assert answer(lambda: os.rmdir(f"{os.path.dirname(group)}/group")) == "EBUSY"
            same("cgroup.procs", (f"{task.tid}", f"{child}"))
            assert world.read("/c/group/tasks") == b""
        finally:
            os.rename(f"{os.path.dirname(group)}/group", f"{os.path.dirname(group)}/{here}")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.mark.parametrize("group", ["cpuset"], indirect=True)
def test_a_group_without_processors_takes_no_task(group: str) -> None:
    world = ours("cpuset")
    task = world.vfs.tasks.spawn()
    assert (
        cgroups.write(world, "/c/group/tasks", str(task.tid))
        == kernel_write(f"{group}/tasks", str(os.getpid()))
        == "ENOSPC"
    )


@pytest.mark.parametrize("group", ["cpu"], indirect=True)
def test_an_open_file_of_a_removed_group_is_no_more(group: str) -> None:
    world = ours("cpu")
    os.mkdir(f"{group}/a")
    world.mkdir("/c/group/a")
    theirs = os.open(f"{group}/a/cpu.shares", os.O_RDWR)
    with world.open("/c/group/a/cpu.shares", os.O_RDWR) as mine:
        os.rmdir(f"{group}/a")
        world.vfs.rmdir_at(ROOT, world.at("/c/group/a"))
        assert answer(lambda: mine.read(10)) == answer(lambda: os.read(theirs, 10)) == "ENODEV"
        assert answer(lambda: mine.write(b"5")) == answer(lambda: os.write(theirs, b"5")) == "ENODEV"
    os.close(theirs)


@pytest.fixture
def unified() -> Iterator[str]:
    """A group of the machine's in the unified hierarchy."""
    with open("/proc/self/mounts") as mounts:
        points = [line.split()[1] for line in mounts if line.split()[2] == "cgroup2"]
    if not points:
        pytest.skip("this machine shows no unified cgroup hierarchy")
    path = f"{points[0]}/devproxy-test-{os.getpid()}"
    os.mkdir(path)
    yield path
    for below, _, _ in os.walk(path, topdown=False):
        os.rmdir(below)


@pytest.mark.rows("H25", oracle="kernel")
def test_unified_groups_answer_as_the_kernels(unified: str) -> None:
    world = new_world()
    mount(world, "/c", "cgroup2")
    world.mkdir("/c/group")
    for name in world.listdir("/c/group"):
        found, shown = os.stat(f"{unified}/{name}"), world.stat(f"/c/group/{name}")
        assert (shown.st_mode, shown.st_size) == (found.st_mode, found.st_size), name
        if name != "cgroup.controllers":
            assert world.read(f"/c/group/{name}").decode() == Path(unified, name).read_text(), name
    cases = {
        "cgroup.max.depth": ("1", "-1", "abc", "max", " 2 \n", "", "99999999999", "0x2", "+1"),
        "cgroup.max.descendants": ("0", "1", "-1", "max"),
        "cgroup.type": ("domain", "abc"),
        "cgroup.procs": ("abc", "-1", "4194305", ""),
        "cgroup.threads": ("abc", "4194305"),
        "cgroup.subtree_control": ("nothing", "+nothing", "cpu", ""),
    }
    for name, texts in cases.items():
        for text in texts:
            theirs = kernel_write(f"{unified}/{name}", text), Path(unified, name).read_text()
            mine = cgroups.write(world, f"/c/group/{name}", text), world.read(f"/c/group/{name}").decode()
            assert mine == theirs, (name, text)
    vfs, at = world.vfs, world.at
    for name, value in (("cgroup.max.depth", "1"), ("cgroup.max.descendants", "2")):
        assert cgroups.write(world, f"/c/group/{name}", value) == kernel_write(f"{unified}/{name}", value) == "ok"
    for path in ("/a", "/a/b", "/b", "/c"):
        mine_, theirs_ = (
            answer(partial(vfs.mkdir_at, ROOT, at("/c/group" + path))),
            answer(partial(os.mkdir, unified + path)),
        )
        assert mine_ == theirs_, path
    assert answer(lambda: vfs.rename_at(ROOT, at("/c/group/a"), at("/c/group/z"))) == answer(
        lambda: os.rename(unified + "/a", unified + "/z")
    )


@pytest.mark.rows("H25", oracle="kernel")
@pytest.mark.parametrize("group", ["cpuset"], indirect=True)
def test_what_a_group_has_for_itself_is_the_kernels(group: str) -> None:
    """Two groups, and one below each: every order of asking for processors and for having them alone."""
    world = ours("cpuset")
    add_siblings(world, group)
    for path in ("a", "b", "a/c"):
        os.mkdir(f"{group}/{path}")
        world.mkdir(f"/c/group/{path}")
    cpus, exclusive = "cpuset.cpus", "cpuset.cpu_exclusive"
    writes = [
        ("", cpus, "0"),
        ("a", cpus, "0"),
        ("b", cpus, "0"),
        ("a/c", exclusive, "1"),
        ("a", exclusive, "1"),
        ("", exclusive, "1"),
    ]
    writes += [
        ("b", cpus, ""),
        ("a", exclusive, "1"),
        ("a/c", exclusive, "1"),
        ("b", cpus, "0"),
        ("a", exclusive, "0"),
        ("", exclusive, "0"),
    ]
    writes += [("a/c", exclusive, "0"), ("a", exclusive, "0"), ("b", cpus, "0"), ("a", "cpuset.mem_exclusive", "1")]
    for path, file, text in writes:
        theirs = kernel_write(f"{group}/{path}/{file}", text), Path(group, path, file).read_text()
        mine = cgroups.write(world, f"/c/group/{path}/{file}", text), world.read(f"/c/group/{path}/{file}").decode()
        assert mine == theirs, (path, file, text)
