"""Which mounts are made, in which order, and what becomes read-only when (seed sections 1.3 to 1.8)."""

from __future__ import annotations

import pytest

from devproxy.errors import InputError
from devproxy.mount_options import Attribute, MountOptions
from devproxy.plan.plan import Plan
from devproxy.plan.plan_json import to_json
from devproxy.plan.steps import Bind, Level, MakeNode, MountFilesystem, Seal, Skip, WhenEmpty
from tests.devproxy.plan.planning import BUNDLE, LISTED, STRICT, bare, lines, mount, steps_of


def order(plan: Plan) -> list[str]:
    """Where something is mounted, in order, the mandatory mounts left out."""
    mandatory = ("/proc", "/sys", "/dev", "/dev/pts", "/tmp")
    return [s.path for s in plan.steps if isinstance(s, MountFilesystem | Bind) and s.path not in mandatory]


def at(plan: Plan, path: str) -> list[MountFilesystem | Bind]:
    return [step for step in plan.steps if isinstance(step, MountFilesystem | Bind) and step.path == path]


def index(plan: Plan, line: str) -> int:
    return [step.describe() for step in plan.steps].index(line)


# order


@pytest.mark.rows("S33", oracle="specification")
def test_s33_parents_come_before_children_and_equals_keep_their_order() -> None:
    listed = [mount("/a/b/c"), mount("/a"), mount("/longer/b"), mount("/a/b"), mount("/d", "tmpfs", "mode=0700"),
              mount("/d", "tmpfs", "mode=0705")]  # fmt: skip
    plan = bare(mounts=listed)
    assert order(plan) == ["/a", "/d", "/d", "/longer/b", "/a/b", "/a/b/c"]
    assert [step.options.data for step in at(plan, "/d")] == [("mode=0700",), ("mode=0705",)]


@pytest.mark.rows("S33", oracle="specification")
def test_s33_the_sort_is_by_depth_not_by_length() -> None:
    assert order(bare(mounts=[mount("/longparent/././."), mount("/longparent/x")])) == ["/longparent", "/longparent/x"]


@pytest.mark.rows("S20", oracle="specification")
def test_s20_binds_are_ordered_like_every_other_mount() -> None:
    listed = [mount("/a/x"), mount("/b", "bind"), mount("/a", "bind"), mount("/b/y", "bind")]
    assert order(bare(mounts=listed)) == ["/b", "/a", "/a/x", "/b/y"]


@pytest.mark.rows("S33", oracle="specification")
def test_s33_many_duplicates_keep_the_specs_order() -> None:
    plan = bare(mounts=[mount("/s", "tmpfs", f"uid={n}") for n in range(50)])
    assert [step.options.data for step in at(plan, "/s")] == [(f"uid={n}",) for n in range(50)]


@pytest.mark.rows("S33", oracle="specification")
def test_s33_mount_order_listed_keeps_the_specs_order() -> None:
    plan = bare(config=LISTED, mounts=[mount("/a/b"), mount("/c"), mount("/a")])
    assert order(plan) == ["/a/b", "/c", "/a"]
    assert lines(plan, "mount proc", "mount devpts", "mount tmpfs at /a/b") == [
        "mount proc at /proc",
        "mount devpts at /dev/pts [newinstance,ptmxmode=0666,mode=0620]",
        "mount tmpfs at /a/b",
    ]


@pytest.mark.rows("S34", oracle="specification")
def test_s34_a_child_bind_listed_first_is_mounted_last() -> None:
    plan = bare(mounts=[mount("/bd/f", "bind", source="/f"), mount("/bd", "bind", source="/d")])
    assert [step.source for step in steps_of(plan, Bind)] == ["/d", "/f"]


# which mounts


@pytest.mark.parametrize("missing", ["/proc", "/sys", "/dev", "/dev/pts"])
@pytest.mark.rows("S19", oracle="specification")
def test_s19_only_missing_mandatory_mounts_are_added(missing: str) -> None:
    types = {"/proc": "proc", "/sys": "sysfs", "/dev": "tmpfs", "/dev/pts": "devpts"}
    plan = bare(mounts=[mount(path, fstype) for path, fstype in types.items() if path != missing])
    mandatory = [
        step.path for step in steps_of(plan, MountFilesystem) if step.reason.source == "rule: mandatory mounts"
    ]
    assert mandatory == [missing]


@pytest.mark.rows("S17", oracle="specification")
def test_s17_detection_sees_through_unclean_paths() -> None:
    plan = bare(mounts=[mount("/x/../proc/", "proc"), mount("//sys", "sysfs"), mount("/dev/.", "tmpfs")])
    assert [len(at(plan, path)) for path in ("/proc", "/sys", "/dev")] == [1, 1, 1]


@pytest.mark.rows("S17", oracle="specification")
def test_s17_a_tmpfs_on_proc_is_honoured() -> None:
    (proc,) = at(bare(mounts=[mount("/proc", "tmpfs", "size=1m")]), "/proc")
    assert isinstance(proc, MountFilesystem)
    assert (proc.fstype, proc.options.data) == ("tmpfs", ("size=1m",))


@pytest.mark.parametrize("fstype", ["tmpfs", "devtmpfs"])
@pytest.mark.rows("S17", oracle="specification")
def test_s17_dev_is_a_devtmpfs_and_keeps_its_options(fstype: str) -> None:
    (dev,) = at(bare(mounts=[mount("/dev", fstype, "noexec", "size=1k")]), "/dev")
    assert isinstance(dev, MountFilesystem)
    assert dev.fstype == "devtmpfs"
    assert dev.options.change.set == Attribute.NOEXEC
    assert dev.options.data == ("mode=0755", "size=1k")


@pytest.mark.rows("S8", oracle="specification")
def test_s8_the_mode_of_dev_is_the_specs_or_0755() -> None:
    (dev,) = at(bare(mounts=[mount("/dev", "tmpfs", "mode=0700")]), "/dev")
    assert dev.options.data == ("mode=0700",)


@pytest.mark.rows("S17", oracle="specification")
def test_s17_data_for_another_type_does_not_reach_dev_or_dev_pts() -> None:
    plan = bare(mounts=[mount("/dev", "proc", "hidepid=2"), mount("/dev/pts", "tmpfs", "size=1m", "nosuid")])
    assert [step.options.data for path in ("/dev", "/dev/pts") for step in at(plan, path)] == [
        ("mode=0755",),
        ("newinstance", "ptmxmode=0666", "mode=0620"),
    ]
    assert [step.options.change.set for step in at(plan, "/dev/pts")] == [Attribute.NOSUID]
    notes = [step.reason.note for path in ("/dev", "/dev/pts") for step in at(plan, path)]
    assert notes == ["/dev is always devtmpfs, not proc", "/dev/pts is always devpts, not tmpfs"]


def test_the_options_of_a_devpts_are_the_specs_own() -> None:
    (pts,) = at(bare(mounts=[mount("/dev/pts", "devpts", "gid=5")]), "/dev/pts")
    assert pts.options.data == ("gid=5",)


@pytest.mark.parametrize(("fstype", "options"), [("bind", ()), ("none", ("rbind",)), ("tmpfs", ("bind",))])
@pytest.mark.rows("S17", "S18", oracle="specification")
def test_s17_s18_a_bind_on_dev_stays_a_bind_and_nothing_is_made_in_it(fstype: str, options: tuple[str, ...]) -> None:
    plan = bare(mounts=[mount("/dev", fstype, *options, source="/host")])
    assert lines(plan, "bind", "mount devtmpfs", "mount devpts", "node", "symlink", "directory") == [
        "bind /host at /dev" + (" [recursive]" if "rbind" in options else "") + " kind_of(/host)"
    ]
    told = [(step.what, step.level) for step in steps_of(plan, Skip)]
    assert told == [("the contents of /dev", Level.NOTE), ("the mandatory /dev/pts", Level.NOTE)]


@pytest.mark.rows("S17", oracle="specification")
def test_s17_a_bind_on_dev_pts_stays_a_bind() -> None:
    plan = bare(mounts=[mount("/dev/pts", "bind", source="/dev/pts")])
    assert lines(plan, "bind") == ["bind /dev/pts at /dev/pts kind_of(/dev/pts)"]
    assert not lines(plan, "mount devpts")


def test_the_contents_of_dev_go_to_the_one_that_is_seen() -> None:
    plan = bare(mounts=[mount("/dev"), mount("/dev", "tmpfs", "nosuid"), mount("/dev/shm")])
    texts = [step.describe() for step in plan.steps]
    assert texts.count("node /dev/null c 1:3 0666") == 1
    assert texts[index(plan, "symlink /dev/fd -> /proc/self/fd") - 1].startswith("mount devtmpfs at /dev [nosuid")
    assert index(plan, "node /dev/null c 1:3 0666") < index(plan, "mount tmpfs at /dev/shm")


@pytest.mark.rows("S16", oracle="specification")
def test_s16_a_cgroup_mount_on_dev_does_not_count_as_dev() -> None:
    plan = bare(config=LISTED, mounts=[mount("/dev/shm"), mount("/dev", "cgroup")])
    assert index(plan, "node /dev/null c 1:3 0666") < index(plan, "mount tmpfs at /dev/shm")


def test_a_devtmpfs_under_a_bind_of_dev_is_not_filled() -> None:
    plan = bare(mounts=[mount("/dev"), mount("/dev", "bind")])
    assert not steps_of(plan, MakeNode)


@pytest.mark.parametrize("fstype", ["cgroup", "cgroup2"])
@pytest.mark.rows("S16", oracle="specification")
def test_s16_cgroup_mounts_are_left_out_with_a_note(fstype: str) -> None:
    plan = bare(config=STRICT, mounts=[mount("/sys/fs/cgroup", fstype, "ro"), mount("/proc", fstype)])
    assert [(s.path, s.level) for s in steps_of(plan, Skip)] == [
        ("/proc", Level.NOTE),
        ("/sys/fs/cgroup", Level.NOTE),
    ]
    assert not steps_of(plan, Seal)
    assert lines(plan, "mount proc") == ["mount proc at /proc"], "a dropped mount does not count as /proc"


@pytest.mark.rows("S48", oracle="specification")
@pytest.mark.parametrize("fstype", ["foofs", "xfs", "overlay.x", "9p", "fuse.sshfs", "ext4"])
def test_s48_an_unknown_type_is_skipped_with_a_warning(fstype: str) -> None:
    plan = bare(mounts=[mount("/x", fstype, "ro", "anything=goes")])
    assert [(step.path, step.level) for step in steps_of(plan, Skip)] == [("/x", Level.WARNING)]
    assert not at(plan, "/x")
    assert not steps_of(plan, Seal)
    with pytest.raises(InputError, match=f"the mount of type {fstype} at /x"):
        bare(config=STRICT, mounts=[mount("/x", fstype)])


@pytest.mark.rows("S48", oracle="specification")
@pytest.mark.parametrize(
    ("fstype", "why"),
    [
        ("tracefs", "tracefs shows or takes what is the machine's"),
        ("made-up", "unknown file system type"),
    ],
)
def test_s48_why_a_type_is_not_mounted_is_told(fstype: str, why: str) -> None:
    (skip,) = steps_of(bare(mounts=[mount("/x", fstype)]), Skip)
    assert skip.reason.note.startswith(why)
    assert skip.reason.note.endswith("; mounted are proc, sysfs, tmpfs, devtmpfs, devpts, mqueue, overlay and binds")


@pytest.mark.rows("S48", oracle="specification")
@pytest.mark.parametrize("fstype", ["proc", "sysfs", "tmpfs", "devpts", "mqueue", "tmpfs.anything"])
def test_s48_every_other_type_is_mounted(fstype: str) -> None:
    (step,) = at(bare(config=STRICT, mounts=[mount("/x", fstype, source="s")]), "/x")
    assert isinstance(step, MountFilesystem)
    assert (step.fstype, step.source) == (fstype.partition(".")[0], "s")


@pytest.mark.rows("S49", oracle="specification")
def test_s49_type_none_without_bind_is_a_sysfs_with_a_warning() -> None:
    plan = bare(mounts=[mount("/x", "none")])
    assert lines(plan, "mount sysfs at /x", "skip") == ["skip the type none at /x", "mount sysfs at /x"]
    assert [step.level for step in steps_of(plan, Skip)] == [Level.WARNING]


@pytest.mark.rows("S8", oracle="specification")
def test_s8_a_devtmpfs_elsewhere_is_empty_and_that_is_told() -> None:
    plan = bare(mounts=[mount("/x", "devtmpfs")])
    assert lines(plan, "mount devtmpfs at /x", "skip") == [
        "skip the device nodes of the devtmpfs at /x",
        "mount devtmpfs at /x [mode=0755]",
    ]


@pytest.mark.rows("S51", oracle="specification")
def test_s51_a_mount_at_the_root_is_seen_by_nobody() -> None:
    plan = bare(mounts=[mount("/", "tmpfs", "ro"), mount("/..", "bind")])
    assert [(step.what, step.level) for step in steps_of(plan, Skip)] == [("a mount at /", Level.WARNING)] * 2
    assert not at(plan, "/")


@pytest.mark.rows("S31", "S53", oracle="specification")
def test_s31_s53_a_bind_keeps_its_source_and_options_and_leaves_its_kind_open() -> None:
    plan = bare(mounts=[mount("/x", "ext4", "rbind", "ro", "rslave", source="rel")])
    assert lines(plan, "bind") == ["bind /b/rel at /x [ro,recursive,rslave] kind_of(/b/rel)"]


# read-only


@pytest.mark.rows("S36", oracle="specification")
def test_s36_a_readonly_mount_is_sealed_after_everything_is_made() -> None:
    plan = bare(
        mounts=[mount("/r", "tmpfs", "ro", "nosuid"), mount("/r/a/b", "tmpfs", "ro"), mount("/r/x")],
        linux={"devices": [{"path": "/r/fifo", "type": "p"}]},
        process={"cwd": "/r/cwd"},
    )
    assert at(plan, "/r")[0].options.change.set == Attribute.NOSUID
    last = [step.describe() for step in plan.steps[-4:]]
    assert last == ["node /r/fifo p 0666", "directory /r/cwd 0755", "seal /r/a/b read-only", "seal /r read-only"]


@pytest.mark.rows("S37", oracle="specification")
def test_s37_a_readonly_dev_still_gets_the_specs_devices() -> None:
    plan = bare(mounts=[mount("/dev", "tmpfs", "ro")], linux={"devices": [{"path": "/dev/x", "type": "p"}]})
    assert index(plan, "node /dev/x p 0666") < index(plan, "seal /dev read-only")


def test_a_readonly_bind_is_readonly_at_once() -> None:
    plan = bare(mounts=[mount("/x", "bind", "ro")])
    assert at(plan, "/x")[0].options.change.set == Attribute.RDONLY
    assert not steps_of(plan, Seal)


def test_recursive_readonly_stays_with_the_mount() -> None:
    (step,) = at(bare(mounts=[mount("/x", "tmpfs", "rro")]), "/x")
    assert step.options.recursive.set == Attribute.RDONLY


def test_rw_after_ro_is_not_sealed() -> None:
    assert not steps_of(bare(mounts=[mount("/x", "tmpfs", "ro", "rw")]), Seal)


@pytest.mark.parametrize(
    "later", [mount("/r"), mount("/r", "bind"), mount("/r", "tmpfs", "ro")], ids=["tmpfs", "bind", "sealed too"]
)
def test_a_mount_that_gets_covered_is_sealed_before(later: dict[str, object]) -> None:
    """A seal goes to the topmost mount of a path: afterwards it would reach the wrong one."""
    plan = bare(mounts=[mount("/r", "tmpfs", "ro", "mode=1"), later])
    seals = [n for n, step in enumerate(plan.steps) if isinstance(step, Seal)]
    first, second = (n for n, step in enumerate(plan.steps) if step.path == "/r" and not isinstance(step, Seal))
    assert first < seals[0] < second
    assert len(seals) == (2 if later["options"] else 1)


def test_a_child_that_gets_hidden_by_a_parent_listed_later_is_sealed_before() -> None:
    plan = bare(config=LISTED, mounts=[mount("/r/a/b", "tmpfs", "ro"), mount("/r/ab", "tmpfs", "ro"), mount("/r/a")])
    assert [step.describe() for step in plan.steps if step.path.startswith("/r")] == [
        "mount tmpfs at /r/a/b",
        "mount tmpfs at /r/ab",
        "seal /r/a/b read-only",
        "mount tmpfs at /r/a",
        "seal /r/ab read-only",
    ]


def test_what_gets_hidden_is_sealed_deepest_first() -> None:
    plan = bare(
        config=LISTED,
        mounts=[mount("/r", "tmpfs", "ro"), mount("/r/a", "tmpfs", "ro"), mount("/r/a/b", "tmpfs", "ro"), mount("/r")],
    )
    assert [step.path for step in steps_of(plan, Seal)] == ["/r/a/b", "/r/a", "/r"]


def test_protected_paths_come_behind_the_seals_but_the_roots_readonly_ones_first() -> None:
    plan = bare(
        root={"readonly": True},
        mounts=[mount("/sys", "sysfs", "ro")],
        linux={"maskedPaths": ["/proc/kcore/"], "readonlyPaths": ["/proc/sys"]},
    )
    assert [step.describe() for step in plan.steps[-4:]] == [
        "seal /sys read-only",
        "read-only /proc/sys",
        "mask /proc/kcore",
        "seal / read-only",
    ]


# the internal /tmp


@pytest.mark.rows("S58", oracle="specification")
def test_s58_the_internal_tmp_is_the_last_mount_and_depends_on_what_is_there() -> None:
    plan = bare(mounts=[mount("/tmp/x"), mount("/z")])
    mounts = [step for step in plan.steps if isinstance(step, MountFilesystem | Bind)]
    last = mounts[-1]
    assert isinstance(last, MountFilesystem)
    assert (last.path, last.fstype, last.when) == ("/tmp", "tmpfs", WhenEmpty("/tmp"))
    assert last.options == MountOptions(data=("mode=01777",))


@pytest.mark.rows("S59", oracle="specification")
def test_s59_the_internal_tmp_comes_on_a_readonly_root_too() -> None:
    plan = bare(root={"readonly": True})
    assert lines(plan, "mount tmpfs") == ["mount tmpfs at /tmp [mode=01777] when_empty(/tmp)"]


@pytest.mark.rows("S57", oracle="specification")
@pytest.mark.parametrize("destination", ["/tmp", "/tmp/", "/x/../tmp"])
@pytest.mark.parametrize("fstype", ["tmpfs", "bind"])
def test_s57_a_tmp_of_the_users_own_is_left_alone(destination: str, fstype: str) -> None:
    plan = bare(mounts=[mount(destination, fstype)])
    assert len(at(plan, "/tmp")) == 1
    assert not lines(plan, "mount tmpfs at /tmp [mode=01777]")


@pytest.mark.rows("S48", oracle="specification")
def test_s48_an_overlay_of_the_bundle_is_one_step_with_its_layers() -> None:
    entry = mount("/x", "overlay", "lowerdir=/a:b", "upperdir=/u", "workdir=/w", "ro", "index=off", source="overlay")
    plan = bare(config=STRICT, mounts=[entry])
    (step,) = at(plan, "/x")
    assert isinstance(step, MountFilesystem)
    assert step.describe() == f"mount overlay at /x [ro,index=off] over /a, {BUNDLE}/b with changes in /u"
    assert not steps_of(plan, Seal), "what is made in it would be made on the host"
    steps = to_json(plan)["steps"]
    assert isinstance(steps, list)
    written = [each["layers"] for each in steps if each["path"] == "/x"]
    assert written == [{"lowers": ["/a", f"{BUNDLE}/b"], "upper": "/u", "work": "/w"}]


@pytest.mark.rows("S18", oracle="specification")
def test_s18_an_overlay_at_dev_is_the_devtmpfs_of_every_container() -> None:
    (step,) = at(bare(mounts=[mount("/dev", "overlay", "lowerdir=/a:/b")]), "/dev")
    assert isinstance(step, MountFilesystem)
    assert (step.fstype, step.layers, step.options.data) == ("devtmpfs", None, ("mode=0755",))
