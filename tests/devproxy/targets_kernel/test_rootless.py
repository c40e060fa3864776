"""A root that an ordinary user builds: what it has, what it says it lacks, and that it is verified for what it is."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest

from devproxy.build import build
from devproxy.check.outcomes import check_outcomes
from devproxy.check.verify import verify
from devproxy.errors import DevproxyError
from devproxy.host.probe import probe
from devproxy.linux.cgroups import hierarchies
from devproxy.linux.namespaces import CLONE, unshare
from devproxy.oci.configuration import Cgroupfs, Configuration
from devproxy.oci.load import load
from devproxy.overlay import NO_OVERLAY, Overlaid, Overlay2
from devproxy.plan.plan import Plan
from devproxy.plan.planner import plan
from devproxy.targets.kernel.paths import KernelPaths
from devproxy.targets.kernel.root import KernelRoot
from tests.bundles import runc_spec_like, write_bundle
from tests.devproxy.check.lying import Lies, changed, lying
from tests.devproxy.targets_kernel.rootless import BOUND, built, found, planned
from tests.unprivileged import GID, UID, as_user


def test_the_usual_bundle_is_verified_and_says_what_it_lacks() -> None:
    result = built(planned)
    assert result["findings"] == []
    assert found(result, "node /dev/null") == ["chosen", BOUND, False, True]
    assert found(result, "mount devpts") == [
        "chosen",
        "without gid=5, which a rootless container cannot have",
        False,
        True,
    ]
    lacking = [step for step, answer in result["outcomes"].items() if answer[3]]
    assert all(step.startswith(("node ", "mount devpts")) for step in lacking)


@pytest.mark.parametrize(
    "paths",
    [
        KernelPaths(detached=False),
        KernelPaths(openat2=False),
        KernelPaths(layers_by_fd=False),
        KernelPaths(*[False] * 3),
    ],
)
def test_the_ways_of_older_kernels_come_to_the_same(paths: KernelPaths) -> None:
    assert built(planned, paths) == built(planned)


@pytest.mark.parametrize("overlay", [Overlay2(), NO_OVERLAY])
@pytest.mark.parametrize("readonly", [False, True])
def test_with_and_without_an_overlay(overlay: Overlay2, readonly: bool) -> None:
    def work(directory: Path) -> Plan:
        return planned(directory, Configuration(overlay2=overlay), root={"readonly": readonly})

    assert built(work)["findings"] == []


def test_what_needs_a_namespace_is_skipped_with_a_warning() -> None:
    result = built(lambda directory: planned(directory, linux={"namespaces": [{"type": "mount"}]}, hostname=None))
    assert result["findings"] == []
    for step, kind in (("proc", "pid"), ("sysfs", "network"), ("mqueue", "ipc")):
        why = f"without root {step} needs a new {kind} namespace, and linux.namespaces asks for none"
        assert found(result, f"mount {step} at") == ["skipped", why, True, True]


@pytest.mark.parametrize("version", [Cgroupfs.V1, Cgroupfs.V2])
def test_cgroups_take_a_namespace_of_their_own(version: Cgroupfs) -> None:
    if version is Cgroupfs.V1 and not hierarchies():
        pytest.skip("this machine has no cgroup hierarchy of version 1")
    kinds = ("mount", "pid", "network", "ipc")
    fstype = "cgroup" if version is Cgroupfs.V1 else "cgroup2"
    for more in ((), ("cgroup",)):
        linux = {"namespaces": [{"type": kind} for kind in (*kinds, *more)]}
        config = Configuration(cgroupfs=version)
        result = built(lambda directory: planned(directory, config, linux=linux, hostname=None))  # noqa: B023 (called at once)
        assert result["findings"] == []
        why = f"without root {fstype} needs a new cgroup namespace, and linux.namespaces asks for none"
        wanted = ["done", "", False, False] if more else ["skipped", why, True, True]
        assert found(result, f"mount {fstype} at") == wanted


def test_under_strict_that_is_an_error() -> None:
    def work(directory: Path) -> Plan:
        linux = {"namespaces": [{"type": "mount"}]}
        return planned(directory, Configuration(strict=True), linux=linux, hostname=None)

    with pytest.raises(DevproxyError, match="needs a new pid namespace"):
        built(work)


@pytest.mark.root
def test_a_mount_of_proc_is_refused_where_the_host_hides_parts_of_its_own() -> None:
    def hide() -> None:
        from devproxy.linux import mounts

        unshare(CLONE["mount"])
        mounts.set_propagation_of_everything(mounts.MS_PRIVATE)
        null = os.open("/dev/null", os.O_PATH)
        mounts.move_mount(mounts.clone_tree(null, recursive=False), os.open("/proc/uptime", os.O_PATH))

    result = built(planned, prepare=hide)
    assert result["findings"] == []
    words = "without root a new proc is refused where parts of the host's /proc are hidden, as in a container"
    assert found(result, "mount proc at") == ["skipped", words, True, True]


# mounts


def mounted(directory: Path, *entries: tuple[str, str, list[str]]) -> Plan:
    mounts = [
        {"destination": destination, "type": "bind", "source": source, "options": options}
        for destination, source, options in entries
    ]
    return planned(directory, mounts=[*runc_spec_like()["mounts"], *mounts])


@pytest.mark.parametrize(
    "options", [["bind", "ro"], ["rbind", "rw"], ["bind", "nosuid,nodev"], ["rbind", "rro"], ["bind", "noatime"]]
)
def test_binds_of_directories_and_files_of_ones_own(options: list[str]) -> None:
    def work(directory: Path) -> Plan:
        (directory / "data").mkdir()
        (directory / "file").write_text("x")
        words = [word for option in options for word in option.split(",")]
        return mounted(
            directory, ("/data", str(directory / "data"), words), ("/etc/file", str(directory / "file"), words)
        )

    result = built(work)
    assert result["findings"] == []
    lacking = [answer[1] for step, answer in result["outcomes"].items() if step.startswith("bind") and answer[3]]
    assert len(lacking) == (2 if "noatime" in options else 0)
    assert all("keeps relatime of the host's mount" in words for words in lacking)


@pytest.mark.root
def test_flags_of_the_hosts_mount_stay_and_what_lies_below_comes_along(tmp_path: Path) -> None:
    """user_namespaces(7): who was given a mount cannot take its flags away, nor what is mounted over parts of it."""
    from devproxy.linux import mounts
    from devproxy.mount_options import Attribute
    from devproxy.targets.kernel.filesystems import new_filesystem

    place = Path(os.path.realpath("/mnt"))

    def mount() -> None:
        unshare(CLONE["mount"])
        mounts.set_propagation_of_everything(mounts.MS_PRIVATE)
        flags = int(Attribute.NOSUID | Attribute.NODEV)
        outer = new_filesystem("tmpfs", "outer", flags, (), ("mode=0755",))
        os.mkdir("below", dir_fd=outer)
        mounts.move_mount(outer, os.open(place, os.O_PATH))
        inner = new_filesystem("tmpfs", "inner", 0, (), ("mode=0755",))
        mounts.move_mount(inner, os.open(place / "below", os.O_PATH))
        for descriptor in (outer, inner):
            os.close(descriptor)

    result = built(lambda directory: mounted(directory, ("/data", str(place), ["bind", "suid", "dev"])), prepare=mount)
    assert result["findings"] == []
    words = "a directory, made /data; keeps nosuid, nodev of the host's mount"
    below = "with what the host has mounted below, which cannot be left out without root"
    assert found(result, f"bind {place}") == ["chosen", f"{words}, {below}", True, True]


def test_owners_in_options_of_a_tmpfs_are_left_out() -> None:
    def work(directory: Path) -> Plan:
        tmpfs = {"destination": "/x", "type": "tmpfs", "source": "tmpfs", "options": ["uid=7", "gid=0", "mode=0750"]}
        return planned(directory, mounts=[*runc_spec_like()["mounts"], tmpfs])

    result = built(work)
    assert result["findings"] == []
    words = "made /x; without uid=7, which a rootless container cannot have"
    assert found(result, "mount tmpfs at /x") == ["chosen", words, True, True]


@pytest.mark.root
def test_the_rootfs_of_somebody_else_can_be_the_lower_layer() -> None:
    """Its owner is not mapped: the root directory is the caller's then, and the outcome says so."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        bundle = write_bundle(directory, runc_spec_like(root={"readonly": False}))
        result = built(lambda _: plan(load(bundle), probe()))
    assert result["findings"] == []
    assert found(result, "root ")[1] == "/ belongs to 0:0, its own owner cannot be had without root"


@pytest.mark.root
def test_the_top_of_an_overlaid_bind_belongs_to_the_caller_and_it_says_so() -> None:
    """Of a directory and of a file, whose own owners cannot be had."""
    with tempfile.TemporaryDirectory() as volume:
        os.chmod(volume, 0o755)
        for name in ("mine", "theirs"):
            os.mkdir(f"{volume}/{name}", 0o755)
            Path(volume, f"{name}.txt").write_text("text\n")
        for name in ("mine", "mine.txt"):
            os.chown(f"{volume}/{name}", UID, GID)
        for name in ("theirs", "theirs.txt"):
            os.chown(f"{volume}/{name}", 5, 6)
        names = ("mine", "theirs", "mine.txt", "theirs.txt")
        binds = [
            {"destination": f"/{name}", "type": "bind", "source": f"{volume}/{name}", "options": ["bind"]}
            for name in names
        ]

        def work(directory: Path) -> Plan:
            config = Configuration(overlay2=Overlay2(Overlaid.ALL))
            return planned(directory, config, mounts=[*runc_spec_like()["mounts"], *binds])

        for paths in (None, KernelPaths(*[False] * 3)):
            result = built(work, paths)
            assert result["findings"] == []
            lacks = {name: found(result, f"bind {volume}/{name} at") for name in names}
            words = "its own owner cannot be had without root"
            assert lacks["theirs"][1] == f"a directory, made /theirs; /theirs belongs to 0:0, {words}"
            assert lacks["theirs.txt"][1] == f"a file, copied, made /theirs.txt; /theirs.txt belongs to 0:0, {words}"
            assert [lacks[name][3] for name in names] == [False, True, False, True]


# planted differences


def test_damage_done_to_a_rootless_root_is_found() -> None:
    def work(directory: Path) -> list[list[Any]]:
        with build(planned(directory), "kernel") as root:
            assert isinstance(root.tree, KernelRoot)
            descriptor = root.tree._root
            os.unlink("dev/full", dir_fd=descriptor)
            os.unlink("dev/zero", dir_fd=descriptor)
            os.mkfifo("dev/zero", 0o666, dir_fd=descriptor)
            os.unlink("dev/fd", dir_fd=descriptor)
            os.symlink("/elsewhere", "dev/fd", dir_fd=descriptor)
            os.chmod("dev/net", 0o700, dir_fd=descriptor)
            os.mkdir("dev/surplus", dir_fd=descriptor)
            reports = verify(root.plan, root), check_outcomes(root)
            return [sorted((f.code, f.path) for f in report.findings) for report in reports]

    found, quick = ({(code, path) for code, path in report} for report in as_user(work))
    seen = {("entry-missing", "/dev/full"), ("node-kind-wrong", "/dev/zero"), ("link-differs", "/dev/fd")}
    assert quick == seen
    # A node is a mount here, which goes with the name that it was on.
    gone = {("mount-missing", "/dev/full"), ("mount-missing", "/dev/zero")}
    assert found == seen | gone | {("mode-differs", "/dev/net"), ("entry-unexpected", "/dev/surplus")}


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        ("node-number-wrong", {"rdev": os.makedev(1, 5)}),
        ("mode-differs", {"mode": stat.S_IFCHR | 0o600}),
        ("owner-differs", {"uid": UID}),
    ],
)
def test_a_bound_node_that_is_not_as_the_hosts_is_found(code: str, fields: dict[str, int]) -> None:
    def work(directory: Path) -> list[list[str]]:
        with build(planned(directory), "kernel") as root:
            lies = Lies(stats={"/dev/null": changed(root.lstat("/dev/null"), **fields)})
            return [[f.code, f.path] for f in verify(root.plan, lying(root, lies)).findings]

    assert as_user(work) == [[code, "/dev/null"]]
