"""`devproxy run`: the bundle's process, in a root that was just built on the kernel and checked.

This is the hot path: what it imports is asserted by a test.
"""

from __future__ import annotations

import os

from devproxy.build import Root, build
from devproxy.check.outcomes import check_outcomes
from devproxy.cli.bundle import add_bundle_arguments, make_plan_and_restore, tell_outcomes
from devproxy.cli.context import Context
from devproxy.errors import DevproxyError, InputError
from devproxy.plan.plan import Plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from devproxy.cli.quick import Parser

_EXAMPLES = """\
examples:
  devproxy run .                              the bundle's own process
  devproxy run . -- ls -l /dev                another command in the same root
  devproxy run . --host h100.tar -- ls /dev   with the device nodes of a recorded host
  devproxy run . -v                           and what was decided on the way
  devproxy run a --pod web                    a container that begins the pod 'web', beside which
  devproxy run b --pod web                    another one shares the volumes that a's mount hints name
  devproxy run . --save work.tar              keep what the process wrote, as an OCI layer
  devproxy run . --restore work.tar           go on from there, on this host or another

exit codes: the process's own; 128+n when signal n ended it; 2 bad usage or input; 125 devproxy failed after the input was
found good; 126 the program could not be executed; 127 it was not found; 130 interrupted.

Without root the container's root is built in a user namespace of the caller alone, with the host's device nodes; what that
cannot express is told. The devices of a recorded host cannot be shown then: 'devproxy inspect' shows them in memory.

A pod lasts as long as one of its containers; what a killed one leaves, the next --pod removes. Its containers share volumes
alone: to share a namespace too, name the other container's in linux.namespaces (/proc/PID/ns/net, /proc/PID/ns/ipc).
"""


def add_arguments(parser: Parser) -> None:
    """Declare the verb's own arguments."""
    parser.usage = "devproxy run BUNDLE [--host HOST] [--mode MODE] [--target kernel] [--pod NAME] [--save FILE] [--restore FILE] [--timings] [global options] [-- COMMAND ...]"
    add_bundle_arguments(parser)
    parser.add_argument(
        "--target", choices=("kernel",), default="kernel", help="where the root is built (default: kernel)"
    )
    parser.add_argument(
        "--pod", metavar="NAME", help="share volumes with the other containers of this pod, or begin it"
    )
    parser.add_argument(
        "--save",
        metavar="FILE",
        help="when the process has ended, save what it changed in overlays and tmpfs: a new file, an OCI layer",
    )
    parser.epilog = _EXAMPLES


def run(args: Namespace, context: Context) -> int:
    """Plan, build, check, launch; returns the process's exit code."""
    command: list[str] | None = args.command
    if command == []:
        raise InputError("nothing stands behind '--'", hint="give a command there, or leave '--' out")
    if args.save is not None:
        from devproxy.new_file import require_new

        require_new(args.save)
    plan, restore = make_plan_and_restore(args, context, fit=args.pod is None)
    _require_process(plan, command)
    if args.pod is None:
        with build(plan, args.target, timeline=context.timeline, restore=restore, keep=args.save is not None) as root:
            return _run_in(root, command, args.save, context)
    from devproxy.pods.pod import Pod

    with (
        Pod(args.target, name=args.pod) as pod,
        pod.build(plan, timeline=context.timeline, restore=args.restore, keep=args.save is not None) as root,
    ):
        for line in pod.take_told():
            context.say(line)
        return _run_in(root, command, args.save, context)


def _run_in(root: Root, command: list[str] | None, save: str | None, context: Context) -> int:
    tell_outcomes(root, context)
    context.done("tell")
    _check(root, context)
    context.done("check")
    code = _launch(root, command, context)
    if save is not None:
        _save(root, save, context)
        context.done("save")
    return code


def _save(root: Root, file: str, context: Context) -> None:
    """Save what the process has left, however it ended."""
    saved = root.save(file)
    for note in saved.notes:
        context.warn(f"not saved: {note}")
    context.say(f"saved {saved.entries} entries of {', '.join(saved.mounts) or 'no mount'} in {file}")
    if saved.reattached:
        context.say(f"the host's own, which a restore takes from there again: {', '.join(saved.reattached)}")


def _require_process(plan: Plan, command: list[str] | None) -> None:
    if plan.process is None and command is None:
        raise InputError("config.json has no process", hint="give a command behind '--'")


def _check(root: Root, context: Context) -> None:
    """The root against its own outcomes: no process is started in one that is not what it says."""
    report = check_outcomes(root)
    for finding in report.findings:
        context.found(finding, error=finding in report.errors)
    if report.errors:
        raise DevproxyError(
            f"the root is not what was built: {len(report.errors)} findings, nothing was started",
            hint="something else changes this machine's mounts or devices, or this is a defect of devproxy",
        )
    if report.inconclusive and root.plan.strict:
        raise DevproxyError("the root could not be looked at whole, nothing was started", hint="strict is set")


def _launch(root: Root, command: list[str] | None, context: Context) -> int:
    from devproxy.launch import NotExecutable, NotFound, launch

    process = root.plan.process
    if process is not None and process.terminal and not os.isatty(0):
        context.warn("process.terminal is true, but standard input is no terminal: the process gets none")

    def started(pid: int) -> None:
        context.done("launch")
        context.event("info", "process-started", f"the process runs: pid {pid}", pid=pid)
        context.tell_timings()

    try:
        code = launch(root, command, started=started)
    except NotFound as error:
        context.error(error.message, error.hint)
        return 127
    except NotExecutable as error:
        context.error(error.message, error.hint)
        return 126
    context.done("process")
    context.event("info", "process-ended", f"the process ended with code {code}", code=code)
    return code
