"""proc, sysfs, devpts, mqueue, cgroup: what a mount accepts and shows, compared with the kernel where we may mount."""

from __future__ import annotations

import errno
import os
import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from vfs.credentials import ROOT
from vfs.fs.cgroupfs import Cgroup2Type, CgroupType
from vfs.fs.devpts import DevptsType
from vfs.fs.mqueue import MqueueType
from vfs.fs.proc import ProcType
from vfs.fs.static import StaticFilesystem, Synthetic, SyntheticParent
from vfs.fs.sysfs import SysfsType
from vfs.options import MkdirOptions, MountOptions
from vfs.resolve import PathOperation
from vfs.virtual_filesystem import VirtualFilesystem

TYPES = (ProcType(), SysfsType(), DevptsType(), MqueueType(), CgroupType(), Cgroup2Type())

# Options whose fate does not depend on which hierarchies a machine has.
CASES = {
    "proc": (
        "",
        "hidepid=2",
        "hidepid=4",
        "hidepid=off",
        "hidepid=ptraceable",
        "hidepid=invisible,gid=7",
        "hidepid=3",
        "hidepid",
        "gid=5",
        "gid=0",
        "gid=x",
        "gid=",
        "subset=pid",
        "subset=all",
        "foo",
    ),
    "sysfs": ("", "foo", "mode=755"),
    "mqueue": ("", "foo", "mode=700"),
    "devpts": (
        "",
        "newinstance,ptmxmode=0666,mode=0620,gid=5",
        "newinstance=1",
        "mode=620",
        "mode=1",
        "mode=7777",
        "mode=9",
        "mode=",
        "uid=3",
        "uid=0",
        "gid=-1",
        "gid=5,gid=6",
        "ptmxmode=0",
        "ptmxmode=7777",
        "max=10",
        "max=0",
        "max=1048576",
        "max=1048577",
        "max",
        "foo",
    ),
    "cgroup": (
        "none,name=devproxy-test-1",
        "none,noprefix,name=devproxy-test-2",
        "release_agent=/x,xattr,clone_children,none,name=devproxy-test-3",
        "cpuset_v2_mode,none,name=devproxy-test-4",
        "none",
        "none,cpu",
        "all,cpu",
        "all,none,name=devproxy-test-5",
        "none,name=a/b",
        "none,name=",
        "cpu,name=q,name=r",
        "foo",
        "noprefix",
    ),
    # Its good options would change the machine's one hierarchy.
    "cgroup2": ("", "nsdelegate=1", "foo"),
}
PAIRS = [(fstype, data) for fstype, all_data in CASES.items() for data in all_data]


def make(fstype: str, data: str) -> StaticFilesystem:
    vfs = VirtualFilesystem()
    for each in TYPES:
        vfs.register_filesystem_type(each)
    fs = vfs.mount_disconnected(ROOT, "none", fstype, MountOptions(data=data)).fs
    assert isinstance(fs, StaticFilesystem)
    return fs


def ours(fstype: str, data: str) -> str:
    try:
        fs = make(fstype, data)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    attributes = fs.root.inode.stat()
    options = ",".join(part for part in ("rw", fs.mount_options()) if part)
    return (
        f"{options} {stat.S_IMODE(attributes.st_mode):o} {attributes.st_uid}:{attributes.st_gid} {fs.statfs().type:x}"
    )


@pytest.mark.rows("H26", oracle="specification")
@pytest.mark.root
def test_options_and_root_directory_are_those_of_the_kernel(tmp_path: Path) -> None:
    theirs = kernel_answers(str(tmp_path))
    assert {pair: ours(*pair) for pair in PAIRS} == dict(zip(PAIRS, theirs, strict=True))


def kernel_answers(directory: str) -> list[str]:
    """Every case mounted for real, one after the other, in a mount namespace of its own."""
    script = ["mount --make-rprivate /", f"cd {shlex.quote(directory)}", "mkdir m"]
    for fstype, data in PAIRS:
        options = f"rw,{data}" if data else "rw"
        script.append(
            f"if mount -i -t {fstype} -o {shlex.quote(options)} none m 2>/dev/null; then"
            " echo $(tail -n 1 /proc/self/mountinfo | sed 's/.* //') $(stat -c '%a %u:%g' m) $(stat -f -c %t m);"
            " umount m; else echo EINVAL; fi"
        )
    done = subprocess.run(["unshare", "-m", "sh", "-ec", "\n".join(script)], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize(("fstype", "data"), [("cgroup", "memory"), ("cgroup", "cpu,cpuacct")])
def test_cgroup_controllers_are_shown_in_the_kernels_order(fstype: str, data: str) -> None:
    assert make(fstype, data).mount_options() == data


def test_cgroup2_flags_are_shown_in_the_kernels_order() -> None:
    assert make("cgroup2", "memory_recursiveprot,nsdelegate").mount_options() == "nsdelegate,memory_recursiveprot"


def test_a_cgroup_mount_that_names_nothing_has_every_controller() -> None:
    assert make("cgroup", "").mount_options() == make("cgroup", "all").mount_options()
    assert make("cgroup", "").mount_options().startswith("cpuset,cpu,cpuacct,blkio,memory,devices")


@pytest.mark.rows("H26", oracle="specification")
def test_ptmx_is_5_2_with_the_mode_asked_for() -> None:
    ptmx = make("devpts", "ptmxmode=0666").root.inode.lookup("ptmx").stat()
    assert (ptmx.st_mode, ptmx.st_rdev, ptmx.st_ino) == (stat.S_IFCHR | 0o666, os.makedev(5, 2), 2)


@pytest.mark.parametrize("fstype", ["proc", "sysfs"])
def test_nothing_can_be_made_by_a_system_call_but_a_mount_point_by_who_builds_the_tree(fstype: str) -> None:
    vfs = VirtualFilesystem()
    for each in TYPES:
        vfs.register_filesystem_type(each)
    root = vfs.new_mount_namespace(ROOT, "none", fstype).root
    inner = PathOperation(root, root, "/inner")
    with pytest.raises(OSError) as refused:
        vfs.mkdir_at(ROOT, inner, MkdirOptions(0o755))
    # proc does not even look a name up that it does not have.
    assert refused.value.errno == (errno.ENOENT if fstype == "proc" else errno.EPERM)
    assert isinstance(root.dentry.inode, SyntheticParent)
    links = root.dentry.inode.nlink
    root.dentry.inode.make_synthetic("inner", Synthetic(stat.S_IFDIR | 0o755))
    vfs.mount_at(ROOT, "none", inner, "mqueue")
    assert stat.S_IMODE(vfs.stat_at(ROOT, inner).st_mode) == 0o1777
    assert vfs.stat_at(ROOT, PathOperation(root, root, "/")).st_nlink == links + 1


@pytest.mark.parametrize("fstype", ["devpts", "mqueue"])
def test_what_is_known_whole_takes_no_mount_points(fstype: str) -> None:
    assert not isinstance(make(fstype, "").root.inode, SyntheticParent)
