"""The device nodes of TPUs. The kernel makes them (devtmpfs), and sysfs tells the number of each; whose they are, an administrator
says: `group`. Without one they keep mode and owner.
"""

from __future__ import annotations

from devproxy.host.device_class import number_in
from devproxy.host.tpu import chip_functions
from devproxy.host.vfio import VFIO_DRIVER, group_of, group_path
from devproxy.jobs.setup.action import Obstacle, Standing
from devproxy.jobs.setup.rights import sane_mode
from devproxy.jobs.setup.targets import Target
from devproxy.node import DeviceNumber

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.facts import Host, HostNode, PciDevice

VFIO_CLASS: Final = "/sys/class/vfio"
_CONTROL: Final = "/dev/vfio/vfio"
_CONTROL_MODE: Final = 0o666
_MISC: Final = 10
_GROUP_MODE: Final = 0o660
# What devtmpfs gives a node whose driver says nothing (Documentation: drivers/base/devtmpfs.c).
_KERNELS_MODE: Final = 0o600


def tpu_targets(host: Host, group: int | None) -> tuple[tuple[Target, ...], tuple[Obstacle, ...]]:
    """The nodes of the chips that a driver holds, and the control node of vfio where a chip is used through it."""
    numbers = dict(_numbers(host))
    targets: list[Target] = []
    obstacles: list[Obstacle] = []
    for device in chip_functions(host.pci):
        found = _of_vfio(host, device) if device.driver == VFIO_DRIVER else _of_accel(host, device)
        if isinstance(found, str):
            judged = _judge(host, device, found, numbers.get(found), group)
            (targets if isinstance(judged, Target) else obstacles).append(judged)  # type: ignore[arg-type]
        elif found is not None:
            obstacles.append(found)
    if any(target.path.startswith("/dev/vfio/") for target in targets):
        targets += _control(host)
    return tuple(targets), tuple(obstacles)


def _judge(
    host: Host, device: PciDevice, path: str, number: DeviceNumber | None, group: int | None
) -> Target | Obstacle:
    node = host.node(path)
    if number is None and (node is None or not _is_vfios(host, node)):
        found = (
            "has no node" if node is None else f"has {path} as {node.kind.value} {node.number}, which is none of vfio's"
        )
        hint = f"cat {VFIO_CLASS}/*/dev; ls -l {path}"
        return Obstacle(
            path, f"TPU {device.address} {found}, and which number it should have was not seen", hint, unseen=True
        )
    mode, uid, gid = (node.mode, node.uid, node.gid) if node is not None else (_KERNELS_MODE, 0, 0)
    if group is not None:
        mode, uid, gid = _GROUP_MODE, 0, group
    standing = Standing("c", number or (node.number if node is not None else None), sane_mode(mode), uid, gid)
    return Target(path, standing, f"TPU {device.address}", device.source)


def _is_vfios(host: Host, node: HostNode) -> bool:
    """Whether a node can be a group's, as far as the number tells without sysfs: its major is the driver's."""
    return node.kind.value == "c" and node.number.major == host.major_of("vfio")


def _of_vfio(host: Host, device: PciDevice) -> str | Obstacle | None:
    """The node of a group that holds TPUs alone."""
    group = group_of(host.iommu_groups, device.address)
    if group is None:
        return Obstacle(device.address, "its IOMMU group is not known", "devproxy doctor", unseen=True)
    chips = {chip.address for chip in chip_functions(host.pci)}
    others = [address for address in group.members if address not in chips]
    if others:
        why = (
            f"IOMMU group {group.number} has other devices too, which would be handed out with it: {', '.join(others)}"
        )
        return Obstacle(group_path(group.number), why, "devproxy doctor --explain iommu-group-shared")
    return group_path(group.number)


def _of_accel(host: Host, device: PciDevice) -> str | Obstacle | None:
    """/dev/accelN of a function whose driver has made one of that class."""
    for entry in host.sysfs:
        name = entry.path.removeprefix(f"{device.source}/accel/").partition("/")[0]
        if entry.path.startswith(f"{device.source}/accel/") and number_in(name, "accel") is not None:
            return f"/dev/{name}"
    if not device.driver:
        hint = f"lspci -ks {device.address}; devproxy doctor --explain driver-not-loaded"
        return Obstacle(device.address, "a TPU that no driver is bound to", hint)
    return Obstacle(device.address, f"its driver {device.driver} makes no /dev/accelN", "dmesg | grep -i accel")


def _numbers(host: Host) -> Iterator[tuple[str, DeviceNumber]]:
    """What sysfs says of numbers, by node: .../accel/accel0/dev, /sys/class/vfio/0/dev."""
    for entry in host.sysfs:
        directory, _, last = entry.path.rpartition("/")
        name = directory.rpartition("/")[2]
        if last != "dev":
            continue
        major, colon, minor = entry.text.strip().partition(":")
        if not (colon and all(each.isascii() and each.isdigit() and len(each) < 8 for each in (major, minor))):
            continue
        if directory == f"{VFIO_CLASS}/{name}" and name.isdigit():
            yield f"/dev/vfio/{name}", DeviceNumber(int(major), int(minor))
        elif number_in(name, "accel") is not None:
            yield f"/dev/{name}", DeviceNumber(int(major), int(minor))


def _control(host: Host) -> Iterator[Target]:
    """/dev/vfio/vfio gives access to nothing by itself (Documentation/driver-api/vfio.rst): the kernel makes it 0666."""
    node = host.node(_CONTROL)
    number = next((DeviceNumber(_MISC, line.minor) for line in host.misc if line.name == "vfio"), None)
    if number is None and node is not None and node.kind.value == "c":
        number = node.number
    if number is not None:
        uid, gid = (node.uid, node.gid) if node is not None else (0, 0)
        yield Target(
            _CONTROL, Standing("c", number, _CONTROL_MODE, uid, gid), "TPUs are used through vfio", "/proc/misc"
        )
