"""What a check of a job's hardware is given, and whose devices its findings are about."""

from __future__ import annotations

from devproxy.check.doctor.case import Case
from devproxy.check.finding import Finding, Severity
from devproxy.host.details import Details
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from devproxy.host.facts import Host
    from devproxy.jobs.health.expectations import Expectations


class JobCase(Record):
    """A host now, and what it is held to: the same host `before` a job, expectations, or neither. `since` is when the job began,
    in seconds since the epoch. `devices` are names (a GPU's UUID, a PCI address) of those that the job had, None for all of
    them; `ident` and `uid` are its lease's number and user, as far as they are known.
    """

    host: Host
    before: Host | None = None
    expect: Expectations | None = None
    since: float | None = None
    devices: frozenset[str] | None = None
    ident: str = ""
    uid: int | None = None

    @property
    def now(self) -> Details:
        """The deep facts now; empty ones after a plain probe."""
        return self.host.details or Details()

    @property
    def then(self) -> Details:
        """Those of before; empty ones where there is no before."""
        return (self.before.details if self.before is not None else None) or Details()

    @property
    def doctors(self) -> Case:
        """The same for the doctor's checks. What would fail a job is an error on the devices that one is about to have."""
        return Case(self.host, before_job=self.before is None and self.devices is not None)


class JobCheck(Record):
    """A code: its default severity, one line that says what is wrong, the function that looks, and the code that others have for
    it (`DCGM_FR_...`, `Xid 79`).
    """

    code: str
    severity: Severity
    title: str
    run: Callable[[JobCase], Iterable[Finding]]
    reference: str = ""


class Unit(Record):
    """A GPU or a TPU chip, whatever state it is in: `subjects` are all the words that findings have for it; `nodes` its device
    nodes.
    """

    kind: str
    name: str
    address: str
    model: str
    subjects: frozenset[str]
    nodes: frozenset[str]

    def describe(self) -> str:
        """`GPU GPU-5d0b... (NVIDIA H100 80GB HBM3)`."""
        return f"{self.kind} {self.name}" + (f" ({self.model})" if self.model else "")


def units(host: Host) -> tuple[Unit, ...]:
    """Every GPU that the driver or PCI tells of, and every TPU chip."""
    found = []
    for gpu in host.nvidia.gpus if host.nvidia is not None else ():
        nodes = frozenset() if gpu.minor is None else frozenset((f"/dev/nvidia{gpu.minor}",))
        # Not `GPU 2`: that is an index of NVML's whose GPU nobody could tell.
        words = {gpu.address, *nodes, *((gpu.uuid,) if gpu.uuid else ())}
        found.append(Unit("GPU", gpu.uuid or gpu.address, gpu.address, gpu.model, frozenset(words), nodes))
    for chip in host.tpus:
        nodes = frozenset(chip.nodes)
        found.append(Unit("TPU", chip.address, chip.address, chip.generation, nodes | {chip.address}, nodes))
    return tuple(found)


def owner(path: str, every: Iterable[Unit]) -> Unit | None:
    """The device that a finding's subject names; None for what concerns the host."""
    return next((unit for unit in every if path in unit.subjects), None)


def is_of(unit: Unit, devices: frozenset[str] | None) -> bool:
    """Whether a device is one of some names; all are of None."""
    return devices is None or not devices.isdisjoint((unit.name, unit.address))
