"""Where we are: inside a container, in WSL, under SELinux."""

from __future__ import annotations

from devproxy.check.doctor.case import Case, seen, unknown
from devproxy.check.finding import Finding, Severity
from devproxy.host.blindness import empty_places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

# The boolean of container-selinux that lets containers use nodes with a label (container_selinux(8)); the first lets all.
_ALL: Final = "container_use_devices"
_LABELS: Final = {
    "xserver_misc_device_t": "container_use_xserver_devices",
    "dri_device_t": "container_use_dri_devices",
    "device_t": _ALL,
    "vfio_device_t": _ALL,
    "hsa_device_t": _ALL,
    "infiniband_device_t": _ALL,
}
_NAMED: Final = 4
# What tells whether there are accelerators at all.
_TELLING: Final = ("/sys/bus/pci/devices", "/proc/devices", "/proc/driver/nvidia/gpus", "/dev")


def accelerators_unseen(case: Case) -> Iterator[Finding]:
    """Nothing was found where nothing could be looked for."""
    if case.host.coverage is not None:
        return
    unseen = {each.path: each.why for each in (*case.host.unseen, *empty_places(case.host))}
    for place in _TELLING:
        above = next((path for path in unseen if place == path or place.startswith(f"{path}/")), None)
        if above is not None:
            finding = unknown("accelerators-unseen", above, unseen[above])
            yield finding._replace(
                hint=f"ls -la {above}; then run it on the host, as a user who may read that",
                evidence=(seen(above, unseen[above]),),
            )


def inside_container(case: Case) -> Iterator[Finding]:
    """What was probed is the inside of a container: it shows what that was given, not what the machine has."""
    found = [each for each in case.details.system.containers if each.kind != "wsl"]
    if found:
        kinds = ", ".join(dict.fromkeys(each.kind for each in found))
        yield Finding(
            "inside-container", Severity.WARNING, found[0].source, "the host itself", f"inside a container ({kinds})",
            why="sysfs and /proc show the machine, /dev what the container was given: they need not agree",
            hint="run it on the host, or bind the host's /dev and /run into the container",
            evidence=tuple(seen(each.source, each.sign) for each in found),
        )  # fmt: skip


def wsl(case: Case) -> Iterator[Finding]:
    """Windows Subsystem for Linux: one node for every GPU, and libraries that Windows brings."""
    found = [each for each in case.details.system.containers if each.kind == "wsl"]
    if found:
        node = "/dev/dxg is there" if case.host.node("/dev/dxg") is not None else "/dev/dxg was not seen"
        yield Finding(
            "wsl", Severity.INFO, "/dev/dxg", "a Linux host", f"WSL2: {node}",
            why="there are no /dev/nvidia* here: all GPUs are behind /dev/dxg, and CDI has one device, `all`",
            hint="nvidia-ctk cdi generate --mode=wsl; the driver is the one of Windows: install none in here",
            evidence=tuple(seen(each.source, each.sign) for each in found),
        )  # fmt: skip


def selinux_denies_device(case: Case) -> Iterator[Finding]:
    """SELinux enforces, and no boolean lets containers use nodes of this label."""
    selinux = case.details.system.selinux
    if selinux is None or not selinux.enforcing:
        return
    booleans = dict(selinux.booleans)
    if booleans.get(_ALL):
        return
    denied: dict[str, list[str]] = {}
    for path, label in selinux.labels:
        parts = label.split(":")
        kind = parts[2] if len(parts) > 2 else ""
        if kind in _LABELS and not booleans.get(_LABELS[kind]):
            denied.setdefault(kind, []).append(path)
    for kind, paths in denied.items():
        more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
        state = "off" if _LABELS[kind] in booleans else "not in this policy"
        yield Finding(
            "selinux-denies-device", Severity.ERROR, paths[0], "a rule that lets containers use the device",
            f"labelled {kind}: {', '.join(paths[:_NAMED])}{more}",
            why="programs in containers (container_t) get EACCES; NVML says Insufficient Permissions",
            hint=f"setsebool -P {_LABELS[kind]} on (or {_ALL}); or --security-opt label=disable for one container",
            evidence=(
                seen(f"{selinux.source}/enforce", "1"), seen("facts/selinux_labels.json", kind),
                seen(f"{selinux.source}/booleans/{_LABELS[kind]}", state),
            ),
        )  # fmt: skip
