"""Services around the devices, and what a process may have of the machine: sockets, locked memory, shared memory."""

from __future__ import annotations

from devproxy.check.doctor.case import Case, seen, unknown
from devproxy.check.finding import Evidence, Finding, Severity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.system_facts import ServiceSocket

_SMALL: Final = 64 << 20
_MIB: Final = 1 << 20
_SHM: Final = "/dev/shm"
_SUFFICES: Final = 64 << 20


def persistenced_socket_dead(case: Case) -> Iterator[Finding]:
    """The socket's path is there and nobody listens: runtimes mount it and fail, or the GPU starts anew for each program."""
    for socket in _sockets(case, "nvidia-persistenced"):
        if socket.listening is False:
            yield Finding(
                "persistenced-socket-dead", Severity.WARNING, socket.path, "nvidia-persistenced to listen", "nobody does",
                why="container runtimes mount the socket where its path exists",
                hint="systemctl restart nvidia-persistenced", evidence=(seen(socket.source, socket.why),),
            )  # fmt: skip


def fabric_manager_missing(case: Case) -> Iterator[Finding]:
    """NVSwitches without a fabric manager: CUDA says 802, system not yet initialized."""
    switches = case.host.nvidia.switches if case.host.nvidia is not None else ()
    if not switches or case.host.details is None or case.details.system.containers:
        return
    if case.details.system.sockets is None:
        yield unknown("fabric-manager-missing", "/run/nvidia-fabricmanager/socket", "the services were not looked for")
        return
    sockets = _sockets(case, "nvidia-fabricmanager")
    evidence: tuple[Evidence, ...] = tuple(seen("/sys/bus/pci/devices", f"NVSwitch {each}") for each in switches[:2])
    if not sockets:
        found = "no socket of a fabric manager"
    elif sockets[0].listening is None:
        yield unknown("fabric-manager-missing", sockets[0].path, f"connecting failed: {sockets[0].why}")
        return
    elif sockets[0].listening:
        return
    else:
        found = "nobody listens at its socket"
        evidence += (seen(sockets[0].source, sockets[0].why),)
    yield Finding(
        "fabric-manager-missing", Severity.ERROR, "nvidia-fabricmanager", "a running fabric manager", found,
        why="GPUs joined by NVSwitches are not initialised before it has set the fabric up (CUDA error 802)",
        hint="systemctl enable --now nvidia-fabricmanager; journalctl -u nvidia-fabricmanager", evidence=evidence,
    )  # fmt: skip


def memlock_too_low(case: Case) -> Iterator[Finding]:
    """RLIMIT_MEMLOCK below what accelerators lock: vfio and XDNA all memory of a process, RDMA its buffers."""
    limit = next((each for each in case.host.limits if each.name == "RLIMIT_MEMLOCK"), None)
    caller = case.details.system.caller
    needs = _locking(case)
    if limit is None or limit.soft is None or limit.soft >= _SUFFICES or not needs:
        return
    if caller is not None and "CAP_IPC_LOCK" in caller.capabilities and not caller.user_namespace:
        return
    evidence = (seen(limit.source, f"RLIMIT_MEMLOCK {limit.soft}"),)
    yield Finding(
        "memlock-too-low", Severity.WARNING, "RLIMIT_MEMLOCK", "unlimited", f"{limit.soft // 1024} KiB",
        why=f"{needs} locks memory in place, more than this",
        hint="docker run --ulimit memlock=-1; on the host: `* - memlock unlimited` in /etc/security/limits.conf",
        evidence=evidence,
    )  # fmt: skip


def shm_too_small(case: Case) -> Iterator[Finding]:
    """/dev/shm as small as engines make it, with more than one GPU: NCCL and data loaders run out of it."""
    gpus = len(case.host.nvidia.gpus) if case.host.nvidia is not None else 0
    if gpus < 2:
        return
    for each in case.details.system.file_systems or ():
        if each.path == _SHM and each.size <= _SMALL:
            yield Finding(
                "shm-too-small", Severity.WARNING, _SHM, "more than 64 MiB", f"{each.size // _MIB} MiB",
                why=f"{gpus} GPUs share memory through it: NCCL says `No space left on device`, or a bus error ends it",
                hint="docker run --shm-size=8g, or --ipc=host; on the host: mount -o remount,size=50% /dev/shm",
                evidence=(seen(each.source, f"{each.size} bytes, {each.free} free"),),
            )  # fmt: skip


def _sockets(case: Case, service: str) -> list[ServiceSocket]:
    return [socket for socket in case.details.system.sockets or () if socket.service == service]


def _locking(case: Case) -> str:
    """What on this machine locks memory, or nothing."""
    if any(node.startswith("/dev/vfio/") for chip in case.host.tpus for node in chip.nodes):
        return "a TPU behind vfio"
    if any(device.driver == "amdxdna" for device in case.host.pci):
        return "an AMD XDNA accelerator"
    if case.host.nvidia is not None and any(node.path.startswith("/dev/infiniband/uverbs") for node in case.host.nodes):
        return "RDMA to and from GPUs"
    return ""
