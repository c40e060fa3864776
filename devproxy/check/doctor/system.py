"""The codes about the system around devices: driver parts, services, the kernel's log, runtimes, where we are."""

from __future__ import annotations

from devproxy.check.doctor import messages, runtimes, services, surroundings, versions
from devproxy.check.doctor.case import Check
from devproxy.check.finding import Severity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_ERROR, _WARNING, _INFO = Severity.ERROR, Severity.WARNING, Severity.INFO

SYSTEM_CHECKS: Final[tuple[Check, ...]] = (
    Check(
        "accelerators-unseen",
        Severity.INCONCLUSIVE,
        "what tells of accelerators was not seen",
        surroundings.accelerators_unseen,
    ),
    Check("inside-container", _WARNING, "what was probed is the inside of a container", surroundings.inside_container),
    Check("wsl", _INFO, "WSL2, where other rules apply", surroundings.wsl),
    Check("blocked-by-nouveau", _ERROR, "nouveau holds the GPU", messages.blocked_by_nouveau),
    Check("module-version-mixed", _ERROR, "modules of two driver versions", versions.module_version_mixed),
    Check("driver-library-mismatch", _ERROR, "module and libraries differ", versions.driver_library_mismatch),
    Check("firmware-missing", _WARNING, "no firmware of the driver's version", versions.firmware_missing),
    Check("gpu-init-failed", _ERROR, "the driver could not start a GPU", messages.gpu_init_failed),
    Check("xid-since", _WARNING, "Xids in the kernel's log", messages.xid_since),
    Check("sxid-since", _WARNING, "errors of NVSwitches in the kernel's log", messages.sxid_since),
    Check("uvm-after-suspend", _WARNING, "a resume since nvidia-uvm was loaded", messages.uvm_after_suspend),
    Check("fabric-manager-missing", _ERROR, "NVSwitches and no fabric manager", services.fabric_manager_missing),
    Check("fabric-manager-version", _ERROR, "fabric manager and driver differ", versions.fabric_manager_version),
    Check("persistenced-socket-dead", _WARNING, "nobody listens at the socket", services.persistenced_socket_dead),
    Check("selinux-denies-device", _ERROR, "SELinux denies containers the device", surroundings.selinux_denies_device),
    Check("cgroup-rule-missing", _ERROR, "a device filter without the GPU", runtimes.cgroup_rule_missing),
    Check("cgroups-disabled-rootful", _ERROR, "no-cgroups with root", runtimes.cgroups_disabled_rootful),
    Check("runtime-rootless-legacy", _ERROR, "the legacy hook without root", runtimes.runtime_rootless_legacy),
    Check(
        "runtime-bpf-unsupported", _ERROR, "device filters of cgroup v2 unsupported", runtimes.runtime_bpf_unsupported
    ),
    Check("runtime-not-configured", _ERROR, "an engine that knows no GPUs", runtimes.runtime_not_configured),
    Check("runsc-driver-unsupported", _WARNING, "runsc does not know the driver", versions.runsc_driver_unsupported),
    Check("memlock-too-low", _WARNING, "too little memory may be locked", services.memlock_too_low),
    Check("shm-too-small", _WARNING, "/dev/shm is too small for several GPUs", services.shm_too_small),
)
