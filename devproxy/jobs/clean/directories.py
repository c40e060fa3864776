"""What MPS and libtpu leave in directories: pipes, sockets and logs, by the names that they give them, and the directory when it is empty.

Which directories: the usual ones, and those that the environment of the lease's processes names. That is the job's own word, and so
only what is the lease's owner's there, and was made since the lease began, is removed; with the owner's rights.
Names: CUDA MPS documentation, "MPS Daemon and Log Files"; libtpu's are those of glog.
"""

from __future__ import annotations

import re
import stat

from devproxy.jobs.clean.dirt import Dirt, DirtKind
from devproxy.jobs.clean.files import File, file_at, files_in, remove
from devproxy.jobs.clean.proof import LOGS, PIPES, TPU_LOGS
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from devproxy.jobs.clean.asked import Asked
    from devproxy.jobs.clean.proof import Proven
    from devproxy.jobs.clean.survey import Survey

_PIPES: Final = re.compile(
    r"(control|control_lock|control_privileged|log|nvidia-cuda-mps-control\.pid|[0-9a-f-]*\.?pipe)$"
)
_LOGS: Final = re.compile(r"(control|server)\.log$")
_TPU_LOGS: Final = re.compile(r"(tpu_driver|libtpu)[.\w-]*$")


class Directory(Record):
    """A directory in which a program leaves files of these names."""

    kind: DirtKind
    path: str
    names: re.Pattern[str]


def directories(asked: Asked, proven: Iterable[Proven]) -> tuple[Directory, ...]:
    """Where to look, each once."""
    temporary = asked.how.places.temporary
    usual = ((PIPES, f"{temporary}/nvidia-mps"), (LOGS, asked.how.places.mps_logs), (TPU_LOGS, f"{temporary}/tpu_logs"))
    named = dict.fromkeys([*usual, *(each for found in proven for each in found.directories)])
    forms = {
        PIPES: (DirtKind.MPS_FILES, _PIPES),
        LOGS: (DirtKind.MPS_FILES, _LOGS),
        TPU_LOGS: (DirtKind.TPU_LOGS, _TPU_LOGS),
    }
    return tuple(Directory(forms[name][0], path, forms[name][1]) for name, path in named)


def files(where: tuple[Directory, ...]) -> tuple[File, ...]:
    """What may be dirt. A directory that may not be read has nothing that could be removed."""
    inside = tuple(file for directory in where for file in _everything(directory) if directory.names.match(file.name))
    return inside + tuple(top for directory in where if (top := _top(directory)) is not None)


def find(survey: Survey, where: tuple[Directory, ...]) -> list[tuple[Dirt, File]]:
    """The lease's files, in each directory; then the directory itself, if it is the lease's too and holds nothing else."""
    found: list[tuple[Dirt, File]] = []
    for directory in where:
        everything = _everything(directory)
        ours = [file for file in everything if directory.names.match(file.name) and _is_ours(survey, file)]
        proof = "made since the lease began, by its owner, and nobody has it open"
        found += [(Dirt(directory.kind, file.path, proof), file) for file in ours]
        top = _top(directory)
        if top is not None and len(ours) == len(everything) and top in survey.new_files:
            proof = "made since the lease began, by its owner, and nothing else is in it"
            found.append((Dirt(directory.kind, f"{directory.path}/", proof), top))
    return found


def clear(file: File) -> str:
    """Remove one. Returns why it could not be done."""
    return remove(file)


def _top(directory: Directory) -> File | None:
    try:
        return file_at(directory.path)
    except PermissionError:
        return None


def _everything(directory: Directory) -> tuple[File, ...]:
    try:
        return files_in(directory.path)
    except PermissionError:
        return ()


def _is_ours(survey: Survey, file: File) -> bool:
    free = (file.device, file.inode) not in survey.used and file.path not in survey.sockets
    return free and not stat.S_ISDIR(file.mode) and file in survey.new_files
