"""The attacks that runc and crun are given too: nineteen bundles, each after a vulnerability that was found in a tool.

An attack arms a scene, and tells what harm it did beyond the canary. Its name is that of the case, its origin where it was first
seen.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.attacks.scene import Ran, Scene

Arm = Callable[[Scene], None]
Harm = Callable[[Scene, Ran], str]


def _none(_scene: Scene, _ran: Ran) -> str:
    return ""


class Attack(NamedTuple):
    """One bundle that wants out. `harm` says what it did, in words, beyond what the canary shows. `needs` is a privilege
    that arming it takes: "root" to make device nodes.
    """

    name: str
    origin: str
    arm: Arm
    harm: Harm = _none
    needs: str = ""


# where something is mounted


def _mount_dst_symlink(scene: Scene) -> None:
    scene.link("mnt", scene.canary)
    scene.mount("/mnt/new")
    scene.bind("/mnt/bound", scene.volume)


def _mount_dst_dotdot(scene: Scene) -> None:
    scene.mount(f"/{scene.up()}{scene.canary}/new")
    scene.link("a", scene.up(1) + str(scene.canary))
    scene.mount("/a/deeper/still")


def _bind_file_over_dangling_symlink(scene: Scene) -> None:
    scene.link("etc/name", scene.canary / "made")
    scene.bind("/etc/name", scene.volume / "file")


def _proc_symlink(scene: Scene) -> None:
    (scene.rootfs / "evil").mkdir()
    scene.file("evil/fake", "")
    scene.link("proc", "/evil")
    scene.script(
        "echo changed > /proc/sys/kernel/domainname", "echo @domain", "cat /proc/sys/kernel/domainname", "echo @"
    )


def _domain_was_changed(_scene: Scene, ran: Ran) -> str:
    return "/proc/sys can be written" if "changed" in ran.lines_after("@domain") else ""


def _proc_symlink_to_host(scene: Scene) -> None:
    scene.link("proc", scene.canary)
    scene.link("sys", scene.canary)


def _proc_masked_by_volume(scene: Scene) -> None:
    """A volume over /proc gets what is meant for procfs. The other procfs shows the truth."""
    for name in ("self", "thread-self"):
        (scene.volume / name / "attr").mkdir(parents=True)
        (scene.volume / name / "attr/exec").write_text("fake")
        (scene.volume / name / "oom_score_adj").write_text("fake")
    scene.bind("/proc", scene.volume)
    scene.mount("/real", type="proc", source="proc")
    scene.config["process"]["oomScoreAdj"] = 321
    scene.script("echo @oom", "cat /real/self/oom_score_adj", "echo @")


def _volume_was_written(scene: Scene, ran: Ran) -> str:
    words = {
        path.read_text().strip() for path in scene.volume.rglob("*") if path.is_file() and path.parent != scene.volume
    }
    if words != {"fake"}:
        return f"the volume was taken for procfs: {words}"
    return "oomScoreAdj is not in force" if ran.started and ran.lines_after("@oom") != ["321"] else ""


# /dev


def _dev_null_symlink_mask(scene: Scene) -> None:
    """Whoever masks with what the image calls /dev/null binds a file that can be written, core_pattern for example."""
    scene.without_dev()
    scene.file("victim", "")
    scene.file("hidden", "")
    scene.link("dev/null", "/victim")
    scene.bind("/told", scene.volume)
    scene.config["linux"]["maskedPaths"] = ["/hidden"]
    scene.script("echo MASK >> /hidden", "grep -q MASK /victim && echo broken > /told/mask", "true")


def _mask_was_written(scene: Scene, ran: Ran) -> str:
    if (scene.volume / "mask").exists():
        return "writing to what is masked changes another file"
    return (
        "the process ran, and what it printed went into a file of the image"
        if ran.code == 0 and not ran.started
        else ""
    )


def _dev_null_symlink_stdio(scene: Scene) -> None:
    """Whoever gives the process /dev/null again where it had it compares with, and opens, the image's."""
    scene.without_dev()
    scene.file("victim", "")
    scene.link("dev/null", "/victim")
    scene.bind("/told", scene.volume)
    scene.null_stdin = True
    scene.script("test -s /victim && echo broken > /told/stdio", "true")


def _stream_is_the_images(scene: Scene, _ran: Ran) -> str:
    return "a standard stream is a file of the image" if (scene.volume / "stdio").exists() else ""


def _dev_symlink_no_mount(scene: Scene) -> None:
    scene.without_dev()
    scene.link("dev", scene.canary)


def _dev_symlink_tmpfs_mount(scene: Scene) -> None:
    scene.link("dev", scene.canary)


def _device_parent_symlink(scene: Scene) -> None:
    scene.link("outside", scene.canary)
    scene.device("/outside/node")
    scene.device("/outside/new/node")


def _device_dotdot(scene: Scene) -> None:
    scene.device(f"/dev/{scene.up(1)}{scene.canary}/node")


def _device_is_symlink(scene: Scene) -> None:
    scene.link("null", scene.canary / "node")
    scene.device("/null")


def _device_preexisting_other(scene: Scene) -> None:
    (scene.rootfs / "nodes").mkdir()
    os.mknod(scene.rootfs / "nodes/null", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    scene.device("/nodes/null")
    scene.script("echo @node", "stat -c %t:%T /nodes/null", "echo @")


def _another_device(_scene: Scene, ran: Ran) -> str:
    found = ran.lines_after("@node")
    return f"the spec's 1:3 is {found}" if ran.started and found != ["1:3"] else ""


# the process


def _leaked_fd_cwd(scene: Scene) -> None:
    scene.leaked = scene.canary
    scene.config["process"]["cwd"] = "/proc/self/fd/7"
    scene.script("cat secret")


def _inherited_fd(scene: Scene) -> None:
    scene.leaked = scene.canary
    scene.script("cat /proc/self/fd/*/secret", "cat /proc/1/fd/*/secret")


def _hook_env(scene: Scene) -> None:
    """A hook without an environment of its own must not be given the image's."""
    hook = scene.directory / "hook"
    hook.write_text(f"#!/bin/sh\n/usr/bin/env > {scene.directory}/hook.env\n")
    hook.chmod(0o755)
    scene.config["hooks"] = {"createContainer": [{"path": str(hook), "args": ["hook"]}]}
    scene.config["process"]["env"] += ["LD_LIBRARY_PATH=/evil", "EVIL=1"]


def _hook_was_told(scene: Scene, _ran: Ran) -> str:
    told = scene.directory / "hook.env"
    return "a hook got the image's environment" if told.exists() and "EVIL" in told.read_text() else ""


# the root


def _root_is_symlink(scene: Scene) -> None:
    elsewhere = scene.canary / "image"
    scene.rootfs.rename(elsewhere)
    for name in ("proc", "dev", "sys"):
        (elsewhere / name).rmdir()
    scene.rootfs.symlink_to(elsewhere)


def _no_host_mount_leak(scene: Scene) -> None:
    """The process may mount; nobody outside sees that, and it sees nothing of the host's."""
    for kind in ("bounding", "effective", "permitted"):
        scene.config["process"]["capabilities"][kind].append("CAP_SYS_ADMIN")
    scene.config["linux"]["rootfsPropagation"] = "rslave"
    scene.script("mount -t tmpfs tmpfs /tmp", "echo @mounts", "cut -d' ' -f5 /proc/self/mountinfo", "echo @")


def _host_is_seen(scene: Scene, ran: Ran) -> str:
    ours = [line for line in ran.lines_after("@mounts") if str(scene.directory) in line or line.startswith("/usr")]
    theirs = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(scene.rootfs) in line]
    return f"mounts are seen on the other side: {ours} {theirs}" if ours or theirs else ""


CATALOGUE = (
    Attack("mount_dst_symlink", "crun CVE-2019-18837, runc CVE-2021-30465", _mount_dst_symlink),
    Attack("mount_dst_dotdot", "runc CVE-2021-30465", _mount_dst_dotdot),
    Attack(
        "bind_file_over_dangling_symlink", "runc CVE-2024-45310, podman CVE-2024-9341", _bind_file_over_dangling_symlink
    ),
    Attack("proc_symlink", "runc CVE-2019-19921, CVE-2023-27561, CVE-2023-28642", _proc_symlink, _domain_was_changed),
    Attack("proc_symlink_to_host", "runc CVE-2019-19921", _proc_symlink_to_host),
    Attack("proc_masked_by_volume", "runc CVE-2019-16884, CVE-2025-52881", _proc_masked_by_volume, _volume_was_written),
    Attack("dev_null_symlink_mask", "runc CVE-2025-31133", _dev_null_symlink_mask, _mask_was_written),
    Attack("dev_null_symlink_stdio", "runc CVE-2025-31133", _dev_null_symlink_stdio, _stream_is_the_images),
    Attack("dev_symlink_no_mount", "runc CVE-2026-41579, crun CVE-2026-47766", _dev_symlink_no_mount),
    Attack("dev_symlink_tmpfs_mount", "runc CVE-2026-41579, crun CVE-2026-47766", _dev_symlink_tmpfs_mount),
    Attack("device_parent_symlink", "NVIDIA CVE-2024-0133", _device_parent_symlink),
    Attack("device_dotdot", "", _device_dotdot),
    Attack("device_is_symlink", "", _device_is_symlink),
    Attack("device_preexisting_other", "the OCI spec's MUST", _device_preexisting_other, _another_device, "root"),
    Attack("leaked_fd_cwd", "runc CVE-2024-21626", _leaked_fd_cwd),
    Attack("inherited_fd", "runc CVE-2024-21626", _inherited_fd),
    Attack("hook_env", "NVIDIA CVE-2025-23266", _hook_env, _hook_was_told),
    Attack("root_is_symlink", "", _root_is_symlink),
    Attack("no_host_mount_leak", "", _no_host_mount_leak, _host_is_seen),
)
