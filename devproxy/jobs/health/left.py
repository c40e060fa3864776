"""What a job left behind: processes that hold devices, shared memory, the Multi-Process Service.

What was there before the job is not its leaving. Of what is new, that counts which is the lease's user's and, as far as processes tell,
of that very lease: what says that it is another lease's is another job's.
"""

from __future__ import annotations

from shlex import quote

from devproxy.check.doctor.case import seen, unknown
from devproxy.check.finding import Finding, Severity
from devproxy.jobs.health.case import JobCase, JobCheck, is_of, units
from devproxy.jobs.health.since import is_rebooted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.device_facts import Holder
    from devproxy.host.shared_memory_facts import SharedEntry, SharedMemory, SharedSegment

_MEBIBYTE: Final = 1 << 20
# Clock ticks a second in /proc (USER_HZ), the same on every Linux that has accelerators.
_TICKS: Final = 100
_SHM: Final = "/dev/shm"  # noqa: S108
# Nodes that every program opens, whichever GPU it uses: who has only these holds none.
_COMMON: Final = ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/vfio/vfio", "/dev/nvidia-modeset")


def holder_left_behind(case: JobCase) -> Iterator[Finding]:
    """A process that holds a device and did not before; without a before, one that says itself that it is the lease's."""
    if case.before is None and not case.ident:
        return
    holders = case.now.devices.holders
    if holders is None or not holders.complete:
        if units(case.host):
            yield unknown("holder-left-behind", "/proc", holders.why if holders else "nobody looked for holders")
        if holders is None:
            return
    then = case.then.devices.holders
    known = {(each.pid, each.started) for each in then.holders} if then is not None and not is_rebooted(case) else set()
    for holder in holders.holders:
        held = _held(case, holder)
        if not held or (holder.pid, holder.started) in known or not _may_be_left(case, holder):
            continue
        if _was_there_unseen(case, holder):
            why = f"{holder.name} holds {', '.join(held)} and is older than the recording of before, which did not see every process"
            yield unknown("holder-left-behind", f"pid {holder.pid}", why)
        else:
            yield _left(case, holder, held)


def _was_there_unseen(case: JobCase, holder: Holder) -> bool:
    """Whether a process was there before, when not everybody who held something was seen. One of the lease's was not."""
    then, clock = case.then.devices.holders, case.then.system.clock
    if case.before is None or (case.ident and holder.lease == case.ident) or is_rebooted(case):
        return False
    seen_all = then is not None and then.complete
    return not seen_all and (clock is None or holder.started < clock.boottime * _TICKS)


def _may_be_left(case: JobCase, holder: Holder) -> bool:
    """Whether a process may be the job's: it says so, or it was not there before and does not say that it is of another lease."""
    if case.before is None:
        return holder.lease == case.ident
    return not (case.ident and holder.lease and holder.lease != case.ident)


def _held(case: JobCase, holder: Holder) -> tuple[str, ...]:
    """The devices' nodes that a process holds, of those in question."""
    nodes = {node for unit in units(case.host) if is_of(unit, case.devices) for node in unit.nodes}
    mine = tuple(path for path in holder.paths if path in nodes)
    if mine or case.devices is not None:
        return mine
    return tuple(path for path in holder.paths if path not in _COMMON)


def _left(case: JobCase, holder: Holder, held: tuple[str, ...]) -> Finding:
    proven = bool(case.ident) and holder.lease == case.ident
    why = "the job's lease is in its environment" if proven else "it did not hold them before the job"
    return Finding(
        "holder-left-behind", Severity.ERROR, f"pid {holder.pid}", f"nobody to hold {', '.join(held)}",
        f"{holder.name} (pid {holder.pid}, user {holder.uid})", why=f"{why}: whoever gets the device next shares it with this one",
        hint=f"ps -o pid,user,lstart,cmd -p {holder.pid}; 'devproxy clean' ends those that are provably the lease's",
        evidence=(seen(holder.source, f"{holder.name}: {', '.join(holder.paths)}, started {holder.started} ticks after boot"),),
    )  # fmt: skip


def shm_left_behind(case: JobCase) -> Iterator[Finding]:
    """Shared memory that is new, and that nobody uses."""
    if case.before is None:
        return
    now, then = case.now.system.shared_memory, case.then.system.shared_memory
    if now is None or then is None:
        yield unknown("shm-left-behind", _SHM, f"nobody looked at shared memory {'now' if now is None else 'before'}")
        return
    if now.left_out:
        told = unknown("shm-left-behind", _SHM, f"{now.left_out} older entries were not looked at")
        yield told._replace(severity=Severity.INFO)
    for entry in now.entries:
        if _is_new(case, entry, then) and not entry.users and case.uid in (None, entry.uid):
            yield _entry(entry)
    if now.segments is None or then.segments is None:
        yield unknown("shm-left-behind", "/proc/sysvipc/shm", "the segments could not be read")
        return
    known = {(each.ident, each.creator) for each in then.segments} if not is_rebooted(case) else set()
    for segment in now.segments:
        if (segment.ident, segment.creator) not in known and not segment.attached and case.uid in (None, segment.uid):
            yield _segment(segment)


def _is_new(case: JobCase, entry: SharedEntry, then: SharedMemory) -> bool:
    """Not there before. Where before had more than were listed, those that are older than its recording were."""
    if any((each.device, each.inode, each.born) == (entry.device, entry.inode, entry.born) for each in then.entries):
        return False
    clock = case.then.system.clock
    if then.left_out and clock is not None:
        return (entry.changed if entry.born is None else entry.born) >= clock.realtime
    return True


def _entry(entry: SharedEntry) -> Finding:
    used = "nobody uses it" if entry.users == 0 else "whether somebody uses it could not be seen"
    size = f", {entry.size / _MEBIBYTE:.1f} MiB" if entry.kind == "file" else ""
    return Finding(
        "shm-left-behind", Severity.WARNING, entry.path, "what was there before", f"a new {entry.kind} of user {entry.uid}{size}",
        why=f"{used}; it takes memory until it is removed", hint=f"fuser -v {quote(entry.path)}; 'devproxy clean' removes the lease's",
        evidence=(seen(entry.source, f"inode {entry.inode}, {entry.size} bytes, users {entry.users}"),),
    )  # fmt: skip


def _segment(segment: SharedSegment) -> Finding:
    return Finding(
        "shm-left-behind", Severity.WARNING, f"shmid {segment.ident}", "the segments of before",
        f"a new one of user {segment.uid}, {segment.size / _MEBIBYTE:.1f} MiB",
        why=f"nobody is attached; process {segment.creator} made it, and it takes memory until it is removed",
        hint=f"ipcs -m -i {segment.ident}; ipcrm -m {segment.ident}",
        evidence=(seen(segment.source, f"shmid {segment.ident}, key {segment.key:#x}, {segment.size} bytes"),),
    )  # fmt: skip


def mps_left_behind(case: JobCase) -> Iterator[Finding]:
    """A control daemon of the Multi-Process Service that is new, or what one left in its directory."""
    if case.before is None:
        return
    now, then = case.now.system.shared_memory, case.then.system.shared_memory
    if now is None or then is None:
        yield unknown("mps-left-behind", "MPS", f"nobody looked for it {'now' if now is None else 'before'}")
        return
    known = {(each.device, each.inode, each.daemon if each.alive else None) for each in then.mps}
    for each in now.mps:
        daemon = each.daemon if each.alive else None
        if (each.device, each.inode, daemon) in known or (each.daemon is None and each.role == "log"):
            continue
        if case.uid not in (None, each.uid):
            continue
        alive = each.alive is not False and each.daemon is not None
        found = (
            f"a control daemon (pid {each.daemon})" if alive else f"a {each.kind} of user {each.uid} without a daemon"
        )
        yield Finding(
            "mps-left-behind", Severity.ERROR if each.alive else Severity.WARNING, each.path, "MPS as it was before", found,
            why="programs find it there and share the GPU by its server, as the user who started it" if alive
            else "programs that find the directory may try to reach a server that is not there (CUDA error 805)",
            hint=f"echo quit | CUDA_MPS_PIPE_DIRECTORY={quote(each.path)} nvidia-cuda-mps-control" if alive else f"rm -r {quote(each.path)}",
            evidence=(seen(each.source, f"daemon {each.daemon}, alive: {each.alive}, inode {each.inode}"),),
        )  # fmt: skip


LEFT_CHECKS: Final = (
    JobCheck("holder-left-behind", Severity.ERROR, "a process holds a device after the job", holder_left_behind),
    JobCheck("shm-left-behind", Severity.WARNING, "shared memory that nobody uses", shm_left_behind),
    JobCheck("mps-left-behind", Severity.ERROR, "MPS still runs, or left its directory", mps_left_behind),
)
