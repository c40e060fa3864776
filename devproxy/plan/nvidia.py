"""NVIDIA devices of a spec: recognised by their paths, then by their majors (S72, H11)."""

from __future__ import annotations

from devproxy.host.facts import Host
from devproxy.node import Identity, NodeKind, OfDriver
from devproxy.oci.spec import Device, Spec
from devproxy.plan.steps import Level, Reason, Skip, Step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Which driver is behind a path; a trailing number is left out. The minor is the spec's own: a GPU may be renamed.
_PATHS = {
    "/dev/nvidiactl": "nvidia",
    "/dev/nvidia-modeset": "nvidia",
    "/dev/nvidia-uvm": "nvidia-uvm",
    "/dev/nvidia-uvm-tools": "nvidia-uvm",
    "/dev/nvidia-nvswitchctl": "nvidia-nvswitch",
    "/dev/nvidia-nvlink": "nvidia-nvlink",
    "/dev/nvidia-vgpuctl": "nvidia-vgpu-vfio",
    "/dev/gdrdrv": "gdrdrv",
}
_NUMBERED_PATHS = {
    "/dev/nvidia": "nvidia",
    "/dev/nvidia-caps/nvidia-cap": "nvidia-caps",
    "/dev/nvidia-caps-imex-channels/channel": "nvidia-caps-imex-channels",
    "/dev/nvidia-nvswitch": "nvidia-nvswitch",
    "/dev/nvidia-vgpu": "nvidia-vgpu-vfio",
    "/dev/nvidia-fs": "nvidia-fs",
}
# Names in /proc/devices that are other names of `nvidia` (Host.major_of knows the first one too).
_ALIASES = {"nvidia-frontend": "nvidia", "nvidiactl": "nvidia", "nvidia-modeset": "nvidia"}
_DRIVERS = {*_PATHS.values(), *_NUMBERED_PATHS.values(), *_ALIASES}
# What all of the paths begin with: few devices do, and the others are told apart at once.
_BEGINNINGS = ("/dev/nvidia", "/dev/gdrdrv")


class NvidiaDrivers:
    """Tells which devices of a spec are NVIDIA's, by a table of paths, then by the host's majors."""

    def __init__(self, host: Host) -> None:
        # Of several names of one major the first one counts, as in Host.driver_of.
        names = {line.major: line.name for line in reversed(host.character)}
        self._by_major = {major: _ALIASES.get(name, name) for major, name in names.items() if name in _DRIVERS}

    def driver_of(self, device: Device) -> str | None:
        """The driver behind a device of the spec, or None if it is not one of NVIDIA's."""
        path, kind, number = device.path, device.kind, device.number
        if kind is not NodeKind.CHARACTER or number is None:
            return None
        driver = None
        if path.startswith(_BEGINNINGS):
            driver = _PATHS.get(path)
            base = path.rstrip("0123456789")
            if driver is None and base != path:
                driver = _NUMBERED_PATHS.get(base)
        return self._by_major.get(number.major) if driver is None else driver

    def are_in(self, spec: Spec) -> bool:
        """Whether linux.devices lists one of NVIDIA's."""
        return any(self.driver_of(device) is not None for device in self._candidates(spec.devices or ()))

    def are_none_of(self, paths: Iterable[str]) -> bool:
        """Whether it is sure that no device at these paths is NVIDIA's."""
        together = "\n".join(paths)
        return not self._by_major and not any(beginning in together for beginning in _BEGINNINGS)

    def _candidates(self, devices: Sequence[Device]) -> Sequence[Device]:
        """The devices that may be NVIDIA's: without a driver of theirs on the host, by their paths alone."""
        return devices if self._by_major else [device for device in devices if device.path.startswith(_BEGINNINGS)]

    def identity_of(self, device: Device) -> Identity | None:
        """Who decides the number of a device of the spec; None if the spec itself does."""
        driver = self.driver_of(device)
        if driver is None or device.number is None:
            return None
        return OfDriver(driver, device.number.minor)


def version_remarks(host: Host) -> list[Step]:
    """A warning where a driver is loaded whose version nobody can tell (S78): what is made may not fit its libraries."""
    if host.major_of("nvidia") is None or (host.nvidia is not None and host.nvidia.version):
        return []
    note = "the driver is loaded, its version cannot be read: libraries in the container cannot be matched with it"
    reason = Reason("host: /proc/driver/nvidia/version", note)
    return [Skip("/", "the NVIDIA driver's version", Level.WARNING, reason)]
