"""The facts of a deep probe that two states are compared by, and when their absence means something.

What changes from one moment to the next (temperatures, memory in use, times) is not among them.
"""

from __future__ import annotations

from devproxy.host.difference import Fact
from devproxy.host.nvml_facts import NvmlState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from devproxy.host.details import Details


def _links(details: Details) -> Iterator[Fact]:
    for link in details.devices.links or ():
        yield Fact("link", link.path, (("target", link.target), ("state", "dangling" if link.dangling else "")))


def _modules(details: Details) -> Iterator[Fact]:
    for module in details.system.modules or ():
        yield Fact("module", module.name, (("version", module.version), ("state", module.state)))


def _nvml(details: Details) -> Iterator[Fact]:
    nvml = details.nvml
    if nvml.state is not NvmlState.UNASKED:
        errors = ", ".join(dict.fromkeys(f"{error.call}: {error.name}" for error in nvml.errors))
        yield Fact("NVML", "", (("state", nvml.state.value), ("driver", nvml.driver), ("errors", errors)))


def _nvml_gpus(details: Details) -> Iterator[Fact]:
    """What was set up and what broke; readings of the moment are none of it."""
    for gpu in details.nvml.gpus:
        health, flag = gpu.health, {None: "", True: "yes", False: "no"}
        limit = "" if health.power_limit is None else f"{health.power_limit:g} W"
        fields = (
            ("UUID", gpu.uuid or ""), ("minor", "" if gpu.minor is None else str(gpu.minor)), ("serial number", gpu.serial),
            ("MIG mode", flag[gpu.mig_mode]), ("MIG devices", ", ".join(f"{each.rank}: {each.profile or each.uuid}" for each in gpu.mig)),
            ("persistence", flag[health.persistence]), ("compute mode", health.compute_mode), ("power limit", limit),
            ("ECC", flag[health.bounds.ecc]), ("remapping pending", flag[health.remap_pending]),
            ("remapping failed", flag[health.remap_failed]), ("fabric", gpu.fabric),
        )  # fmt: skip
        yield Fact("NVML's GPU", gpu.address or str(gpu.rank), fields)


def _caller(details: Details) -> Iterator[Fact]:
    caller = details.system.caller
    if caller is not None:
        rights = (("user", f"{caller.uid}:{caller.gid}"), ("capabilities", ", ".join(caller.capabilities)))
        yield Fact("who probed", "", rights)


def _libraries(details: Details) -> Iterator[Fact]:
    for library in details.system.libraries:
        yield Fact("library", library.path, (("version", library.version),), library.path)


def _firmware(details: Details) -> Iterator[Fact]:
    for firmware in details.system.firmware:
        yield Fact("firmware", firmware.path, (("version", firmware.version),), firmware.path)


def _sockets(details: Details) -> Iterator[Fact]:
    for socket in details.system.sockets or ():
        state = "unknown" if socket.listening is None else "listening" if socket.listening else "dead"
        yield Fact("service", f"{socket.service} {socket.path}", (("state", state),))


def _runtimes(details: Details) -> Iterator[Fact]:
    for runtime in details.system.runtimes:
        yield Fact(
            "runtime", f"{runtime.name} {runtime.path}".strip(), (("version", runtime.version), *runtime.settings)
        )


def _cdi(details: Details) -> Iterator[Fact]:
    for spec in details.system.cdi:
        # The text itself is pages long: what differs in it is for whoever compares the files.
        text = f"{len(spec.text)} characters ({_digest(spec.text)})" if spec.text else spec.why
        fields = (("contents", text), ("mode", f"{spec.mode:04o}"), ("owner", f"{spec.uid}:{spec.gid}"))
        yield Fact("CDI spec", spec.path, fields, spec.path)


def _selinux(details: Details) -> Iterator[Fact]:
    if details.system.selinux is not None:
        yield Fact("SELinux", "", (("mode", "enforcing" if details.system.selinux.enforcing else "permissive"),))


def _cgroups(details: Details) -> Iterator[Fact]:
    if details.system.cgroups is not None:
        yield Fact(
            "control groups", "", (("mode", details.system.cgroups.mode), ("manager", details.system.cgroups.manager))
        )


def _numa(details: Details) -> Iterator[Fact]:
    for node in details.devices.numa:
        memory = "" if node.memory is None else str(node.memory)
        yield Fact("NUMA node", str(node.number), (("CPUs", node.cpus), ("memory", memory)), node.source)


def _lock(details: Details) -> Iterator[Fact]:
    lock = details.devices.tpu_lock
    if lock is not None:
        held = "unknown" if lock.held is None else "yes" if lock.held else "no"
        yield Fact("lock file", lock.path, (("owner", str(lock.uid)), ("held", held)))


def _holders(details: Details) -> Iterator[Fact]:
    """A process is its number and when it started: numbers come again."""
    for holder in details.devices.holders.holders if details.devices.holders is not None else ():
        yield Fact("holder", f"{holder.pid}@{holder.started}", (("name", holder.name), ("of", ", ".join(holder.paths))))


def _shared_memory(details: Details) -> Iterator[Fact]:
    """What outlives its makers; how large it is at the moment, and who uses it, is none of it."""
    memory = details.system.shared_memory
    if memory is None:
        return
    for entry in memory.entries:
        yield Fact(
            "shared memory", entry.path, (("kind", entry.kind), ("owner", str(entry.uid)), ("inode", str(entry.inode)))
        )
    for segment in memory.segments or ():
        subject = f"shmid {segment.ident}"
        yield Fact("shared memory", subject, (("owner", str(segment.uid)), ("creator", str(segment.creator))))
    for each in memory.mps:
        daemon = str(each.daemon) if each.alive and each.daemon is not None else ""
        yield Fact("shared memory", f"MPS {each.role} {each.path}", (("owner", str(each.uid)), ("daemon", daemon)))


def _sees_shared_memory(details: Details) -> bool:
    memory = details.system.shared_memory
    return memory is not None and memory.segments is not None and not (memory.left_out or memory.segments_left_out)


def _digest(text: str) -> str:
    from zlib import crc32

    return f"{crc32(text.encode('utf-8', 'surrogatepass')):08x}"


# By kind: whether the absence of one means that there is none, and the facts.
DETAILS: Final[dict[str, tuple[Callable[[Details], bool], Callable[[Details], Iterator[Fact]]]]] = {
    "link": (lambda details: details.devices.links is not None, _links),
    "module": (lambda details: details.system.modules is not None, _modules),
    "NVML": (lambda details: details.nvml.state is not NvmlState.UNASKED, _nvml),
    "NVML's GPU": (lambda details: details.nvml.state is NvmlState.ANSWERED, _nvml_gpus),
    "who probed": (lambda details: details.system.caller is not None, _caller),
    "library": (lambda _: True, _libraries),
    "firmware": (lambda _: True, _firmware),
    "service": (lambda details: details.system.sockets is not None, _sockets),
    "runtime": (lambda _: True, _runtimes),
    "CDI spec": (lambda _: True, _cdi),
    "SELinux": (lambda _: True, _selinux),
    "control groups": (lambda details: details.system.cgroups is not None, _cgroups),
    "NUMA node": (lambda _: True, _numa),
    "lock file": (lambda _: True, _lock),
    "holder": (lambda details: details.devices.holders is not None and details.devices.holders.complete, _holders),
    "shared memory": (_sees_shared_memory, _shared_memory),
}
