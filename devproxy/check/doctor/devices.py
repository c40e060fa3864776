"""The codes about devices: drivers, opening, holders, vfio, TPUs, links, NUMA."""

from __future__ import annotations

from devproxy.check.doctor import openings, placement, small_accelerators, tpus, vfio
from devproxy.check.doctor.case import Check
from devproxy.check.finding import Severity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_ERROR, _WARNING, _INFO = Severity.ERROR, Severity.WARNING, Severity.INFO
_DCGM: Final = "DCGM_FR_NO_ACCESS_TO_FILE"

DEVICE_CHECKS: Final[tuple[Check, ...]] = (
    Check("driver-not-loaded", _ERROR, "an accelerator has no driver", placement.driver_not_loaded),
    Check(
        "accelerator-node-missing",
        _ERROR,
        "a Coral or an NPU without a node, whose module is loaded",
        small_accelerators.accelerator_node_missing,
    ),
    Check("iommu-off", _ERROR, "vfio is wanted and there is no IOMMU", vfio.iommu_off),
    Check("vfio-group-not-viable", _ERROR, "another driver holds a device of the group", vfio.vfio_group_not_viable),
    Check("vfio-control-mode", _ERROR, "/dev/vfio/vfio cannot be opened", vfio.vfio_control_mode),
    Check("device-lost", _ERROR, "a driver cannot reach its hardware", openings.device_lost, "Xid 79"),
    Check("open-no-driver", _ERROR, "a node has no driver behind it", openings.open_no_driver),
    Check("open-denied-by-cgroup", _ERROR, "a control group denies the device", openings.open_denied_by_cgroup, _DCGM),
    Check("open-denied-by-mode", _ERROR, "a node's mode denies the device", openings.open_denied_by_mode, _DCGM),
    Check("open-failed", _ERROR, "opening a node fails", openings.open_failed),
    Check("device-busy", _WARNING, "a process holds the device", openings.device_busy),
    Check("tpu-chip-unusable", _ERROR, "a TPU with a driver cannot be used", tpus.tpu_chip_unusable),
    Check("tpu-lockfile-stale", _ERROR, "libtpu's lock file is held by nobody", tpus.tpu_lockfile_stale),
    Check("tpu-generation-unknown", _WARNING, "a chip of Google's with an unknown id", tpus.tpu_generation_unknown),
    Check("tpu-chips-mixed", _WARNING, "TPUs of several generations", tpus.tpu_chips_mixed),
    Check("dev-char-link-missing", _WARNING, "a node has no link in /dev/char", placement.dev_char_link_missing),
    Check("iommu-group-shared", _WARNING, "a group holds several devices", vfio.iommu_group_shared),
    Check("numa-unbound", _WARNING, "no processor of the device's NUMA node may be used", placement.numa_unbound),
    Check("holders-unknown", _INFO, "who holds the devices could not be seen", openings.holders_unknown),
    Check("vfio-foreign-group", _INFO, "a vfio group that is no TPU", vfio.vfio_foreign_group),
    Check("accel-is-not-tpu", _INFO, "an accelerator of DRM's that is no TPU", tpus.accel_is_not_tpu),
)
