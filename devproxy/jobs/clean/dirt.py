"""What a job left, and what became of it.

A piece of dirt has a kind, which people and dashboards key on; what it is; and the proof that it is the lease's. Without a proof it is
told and left alone.
"""

from __future__ import annotations

from devproxy.choice import Choice
from devproxy.jobs.scope import Scope
from devproxy.record import Record


class DirtKind(Choice):
    """The kinds of what a job can leave, in the order in which they are removed: nothing is taken from under a process."""

    HOLDER = "holder"
    PROCESS = "process"
    MPS = "mps-process"
    TPU_LOCK = "tpu-lock"
    SHM = "shm"
    SEMAPHORE = "semaphore"
    SYSV_SHM = "sysv-shm"
    SYSV_SEM = "sysv-sem"
    SYSV_MSG = "sysv-msg"
    MPS_FILES = "mps-files"
    TPU_LOGS = "tpu-logs"
    CLAIM = "claim"
    MIG_INSTANCE = "mig-instance"
    MIG_MODE = "mig-mode"
    COMPUTE_MODE = "compute-mode"
    CLOCKS = "clocks"
    POWER_LIMIT = "power-limit"
    ECC = "ecc"
    PERSISTENCE = "persistence"


class Dirt(Record):
    """Something that was left. `what` names it (`python3 (pid 7)`, `/dev/shm/torch_7_1`); `proof` says why it is the lease's, empty
    where that cannot be said, and then `why` says what speaks against it. `key` is how its kind finds it again.
    """

    kind: DirtKind
    what: str
    proof: str
    why: str = ""
    hint: str = ""
    key: tuple[int | str, ...] = ()

    def describe(self) -> str:
        """`shm /dev/shm/torch_7_1: pid 7 of the lease has it mapped`."""
        return f"{self.kind.value} {self.what}: {self.proof or self.why}"


class Cleaned(Record):
    """What was found of one lease. `removed` is gone, or after a dry run would be tried; `left` is still there, each with the reason
    in `why`; `unseen` says what could not be looked at.
    """

    scope: Scope
    removed: tuple[Dirt, ...]
    left: tuple[Dirt, ...]
    unseen: tuple[str, ...]
    dry_run: bool = False

    @property
    def exit_code(self) -> int:
        """0 when nothing is left, 3 when something is, 4 when nothing is, as far as could be seen."""
        return 3 if self.left else 4 if self.unseen else 0

    def document(self) -> dict[str, object]:
        """As JSON has it."""
        return {
            "lease": self.scope.ident,
            "uid": self.scope.uid,
            "dry_run": self.dry_run,
            "removed": [_document(dirt) for dirt in self.removed],
            "left": [_document(dirt) for dirt in self.left],
            "unseen": list(self.unseen),
        }


def _document(dirt: Dirt) -> dict[str, object]:
    document = {name: value for name, value in dirt._asdict().items() if name != "key"}
    return document | {"kind": dirt.kind.value}
