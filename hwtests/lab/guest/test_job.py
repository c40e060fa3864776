"""`devproxy job` whose GPU falls off the bus half-way: whose fault that was is told everywhere, and the next command gets another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from devproxy.jobs.quarantine import kept_out, lift
from hwtests.lab.guest.conftest import Cli
from hwtests.lab.guest.drivers import doom, rescan
from hwtests.lab.guest.story import text_of

LOST, NEXT = (f"GPU-de500000-1ab0-4000-8000-{slot:012x}" for slot in (1, 2))
# Asks the leased GPU, which has the number of its slot at the end of its UUID, until it does not answer.
WORK = 'for n in 1 2 3; do /lab/ask "/dev/nvidia$((0x${CUDA_VISIBLE_DEVICES##*-} - 1))" || exit 7; done'


@pytest.fixture
def doomed() -> Iterator[None]:
    doom(0)
    yield
    doom(-1)
    rescan()
    if LOST in kept_out():
        lift(LOST)


def test_a_gpu_that_is_lost_half_way_is_named_and_kept_out(doomed: None, tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "out"
    done = cli("job", "--kind", "gpu", "--artifacts", str(out), "--", "sh", "-c", WORK, code=7)
    assert f"hardware bad: gpu 0 ({LOST})" in done.err
    job = json.loads((out / "job.json").read_text())
    assert (job["verdict"]["fault"], job["verdict"]["devices"], job["verdict"]["code"]) == ("hardware", [LOST], 7)
    red = {
        case.get("name"): "".join(case.itertext()) for case in ET.parse(out / "junit.xml").iter("testcase") if len(case)
    }
    assert LOST in red["command"]
    assert "Xid 79" in red["health after"]
    page = text_of(out / "report.html")
    assert LOST in page
    assert "the GPU has fallen off the bus" in page
    assert "Xid (PCI:0001:00:01): 79" in (out / "kernel.log").read_text()
    entry = kept_out()[LOST]
    assert "Xid 79" in entry.reason

    rescan()  # it looks as good as new, and is not given out
    done = cli("lease", "1", "--kind", "gpu", "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES")
    assert done.out == f"{NEXT}\n"
