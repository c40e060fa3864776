"""The machine's own `/` as the source of a bind: what is shown is the machine, never the root that is being built."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import devproxy
from devproxy.check.verify import verify
from tests.bundles import runc_spec_like, write_bundle
from tests.roots import build_on
from tests.unprivileged import as_user

TARGETS = [pytest.param(name, marks=pytest.mark.root) for name in ("kernel", "oldest kernel")] + ["memory"]
BIND, TREE = ["bind"], ["rbind", "rprivate"]


def bundle(directory: Path, options: list[str], *, before: str) -> str:
    """The machine's `/`, after something that can be done only to a mount that is attached."""
    (directory / "aaa").mkdir()
    first: dict[str, list[dict[str, Any]]] = {
        "nothing": [],
        "a propagation": [
            {"destination": "/aaa", "type": "bind", "source": str(directory / "aaa"), "options": ["rbind", "rprivate"]}
        ],
        "a hidden mount that is read-only": [
            {"destination": "/aaa", "type": "tmpfs", "source": "tmpfs", "options": ["ro"]},
            {"destination": "/aaa", "type": "tmpfs", "source": "tmpfs", "options": []},
        ],
    }
    machine = {"destination": "/machine", "type": "bind", "source": "/", "options": options}
    config = runc_spec_like(mounts=[*runc_spec_like()["mounts"], *first[before], machine])
    return write_bundle(directory / "bundle", config)


def shown(path: str, target: str) -> dict[str, Any]:
    """What is at /machine, and in the machine's own proc there, and what verifying says."""
    plan = devproxy.plan(devproxy.load(path), devproxy.probe())
    with build_on(plan, target) as root:
        return {
            "names": root.listdir("/machine"),
            "inode": root.stat("/machine/usr").st_ino,
            "proc": root.listdir("/machine/proc")[:1],
            "findings": [f.describe() for f in verify(plan, root).findings] if target != "memory" else [],
        }


@pytest.mark.parametrize("before", ["nothing", "a propagation", "a hidden mount that is read-only"])
@pytest.mark.parametrize("options", [BIND, TREE], ids=" ".join)
@pytest.mark.parametrize("target", TARGETS)
def test_the_machine_is_shown(target: str, options: list[str], before: str, tmp_path: Path) -> None:
    found = shown(bundle(tmp_path, options, before=before), target)
    assert found["names"] == sorted(os.listdir("/"))
    assert found["inode"] == os.stat("/usr").st_ino
    assert bool(found["proc"]) == (options is TREE)
    assert found["findings"] == []


@pytest.mark.parametrize("options", [BIND, TREE], ids=" ".join)
@pytest.mark.parametrize("target", ["kernel", "oldest kernel"])
def test_the_machine_is_shown_to_a_user(target: str, options: list[str]) -> None:
    """Without privileges what is mounted below comes along, whatever was asked for."""

    def work(directory: Path) -> dict[str, Any]:
        return shown(bundle(directory, options, before="nothing"), target)

    found = as_user(work)
    assert found["names"] == sorted(os.listdir("/"))
    assert found["proc"]
    assert found["findings"] == []
