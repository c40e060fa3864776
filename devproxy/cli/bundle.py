"""What the verbs that take a bundle share: their arguments, and the way from there to a plan."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

from devproxy.cli.arguments import add_host_argument
from devproxy.cli.context import Context
from devproxy.host.probe import probe
from devproxy.oci.load import load
from devproxy.outcome import Outcome
from devproxy.plan.plan import Mode, Plan
from devproxy.plan.planner import plan

MODES: Final = ("auto", *(mode.value for mode in Mode))


def add_bundle_arguments(parser: argparse.ArgumentParser) -> None:
    """BUNDLE, --host and --mode."""
    parser.add_argument("bundle", metavar="BUNDLE", help="a directory with config.json and the root file system")
    add_host_argument(parser)
    parser.add_argument(
        "--mode",
        choices=MODES,
        default="auto",
        help="who says which accelerators the container gets: the environment (docker), linux.devices (spec), nobody "
        "(none); auto, the default, finds out",
    )


def make_plan(args: argparse.Namespace, context: Context, done: Callable[[str], None] = lambda _: None) -> Plan:
    """The plan that the arguments ask for. `done` is told the name of each phase at its end."""
    spec = load(args.bundle)
    done("load")
    host = probe(args.host)
    done("probe")
    result = plan(spec, host, mode=args.mode, config=context.configuration)
    done("plan")
    return result


def tell_outcomes(outcomes: tuple[Outcome, ...], context: Context) -> None:
    """Warnings once each; with -v everything that was decided."""
    told: set[str] = set()
    for outcome in outcomes:
        line = outcome.describe()
        if not outcome.warning:
            context.note(line)
        elif line not in told:
            told.add(line)
            context.warn(f"{line}  # {outcome.step.reason}")
