"""What has to be done to a host: facts in, actions out. Pure, and the same for a recording and for the running machine."""

from __future__ import annotations

from devproxy.check.doctor.identities import driver_is_loaded, module_is_loaded
from devproxy.jobs.setup.action import ModuleChange, NodeChange, Obstacle, Standing
from devproxy.jobs.setup.links import LINKS, link_changes
from devproxy.jobs.setup.rights import sane_mode
from devproxy.jobs.setup.targets import nvidia_targets
from devproxy.jobs.setup.tpu_targets import tpu_targets
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

    from devproxy.host.facts import Host, HostNode
    from devproxy.jobs.setup.action import Action
    from devproxy.jobs.setup.targets import Target

_NVIDIA: Final = 0x10DE
_DISPLAY: Final = 0x03
_DIRECTORY: Final = 0o755
# Directories that nvidia-modprobe makes; the others are the kernel's.
_OURS: Final = ("/dev/nvidia-caps", "/dev/nvidia-caps-imex-channels", LINKS)


class Prepared(Record):
    """What is to be done, in order, and what keeps the host from being ready all the same."""

    actions: tuple[Action, ...]
    obstacles: tuple[Obstacle, ...]


def prepare(host: Host, *, group: int | None = None) -> tuple[Action, ...]:
    """The actions that make a host ready, in order; none for one that is. `group` is given the nodes of TPUs."""
    return look(host, group=group).actions


def look(host: Host, *, group: int | None = None) -> Prepared:
    """The actions, and what cannot be done or could not be seen. Facts are those of a deep probe, or of `survey`."""
    nvidia, unmade = nvidia_targets(host)
    tpus, unusable = tpu_targets(host, group)
    obstacles: list[Obstacle] = [*_undriven(host), *unmade, *unusable]
    nodes: list[NodeChange] = []
    for target in (*nvidia, *tpus):
        change = _node_change(host, target)
        if isinstance(change, NodeChange):
            nodes.append(change)
        elif change is not None:
            obstacles.append(change)
    links = []
    for found in link_changes(host, nodes, frozenset(target.path for target in tpus)):
        if isinstance(found, Obstacle):
            obstacles.append(found)
        else:
            links.append(found)
    paths = [*(t.path for t in nvidia), *(n.path for n in nodes), *(link.path for link in links)]
    return Prepared((*_modules(host), *_directories(host, paths), *nodes, *links), tuple(obstacles))


def _modules(host: Host) -> Iterator[ModuleChange]:
    """nvidia-uvm where the driver is loaded without it: nothing else loads it, since no device stands behind it."""
    if not driver_is_loaded(host) or host.major_of("nvidia-uvm") is not None:
        return
    if host.knows_entry("/proc/devices", "nvidia-uvm") or module_is_loaded(host, "nvidia_uvm") is False:
        why = "the NVIDIA driver is loaded without it: nvidia-smi works, CUDA does not"
        yield ModuleChange("nvidia-uvm", "nvidia-uvm", load=True, reason=why, source="/proc/devices")


def _undriven(host: Host) -> Iterator[Obstacle]:
    """GPUs without any driver: which one they should have, nvidia or vfio-pci, is not for setup to say."""
    if not host.character:
        yield Obstacle("/proc/devices", "no driver's major could be read", "ls -l /proc/devices", unseen=True)
    loaded = driver_is_loaded(host) or module_is_loaded(host, "nvidia") is True
    for device in host.pci:
        if device.vendor == _NVIDIA and device.class_code >> 16 == _DISPLAY and not device.driver:
            hint = "dmesg | grep -i nvrm" if loaded else "modprobe nvidia; or, for a virtual machine, vfio-pci"
            yield Obstacle(
                device.address,
                "a GPU that no driver is bound to",
                hint,
                unseen=not host.knows(f"{device.source}/driver"),
            )


def _node_change(host: Host, target: Target) -> NodeChange | Obstacle | None:
    """nvidia-modprobe's three questions: is it there, is it the device, are mode and owner as they should be."""
    stray = next((each for each in host.strays if each.path == target.path), None)
    if stray is not None:
        why = f"{stray.kind} is in the place of a device node, and is not removed: somebody may want it"
        return Obstacle(target.path, why, f"mv {target.path} somewhere else, then 'devproxy setup' again")
    node = host.node(target.path)
    if node is None and not host.knows(target.path):
        return Obstacle(target.path, "whether it is there could not be seen", f"ls -l {target.path}", unseen=True)
    before = _standing(node) if node is not None else None
    if before == target.standing:
        return None
    if not target.make:
        return _not_ours(target, before)
    reason = target.reason
    if node is not None and not target.standing.same_device(before):
        reason += f": it is {node.number}, the device is {target.standing.number}{_held(host, target.path)}"
    return NodeChange(target.path, before, target.standing, reason, target.source)


def _not_ours(target: Target, before: Standing | None) -> Obstacle | None:
    """A node that the driver says nobody is to touch: somebody else makes it, with the mode and owner that he likes."""
    if target.standing.same_device(before) and before is not None and sane_mode(before.mode) == before.mode:
        return None
    what = "is missing" if before is None else f"is {before}, expected {target.standing}"
    hint = "udev or a script has to do it; grep -r NVreg_ModifyDeviceFiles /etc/modprobe.d"
    return Obstacle(target.path, f"{what}, and the driver says that nobody is to touch it ({target.source})", hint)


def _standing(node: HostNode) -> Standing:
    return Standing(node.kind.value, node.number, node.mode, node.uid, node.gid)


def _held(host: Host, path: str) -> str:
    """Who has the old device open, in words: they keep it until they open the node again."""
    holders = host.details.devices.holders if host.details is not None else None
    found = holders.of(path) if holders is not None else ()
    names = ", ".join(f"{each.name} (pid {each.pid})" for each in found[:4])
    return f"; open in {names}: there the old device stays" if names else ""


def _directories(host: Host, paths: Sequence[str]) -> Iterator[NodeChange]:
    """Directories that are missing, or that not everybody may enter."""
    if host.details is None:
        return
    known = {each.path: each for each in host.details.devices.directories}
    after = Standing("d", None, _DIRECTORY)
    for path in _OURS:
        used = any(each.rpartition("/")[0] == path for each in paths)
        found = known.get(path)
        if used and found is None and host.knows(path) and not _is_there(host, path):
            yield NodeChange(path, None, after, "nodes or links belong there", path)
        elif found is not None and path != LINKS and found.mode & _DIRECTORY != _DIRECTORY:
            before = Standing("d", None, found.mode, found.uid, found.gid)
            changed = before._replace(mode=found.mode | _DIRECTORY)
            yield NodeChange(path, before, changed, "what is in it is out of reach, whatever its own mode", path)


def _is_there(host: Host, path: str) -> bool:
    """Whether something is in a directory, which is then there whatever else is known of it."""
    links = host.details.devices.links if host.details is not None else None
    paths = [*(node.path for node in host.nodes), *(link.path for link in links or ())]
    return any(each.startswith(f"{path}/") for each in paths)
