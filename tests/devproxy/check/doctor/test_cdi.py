"""Each code about CDI specs: a machine where it fires, one beside it where it is silent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.check.doctor.case import Case
from devproxy.check.doctor.cdi import CDI_CHECKS
from devproxy.check.finding import Finding, Severity
from devproxy.host.probe import probe_reader
from tests.hosts.machine import Machine
from tests.hosts.make import hgx_h100

CHECKS: Final = {check.code: check for check in CDI_CHECKS}
PATH: Final = "/etc/cdi/nvidia.yaml"
LIBRARY: Final = "/usr/lib/x86_64-linux-gnu/libcuda.so."
CONTROL: Final[list[dict[str, Any]]] = [
    {"path": "/dev/nvidiactl"},
    {"path": "/dev/nvidia-uvm", "major": 462, "minor": 0},
]


def spec(*nodes: dict[str, Any], kind: str = "nvidia.com/gpu", names: tuple[str, ...] = ("0",), mount: str = "") -> str:
    """A spec whose devices are all GPU 0, with `nodes` beside it for the whole."""
    mounts = [{"hostPath": mount, "containerPath": mount}] if mount else []
    devices = [{"name": name, "containerEdits": {"deviceNodes": [{"path": "/dev/nvidia0"}]}} for name in names]
    edits = {"deviceNodes": list(nodes), "mounts": mounts}
    return json.dumps({"cdiVersion": "0.6.0", "kind": kind, "devices": devices, "containerEdits": edits})


def hgx(*specs: str) -> Machine:
    machine = hgx_h100()
    for at, text in enumerate(specs):
        machine.file(PATH if not at else f"/etc/cdi/another-{at}.json", text)
    return machine


def findings(code: str, machine: Machine) -> list[Finding]:
    return list(CHECKS[code].run(Case(probe_reader(machine, name="machine", simulated=True, deep=True))))


Made = Callable[[], Machine]
SOUND: Final = spec(*CONTROL, mount=f"{LIBRARY}550.163.01")
ROWS: Final[list[tuple[str, Made, str, Made]]] = [
    ("cdi-spec-unreadable", lambda: hgx().refuse(PATH), PATH, lambda: hgx(SOUND)),
    ("cdi-spec-invalid", lambda: hgx("cdiVersion: 0.6.0\nkind: [\n"), PATH, lambda: hgx(SOUND)),
    ("cdi-spec-invalid", lambda: hgx(spec(kind="gpu")), PATH, lambda: hgx(spec(kind="example.com/x"))),
    ("cdi-spec-invalid", lambda: hgx(spec(names=())), PATH, lambda: hgx().refuse(PATH)),
    ("cdi-spec-invalid", lambda: hgx(spec(names=("0", "0"))), PATH, lambda: hgx(spec(names=("0", "1")))),
    ("cdi-device-conflict", lambda: hgx(SOUND, SOUND), "nvidia.com/gpu=0", lambda: hgx(SOUND, spec(names=("1",)))),
    ("cdi-device-conflict", lambda: hgx(SOUND, SOUND), "nvidia.com/gpu=0", lambda: hgx(SOUND).file("/var/run/cdi/x.json", SOUND)),
    ("cdi-spec-stale", lambda: hgx(spec({"path": "/dev/nvidia-uvm", "major": 510, "minor": 0})), "/dev/nvidia-uvm", lambda: hgx(SOUND)),
    ("cdi-spec-stale", lambda: hgx(spec({"path": "/dev/null", "major": 1, "minor": 5})), "/dev/null", lambda: hgx(spec({"path": "/dev/null", "major": 1, "minor": 3}))),
    ("cdi-driver-stale", lambda: hgx(spec(mount=f"{LIBRARY}535.54.03")), PATH, lambda: hgx(spec(mount="/usr/lib/libnvidia-container.so.1"))),
    ("cdi-driver-stale", lambda: hgx(spec(mount=f"{LIBRARY}535.54.03")), PATH, lambda: hgx(SOUND)),
    ("cdi-host-path-missing", lambda: hgx(spec({"path": "/dev/nvidia99"})), "/dev/nvidia99", lambda: hgx(SOUND)),
    ("cdi-host-path-missing", lambda: hgx(spec({"path": "/dev/x", "hostPath": "/dev/dri/card99"})), "/dev/dri/card99", lambda: hgx(spec({"path": "/dev/x", "hostPath": "/dev/null"}))),
    ("cdi-incomplete", lambda: hgx(spec(CONTROL[1])), PATH, lambda: hgx(SOUND)),
    ("cdi-incomplete", lambda: hgx(spec(CONTROL[0])), PATH, lambda: hgx(SOUND)),
    ("cdi-management-only", lambda: hgx(spec(kind="management.nvidia.com/gpu", names=("all",))), PATH, lambda: hgx(spec(kind="management.nvidia.com/gpu", names=("all",)), SOUND)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "fires", "subject", "silent"), ROWS, ids=[f"{row[0]}-{n}" for n, row in enumerate(ROWS)]
)
def test_fires_and_is_silent(code: str, fires: Made, subject: str, silent: Made) -> None:
    found = findings(code, fires())
    assert [finding.path for finding in found] == [subject]
    assert found[0].evidence
    assert found[0].hint
    assert found[0].severity is CHECKS[code].severity is not Severity.INCONCLUSIVE
    assert findings(code, silent()) == []


def test_every_code_has_a_row() -> None:
    assert {row[0] for row in ROWS} == set(CHECKS)


def test_a_sound_spec_has_nothing_wrong() -> None:
    assert [found for code in CHECKS for found in findings(code, hgx(SOUND))] == []


VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.sampled_from(("0", "/dev/nvidia0", "a/b")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("name", "path", "hostPath", "major", "deviceNodes", "mounts")), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@pytest.mark.property
@given(VALUES, VALUES)
def test_no_value_is_a_traceback(devices: Any, edits: Any) -> None:
    document = {"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": devices, "containerEdits": edits}
    machine = hgx(json.dumps(document))
    for code in CHECKS:
        for finding in findings(code, machine):
            assert len(finding.found) < 300
