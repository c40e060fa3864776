"""Every code of `devproxy check`, in the order in which findings are told: what is expected first, then what became of the host
since before, what was left behind, and how it is by itself (the doctor's own codes about hardware).
"""

from __future__ import annotations

from devproxy.check.doctor.catalogue import CHECKS
from devproxy.check.finding import Severity
from devproxy.jobs.health import devices, expected, left, settings, sight, since
from devproxy.jobs.health.case import JobCheck

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.check.doctor.case import Check
    from devproxy.check.finding import Finding
    from devproxy.jobs.health.case import JobCase

_ERROR, _WARNING, _INFO = Severity.ERROR, Severity.WARNING, Severity.INFO

# Of the doctor's codes those about hardware and its driver. What a container's engine is configured to is not a job's.
_DOCTORS: Final = (
    "accelerators-unseen", "inside-container", "driver-not-loaded", "device-lost", "tpu-chip-unusable", "tpu-lockfile-stale",
    "node-missing", "node-major-mismatch", "uvm-not-loaded", "device-busy", "holders-unknown", "module-version-mixed",
    "driver-library-mismatch", "fabric-manager-missing", "nvml-timeout", "nvml-error", "row-remap-failed", "ecc-uncorrected",
    "row-remap-pending", "fabric-not-ready", "nvlink-down", "pcie-width-degraded", "pcie-speed-degraded", "temperature-high",
    "throttled", "power-capped", "memory-in-use-while-idle",
)  # fmt: skip

OWN_CHECKS: Final[tuple[JobCheck, ...]] = (
    *expected.EXPECTED_CHECKS,
    JobCheck("rebooted-since", _WARNING, "the machine was started anew", since.rebooted_since),
    JobCheck(
        "device-lost-since",
        _ERROR,
        "a device of before is gone",
        devices.device_lost_since,
        "DCGM_FR_FALLEN_OFF_BUS, Xid 79",
    ),
    JobCheck("device-appeared-since", _INFO, "a device came since before", devices.device_appeared_since),
    JobCheck("driver-changed-since", _WARNING, "another driver than before", devices.driver_changed_since),
    JobCheck(
        "node-major-moved-since", _WARNING, "a node has another number than before", devices.node_major_moved_since
    ),
    JobCheck("oom-since", _WARNING, "the kernel ended a process for lack of memory", since.oom_since),
    *settings.SETTING_CHECKS,
    *left.LEFT_CHECKS,
    JobCheck("check-timeout", Severity.INCONCLUSIVE, "the host did not tell everything in time", sight.check_timeout),
    JobCheck("no-accelerator", Severity.INCONCLUSIVE, "there is nothing to check", sight.no_accelerator),
)


# What was not told in time is not known to be wrong: the doctor, who waits as long as a driver that works takes, calls it an error.
_UNTOLD: Final = ("nvml-timeout",)


def _doctors(check: Check) -> JobCheck:
    severity = Severity.INCONCLUSIVE if check.code in _UNTOLD else check.severity
    expected_too = expected.ALSO_EXPECTED.get(check.code)

    def run(case: JobCase) -> Iterator[Finding]:
        sharper = () if expected_too is None else tuple(expected_too(case))
        yield from sharper
        said = {finding.path for finding in sharper}
        for finding in check.run(case.doctors):
            if finding.path not in said:
                yield finding._replace(severity=severity) if check.code in _UNTOLD else finding

    return JobCheck(check.code, severity, check.title, run, check.reference)


JOB_CHECKS: Final[tuple[JobCheck, ...]] = (
    *OWN_CHECKS,
    JobCheck("xid-since", _WARNING, "Xids since the job began", since.xid_since),
    JobCheck("sxid-since", _WARNING, "errors of NVSwitches since the job began", since.sxid_since),
    JobCheck("gpu-init-failed", _ERROR, "the driver could not start a GPU", since.gpu_init_failed),
    *(_doctors(check) for code in _DOCTORS for check in CHECKS if check.code == code),
)

# Those that NVML alone can tell.
NVML_CODES: Final = frozenset((
    "row-remap-failed", "ecc-uncorrected", "row-remap-pending", "fabric-not-ready", "nvlink-down", "pcie-width-degraded",
    "pcie-speed-degraded", "temperature-high", "throttled", "power-capped", "memory-in-use-while-idle", "memory-size-unexpected",
    "mig-mode-unexpected", "ecc-mode-unexpected", "persistence-unexpected", "clocks-unexpected",
    *(each.code for each in settings.SETTING_CHECKS),
))  # fmt: skip
