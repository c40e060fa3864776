"""What the verbs that take a bundle share: their arguments, and the way from there to a plan."""

from __future__ import annotations

import os

from devproxy.cli.arguments import add_host_argument
from devproxy.cli.context import Context
from devproxy.errors import DevproxyError, NvmlUnasked
from devproxy.host.probe import probe
from devproxy.oci.load import load
from devproxy.plan.plan import Mode, Plan
from devproxy.plan.planner import plan
from devproxy.plan.steps import MakeNode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Final

    from devproxy.build import Root
    from devproxy.cli.quick import Parser
    from devproxy.host.facts import Host
    from devproxy.oci.spec import Spec
    from devproxy.saves.restore import Restore
    from devproxy.targets.rootless import Rootless

# Where devproxy.jobs.quarantine keeps it; what looks there is loaded only where there is something.
QUARANTINE: Final = "/var/lib/devproxy/quarantine"
MODES: Final = ("auto", *(mode.value for mode in Mode))


def add_bundle_arguments(parser: Parser) -> None:
    """BUNDLE, --host, --mode, --restore and --timings."""
    parser.add_argument("bundle", metavar="BUNDLE", help="a directory with config.json and the root file system")
    add_host_argument(parser)
    parser.add_argument(
        "--mode",
        choices=MODES,
        default="auto",
        help="who says which accelerators the container gets: the environment (docker), linux.devices (spec), nobody "
        "(none); auto, the default, finds out",
    )
    parser.add_argument("--restore", metavar="FILE", help="put into the root what 'devproxy run --save FILE' saved")
    parser.add_argument("--timings", action="store_true", help="tell what each phase and step cost, on standard error")


def make_plan(args: Namespace, context: Context) -> Plan:
    """The plan that the arguments ask for."""
    return make_plan_and_restore(args, context)[0]


def make_plan_and_restore(args: Namespace, context: Context, *, fit: bool = True) -> tuple[Plan, Restore | None]:
    """The plan that the arguments ask for, and the saved root that it was fitted to; without `fit` that is left to the build."""
    spec = load(args.bundle)
    context.done("load")
    host, foreign = _given(probe(args.host), context)
    context.done("probe")
    restore = None
    if args.restore is not None:
        from devproxy.saves.remap import for_host
        from devproxy.saves.restore import read_restore

        restore = read_restore(args.restore)
        spec = for_host(spec, host, restore.accelerators, restore.file)
    result = _planned(spec, host, args, context)
    if restore is not None and fit:
        from devproxy.saves.restore import fitted

        result = fitted(result, restore)
    if foreign:
        from devproxy.jobs.restrict import require_own

        require_own((step.path for step in result.steps if isinstance(step, MakeNode)), foreign)
    context.done("plan")
    return result, restore


def _planned(spec: Spec, host: Host, args: Namespace, context: Context) -> Plan:
    """The plan. NVML is asked only for a bundle that names what it alone knows: a driver that is stuck stops nobody else."""
    try:
        return plan(spec, host, mode=args.mode, config=context.configuration)
    except NvmlUnasked:
        from devproxy.host.ask_nvml import with_nvml
    host = with_nvml(host, args.host)
    context.done("nvml")
    return plan(spec, host, mode=args.mode, config=context.configuration)


def _given(host: Host, context: Context) -> tuple[Host, frozenset[str]]:
    """The host without the accelerators that this process may not have: those outside of the lease that it runs under, and those
    in quarantine; and the nodes of those.
    """
    names = os.environ.get("DEVPROXY_LEASE")
    if not names and (host.simulated or not os.path.lexists(QUARANTINE)):
        return host, frozenset()
    from devproxy.jobs.restrict import given

    return given(host, frozenset(names.split(",")) if names else None, context.warn)


def tell_outcomes(root: Root, context: Context) -> None:
    """Warnings once each; with -v everything that was decided. What a root lacks that was built without privileges is
    told in any case, once for all that lacks the same.
    """
    if root.rootless is not None:
        _tell_rootless(root, root.rootless, context)
    for removed in root.removed:
        context.say(removed)
    if context.json_messages:
        context.outcomes(root.outcomes)
        return
    if not context.tells_notes and not any(become.warning for become, _ in root.outcomes.runs):
        return  # there is nothing to tell, so that no outcome need be made
    told: set[str] = set()
    for outcome in root.outcomes:
        if not outcome.warning and not context.tells_notes:
            continue  # nobody is told, so that nothing need be put into words
        line = outcome.describe()
        if not outcome.warning:
            context.note(line)
        elif line not in told:
            told.add(line)
            context.warn(f"{line}  # {outcome.step.reason}")


def _tell_rootless(root: Root, rootless: Rootless, context: Context) -> None:
    from devproxy.without_root import remarks

    notes, lacks = remarks(root.plan, rootless)
    if lacks and root.plan.strict:
        raise DevproxyError("; ".join(lacks), hint="strict is set: a warning is an error")
    context.say(f"built without root: uid {rootless.uid} is uid 0 inside, no other owner can be had")
    paths: dict[str, list[str]] = {}
    for outcome in root.outcomes:
        if outcome.rootless and not outcome.warning:
            paths.setdefault(outcome.found, []).append(outcome.step.path)
    for found, those in paths.items():
        context.say(f"  {' '.join(those)}: {found}")
    for note in notes:
        context.say(f"  {note}")
    for lack in lacks:
        context.warn(lack)
