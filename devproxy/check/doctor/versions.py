"""Parts of the driver that must be of one version: modules, libraries, firmware, fabric manager; and what runsc knows."""

from __future__ import annotations

from devproxy.check.doctor.case import Case, seen
from devproxy.check.finding import Finding, Severity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.system_facts import Library

_VERSION: Final = "/proc/driver/nvidia/version"
# What asks the module for its version, and refuses another.
_STRICT: Final = ("libcuda", "libnvidia-ml")
_RELOAD: Final = (
    "reboot; or, with nothing using the GPUs: rmmod nvidia_drm nvidia_modeset nvidia_uvm nvidia && modprobe nvidia"
)
_FIRST_WITH_FIRMWARE: Final = 470


def driver_library_mismatch(case: Case) -> Iterator[Finding]:
    """The libraries that programs load are of another version than the module that is loaded."""
    loaded = _loaded(case)
    libraries = [library for library in case.details.system.libraries if library.name in _STRICT]
    # In a container the libraries may be anywhere; under WSL they have versions of their own.
    if not loaded or _kinds(case) & {"wsl"}:
        return
    for name in _STRICT:
        named = [library for library in libraries if library.name == name]
        # Where no link leads to one of them (an upgrade that was cut off), any of them may be loaded.
        of_name = [library for library in named if library.current] or named
        if of_name and all(not _same(library, loaded) for library in of_name):
            evidence = (seen(_VERSION, loaded), *(seen(library.source, library.version) for library in of_name))
            yield Finding(
                "driver-library-mismatch", Severity.ERROR, of_name[0].path, f"version {loaded}, as the loaded module has",
                f"version {', '.join(sorted({library.version for library in of_name}))}",
                why="the package was upgraded and the old module is still loaded, or the other way round",
                hint=_RELOAD, evidence=evidence,
            )  # fmt: skip


def module_version_mixed(case: Case) -> Iterator[Finding]:
    """NVIDIA's modules are of different versions."""
    modules = [each for each in case.details.system.modules or () if each.name.startswith("nvidia") and each.version]
    modules = [each for each in modules if each.name not in ("nvidia_fs", "nvidia_peermem", "nvidia_wmi_ec_backlight")]
    if len({module.version for module in modules}) > 1:
        named = ", ".join(f"{module.name} {module.version}" for module in modules)
        yield Finding(
            "module-version-mixed", Severity.ERROR, "nvidia", "modules of one version", named,
            why="modules of two packages are loaded together", hint=f"dkms status; {_RELOAD}",
            evidence=tuple(seen(f"/sys/module/{module.name}/version", module.version) for module in modules),
        )  # fmt: skip


def fabric_manager_version(case: Case) -> Iterator[Finding]:
    """The fabric manager is of another version than the driver: it refuses to start."""
    loaded = _loaded(case)
    if not loaded or case.host.nvidia is None or not case.host.nvidia.switches:
        return
    for runtime in case.details.system.runtimes:
        if runtime.name == "nv-fabricmanager" and runtime.version and runtime.version != loaded:
            yield Finding(
                "fabric-manager-version", Severity.ERROR, runtime.path, f"version {loaded}, as the driver has",
                f"version {runtime.version}", why="a fabric manager of another version than the driver does not start",
                hint=f"install nvidia-fabricmanager {loaded}; systemctl restart nvidia-fabricmanager",
                evidence=(seen(_VERSION, loaded), seen(runtime.source, f"{runtime.path} --version: {runtime.version}")),
            )  # fmt: skip


def firmware_missing(case: Case) -> Iterator[Finding]:
    """No firmware of the loaded driver's version where the kernel looks for it."""
    loaded, nvidia = _loaded(case), case.host.nvidia
    if case.host.details is None or not loaded or nvidia is None or not nvidia.gpus or _kinds(case):
        return
    if not case.host.knows("/lib/firmware/nvidia") or nvidia.param("EnableGpuFirmware") == "0":
        return
    major = loaded.partition(".")[0]
    if not major.isdigit() or int(major) < _FIRST_WITH_FIRMWARE:
        return
    if any(each.version == loaded for each in case.details.system.firmware):
        return
    others = sorted({each.version for each in case.details.system.firmware})
    failed = any(event.kind == "init" for event in case.details.system.log or ())
    yield Finding(
        "firmware-missing", Severity.ERROR if failed else Severity.WARNING, f"/lib/firmware/nvidia/{loaded}",
        f"gsp_*.bin of version {loaded}", f"firmware of {', '.join(others)}" if others else "none",
        why="GPUs with a system processor do not start without it, nor with that of another version",
        hint=f"install nvidia-firmware (or nvidia-kernel-common) of version {loaded}; ls /lib/firmware/nvidia",
        evidence=(seen(_VERSION, loaded), *(seen(each.path, each.version) for each in case.details.system.firmware[:3])),
    )  # fmt: skip


def runsc_driver_unsupported(case: Case) -> Iterator[Finding]:
    """The installed runsc does not know the ABI of the loaded driver."""
    loaded = _loaded(case)
    for runtime in case.details.system.runtimes:
        if loaded and runtime.name == "runsc" and runtime.drivers and loaded not in runtime.drivers:
            yield Finding(
                "runsc-driver-unsupported", Severity.WARNING, runtime.path, f"a runsc that supports driver {loaded}",
                f"{len(runtime.drivers)} versions, up to {max(runtime.drivers, key=_numbers)}",
                why="runsc's nvproxy refuses a driver whose ABI it does not know",
                hint="install a newer runsc, or a driver of `runsc nvproxy list-supported-drivers`",
                evidence=(seen(_VERSION, loaded), seen(runtime.source, ", ".join(runtime.drivers[-5:]))),
            )  # fmt: skip


def _loaded(case: Case) -> str:
    return case.host.nvidia.version if case.host.nvidia is not None else ""


def _kinds(case: Case) -> set[str]:
    return {container.kind for container in case.details.system.containers}


def _same(library: Library, loaded: str) -> bool:
    return library.version == loaded


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]
