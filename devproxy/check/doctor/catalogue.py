"""Every code of the doctor, in the order in which findings are told: causes before what follows from them."""

from __future__ import annotations

from devproxy.check.doctor.case import Check
from devproxy.check.doctor.devices import DEVICE_CHECKS
from devproxy.check.doctor.health import HEALTH_CHECKS
from devproxy.check.doctor.nvml import NVML_CHECKS
from devproxy.check.doctor.symptoms import SYMPTOM_CHECKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

CHECKS: Final[tuple[Check, ...]] = (*DEVICE_CHECKS, *NVML_CHECKS, *HEALTH_CHECKS, *SYMPTOM_CHECKS)
