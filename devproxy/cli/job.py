"""`devproxy job`: a command on accelerators that are leased, checked, recorded and cleaned, and whose fault it is when it fails."""

from __future__ import annotations

from devproxy.cli.arguments import add_host_argument
from devproxy.cli.context import Context
from devproxy.errors import DevproxyError, InputError
from devproxy.jobs.devices import Kind, Wanted
from devproxy.jobs.job.asked import Asked, Decides
from devproxy.jobs.quarantine import PLACE as KEPT_OUT
from devproxy.jobs.size import parse_duration, parse_size
from devproxy.jobs.state import PLACE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from devproxy.cli.quick import Parser

_EXAMPLES = """\
examples:
  devproxy job -- pytest hwtests                          on any one accelerator
  devproxy job 2 --wait 30m --artifacts out -- ./bench    two, waited for; out/report.html says what became of it
  devproxy job --timeout 1h --artifacts out -- make test
  devproxy job --bundle . --artifacts out                 the bundle's process, in its root, with the leased devices
  devproxy job --expect h100.toml -- ./burn-in            what the hardware has to be
  devproxy job --host before.tar --after-host after.tar --artifacts out -- true    a rehearsal on recorded hosts

It leases, checks and records the host, runs the command, checks and records again, says what differs, ends and removes what the
command left behind, and gives the devices back; one that is bad is quarantined. What the command writes is passed on as it is. An
interrupt is the command's; a second one kills it; checks and cleaning follow in any case. If devproxy itself is killed, all that
the command started is killed with it before the devices are free; then 'devproxy clean --lease out/lease.json' does the rest.

On GitHub (GITHUB_ACTIONS=true) it writes groups, annotations and the step's summary, on GitLab (GITLAB_CI=true) sections; junit.xml
and codequality.json in the folder are for both.

exit codes: the command's own, 128+n when signal n ended it, also where the hardware was to blame: job.json and all reports say so;
3 the command succeeded (or was not started) and the hardware is bad; 124 it was ended by --timeout; 125 devproxy failed; 126, 127 the
command could not be executed; 130, 143 interrupted; 1 nothing was free in time; 2 bad usage, or this host can never give that. With
--verdict hardware 0, 3 or 4 (unknown), whatever the command says.
"""


def add_arguments(parser: Parser) -> None:
    """Declare the verb's own arguments."""
    add = parser.add_argument
    add("number", metavar="N", nargs="?", help="how many accelerators (default 1)")
    add(
        "--artifacts",
        metavar="DIR",
        help="a folder for all that is known of the job: new, or empty, or a job's own",
    )
    add("--bundle", metavar="BUNDLE", help="run it in the bundle's root, as 'devproxy run' does")
    add("--kind", choices=["gpu", "tpu"], help="which kind, where the host has both")
    add("--model", default="", metavar="WORDS", help="words of the model's name: 'H100', 'v5e'")
    add("--mem", metavar="SIZE", help="at least so much memory each: 80G, 40960M")
    add("--numa", type=int, metavar="NODE", help="on this NUMA node")
    add("--wait", metavar="TIME", help="wait so long for them: 90, 90s, 30m, 2h, or 'forever'")
    add("--expect", metavar="FILE.toml", help="what the hardware has to be, as for 'devproxy check'")
    add("--timeout", metavar="TIME", help="end the command after so long")
    add(
        "--grace",
        default="10s",
        metavar="TIME",
        help="how long it has to end when it is asked to (default 10s), before it is killed",
    )
    add("--anyway", action="store_true", help="run the command although the hardware is bad before it")
    add(
        "--verdict",
        choices=[each.value for each in Decides],
        default="both",
        help="whose state the exit code tells (default both)",
    )
    add(
        "--after-host",
        metavar="FILE",
        help="with --host FILE: the recording that stands for the host afterwards",
    )
    add("--state", default=PLACE, metavar="DIR", help=f"where leases are kept (default {PLACE})")
    add("--quarantine", default=KEPT_OUT, metavar="DIR", help=f"where devices are kept out (default {KEPT_OUT})")
    add_host_argument(parser)
    parser.epilog = _EXAMPLES


def run(args: Namespace, context: Context) -> int:
    """Carry the job out; returns the exit code that its verdict has."""
    asked = _asked(args)
    from devproxy.cli.job_told import teller
    from devproxy.jobs.job.interrupts import Interrupted
    from devproxy.jobs.job.job import run_job

    told = teller(context)
    try:
        result = run_job(asked, told)
    except DevproxyError as error:
        error.message = told.words(error.message)
        raise
    except Interrupted as interrupted:
        context.say("interrupted before a device was had: nothing was started")
        return 128 + interrupted.number
    return result.verdict.code


def _asked(args: Namespace) -> Asked:
    if args.bundle == "":  # the command would run on the host instead
        raise InputError("--bundle names nothing, but the empty string", hint="is a variable unset?")
    if not args.command and not args.bundle:
        raise InputError("no command to run", hint="devproxy job 1 -- COMMAND, or --bundle BUNDLE")
    if args.after_host and args.host == "live":
        raise InputError("--after-host goes with --host FILE: what this machine is afterwards is looked at")
    grace = parse_duration(args.grace)
    if grace is None:
        raise InputError("--grace needs an end", hint="for example 10s")
    wanted = Wanted(
        _number(args.number or "1"),
        Kind(args.kind) if args.kind else None,
        args.model,
        parse_size(args.mem) if args.mem else None,
        args.numa,
    )
    return Asked(
        tuple(args.command or ()),
        wanted,
        parse_duration(args.wait) if args.wait else 0.0,
        parse_duration(args.timeout) if args.timeout else None,
        grace,
        args.bundle or "",
        _run_options(args),
        args.artifacts or "",
        args.expect or "",
        args.host,
        args.after_host or "",
        args.state,
        args.quarantine,
        args.anyway,
        Decides(args.verdict),
    )


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 6 and int(text)):
        raise InputError(f"{text!r} accelerators asked for, expected a number", hint="the command stands behind '--'")
    return int(text)


def _run_options(args: Namespace) -> tuple[str, ...]:
    """What 'devproxy run' is told of the configuration."""
    words = [f"--set={each}" for each in args.set]
    return (f"--config={args.config}", *words) if args.config else tuple(words)
