"""POSIX shared memory and semaphores: files in /dev/shm that outlive who made them (shm_overview(7), sem_overview(7))."""

from __future__ import annotations

import re

from devproxy.jobs.clean.dirt import Dirt, DirtKind
from devproxy.jobs.clean.files import File, files_in, remove
from devproxy.jobs.clean.survey import Verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.jobs.clean.asked import Asked
    from devproxy.jobs.clean.survey import Survey

# Who names files so and keeps them mapped, or open, as long as anybody wants them; `pid` is who made the file, in the base that stands
# there. PyTorch: c10 and at::manager handles; NCCL: shmutils.cc; CUDA: IPC events and memory of a process; CPython:
# multiprocessing.shared_memory; joblib's loky: semaphores; LLVM's OpenMP runtime: the library that registered first.
_LIBRARIES: Final = (
    ("PyTorch", re.compile(r"torch_(?P<pid>\d+)_\d+(_\d+)?$"), 10),
    ("NCCL", re.compile(r"nccl-[A-Za-z0-9]{6}$"), 10),
    ("CUDA", re.compile(r"cuda\.shm\.[0-9a-f]+\.(?P<pid>[0-9a-f]+)\.[0-9a-f]+$"), 16),
    ("Python", re.compile(r"psm_[0-9a-f]{8}$"), 10),
    ("OpenMP", re.compile(r"__KMP_REGISTERED_LIB_(?P<pid>\d+)(_\d+)?$"), 10),
)
_SEMAPHORE: Final = "sem."
_LOKY: Final = re.compile(r"sem\.loky-(?P<pid>\d+)-\w+$")


def files(asked: Asked) -> tuple[File, ...]:
    """What may be dirt."""
    return tuple(file for file in files_in(asked.how.places.shm) if file.is_regular)


def find(survey: Survey, candidates: tuple[File, ...]) -> list[tuple[Dirt, File]]:
    """The lease's, and what may be the lease's."""
    found = []
    for file in candidates:
        verdict = _judge(survey, file)
        if verdict.proof or verdict.why:
            kind = DirtKind.SEMAPHORE if file.name.startswith(_SEMAPHORE) else DirtKind.SHM
            hint = "" if verdict.proof else f"rm {file.path}"
            found.append((Dirt(kind, file.path, verdict.proof, verdict.why, hint), file))
    return found


def _judge(survey: Survey, file: File) -> Verdict:
    if named := _LOKY.match(file.name):
        return survey.judge_file(file, int(named["pid"]), "")
    for library, form, base in _LIBRARIES:
        if named := form.match(file.name):
            pid = named.groupdict().get("pid")
            return survey.judge_file(file, None if pid is None else int(pid, base), library)
    return survey.judge_file(file, None, "")


def clear(file: File) -> str:
    """Remove one. Returns why it could not be done."""
    return remove(file)
