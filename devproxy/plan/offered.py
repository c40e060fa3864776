"""The accelerators that a host has to offer, as nodes with their numbers: what a new bundle lists (H30)."""

from __future__ import annotations

from devproxy.host.facts import Accelerator, Host
from devproxy.node import DeviceNumber, NodeKind, OfDriver
from devproxy.oci.configuration import Configuration
from devproxy.oci.nvidia_env import VisibleDevices
from devproxy.oci.spec import Device
from devproxy.plan.nvidia_docker import docker_nodes
from devproxy.plan.steps import Level, MakeNode, Skip
from devproxy.record import Record

_MODE = 0o666
_VFIO_CONTAINER = "/dev/vfio/vfio"


class Offered(Record):
    """Devices for `linux.devices`, in the order of a host's tools, and what was left out, in sentences."""

    devices: tuple[Device, ...]
    left_out: tuple[str, ...]


def offered(host: Host, gpus: VisibleDevices | None, config: Configuration) -> Offered:
    """The NVIDIA GPUs that `gpus` asks for, with the nodes of their driver, and all other accelerators. What may belong to
    somebody else is left alone: a vfio group that is no TPU, a render node of nobody knows what.

    Errors: InputError for an id that names nothing on this host.
    """
    left_out: list[str] = []
    devices: list[Device] = []
    # All of none is no mistake: the host may have something else.
    if gpus is not None and not (gpus.all and host.nvidia is None):
        devices += _of_nvidia(host, gpus, config, left_out)
    paths = [path for chip in host.tpus for path in chip.nodes]
    if any(path.startswith("/dev/vfio/") for path in paths):
        paths.append(_VFIO_CONTAINER)
    paths += [each.path for each in host.accelerators if each.subsystem == "kfd" or _is_known(each)]
    left_out += [f"TPU {chip.rank} at {chip.address}: {chip.problem}" for chip in host.tpus if not chip.nodes]
    for path in dict.fromkeys(paths):
        node = host.node(path)
        if node is None:
            left_out.append(f"{path}: the host has no such node")
        else:
            devices.append(_device(path, node.number, _MODE))
    return Offered(tuple(devices), tuple(left_out))


def _is_known(accelerator: Accelerator) -> bool:
    return accelerator.subsystem != "vfio" and bool(accelerator.addresses)


def _of_nvidia(host: Host, gpus: VisibleDevices, config: Configuration, left_out: list[str]) -> list[Device]:
    """Those that docker mode would make, with the majors that their drivers have now."""
    devices = []
    for step in docker_nodes(gpus, None, host, config):
        if isinstance(step, Skip) and step.level is Level.WARNING:
            left_out.append(f"{step.what}: {step.reason.note}")
        if isinstance(step, MakeNode) and isinstance(step.identity, OfDriver):
            major = host.major_of(step.identity.driver)
            if major is None:
                left_out.append(
                    f"{step.path}: {step.identity.driver} is not in /proc/devices, its module is not loaded"
                )
            else:
                devices.append(_device(step.path, DeviceNumber(major, step.identity.minor), step.mode))
    return devices


def _device(path: str, number: DeviceNumber, mode: int) -> Device:
    return Device(path, NodeKind.CHARACTER, number, mode, 0, 0, "")
