"""A CDI spec that its user cannot read: who is shut out, and who is not."""

from __future__ import annotations

import pytest

from devproxy.check.doctor.case import Case
from devproxy.check.doctor.cdi import CDI_CHECKS
from devproxy.check.finding import Finding
from devproxy.host.probe import probe_reader
from tests.hosts.machine import Machine
from tests.hosts.make import hgx_h100

SPEC = "/etc/cdi/nvidia.yaml"


def told(machine: Machine, uid: int) -> list[Finding]:
    caller = {"capabilities": [], "gid": uid, "gids": [uid], "groups": {}, "uid": uid, "user_namespace": False}
    host = probe_reader(machine.fact("caller", caller), name="machine", simulated=True, deep=True)
    findings = [finding for check in CDI_CHECKS for finding in check.run(Case(host))]
    return [finding for finding in findings if finding.code == "cdi-spec-unreadable"]


@pytest.mark.parametrize(("mode", "uid", "shut"), [(0o600, 1000, True), (0o644, 1000, False), (0o600, 0, False)])
def test_a_mode_shuts_out_whom_it_shuts_out(mode: int, uid: int, *, shut: bool) -> None:
    found = told(hgx_h100().file(SPEC, "", mode), uid)
    assert [(finding.path, finding.hint) for finding in found] == ([(SPEC, f"chmod 0644 {SPEC}")] if shut else [])


def test_what_the_kernel_refused_is_told_with_its_error() -> None:
    (finding,) = told(hgx_h100().file(SPEC, "").refuse(SPEC), 0)
    assert "EACCES" in finding.found
