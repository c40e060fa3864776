"""A whole setup, and a whole undoing: look, do, look again."""

from __future__ import annotations

import os

from devproxy.choice import Choice
from devproxy.errors import DevproxyError, InputError
from devproxy.jobs.setup.action import ModuleChange, NodeChange, Obstacle
from devproxy.jobs.setup.apply import Changed, apply
from devproxy.jobs.setup.modules import NotLoaded
from devproxy.jobs.setup.place import sweep
from devproxy.jobs.setup.prepare import look
from devproxy.jobs.setup.survey import survey
from devproxy.node import OfDriver
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from devproxy.host.facts import Host
    from devproxy.jobs.setup.action import Action
    from devproxy.jobs.setup.journal import Journal
    from devproxy.jobs.setup.prepare import Prepared

    More = Callable[[Host], Prepared]

# Where something may be left under a temporary name.
_SWEPT: Final = (
    "/dev",
    "/dev/nvidia-caps",
    "/dev/nvidia-caps-imex-channels",
    "/dev/vfio",
    "/dev/char",
    "/var/lib/devproxy",
)
_SETTINGS: Final = (
    "/etc/udev/rules.d", "/etc/modules-load.d", "/etc/systemd/system", "/etc/systemd/system/multi-user.target.wants",
)  # fmt: skip


class Outcome(Choice):
    """What came of an action. `LEFT` waits for somebody (a module that must not be loaded), `PASSED` is an undoing of what somebody
    else has changed since.
    """

    INTENDED = "intended"
    DONE = "done"
    LEFT = "left"
    PASSED = "passed over"
    FAILED = "failed"


class Step(Record):
    """An action, what came of it, and why where it was not done."""

    action: Action
    outcome: Outcome
    why: str = ""
    hint: str = ""


class Work(Record):
    """What was done, what is left, and what was swept away of a setup that had been killed."""

    steps: tuple[Step, ...]
    obstacles: tuple[Obstacle, ...]
    swept: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 ready, 1 failed, 3 something is not ready, 4 something could not be seen."""
        outcomes = {step.outcome for step in self.steps}
        if Outcome.FAILED in outcomes:
            return 1
        if Outcome.LEFT in outcomes or any(not each.unseen for each in self.obstacles):
            return 3
        return 4 if self.obstacles else 0


def require_possible(host: Host) -> None:
    """Errors: InputError where nothing can be done, or where what is seen is not what it would be done to."""
    system = host.details.system if host.details is not None else None
    containers = [each for each in (system.containers if system is not None else ()) if each.kind != "wsl"]
    if containers:
        raise InputError(
            f"inside a container ({containers[0].kind}: {containers[0].sign}) nodes are made for nobody else",
            hint="run 'devproxy setup' on the host, and give the container its devices (docker run --gpus)",
        )
    if os.geteuid():
        raise InputError(
            f"uid {os.geteuid()} may neither make device nodes nor load modules",
            hint="sudo devproxy setup; --dry-run shows what it would do",
        )
    if system is not None and system.caller is not None and system.caller.user_namespace:
        raise InputError(
            "root of a user namespace may not make device nodes", hint="run 'devproxy setup' as the host's own root"
        )
    if not host.character:
        raise InputError(
            "no driver is listed in /proc/devices, or it cannot be read: no node's number is known",
            hint="ls -l /proc/devices; mount -t proc proc /proc",
        )


def intend(prepared: Prepared, settings: Prepared) -> Work:
    """What would be done: a dry run."""
    steps = tuple(Step(action, Outcome.INTENDED) for action in (*prepared.actions, *settings.actions))
    return Work(steps, (*prepared.obstacles, *settings.obstacles))


def carry_out(host: Host, settings: More, journal: Journal, *, group: int | None) -> tuple[Work, Host]:
    """Load, look again, make the rest, and look once more: what is still to be done then is not ready. Also the host as it is then."""
    swept = sweep((*_SWEPT, *_SETTINGS))
    journal.forget_other_boots()
    modules = [action for action in look(host, group=group).actions if isinstance(action, ModuleChange)]
    steps = [do(action, journal) for action in modules]
    host = survey() if modules or swept else host
    rest = [
        action
        for action in look(host, group=group).actions
        if not isinstance(action, ModuleChange) and _is_known(action)
    ]
    steps += [do(action, journal) for action in rest]
    steps += [do(action, journal) for action in settings(host).actions]
    if steps:
        host = survey()
    left = look(host, group=group)
    tried = {step.action.path for step in steps if step.outcome is not Outcome.DONE}
    open_ends = [_still(action) for action in left.actions if action.path not in tried]
    return Work(tuple(steps), (*left.obstacles, *settings(host).obstacles, *open_ends), swept), host


def take_back(journal: Journal) -> Work:
    """Undo what is written down, the latest first. What is not as setup left it any more is somebody else's, and stays; what
    cannot be undone now stays written down.
    """
    swept = sweep((*_SWEPT, *_SETTINGS))
    steps: list[Step] = []
    kept: list[Action] = []
    for action in reversed(journal.entries()):
        step = do(action.inverse, None)
        steps.append(step)
        if step.outcome in (Outcome.FAILED, Outcome.LEFT):
            kept.append(action)
    journal.keep(kept[::-1])
    return Work(tuple(steps), (), swept)


def would_take_back(entries: Sequence[Action]) -> Work:
    """What an undoing would try."""
    return Work(tuple(Step(action.inverse, Outcome.INTENDED) for action in reversed(entries)), ())


def do(action: Action, journal: Journal | None) -> Step:
    """Carry one action out; what keeps it from being done is told, and does not keep the others from it. Without a journal it is
    an undoing, which is not written down: what it is of is.
    """
    note = _Note(journal)
    try:
        apply(action, note)
    except (DevproxyError, OSError) as error:
        note.take_back()
        return _not_done(action, error, undoing=journal is None)
    return Step(action, Outcome.DONE)


class _Note:
    """Writes an action down when it is about to be done, and crosses it out if it is not."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal
        self._noted = False

    def __call__(self, action: Action) -> None:
        if self._journal is not None:
            self._journal.add(action)
            self._noted = True

    def take_back(self) -> None:
        if self._journal is not None and self._noted:
            self._journal.drop_last()


def _not_done(action: Action, error: DevproxyError | OSError, *, undoing: bool) -> Step:
    match error:
        case NotLoaded():
            return Step(action, Outcome.LEFT, error.message, error.hint)
        case Changed():
            return Step(action, Outcome.PASSED if undoing else Outcome.LEFT, error.message, error.hint)
        case DevproxyError():
            return Step(action, Outcome.FAILED, error.message, error.hint)
        case FileNotFoundError() if undoing:
            return Step(action, Outcome.PASSED, f"{error.filename or action.path} is gone")
        case _:
            return Step(action, Outcome.FAILED, f"{action.path}: {(error.strerror or str(error)).lower()}")


def _is_known(action: Action) -> bool:
    """Whether a node's number is known: that of a driver that could not be loaded is not."""
    after = action.after if isinstance(action, NodeChange) else None
    return after is None or not isinstance(after.number, OfDriver)


def _still(action: Action) -> Obstacle:
    return Obstacle(action.path, f"is still to be done: {action.describe()}", action.command)
