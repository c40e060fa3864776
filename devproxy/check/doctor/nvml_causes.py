"""What is likely behind an error of NVML, by what else is known of the machine."""

from __future__ import annotations

from devproxy.check.doctor.case import Case, seen
from devproxy.check.finding import Evidence
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

_VERSION: Final = "/proc/driver/nvidia/version"
_CONTROL: Final = "/dev/nvidiactl"
_LOG: Final = "'journalctl -k -g \"NVRM|Xid\"' has what the driver said"


class Cause(Record):
    """Why, what to type, what was read that says so, and the code that others have for it."""

    why: str = ""
    hint: str = ""
    evidence: tuple[Evidence, ...] = ()
    reference: str = ""


def likely_cause(case: Case, name: str, *, gpu: str = "") -> Cause:
    """The likely cause of the error `name` (`NO_PERMISSION`); `gpu` is the one that the call was about."""
    found = _BY_NAME.get(name)
    cause = found(case) if found is not None else Cause(hint=f"'nvidia-smi -q' asks the same; {_LOG}")
    return cause._replace(hint=cause.hint.replace("{gpu}", gpu or "GPU"))


def _not_loaded(case: Case) -> Cause:
    nvidia = case.host.nvidia
    nouveau = [function for function in case.host.pci if function.driver == "nouveau"]
    if nouveau:
        evidence = tuple(seen(f"{each.source}/uevent", "DRIVER=nouveau") for each in nouveau)
        return Cause("nouveau holds the GPU (blocked-by-nouveau)", "blacklist nouveau and reboot", evidence)
    if nvidia is None or not nvidia.version:
        if not case.host.knows(_VERSION):
            return Cause("the nvidia module may not be loaded", f"cat {_VERSION}; if it is not there: modprobe nvidia")
        return Cause("the nvidia module is not loaded", "modprobe nvidia", (seen(_VERSION, "absent"),))
    if case.host.node(_CONTROL) is None and case.host.knows(_CONTROL):
        evidence = (seen(_CONTROL, "absent"), seen(_VERSION, nvidia.version))
        return Cause(f"the driver is loaded and has no {_CONTROL} (node-missing)", "nvidia-modprobe -u -c 0", evidence)
    return Cause("", f"{_LOG}", (seen(_VERSION, nvidia.version),))


def _mismatch(case: Case) -> Cause:
    nvidia, libraries = (
        case.host.nvidia,
        [each for each in case.details.system.libraries if each.name == "libnvidia-ml"],
    )
    evidence = tuple(seen(each.source, each.version) for each in libraries if each.version)
    module = nvidia.version if nvidia is not None else ""
    if module:
        evidence = (seen(_VERSION, module), *evidence)
    versions = " and ".join(dict.fromkeys(each.version for each in libraries if each.version))
    told = f": the module is {module}, the library {versions}" if module and versions else ""
    hint = (
        "reboot; or, with nothing using the GPUs: rmmod nvidia_drm nvidia_modeset nvidia_uvm nvidia && modprobe nvidia"
    )
    return Cause(f"the library was exchanged under the loaded module (driver-library-mismatch){told}", hint, evidence)


def _denied(case: Case) -> Cause:
    node = case.host.node(_CONTROL)
    selinux, caller = case.details.system.selinux, case.details.system.caller
    if node is not None and node.mode & 0o006 != 0o006:
        name = next((name for name, gid in (caller.groups if caller else ()) if gid == node.gid), str(node.gid))
        evidence = (seen(_CONTROL, f"mode {node.mode:04o}, uid {node.uid}, gid {node.gid}"),)
        return Cause(
            f"{_CONTROL} is for uid {node.uid} and group {name} alone (node-mode-restrictive)",
            f"usermod -aG {name} USER, and a new login; or set NVreg_DeviceFileMode=0666 for the module nvidia",
            evidence,
        )
    if selinux is not None and selinux.enforcing:
        evidence = (seen(selinux.source, "enforcing"),)
        return Cause("SELinux is enforcing (selinux-denies-device)", "ausearch -m AVC -ts recent", evidence)
    return Cause("who asks may not ask this", "sudo devproxy doctor")


def _blocked(case: Case) -> Cause:
    """What looks like an unknown error from inside: open(2) was refused, or the driver is stuck."""
    for opening in case.details.devices.opens or ():
        if opening.errno and opening.path.startswith("/dev/nvidia"):
            code = {"EPERM": "open-denied-by-cgroup", "EACCES": "open-denied-by-mode", "ENXIO": "open-no-driver"}
            why = f"{opening.path} does not open: {opening.errno}"
            told = f" ({code[opening.errno]})" if opening.errno in code else ""
            return Cause(f"{why}{told}", "see that finding", (seen(opening.path, opening.errno),))
    signs = case.details.system.containers
    if signs:
        why = "a container's device rules are lost when systemd reloads its units (dev-char-link-missing)"
        hint = "start the container again; on the host: nvidia-ctk system create-dev-char-symlinks --create-all"
        return Cause(why, hint, tuple(seen(sign.source, sign.sign) for sign in signs))
    return Cause("", f"{_LOG}")


def _reset(case: Case) -> Cause:
    del case
    return Cause(
        "it hit an error from which only a reset helps", "with nothing using it: nvidia-smi --gpu-reset -i {gpu}"
    )


def _inforom(case: Case) -> Cause:
    del case
    why = "the board's own memory of what it is (infoROM) is damaged"
    return Cause(why, "reset or power-cycle it; if it stays, the board goes back", (), "DCGM_FR_CORRUPT_INFOROM")


def _unloadable(case: Case) -> Cause:
    why = case.details.nvml.why
    hint = "ldconfig -p | grep libnvidia-ml, then install the library of the loaded driver for this architecture"
    return Cause(why, hint, (), "DCGM_FR_CANNOT_OPEN_LIB")


def _power(case: Case) -> Cause:
    del case
    return Cause("its external power cables are not all attached", "look at the board's power cables")


def _interrupts(case: Case) -> Cause:
    del case
    return Cause("the kernel had trouble with the GPU's interrupts", _LOG)


_BY_NAME: Final[dict[str, Callable[[Case], Cause]]] = {
    "DRIVER_NOT_LOADED": _not_loaded,
    "LIB_RM_VERSION_MISMATCH": _mismatch,
    "NO_PERMISSION": _denied,
    "OPERATING_SYSTEM": _blocked,
    "UNKNOWN": _blocked,
    "RESET_REQUIRED": _reset,
    "CORRUPTED_INFOROM": _inforom,
    "LIBRARY_NOT_FOUND": _unloadable,
    "INSUFFICIENT_POWER": _power,
    "IRQ_ISSUE": _interrupts,
}
