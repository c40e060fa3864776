"""Every code of the doctor, in the order in which findings are told: causes before what follows from them."""

from __future__ import annotations

from devproxy.check.doctor.bundle import BUNDLE_CHECKS
from devproxy.check.doctor.case import Check
from devproxy.check.doctor.cdi import CDI_CHECKS
from devproxy.check.doctor.devices import DEVICE_CHECKS
from devproxy.check.doctor.health import HEALTH_CHECKS
from devproxy.check.doctor.leftovers import LEFTOVER_CHECKS
from devproxy.check.doctor.mig import MIG_CHECKS
from devproxy.check.doctor.modes import MODE_CHECKS
from devproxy.check.doctor.nodes import NODE_CHECKS
from devproxy.check.doctor.nvml import NVML_CHECKS
from devproxy.check.doctor.symptoms import SYMPTOM_CHECKS
from devproxy.check.doctor.system import SYSTEM_CHECKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

CHECKS: Final[tuple[Check, ...]] = (
    *NODE_CHECKS,
    *MODE_CHECKS,
    *MIG_CHECKS,
    *BUNDLE_CHECKS,
    *LEFTOVER_CHECKS,
    *DEVICE_CHECKS,
    *SYSTEM_CHECKS,
    *NVML_CHECKS,
    *HEALTH_CHECKS,
    *CDI_CHECKS,
    *SYMPTOM_CHECKS,
)
