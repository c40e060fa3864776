"""`devproxy verify`: a root built on the kernel, to throw away, against the root that the same plan builds in
memory.
"""

from __future__ import annotations

import stat

from devproxy.build import Root, build
from devproxy.check import text
from devproxy.check.finding import Report
from devproxy.check.left import left_on_host
from devproxy.check.report_json import report_document
from devproxy.check.verify import verify
from devproxy.cli.arguments import add_format_arguments, add_report_arguments, wants_json
from devproxy.cli.bundle import add_bundle_arguments, make_plan_and_restore, tell_outcomes
from devproxy.cli.context import Context
from devproxy.cli.render import outcome_document
from devproxy.node import LikeHost, OfDriver, number_of_rdev
from devproxy.outcome import Outcome, Result
from devproxy.plan.plan import Plan
from devproxy.plan.steps import Bind, Cover, MakeNode, MakeSymlink, Mask, MountFilesystem, MountRoot, SealPath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable

    from devproxy.cli.quick import Parser

_EXAMPLES = """\
examples:
  devproxy verify .                               this bundle on this host
  devproxy verify . --host h100.tar               with the device nodes of a recorded host
  devproxy verify . --json > report.json          for a script
  devproxy verify . --junit report.xml            for the test page of a CI system

Compared are the mount table with its flags, all of /dev, every path that the plan names, masked and read-only paths.
Mount points that are missing in what is bound, or with overlay2=none in the rootfs, are made there as by a run, and noted.

Without root the root is built in a user namespace of the caller alone; it is held to what can be had there, and what cannot
is told.

exit codes: 0 no differences; 3 an error was found; 4 inconclusive, something could not be seen; 2 bad usage or input; 1 no root
could be built.
"""


def add_arguments(parser: Parser) -> None:
    """Declare the verb's own arguments."""
    add_bundle_arguments(parser)
    add_format_arguments(parser)
    add_report_arguments(parser)
    parser.epilog = _EXAMPLES


def run(args: Namespace, context: Context) -> int:
    """Build twice, compare, print."""
    plan, restore = make_plan_and_restore(args, context)
    with build(plan, "kernel", timeline=context.timeline, restore=restore) as root:
        tell_outcomes(root, context)
        context.done("tell")
        report = verify(plan, root)
        left = left_on_host(root) if report.compared else ()
        if left:
            note = f"made in what is bound, and left there as a run leaves it: {' '.join(left)}"
            report = report._replace(notes=(*report.notes, note))
        context.done("compare")
        if context.json_messages:
            for finding in report.findings:
                context.found(finding, error=finding in report.errors)
        code = _print(plan, root, report, args, context)
        if args.html:
            _write_page(args, plan, report)
        if args.junit:
            from devproxy.cli.junit import write_junit

            write_junit(args.junit, "verify", report, host=plan.host.name)
        context.done("print")
        return code


def _write_page(args: Namespace, plan: Plan, report: Report) -> None:
    """The page: this verification, and what the doctor says of the host and of what the bundle asks of it."""
    from devproxy.check.doctor.case import Case
    from devproxy.check.doctor.examine import examine
    from devproxy.check.doctor.words import verdict
    from devproxy.check.html.page import Judged
    from devproxy.cli.html import write_page
    from devproxy.host.probe import probe

    host = probe(args.host, deep=True)
    found = examine(Case(host, plan.asked.spec if plan.asked is not None else None))
    judged = (Judged("Verification", report), Judged("Doctor", found, verdict(found, host)))
    write_page(args.html, f"devproxy verify {plan.bundle}", host, judged, plan)


def _print(plan: Plan, root: Root, report: Report, args: Namespace, context: Context) -> int:
    if wants_json(args, context):
        where = {
            "bundle": plan.bundle,
            "host": plan.host.name,
            "simulated": plan.host.simulated,
            "mode": plan.mode.value,
        }
        built = {what: paths for what, paths, _ in _built(root.outcomes)}
        privileged = {"rootless": root.rootless is not None}
        outcomes = {"outcomes": [outcome_document(outcome) for outcome in root.outcomes]}
        context.print_json({**where, **privileged, "built": built, **report_document(report), **outcomes})
        return report.exit_code
    _print_built(plan, root, context)
    if report.findings:
        context.table(text.rows(report), text.HEADER)
        context.print()
    for note in report.notes:
        context.print(f"note: {note}")
    if report.compared:
        context.print(f"compared with the same plan built in memory: {text.compared(report)}")
    context.print(context.style(text.verdict(report), "bold", "green" if report.ok else "red"))
    for hint in dict.fromkeys(finding.hint for finding in report.findings if finding.hint):
        context.print(f"hint: {hint}")
    return report.exit_code


def _print_built(plan: Plan, root: Root, context: Context) -> None:
    recorded = " (recorded)" if root.simulated else ""
    context.print(f"built {plan.bundle} on the kernel: mode {plan.mode.value}, host {plan.host.name}{recorded}")
    context.print()
    rows = [(what, str(len(paths)), _first(paths, left_out)) for what, paths, left_out in _built(root.outcomes)]
    context.table(rows, ("BUILT", "COUNT", "WHERE"))
    context.print()
    devices = [_device_row(root, outcome) for outcome in root.outcomes if _has_driver(outcome)]
    if devices:
        context.table(devices, ("DEVICE", "NUMBER", "MODE", "DRIVER", "WHY"))
        context.print()


_BUILT = {
    "mounts": (MountRoot, MountFilesystem, Bind),
    "device nodes": (MakeNode,),
    "links": (MakeSymlink,),
    "masked": (Mask,),
    "covered": (Cover,),
    "read-only": (SealPath,),
}


def _built(outcomes: Iterable[Outcome]) -> list[tuple[str, list[str], int]]:
    """What was built, by kind: the paths, and how many steps of the kind were left out."""
    built = []
    for what, kinds in _BUILT.items():
        mine = [outcome for outcome in outcomes if isinstance(outcome.step, kinds)]
        paths = [outcome.step.path for outcome in mine if outcome.result is not Result.SKIPPED]
        built.append((what, paths, len(mine) - len(paths)))
    return built


def _first(paths: list[str], left_out: int) -> str:
    """The first few, and how many more."""
    shown = " ".join(paths[:6])
    more = f" and {len(paths) - 6} more" if len(paths) > 6 else ""
    skipped = f" ({left_out} not there or left out)" if left_out else ""
    return f"{shown}{more}{skipped}".lstrip()


def _has_driver(outcome: Outcome) -> bool:
    """Whether it is a node whose number the host decided: what people come to look for."""
    step = outcome.step
    return isinstance(step, MakeNode) and isinstance(step.identity, OfDriver | LikeHost)


def _device_row(root: Root, outcome: Outcome) -> tuple[str, ...]:
    step = outcome.step
    identity = step.identity if isinstance(step, MakeNode) else None
    driver = identity.driver if isinstance(identity, OfDriver) else ""
    why = f"{step.reason.source}; {outcome.found}" if outcome.found else step.reason.source
    try:
        found = root.lstat(step.path)
    except OSError as error:
        return (step.path, "?", "?", driver, (error.strerror or "").lower())
    number = number_of_rdev(found.st_rdev)
    if isinstance(identity, LikeHost):
        driver = root.plan.host.driver_of(number.major) or ""
    return (step.path, str(number), stat.filemode(found.st_mode), driver, why)
