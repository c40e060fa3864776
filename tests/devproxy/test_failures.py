"""Every kind of step made to fail: the message says what, where and why, and nothing is left on the host.

Leaks are looked for by the suite itself (mounts, descriptors, children); here the bundle's own directories are compared too.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import devproxy
from devproxy.carry import Carrier
from devproxy.errors import DevproxyError
from devproxy.outcome import Outcome
from devproxy.plan.plan import Plan
from devproxy.plan.steps import Step
from tests.bundles import runc_spec_like, write_bundle
from tests.hosts import host_with_gpus
from tests.roots import build_on

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
        assert doomed.describe() in caught.value.message, number
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


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("failure", FAILURES)
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
