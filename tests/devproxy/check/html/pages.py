"""Pages to look at: a made-up host with findings of every severity."""

from __future__ import annotations

import os

import devproxy
from devproxy.check.finding import Evidence, Finding, Report, Severity
from devproxy.check.html.page import Judged, Page
from devproxy.host.details import Details, DeviceDetails
from devproxy.host.device_facts import Holder, Holders, NumaNode
from devproxy.host.facts import Host
from devproxy.host.probe import probe

_ROOT = os.path.join(os.path.dirname(__file__), "..", "..", "..", "..")
EXAMPLE = os.path.join(_ROOT, "example", "host-8gpu.tar")
BUNDLE = os.path.join(_ROOT, "example", "bundle")

FINDINGS = (
    Finding(
        "node-major-mismatch",
        Severity.ERROR,
        "/dev/nvidia-uvm",
        "major 462",
        "major 510",
        "the node was made when the driver had another number",
        "rm /dev/nvidia-uvm && nvidia-modprobe -c 0 -u",
        (Evidence("/dev/nvidia-uvm", "510:0"), Evidence("/proc/devices", "462 nvidia-uvm")),
    ),
    Finding("device-busy", Severity.WARNING, "/dev/nvidia3", "no holder", "held by python3 (pid 4242)"),
    Finding("ecc-uncorrected", Severity.ERROR, "0000:ab:00.0", "0", "12", reference="Xid 48"),
    Finding("holders-unknown", Severity.INCONCLUSIVE, "/proc", "to be seen", "not seen", "13 processes of others"),
    Finding("minor-differs-from-index", Severity.INFO, "0000:3a:00.0", "minor 2", "minor 3"),
)


def host() -> Host:
    """The example's eight GPUs on two NUMA nodes, one of them held."""
    numa = (NumaNode(0, "0-55", 1 << 40, "/sys"), NumaNode(1, "56-111", 1 << 40, "/sys"))
    holders = Holders((Holder(4242, "python3", 1000, 77, ("/dev/nvidia3",)),), complete=True)
    return probe(EXAMPLE)._replace(details=Details(devices=DeviceDetails(numa=numa, holders=holders)))


def page(findings: tuple[Finding, ...] = FINDINGS, *, with_plan: bool = True) -> Page:
    """A page about that host."""
    found = host()
    plan = devproxy.plan(devproxy.load(BUNDLE), found) if with_plan else None
    report = Report(findings, (("checks", 60),), ("a note",))
    return Page("devproxy doctor", found, (Judged("Doctor", report),), "2026-01-02 03:04 UTC, devproxy 0.1.0", plan)
