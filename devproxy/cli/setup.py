"""`devproxy setup`: a host made ready for jobs, and the same taken back."""

from __future__ import annotations

import os

from devproxy.check.doctor.words import has_accelerators
from devproxy.cli.arguments import add_format_arguments, add_host_argument, wants_json
from devproxy.cli.context import Context
from devproxy.errors import DevproxyError, InputError
from devproxy.jobs.devices import leasable
from devproxy.jobs.setup import journal, persist, work
from devproxy.jobs.setup.action import ModuleChange, Obstacle
from devproxy.jobs.setup.prepare import Prepared, look
from devproxy.jobs.setup.survey import survey
from devproxy.jobs.setup.work import Outcome, Work
from devproxy.jobs.state import PLACE, State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Final

    from devproxy.cli.quick import Parser
    from devproxy.host.facts import Host
    from devproxy.jobs.setup.work import More, Step

_EXAMPLES = f"""\
examples:
  devproxy setup --dry-run               what is missing or wrong, and the commands that would be carried out; no root needed
  sudo devproxy setup                    do it: modules, nodes, links; a second time there is nothing to do
  sudo devproxy setup --persist          and after every boot, and whenever the driver is loaded: a udev rule and a unit
  sudo devproxy setup --group tpu        also give the nodes of TPUs to a group, 0660
  sudo devproxy setup --undo             take back what is still as setup left it, settings of --persist included
  devproxy setup --host h100.tar         what it would do on a recorded host

It goes by what the driver says: majors by the exact names in /proc/devices, modes and owners by /proc/driver/nvidia. A node with
another number is replaced; a file, directory or link in its place is not removed. Where the driver says that nobody is to touch its
nodes (ModifyDeviceFiles: 0) only links are made. What is done is written down first, in {journal.PLACE}.
From then on every user can lease what is ready.

exit codes: 0 ready (a dry run: nothing stands in the way); 1 something failed; 2 bad usage, no root, inside a container, no
/proc/devices; 3 something is still not ready, and is told; 4 something that had to be seen could not be.
"""
_COLOURS: Final = {Outcome.LEFT: "yellow", Outcome.PASSED: "yellow", Outcome.FAILED: "red"}


def add_arguments(parser: Parser) -> None:
    """Declare the verb's own arguments."""
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be done, as commands, and touch nothing"
    )
    parser.add_argument("--persist", action="store_true", help="also write a udev rule, a unit and a list of modules")
    parser.add_argument(
        "--undo", action="store_true", help="take back what setup did, as far as it is as setup left it"
    )
    parser.add_argument("--group", metavar="GROUP", help="the group that TPUs belong to; else their owners stay")
    parser.add_argument(
        "--record", default=journal.PLACE, metavar="FILE", help=f"where what is done is written down ({journal.PLACE})"
    )
    add_host_argument(parser)
    add_format_arguments(parser)
    parser.epilog = _EXAMPLES


def run(args: Namespace, context: Context) -> int:
    """Look, do or undo, print."""
    if args.undo:
        return _undo(args, context)
    group = _gid(args.group)
    if args.host == "live" and args.persist:
        _require_trustworthy(args, context)
    host = survey(args.host)
    context.done("look")
    if args.host != "live" or args.dry_run:
        found = work.intend(look(host, group=group), _settings(args, live=args.host == "live")(host))
    else:
        work.require_possible(host)
        with journal.Journal(args.record) as kept:
            found, host = work.carry_out(host, _settings(args, live=True), kept, group=group)
        found = _with_leases(found, host)
    context.done("set up")
    _tell(found, host.name, args, context)
    if not has_accelerators(host):
        context.say("this host has no accelerator, as far as can be seen")
    return found.exit_code


def _require_trustworthy(args: Namespace, context: Context) -> None:
    """Errors: InputError, DevproxyError; a dry run only says so."""
    try:
        persist.require_trustworthy(_program(args))
    except DevproxyError as error:
        if not args.dry_run:
            raise
        context.warn(f"--persist would be refused: {error.message}", error.hint)


def _with_leases(found: Work, host: Host) -> Work:
    """Ordinary users can lease what root has made a file for. --undo leaves it: it is gone with the next boot, and somebody may have
    a lease.
    """
    try:
        with State() as state:
            for device in leasable(host):
                os.close(state.device(device.name))
    except DevproxyError as error:
        left = Obstacle(PLACE, f"users other than root can lease nothing: {error.message}", error.hint)
        return found._replace(obstacles=(*found.obstacles, left))
    return found


def _undo(args: Namespace, context: Context) -> int:
    if args.persist or args.group or args.host != "live":
        raise InputError("--undo takes back what was done here: --persist, --group and --host are for setting up")
    if args.dry_run:
        found = work.would_take_back(journal.entries_in(args.record))
    else:
        work.require_possible(survey())
        with journal.Journal(args.record) as kept:
            found = work.take_back(kept)
    context.done("undo")
    _tell(found, "live", args, context)
    return found.exit_code


def _gid(group: str | None) -> int | None:
    if group is None:
        return None
    import grp

    if group.isascii() and group.isdigit() and len(group) < 10:
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise InputError(f"there is no group {group!r}", hint=f"groupadd --system {group}") from None


def _settings(args: Namespace, *, live: bool) -> More:
    """What --persist adds for a host; nothing without it."""

    def changes(host: Host) -> Prepared:
        if not args.persist:
            return Prepared((), ())
        return Prepared(*persist.persist_changes(persist.texts(host, _program(args)), live=live))

    return changes


def _program(args: Namespace) -> persist.Program:
    return persist.this_program(*(("--group", args.group) if args.group else ()))


# what is said


def _tell(found: Work, name: str, args: Namespace, context: Context) -> None:
    if wants_json(args, context):
        steps = [_step_document(step) for step in found.steps]
        left = [each._asdict() for each in found.obstacles]
        document = {"host": name, "ready": _is_ready(found), "steps": steps, "left": left, "swept": list(found.swept)}
        context.print_json(document)
        return
    for path in found.swept:
        context.print(f"swept {path}, which a setup that was killed left")
    for step in found.steps:
        _print_step(step, context)
    for obstacle in found.obstacles:
        label = context.style("not seen" if obstacle.unseen else "not ready", "bold", "yellow")
        context.print(f"{label} {obstacle.describe()}")
        if obstacle.hint:
            context.print(f"  {context.style('do   ', 'dim')} {obstacle.hint}")
    context.print(context.style(_verdict(found, undo=args.undo), "bold", "green" if found.exit_code == 0 else "yellow"))


def _print_step(step: Step, context: Context) -> None:
    action = step.action
    label = {Outcome.INTENDED: "would", Outcome.DONE: "done:"}.get(step.outcome, f"{step.outcome.value}:")
    context.print(f"{context.style(label, 'bold', *_styles(step))} {action.describe()}")
    lines = [("why", f"{action.reason} ({action.source})"), ("type", action.command), ("undo", action.inverse.command)]
    if step.why:
        lines = [("why", step.why), ("do", step.hint)]
    for name, value in lines:
        if value:
            first, *more = value.split("\n")
            context.print(f"  {context.style(f'{name:5}', 'dim')} {first}")
            for line in more:
                context.print(f"        {line}")


def _styles(step: Step) -> tuple[str, ...]:
    return (_COLOURS[step.outcome],) if step.outcome in _COLOURS else ()


def _step_document(step: Step) -> dict[str, object]:
    action = step.action
    return {
        "what": action.describe(),
        "path": action.path,
        "outcome": step.outcome.value,
        "reason": action.reason,
        "source": action.source,
        "command": action.command,
        "undo": action.inverse.command,
        "why": step.why,
        "hint": step.hint,
    }


def _is_ready(found: Work) -> bool:
    return found.exit_code == 0 and all(step.outcome is not Outcome.INTENDED for step in found.steps)


def _verdict(found: Work, *, undo: bool) -> str:
    """The last line."""
    number = {outcome: sum(step.outcome is outcome for step in found.steps) for outcome in Outcome}
    left = len(found.obstacles) + number[Outcome.LEFT] + number[Outcome.FAILED]
    if undo:
        told = f"{_things(number[Outcome.DONE] or number[Outcome.INTENDED])} taken back"
        told += f", {number[Outcome.PASSED]} passed over" if number[Outcome.PASSED] else ""
        told = told if found.steps else "there is nothing to take back"
        return f"would be: {told}" if number[Outcome.INTENDED] else f"{told}, {left} left" if left else told
    did = number[Outcome.DONE]
    if number[Outcome.INTENDED]:
        more = ", and links once the module has a number" if _waits(found) else ""
        told = f"{_things(number[Outcome.INTENDED])} to be done{more}"
        return f"{told}, and {_things(left)} in the way" if left else told
    state = "ready" if not left else "not ready" if found.exit_code != 4 else "inconclusive"
    done = f"{_things(did)} done; 'devproxy setup --undo' takes back" if did else "nothing was to be done"
    return f"{state}: {done}" + (f"; {_things(left)} left" if left else "")


def _waits(found: Work) -> bool:
    """Whether links are not told yet: their names are numbers that a driver gets when it is loaded."""
    return any(isinstance(step.action, ModuleChange) for step in found.steps)


def _things(number: int) -> str:
    return f"{number} thing{'' if number == 1 else 's'}"
