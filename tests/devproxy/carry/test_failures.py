"""Every kind of step made to fail: the message says what, where and why, and nothing is left on the host.

Leaks are looked for by the suite itself (mounts, descriptors, children); here the bundle's own directories are compared too.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import devproxy
from devproxy.carry.carrier import Carrier
from devproxy.errors import DevproxyError
from devproxy.oci.configuration import Configuration
from devproxy.outcome import Outcome, Result
from devproxy.overlay import Medium, Overlaid, Overlay, Overlay2
from devproxy.plan.plan import Plan
from devproxy.plan.steps import Mask, SealPath, Step
from tests.bundles import runc_spec_like, write_bundle
from tests.hosts import host_with_gpus
from tests.roots import build_on
from tests.unprivileged import as_user

TARGETS = [pytest.param(name, marks=pytest.mark.root) for name in ("kernel", "oldest kernel")] + ["memory"]


def _plan(directory: Path, **changes: Any) -> Plan:
    bundle = write_bundle(directory / "bundle", runc_spec_like(**changes))
    return devproxy.plan(devproxy.load(bundle), host_with_gpus())


def _with_mounts(*mounts: dict[str, Any]) -> dict[str, Any]:
    return {"mounts": [*runc_spec_like()["mounts"], *mounts]}


def _everything(directory: Path) -> Plan:
    """A plan with a step of every kind that can be carried out."""
    (directory / "volume").mkdir()
    changes = _with_mounts(
        {"destination": "/volume", "type": "bind", "source": str(directory / "volume"), "options": ["bind"]},
        {"destination": "/ro", "type": "tmpfs", "source": "tmpfs", "options": ["ro"]},
    )
    devices = [{"path": "/dev/nvidia-uvm", "type": "c", "major": 510, "minor": 0}]
    plan = _plan(
        directory, linux={"devices": devices}, process={"cwd": "/work", "env": ["NVIDIA_VISIBLE_DEVICES=0"]}, **changes
    )
    kinds = {type(step).__name__ for step in plan.steps}
    assert kinds >= {"MountRoot", "MountFilesystem", "Bind", "MakeDirectory", "MakeNode", "MakeSymlink"}
    assert kinds >= {"Mask", "SealPath", "Seal", "Skip"}
    return plan


def _tree(directory: Path) -> list[tuple[str, int, int]]:
    return sorted((str(path), path.lstat().st_mode, path.lstat().st_mtime_ns) for path in directory.rglob("*"))


@pytest.mark.rows("S47", oracle="specification")
@pytest.mark.parametrize("target", TARGETS)
def test_a_step_that_fails_ends_the_build(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = _everything(tmp_path)
    carry: Callable[[Carrier, Step], Outcome] = Carrier._carry
    before = _tree(tmp_path)
    for number, doomed in enumerate(plan.steps):

        def fail(self: Carrier, step: Step, doomed: Step = doomed) -> Outcome:
            if step is doomed:
                raise OSError(errno.EIO, os.strerror(errno.EIO), "/some/path")
            return carry(self, step)

        monkeypatch.setattr(Carrier, "_carry", fail)
        with pytest.raises(DevproxyError) as caught:
            build_on(plan, target)
        assert doomed.describe().partition(" [overlay")[0] in caught.value.message, number
        assert "/some/path: input/output error" in caught.value.message
        assert doomed.reason.source in caught.value.message
    assert _tree(tmp_path) == before


FAILURES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a tmpfs with a bad size": (
        _with_mounts({"destination": "/t", "type": "tmpfs", "source": "tmpfs", "options": ["size=1x"]}),
        ["mount tmpfs at /t", "invalid argument", "mounts[7]"],
    ),
    "a file system over a file": (
        _with_mounts({"destination": "/bin/busybox", "type": "tmpfs", "source": "tmpfs"}),
        ["mount tmpfs at /bin/busybox", "not a directory", "mounts[7]"],
    ),
    "a mount point below a file": (
        _with_mounts({"destination": "/bin/busybox/x", "type": "tmpfs", "source": "tmpfs"}),
        ["mount tmpfs at /bin/busybox/x", "not a directory", "mounts[7]"],
    ),
    "a file over a directory": (
        _with_mounts({"destination": "/etc", "type": "bind", "source": "/etc/passwd", "options": ["bind"]}),
        ["bind /etc/passwd at /etc", "is a directory", "mounts[7]"],
    ),
    "a directory over a file": (
        _with_mounts({"destination": "/bin/busybox", "type": "bind", "source": "/usr", "options": ["bind"]}),
        ["bind /usr at /bin/busybox", "not a directory", "mounts[7]"],
    ),
    "a source that is missing": (
        _with_mounts({"destination": "/x", "type": "bind", "source": "/no/such/source", "options": ["bind"]}),
        ["/no/such/source", "no such file or directory", "mounts[7]", "/x"],
    ),
    "a mount point whose name is too long": (
        _with_mounts({"destination": f"/{'n' * 256}", "type": "tmpfs", "source": "tmpfs"}),
        [f"mount tmpfs at /{'n' * 256}: /{'n' * 256}: file name too long", "mounts[7]"],
    ),
    "a root that is missing": ({"root": {"path": "nowhere"}}, ["root.path", "nowhere", "no such file"]),
    "a root that is a file": ({"root": {"path": "config.json"}}, ["root.path", "config.json", "not a directory"]),
    "a working directory below a file": (
        {"process": {"cwd": "/bin/busybox/work"}},
        ["directory /bin/busybox/work", "not a directory", "process.cwd"],
    ),
    "a node with another number": (
        {"linux": {"devices": [{"path": "/dev/zero", "type": "c", "major": 1, "minor": 3}]}},
        ["/dev/zero is character device 1:5", "expected character device 1:3", "linux.devices[0]"],
    ),
    "a node over a file": (
        {"linux": {"devices": [{"path": "/bin/busybox", "type": "c", "major": 1, "minor": 3}]}},
        ["/bin/busybox is a regular file", "expected character device 1:3", "linux.devices[0]"],
    ),
    "a node below a file": (
        {"linux": {"devices": [{"path": "/bin/busybox/x", "type": "c", "major": 1, "minor": 3}]}},
        ["node /bin/busybox/x", "not a directory", "linux.devices[0]"],
    ),
    "a device missing in a /dev of the user's": (
        {
            "mounts": [{"destination": "/dev", "type": "bind", "source": "/usr", "options": ["bind"]}],
            "linux": {"devices": [{"path": "/dev/nvidia0", "type": "c", "major": 195, "minor": 0}]},
        },
        ["/dev/nvidia0 is missing", "expected character device 195:0", "linux.devices[0]"],
    ),
    "a /dev with no room for nodes": (
        {"mounts": [{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nr_inodes=3"]}]},
        ["/dev/", "no space left on device"],
    ),
}


@pytest.mark.rows("S47", "S52", "S53", "S68", "S69", "H23", oracle="kernel")
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.rows("S12", "S35", oracle="kernel")
def test_the_message_says_what_where_and_why(failure: str, target: str, tmp_path: Path) -> None:
    changes, words = FAILURES[failure]
    plan = _plan(tmp_path, **changes)
    before = _tree(tmp_path)
    with pytest.raises(DevproxyError) as caught:
        build_on(plan, target)
    message = caught.value.message.lower()
    assert [word for word in words if word.lower() not in message] == [], caught.value.message
    assert "\n" not in message
    assert _tree(tmp_path) == before


def _device(path: str, major: int, minor: int) -> dict[str, Any]:
    return {"path": path, "type": "c", "major": major, "minor": minor}


HINTS: dict[str, tuple[dict[str, Any], str]] = {
    "one path as two devices": (
        {"linux": {"devices": [_device("/dev/two", 1, 3), _device("/dev/two", 1, 5)]}},
        "linux.devices[0] made it",
    ),
    "a usual device with another number": (
        {"linux": {"devices": [_device("/dev/zero", 1, 3)]}},
        "rule: contents of /dev made it",
    ),
    "a link of /dev": ({"linux": {"devices": [_device("/dev/fd", 1, 3)]}}, "rule: contents of /dev made it"),
    "a node over a file": (
        {"linux": {"devices": [_device("/bin/busybox", 1, 3)]}},
        "the image or a mount brings this path",
    ),
    "a mark of a removed file": ({"linux": {"devices": [_device("/white", 0, 0)]}}, "the mark of a removed file"),
    "a mount point in sysfs": (
        _with_mounts({"destination": "/sys/mine", "type": "tmpfs", "source": "tmpfs"}),
        "only what the kernel puts there",
    ),
    "a device in devpts": ({"linux": {"devices": [_device("/dev/pts/9", 136, 9)]}}, "only what the kernel puts there"),
}


@pytest.mark.root
@pytest.mark.parametrize("target", ["kernel", "oldest kernel"])
@pytest.mark.parametrize("failure", HINTS)
def test_the_hint_is_about_what_is_wrong(failure: str, target: str, tmp_path: Path) -> None:
    """Root is not told to be root."""
    changes, words = HINTS[failure]
    with pytest.raises(DevproxyError) as caught:
        build_on(_plan(tmp_path, **changes), target)
    assert words in (caught.value.hint or "")
    assert "needs root" not in (caught.value.hint or "")


@pytest.mark.root
@pytest.mark.parametrize("directory", ["/proc", "/sys"])
def test_a_directory_that_holds_no_layers_is_the_one_that_is_named(directory: str, tmp_path: Path) -> None:
    overlay2 = Overlay2(Overlaid.ROOT, Overlay(Medium.DIRECTORY, directory))
    bundle = write_bundle(tmp_path / "bundle", runc_spec_like())
    plan = devproxy.plan(devproxy.load(bundle), host_with_gpus(), config=Configuration(overlay2=overlay2))
    with pytest.raises(DevproxyError) as caught:
        build_on(plan, "kernel")
    assert caught.value.message.startswith(f"{directory}/.devproxy.overlay cannot hold the upper layer of an overlay")
    assert "rootfs" not in caught.value.message


@pytest.mark.parametrize("target", TARGETS)
def test_what_lies_at_no_path_of_the_root_is_neither_masked_nor_sealed(target: str, tmp_path: Path) -> None:
    """runc takes such paths too, and hides nothing."""
    paths = ["/dev/stdin", "/dev/fd/0", "/loop", "/loop/x", "/proc/self/exe"]
    if target != "memory":  # where /proc/self/root can be followed: it leads nowhere else than to the root
        paths.append("/proc/self/root/etc")
    plan = _plan(tmp_path, linux={"maskedPaths": paths, "readonlyPaths": paths})
    (tmp_path / "bundle" / "rootfs" / "loop").symlink_to("loop")
    with build_on(plan, target) as root:
        told = [outcome for outcome in root.outcomes if outcome.step.path in paths]
        told = [outcome for outcome in told if isinstance(outcome.step, Mask | SealPath)]
        assert {outcome.result for outcome in told} == {Result.SKIPPED}
        assert len(told) == 2 * len(paths)
        assert not any(outcome.warning for outcome in told)
        assert devproxy.verify(plan, root).findings == ()


@pytest.mark.root
@pytest.mark.parametrize("target", ["memory", "kernel"])
@pytest.mark.rows("S35", oracle="kernel")
def test_a_rootfs_that_its_user_cannot_read_is_named(target: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        plan = _plan(Path(directory))
        os.chmod(f"{directory}/bundle/rootfs", 0o700)

        def work(_: Path) -> str:
            with pytest.raises(DevproxyError) as caught:
                build_on(plan, target).close()
            return caught.value.message

        message = as_user(work)
    assert f"{directory}/bundle/rootfs/" in message.partition(": ")[2]
    assert ": permission denied" in message
    assert "when_missing" not in message
