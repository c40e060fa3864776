"""What the verbs that take a bundle share: their arguments, and the way from there to a plan."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Final

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
    parser.add_argument("--host", default="live", metavar="HOST", help="'live' (the default) or a recording's file")
    parser.add_argument(
        "--mode",
        choices=MODES,
        default="auto",
        help="who says which accelerators the container gets: the environment (docker), linux.devices (spec), nobody "
        "(none); auto, the default, finds out",
    )


def add_format_arguments(parser: argparse.ArgumentParser) -> None:
    """--json and --text, for verbs that print tables to people and JSON to pipes."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON on a terminal too")
    form.add_argument("--text", action="store_true", help="print text to a pipe or file too")


def wants_json(args: argparse.Namespace, context: Context) -> bool:
    """What these two, or their absence, come to."""
    return context.wants_json(asked=args.json, refused=args.text)


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
