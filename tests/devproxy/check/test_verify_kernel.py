"""Roots of the kernel against the same plans in memory, and real damage done to them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devproxy.build import build
from devproxy.check.finding import Report
from devproxy.check.outcomes import check_outcomes
from devproxy.check.verify import verify
from devproxy.host.facts import Host
from devproxy.host.probe import probe
from devproxy.launch import launch
from devproxy.oci.configuration import Configuration
from devproxy.oci.load import load
from devproxy.overlay import NO_OVERLAY
from devproxy.plan.plan import Plan
from devproxy.plan.planner import plan
from devproxy.targets.kernel.paths import KernelPaths
from tests.bundles import runc_spec_like, write_bundle

pytestmark = pytest.mark.root
RECORDINGS = sorted((Path(__file__).parents[2] / "hosts").glob("*.tar"))
OWN = ["nosuid", "noexec", "nodev"]


def tmpfs(destination: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": list(options)}


def bind(destination: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": destination, "type": "bind", "source": source, "options": list(options or ("rbind",))}


def compare(planned: Plan, paths: KernelPaths | None = None) -> Report:
    with build(planned, "kernel", paths=paths) as root:
        report = verify(planned, root)
        quick = check_outcomes(root)
    assert quick.findings == ()
    return report


def with_mounts(directory: Path, *mounts: dict[str, Any], **changes: Any) -> str:
    config = runc_spec_like(**changes)
    config["mounts"] += mounts
    return write_bundle(directory / "bundle", config)


@pytest.fixture
def live() -> Host:
    return probe()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source" / "below").mkdir(parents=True)
    (tmp_path / "source" / "file").write_text("x")
    return tmp_path / "source"


def test_a_plain_bundle(tmp_path: Path, live: Host) -> None:
    assert compare(plan(load(with_mounts(tmp_path)), live)).findings == ()


@pytest.mark.parametrize(
    "paths",
    [
        KernelPaths(detached=False),
        KernelPaths(openat2=False),
        KernelPaths(layers_by_fd=False),
        KernelPaths(False, False, False),
    ],
    ids=["attached", "walked", "layers by path", "all old ways"],
)
def test_the_ways_of_older_kernels_come_to_the_same(
    tmp_path: Path, live: Host, source: Path, paths: KernelPaths
) -> None:
    bundle = with_mounts(tmp_path, bind("/data", str(source), "rbind", "ro"))
    assert compare(plan(load(bundle), live), paths).findings == ()


@pytest.mark.parametrize(
    "config",
    [
        Configuration(),
        Configuration(overlay2=NO_OVERLAY),
        Configuration(mount_order="listed"),
        Configuration(tun=False),
    ],
)
def test_every_configuration(tmp_path: Path, live: Host, config: Configuration) -> None:
    bundle = with_mounts(tmp_path, tmpfs("/a/b/c", "mode=0700"), tmpfs("/a/b", "ro"), root={"readonly": False})
    assert compare(plan(load(bundle), live, config=config)).findings == ()


@pytest.mark.rows("S79", "H14", oracle="kernel")
@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_every_recorded_host(tmp_path: Path, recording: Path) -> None:
    bundle = with_mounts(tmp_path)
    config = Path(bundle, "config.json")
    config.write_text(config.read_text().replace('"TERM=xterm"', '"NVIDIA_VISIBLE_DEVICES=all"'))
    assert compare(plan(load(bundle), probe(str(recording)))).findings == ()


@pytest.mark.parametrize(
    "options",
    ["ro", "rw", "nosuid,nodev,noexec", "noatime", "strictatime", "nodiratime", "rbind,ro", "rbind,rro", "nosymfollow"],
)
def test_every_flag_of_a_bind_and_of_a_tmpfs(tmp_path: Path, live: Host, source: Path, options: str) -> None:
    words = options.split(",")
    flags = [word for word in words if word != "rbind"]
    mounts = [bind("/data", str(source), *(words if "rbind" in words else ["bind", *words]))]
    mounts += [bind("/file", str(source / "file"), "bind", *flags), tmpfs("/scratch", *flags)]
    assert compare(plan(load(with_mounts(tmp_path, *mounts)), live)).findings == ()


def test_a_bind_of_a_host_directory_with_flags_and_mounts_of_its_own(tmp_path: Path, live: Host) -> None:
    """/dev of the host: its mount's flags are inherited, what is mounted below shows on the kernel alone."""
    report = compare(plan(load(with_mounts(tmp_path, bind("/hostdev", "/dev", "rbind"))), live))
    assert report.findings == ()
    assert report.notes
    assert "below recursive binds" in report.notes[0]
    assert compare(plan(load(with_mounts(tmp_path / "2", bind("/hostdev", "/dev", "bind"))), live)).notes == ()


def test_links_in_the_rootfs_lead_inside_on_both_sides(tmp_path: Path, live: Host, source: Path) -> None:
    bundle = with_mounts(tmp_path, bind("/link/data", str(source)), tmpfs("/abs", "mode=0711"))
    rootfs = Path(bundle, "rootfs")
    (rootfs / "real").mkdir()
    (rootfs / "link").symlink_to("real")
    (rootfs / "abs").symlink_to("/../../../real/../real")
    assert compare(plan(load(bundle), live)).findings == ()


def test_masks_and_read_only_paths_outside_of_proc(tmp_path: Path, live: Host, source: Path) -> None:
    linux = {"maskedPaths": ["/data/below", "/data/file", "/none", "/proc/kcore", "/proc/sys"]}
    linux["readonlyPaths"] = ["/data", "/tmp", "/dev/shm", "/sys", "/none/x"]
    config = runc_spec_like(linux={**runc_spec_like()["linux"], **linux})
    config["mounts"].append(bind("/data", str(source), "rbind", "rw"))
    planned = plan(load(write_bundle(tmp_path / "bundle", config)), live)
    assert compare(planned).findings == ()


@pytest.mark.rows("H24", oracle="kernel")
def test_stacked_mounts(tmp_path: Path, live: Host) -> None:
    mounts = [tmpfs("/a", "mode=0700"), tmpfs("/a", "mode=0711", "noexec"), tmpfs("/a/b"), tmpfs("/a")]
    for number, order in enumerate(("depth", "listed")):
        planned = plan(
            load(with_mounts(tmp_path / str(number), *mounts)), live, config=Configuration(mount_order=order)
        )
        assert compare(planned).findings == ()


def link(rootfs: Path, name: str, target: str) -> None:
    (rootfs / name).rmdir()
    (rootfs / name).symlink_to(target)


def bare(rootfs: Path) -> None:
    for name in ("dev", "proc", "sys", "tmp"):
        (rootfs / name).rmdir()


HOSTILE: dict[str, Callable[[Path], None]] = {
    "dev is a link": lambda rootfs: link(rootfs, "dev", "/etc"),
    "dev is a link upwards": lambda rootfs: link(rootfs, "dev", "../../../../etc"),
    "proc is a link": lambda rootfs: link(rootfs, "proc", "/etc"),
    "sys is a link": lambda rootfs: link(rootfs, "sys", "/etc"),
    "tmp is a link": lambda rootfs: link(rootfs, "tmp", "/etc"),
    "tmp has an entry": lambda rootfs: (rootfs / "tmp" / "x").touch(),
    "nothing is there": bare,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_rootfs_with_traps(what: str, tmp_path: Path, live: Host) -> None:
    bundle = with_mounts(tmp_path)
    HOSTILE[what](Path(bundle, "rootfs"))
    assert compare(plan(load(bundle), live)).findings == ()


@pytest.mark.parametrize(
    "mounts",
    [
        [bind("/dev", "/dev")],
        [tmpfs("/proc/sys/net")],
        [{"destination": "/p2", "type": "proc", "source": "p"}, {"destination": "/q", "type": "mqueue", "source": "q"}],
        [{"destination": "/x", "type": "no-such-type", "source": "x"}],
        [bind("/hostproc", "/proc", "rbind", "ro"), bind("/hostroot", "/", "rbind")],
    ],
    ids=["dev of the host", "inside proc", "second proc", "unknown type", "the whole host"],
)
def test_mounts_of_odd_places(mounts: list[dict[str, Any]], tmp_path: Path, live: Host) -> None:
    assert compare(plan(load(with_mounts(tmp_path, *mounts)), live)).findings == ()


@pytest.mark.parametrize(
    ("mounts", "masked"),
    [
        ([bind("/dev/fuse", "/dev/null", "bind")], []),
        ([tmpfs("/dev/net")], []),
        ([tmpfs("/link")], []),
        ([tmpfs("/dev/char")], []),
        ([], ["/dev/fuse", "/dev/net"]),
    ],
    ids=["a node", "its directory", "by a link", "links", "masked"],
)
def test_what_a_mount_hides_is_not_missed(
    mounts: list[dict[str, Any]], masked: list[str], tmp_path: Path, live: Host
) -> None:
    """The spec asks for both: the node is made, then covered."""
    bundle = with_mounts(tmp_path, *mounts, linux={**runc_spec_like()["linux"], "maskedPaths": masked})
    Path(bundle, "rootfs", "link").symlink_to("dev/net")
    assert compare(plan(load(bundle), live)).findings == ()


@pytest.mark.parametrize("cwd", ["/proc/self", "/sys/class/net/lo"])
def test_a_working_directory_that_only_a_kernel_has(cwd: str, tmp_path: Path, live: Host) -> None:
    assert compare(plan(load(with_mounts(tmp_path, process={"cwd": cwd})), live)).findings == ()


def test_what_the_first_of_two_builds_made_in_the_rootfs_is_there_for_the_second(tmp_path: Path, live: Host) -> None:
    devices = [{"path": "/made", "type": "c", "major": 1, "minor": 3}]
    config = runc_spec_like(root={"readonly": False}, linux={**runc_spec_like()["linux"], "devices": devices})
    bundle = write_bundle(tmp_path / "bundle", config)
    for _ in range(2):
        planned = plan(load(bundle), live, config=Configuration(overlay2=NO_OVERLAY))
        assert compare(planned).findings == ()


@pytest.mark.parametrize(
    "options", ["noexec,rexec", "rexec,noexec", "ro,rrw", "noatime,rrelatime", "nosuid,rsuid,nodev", "exec,rnoexec"]
)
def test_what_is_said_for_everything_below_comes_last(options: str, tmp_path: Path, live: Host, source: Path) -> None:
    words = options.split(",")
    mounts = [bind("/data", str(source), "bind", *words), tmpfs("/scratch", *words)]
    assert compare(plan(load(with_mounts(tmp_path, *mounts)), live)).findings == ()


@pytest.mark.parametrize("kinds", [("mount", "pid"), ("mount",)])
def test_paths_that_lead_through_another_process(kinds: tuple[str, ...], tmp_path: Path, live: Host) -> None:
    """/proc/self is the builder's own directory when it mounts, and somebody else's when it is looked at."""
    linux = {
        **runc_spec_like()["linux"],
        "namespaces": [{"type": kind} for kind in kinds],
        "maskedPaths": ["/proc/self/mounts", "/proc/mounts", "/proc/thread-self/comm", "/etc/a\nb"],
        "readonlyPaths": ["/proc/self/task"],
    }
    bundle = with_mounts(tmp_path, linux=linux, hostname=None)
    config = load(bundle)
    Path(bundle, "rootfs", "etc", "a\nb").write_text("x")
    kept = tuple(mount for mount in config.mounts if mount.type != "sysfs")
    assert compare(plan(config._replace(mounts=kept), live)).findings == ()


@pytest.mark.rows("S66", "S70", oracle="kernel")
def test_devices_of_every_kind(tmp_path: Path, live: Host) -> None:
    devices = [
        {"path": "/dev/x/y", "type": "c", "major": 10, "minor": 229, "fileMode": 0o600, "uid": 3, "gid": 4},
        {"path": "/opt/fifo", "type": "p", "fileMode": 0o640},
        {"path": "/opt/disk", "type": "b", "major": 7, "minor": 0},
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600},
    ]
    config = runc_spec_like(linux={**runc_spec_like()["linux"], "devices": devices})
    assert compare(plan(load(write_bundle(tmp_path / "bundle", config)), live)).findings == ()


# damage


@pytest.mark.programs
@pytest.mark.parametrize(
    ("command", "finding"),
    [
        (["umount", "/proc/acpi"], ("path-not-masked", "/proc/acpi")),
        (["umount", "/dev/shm"], ("mount-missing", "/dev/shm")),
        (["mount", "-t", "tmpfs", "tmpfs", "/bin"], ("mount-unexpected", "/bin")),
        (["mount", "-o", "remount,bind,rw", "/proc/sys"], ("path-not-readonly", "/proc/sys")),
    ],
    ids=lambda value: "-".join(value).replace("/", "-"),
)
def test_what_is_mounted_and_unmounted_later_is_found(
    command: list[str], finding: tuple[str, str], tmp_path: Path, live: Host
) -> None:
    planned = plan(load(with_mounts(tmp_path)), live)
    with build(planned, "kernel") as root:
        assert verify(planned, root).findings == ()
        pid = str(root.tree.pid)  # type: ignore[attr-defined]
        inside = ["nsenter", "-t", pid, "-m", "-p", "-r", "-w", "/bin/busybox", *command]
        subprocess.run(inside, check=True)
        assert finding in {(f.code, f.path) for f in verify(planned, root).findings}


def test_the_mount_table_of_a_process_that_has_ended_can_still_be_read(tmp_path: Path, live: Host) -> None:
    with build(plan(load(with_mounts(tmp_path)), live), "kernel") as root:
        before = root.mountinfo()
        assert launch(root, ["/bin/true"]) == 0
        assert root.mountinfo() == before


def test_damage_done_to_a_root_is_found(tmp_path: Path, live: Host) -> None:
    planned = plan(load(with_mounts(tmp_path)), live)
    with build(planned, "kernel") as root:
        descriptor = root.tree._root  # type: ignore[attr-defined]
        assert verify(planned, root).ok
        os.unlink("dev/zero", dir_fd=descriptor)
        os.mknod("dev/zero", 0o020666, os.makedev(1, 7), dir_fd=descriptor)
        os.chmod("dev/full", 0o600, dir_fd=descriptor)
        os.chown("dev/tty", 3, 4, dir_fd=descriptor)
        os.unlink("dev/fd", dir_fd=descriptor)
        os.symlink("/elsewhere", "dev/fd", dir_fd=descriptor)
        os.unlink("dev/urandom", dir_fd=descriptor)
        os.mkdir("dev/surplus", dir_fd=descriptor)
        found = {(f.code, f.path) for f in verify(planned, root).findings}
        quick = {(f.code, f.path) for f in check_outcomes(root).findings}
    seen = {
        ("node-number-wrong", "/dev/zero"),
        ("mode-differs", "/dev/full"),
        ("owner-differs", "/dev/tty"),
        ("link-differs", "/dev/fd"),
        ("entry-missing", "/dev/urandom"),
    }
    assert quick - {("mode-differs", "/dev/zero")} == seen
    assert found - {("mode-differs", "/dev/zero")} == seen | {("entry-unexpected", "/dev/surplus")}


def test_what_the_first_build_made_in_a_bind_is_no_difference(tmp_path: Path, live: Host) -> None:
    (tmp_path / "data").mkdir()
    bundle = with_mounts(tmp_path, bind("/data", f"{tmp_path}/data"), tmpfs("/data/made/here"))
    assert compare(plan(load(bundle), live)).findings == ()
    assert (tmp_path / "data/made/here").is_dir()
