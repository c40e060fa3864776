"""The standard streams of a job's command, and how it is started: by itself, or in a bundle's root by `devproxy run`."""

from __future__ import annotations

import os
import sys

import devproxy
from devproxy.errors import InputError
from devproxy.jobs.job.guard import Start
from devproxy.jobs.job.output import Log, Stream, Written
from devproxy.oci.load import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Final, Self

    from devproxy.jobs.job.asked import Asked
    from devproxy.jobs.job.folder import Folder

_NAMES: Final = ("stdout", "stderr")
# The same devproxy as this one, wherever it is installed; nothing of the working directory is imported.
_ENTRY: Final = "import sys; sys.path.insert(0, sys.argv.pop(1)); from devproxy.cli.main import entry; entry()"


def words_of(asked: Asked) -> tuple[str, ...]:
    """The command, for those who see the lease."""
    return asked.command or ("devproxy", "run", asked.bundle)


def argv_of(asked: Asked) -> tuple[str, ...]:
    """What is started: the command, or the `devproxy run` that builds the bundle's root and starts it there."""
    if not asked.bundle:
        return asked.command
    place = os.path.dirname(os.path.dirname(os.path.abspath(devproxy.__file__)))
    run = (sys.executable, "-P", "-c", _ENTRY, place, "run", asked.bundle, "--host", asked.host, *asked.run)
    return (*run, "--", *asked.command) if asked.command else run


def require_process(asked: Asked) -> None:
    """Errors: InputError for what is no bundle, or has nothing to run: before anything is leased."""
    if load(asked.bundle).process is None and not asked.command:
        raise InputError("config.json has no process", hint="give a command behind '--'")


class Standard:
    """A context with a pipe for each of standard output and error, and what is the command's standard input."""

    def __init__(self, onward: Sequence[int | None], folder: Folder) -> None:
        self.problems: list[str] = []
        self._logs = [Log(folder.artifacts, name) for name in _NAMES]
        pipes = [os.pipe() for _ in _NAMES]
        self.streams = tuple(
            Stream(reader, to, log) for (reader, _), to, log in zip(pipes, onward, self._logs, strict=True)
        )
        self._writers = [writer for _, writer in pipes]
        self._input = _input()

    def start(self, asked: Asked, more: dict[str, str], descriptors: tuple[int, ...]) -> Start:
        """What is to be started, with `more` variables."""
        streams = (self._input, self._writers[0], self._writers[1])
        return Start(argv_of(asked), {**os.environ, **more}, streams, descriptors)

    def started(self) -> None:
        """The command has its ends of the pipes; these are of no use here, and would keep them open."""
        while self._writers:
            os.close(self._writers.pop())

    @property
    def line_ended(self) -> bool:
        """Whether the last line on standard error has its end."""
        return self.streams[1].ends_line

    def written(self) -> tuple[Written, Written]:
        """What came of the two."""
        return self.streams[0].written(), self.streams[1].written()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.started()
        os.close(self._input)
        for stream in self.streams:
            stream.close()
        self.problems += [log.problem for log in self._logs if log.problem]


def _input() -> int:
    """Standard input, or nothing: a job is no dialogue, and its command is not the terminal's foreground."""
    try:
        if not os.isatty(0):
            return os.dup(0)
    except OSError:
        pass  # it is closed
    return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
