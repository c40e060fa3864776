"""Accelerators of recorded hosts, listed in a spec: the kernel target beside runc, which makes what the spec says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from devproxy.host.probe import probe
from tests.differential.cases import Case
from tests.differential.decisions import unexplained
from tests.differential.peers import with_devproxy, with_runc
from tests.differential.test_runc import DECISIONS
from tests.hosts.make import RECORDINGS

pytestmark = [pytest.mark.root, pytest.mark.peer]

HOSTS = {os.path.basename(path).removesuffix(".tar"): path for path in RECORDINGS}


def device(path: str, number: tuple[int, int], **more: Any) -> dict[str, Any]:
    return {"path": path, "type": "c", "major": number[0], "minor": number[1], "fileMode": 0o666, **more}


ACCEL = [device("/dev/accel0", (121, 0)), device("/dev/accel3", (121, 3), fileMode=0o640, uid=5, gid=7)]
VFIO = [device("/dev/vfio/vfio", (10, 196)), device("/dev/vfio/1", (465, 1)), device("/dev/vfio/3", (465, 0))]
OTHERS = [device("/dev/accel/accel0", (261, 0)), device("/dev/vfio/96", (465, 0), fileMode=0o600)]


@pytest.mark.rows("S66", "S74", "H14", oracle="runc")
@pytest.mark.parametrize(
    ("host", "devices"), [("tpu-v4", ACCEL), ("tpu-v5p", VFIO), ("mixed", OTHERS)], ids=["accel", "vfio", "others"]
)
def test_shows_what_runc_shows(host: str, devices: list[dict[str, Any]], tmp_path: Path) -> None:
    case = Case("accelerators", {"linux": {"devices": devices}})
    theirs, their_words = with_runc(case.write(str(tmp_path / "runc")))
    ours, words = with_devproxy(case.write(str(tmp_path / "devproxy")), "--host", HOSTS[host])
    assert theirs.mounts, their_words
    assert ours.mounts, words
    for entry in devices:
        found = ours.entries[entry["path"]]
        assert found is not None
        assert found.number == f"{entry['major']}:{entry['minor']}"
    assert unexplained(ours, theirs, DECISIONS) == []


@pytest.mark.rows("H14", oracle="specification")
def test_a_stale_number_is_where_we_differ(tmp_path: Path) -> None:
    case = Case("stale", {"linux": {"devices": [device("/dev/vfio/3", (465, 3))]}})
    theirs, their_words = with_runc(case.write(str(tmp_path / "runc")))
    ours, words = with_devproxy(case.write(str(tmp_path / "devproxy")), "--host", HOSTS["tpu-v5p"])
    node = probe(HOSTS["tpu-v5p"]).node("/dev/vfio/3")
    mine, other = ours.entries.get("/dev/vfio/3"), theirs.entries.get("/dev/vfio/3")
    assert mine is not None, words
    assert other is not None, their_words
    assert node is not None
    assert (mine.number, other.number) == (str(node.number), "465:3")
    assert unexplained(ours, theirs, DECISIONS)
