"""What is judged is what is in the recording; what the kernel says is what it said meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from devproxy.check.finding import Report
from devproxy.host.probe import probe
from devproxy.jobs.job import kernel_log
from devproxy.jobs.job.kernel_log import KernelLog, lines_since
from devproxy.jobs.job.look import take
from devproxy.jobs.job.result import Look
from tests.devproxy.jobs.job.hosts import GPUS, XID, fallen


@pytest.mark.programs
@pytest.mark.parametrize("source", ["live", GPUS], ids=["live", "recorded"])
def test_the_host_is_that_of_the_file(tmp_path: Path, source: str) -> None:
    taken = take(source, None)
    (tmp_path / "host.tar").write_bytes(taken.archive)
    again = probe(str(tmp_path / "host.tar"), deep=True)
    assert again._replace(name="", simulated=False) == taken.host._replace(name="", simulated=False)
    assert taken.host.simulated == (source != "live")


def test_the_kernels_log_where_it_may_not_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_log, "_KMSG", "/nonexistent")
    log = KernelLog()
    assert (log.lines(), log.why) == ([], "/nonexistent: no such file or directory")
    log.close()


def test_what_a_recording_has_of_it_that_the_one_before_has_not(tmp_path: Path) -> None:
    before, after = (Look(probe(path, deep=True), Report((), ())) for path in (GPUS, fallen(tmp_path)))
    assert XID in lines_since(before, after)
    assert lines_since(after, after) == []
    assert lines_since(None, None) == []
