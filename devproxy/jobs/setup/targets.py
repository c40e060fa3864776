"""The device nodes that a host should have: which device each is, with what mode and owner, and who says so."""

from __future__ import annotations

from devproxy.check.doctor.identities import driver_is_loaded, identity_of, wanted_nodes
from devproxy.host.accelerator_nodes import accelerator_nodes
from devproxy.jobs.setup.action import Obstacle, Standing
from devproxy.jobs.setup.rights import PARAMS, Rights, rights_of, sane_mode
from devproxy.node import DeviceNumber, OfDriver
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.facts import Host

_UVM: Final = "nvidia-uvm"
_CHANNELS: Final = "nvidia-caps-imex-channels"
_MODPROBE_CONF: Final = (
    "write 'options nvidia NVreg_DeviceFileMode=0666' into /etc/modprobe.d, and load the driver anew"
)


class Target(Record):
    """A node as it should stand. Without `make` it is to be repaired where it is there, and not made where it is missing."""

    path: str
    standing: Standing
    reason: str
    source: str
    make: bool = True


def nvidia_targets(host: Host) -> tuple[tuple[Target, ...], tuple[Obstacle, ...]]:
    """NVIDIA's nodes, wanted ones first, then others that are there; and what keeps some of them from being judged."""
    targets: dict[str, Target] = {}
    obstacles: dict[str, Obstacle] = {}
    for path, device, reason, source in (*_wanted(host), *_present(host)):
        if path in targets or path in obstacles:
            continue
        found = _target(host, path, device, reason, source)
        if isinstance(found, Target):
            targets[path] = found
        else:
            obstacles[path] = found
    return tuple(targets.values()), (*obstacles.values(), *_wrong_files(host, tuple(targets)))


def _target(host: Host, path: str, device: OfDriver, reason: str, source: str) -> Target | Obstacle:
    node = host.node(path)
    number = _number(host, device)
    if number is None:
        unseen = not host.knows_entry("/proc/devices", device.driver)
        why = f"/proc/devices has no major for {device.driver}, which its node needs"
        return Obstacle(path, why, "grep nvidia /proc/devices; dmesg | grep -i nvrm", unseen=unseen)
    rights = rights_of(host, device.driver, device.minor)
    if rights is None and node is None:
        return Obstacle(
            path, f"{PARAMS} could not be read: the mode and owner are not known", f"cat {PARAMS}", unseen=True
        )
    if rights is None:
        assert node is not None
        return Target(path, Standing("c", number, sane_mode(node.mode), node.uid, node.gid), reason, source)
    standing = Standing("c", number, rights.mode, rights.uid, rights.gid)
    return Target(path, standing, reason, source, make=rights.modify)


def _number(host: Host, device: OfDriver) -> DeviceNumber | OfDriver | None:
    """A device's number now; the device itself where its driver is about to be loaded."""
    major = host.major_of(device.driver)
    if major is not None:
        return DeviceNumber(major, device.minor)
    return device if device.driver == _UVM and driver_is_loaded(host) else None


Wish = tuple[str, OfDriver, str, str]
"""Path, device, reason, source."""


def _wanted(host: Host) -> Iterator[Wish]:
    """What the driver has devices for: what the doctor misses, and what jobs of other kinds need."""
    if not driver_is_loaded(host):
        return
    for wanted in wanted_nodes(host):
        yield wanted.path, wanted.device, wanted.why, wanted.source
    if host.major_of(_UVM) is None:
        for minor, path in enumerate(("/dev/nvidia-uvm", "/dev/nvidia-uvm-tools")):
            yield path, OfDriver(_UVM, minor), "CUDA needs nvidia-uvm", "/proc/devices"
    yield from _parts(host)
    nvidia = host.nvidia
    for capability in nvidia.capabilities if nvidia is not None else ():
        # One that only the list of all possible ones names does not exist.
        if capability.source.endswith(capability.name) and host.major_of("nvidia-caps") is not None:
            yield (
                capability.node,
                OfDriver("nvidia-caps", capability.minor),
                f"capability {capability.name}",
                capability.source,
            )
    if nvidia is not None and host.major_of(_CHANNELS) is not None and nvidia.param("CreateImexChannel0") == "1":
        yield f"/dev/{_CHANNELS}/channel0", OfDriver(_CHANNELS, 0), "CreateImexChannel0 is 1", PARAMS


def _parts(host: Host) -> Iterator[Wish]:
    """The nodes of the driver's parts that do not follow from a GPU."""
    if any(line.name == "nvidia-modeset" for line in host.character):
        yield "/dev/nvidia-modeset", OfDriver("nvidia", 254), "nvidia-modeset is loaded", "/proc/devices"
    switches = host.nvidia.switches if host.nvidia is not None else ()
    if switches and host.major_of("nvidia-nvswitch") is not None:
        source = "/proc/driver/nvidia-nvswitch/devices"
        yield "/dev/nvidia-nvswitchctl", OfDriver("nvidia-nvswitch", 255), "there are NVSwitches", source
    if switches and host.major_of("nvidia-nvlink") is not None:
        yield "/dev/nvidia-nvlink", OfDriver("nvidia-nvlink", 0), "the fabric manager needs it", "/proc/devices"


def _present(host: Host) -> Iterator[Wish]:
    """What is there beyond that: a node whose number or mode is wrong is wrong whether anybody asks for it or not."""
    nodes = (*accelerator_nodes(host.nodes), *(each for each in host.nodes if each.kind.value == "b"))
    for node in nodes:
        device = identity_of(node.path)
        if device is not None and host.major_of(device.driver) is not None:
            yield node.path, device, f"the name says {device}", "/proc/devices"
    for stray in host.strays:
        device = identity_of(stray.path)
        if device is not None and host.major_of(device.driver) is not None:
            yield stray.path, device, f"the name says {device}", "/proc/devices"


def _wrong_files(host: Host, paths: tuple[str, ...]) -> Iterator[Obstacle]:
    """A driver's file that says something that cannot be meant: nvidia-modprobe will go by it again."""
    told: set[str] = set()
    for path in paths:
        device = identity_of(path)
        rights: Rights | None = rights_of(host, device.driver, device.minor) if device is not None else None
        if rights is not None and rights.problem and rights.source not in told:
            told.add(rights.source)
            why = f"{rights.problem}; nvidia-modprobe, which NVIDIA's libraries call, gives nodes that mode and owner again"
            yield Obstacle(rights.source, why, _MODPROBE_CONF)
