"""What a job did to GPUs, as the real NVML binding tells it of a fake library before and after."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from devproxy.check.finding import Report, Severity
from devproxy.cli.main import main
from devproxy.host.facts import Host
from devproxy.jobs.health import check
from tests.devproxy.check.doctor.edits import Edited
from tests.nvml.fake import FakeNvml, World, machine_of

pytestmark = pytest.mark.programs

EXAMPLE: Final = Path(__file__).parents[2] / "example" / "host-8gpu.tar"


@cache
def recorded() -> Edited:
    return Edited.of(str(EXAMPLE))


def host(nvml: FakeNvml, world: World) -> Host:
    """The recorded machine of eight, with what NVML says of this world."""
    nvml.world(world)
    told = nvml.document()

    def become(document: dict[str, Any]) -> None:
        document.clear()
        document.update(told)

    return recorded().fact("nvml", become).host()


def healthy() -> World:
    """Eight GPUs that are as the recording's are."""
    return machine_of(8, mig=0, fabric=3, nvlinks="1" * 18)


def after(nvml: FakeNvml, rank: int, **changes: object) -> Report:
    world = healthy()
    world[f"gpu {rank}"] |= changes
    return check(host(nvml, world), before=host(nvml, healthy()))


def test_nothing_happened(nvml: FakeNvml) -> None:
    assert check(host(nvml, healthy()), before=host(nvml, healthy())).findings == ()


@pytest.mark.parametrize(
    ("changes", "code", "found", "hint"),
    [
        ({"clock_locked": 1410}, "clocks-changed", "2619,1410 MHz", "-ac 2619,1980"),
        ({"clock_memory": 1593}, "clocks-changed", "1593,1980 MHz", "-ac 2619,1980"),
        ({"compute_mode": 3}, "compute-mode-changed", "exclusive process", "-c 'DEFAULT'"),
        ({"compute_mode": 2}, "compute-mode-changed", "prohibited", "-c 'DEFAULT'"),
        ({"mig": 1}, "mig-mode-changed", "on", "-mig 0"),
        ({"ecc": 0}, "ecc-mode-changed", "off", "-e 1"),
        ({"persistence": 0}, "persistence-changed", "off", "-pm 1"),
    ],
)  # fmt: skip
def test_what_a_job_set_is_told_with_what_it_was(
    nvml: FakeNvml, changes: dict[str, object], code: str, found: str, hint: str
) -> None:
    (finding,) = after(nvml, 5, **changes).findings
    assert (finding.code, finding.path, finding.found) == (code, "0000:ab:00.0", found)
    assert hint in finding.hint
    assert "as before" in finding.expected


def test_a_lost_gpu_is_lost_and_nothing_else_is_said_of_it(nvml: FakeNvml) -> None:
    report = after(nvml, 3, error=15)
    assert ("device-lost", "0000:5d:00.0") in [(finding.code, finding.path) for finding in report.errors]
    assert {finding.path for finding in report.findings} <= {"0000:5d:00.0", "GPU 3", "NVML"}


def test_a_setting_that_is_not_told_any_more_is_inconclusive(nvml: FakeNvml) -> None:
    (finding,) = after(nvml, 1, compute_mode="none").findings
    assert (finding.code, finding.severity) == ("compute-mode-changed", Severity.INCONCLUSIVE)
    assert "before (default)" in finding.why


def test_a_driver_that_hangs_is_inconclusive_within_the_deadline(
    nvml: FakeNvml, capsys: pytest.CaptureFixture[str]
) -> None:
    nvml.world(machine_of(2) | {"system": {"hang.nvmlInitWithFlags": 1}})
    code = main(["check", "--deadline", "8s", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert code == 4
    told = {finding["code"]: finding["severity"] for finding in document["findings"]}
    assert told["nvml-timeout"] == "inconclusive"


def test_an_interrupt_while_a_driver_hangs_is_130_and_leaves_nothing(nvml: FakeNvml, tmp_path: Path) -> None:
    nvml.world(machine_of(2) | {"system": {"hang.nvmlInitWithFlags": 1}})
    before = tmp_path / "before.tar"
    environment = {**os.environ, "DEVPROXY_NVML_SECONDS": "300"}
    child = subprocess.Popen(
        [sys.executable, "-m", "devproxy", "check", "--deadline", "10m", "--before", str(before)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, env=environment,
    )  # fmt: skip
    try:
        while not Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text():
            assert child.poll() is None
            time.sleep(0.01)
        os.killpg(child.pid, signal.SIGINT)
        out, err = child.communicate(timeout=60)
    finally:
        child.kill()
    assert (child.returncode, out) == (130, b"")
    assert b"Traceback" not in err
    assert not before.exists()
