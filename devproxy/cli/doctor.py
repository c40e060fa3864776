"""`devproxy doctor`: what is wrong with a host, or with the one that a bug report tells of, and what to type."""

from __future__ import annotations

from devproxy.check.doctor.case import Case
from devproxy.check.doctor.catalogue import CHECKS
from devproxy.check.doctor.examine import examine
from devproxy.check.doctor.words import verdict
from devproxy.check.finding import Report
from devproxy.check.report_json import report_document
from devproxy.cli.arguments import add_format_arguments, add_host_argument, add_report_arguments, wants_json
from devproxy.cli.context import Context
from devproxy.cli.findings import explain, list_codes, print_findings, print_verdict, tell_events
from devproxy.errors import InputError
from devproxy.host.facts import Host
from devproxy.host.probe import probe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from devproxy.cli.quick import Parser
    from devproxy.oci.spec import Spec

_EXAMPLES = """\
examples:
  devproxy doctor                          this host
  devproxy doctor BUNDLE                   this host, and what the bundle asks of it
  devproxy doctor --host h100.tar          a recorded host
  devproxy doctor --report issue.txt       what somebody pasted: ls -l, /proc/devices, nvidia-smi, dmesg, among prose
  devproxy doctor --report - < log         the same from a pipe; a directory, a .gz and a .tar are read too
  devproxy doctor --open                   also open each accelerator (a TPU or vfio group is nobody else's meanwhile)
  devproxy doctor --explain node-missing   what a code means, how it is detected, what to do
  devproxy doctor --junit r.xml --html r.html

exit codes: 0 no error was found; 3 an error was found; 4 inconclusive: what had to be seen could not be seen. A report is
judged on what it contains: 0 or 3.
"""


def add_arguments(parser: Parser) -> None:
    """Declare the verb's own arguments."""
    parser.add_argument("bundle", metavar="BUNDLE", nargs="?", help="also examine what this bundle asks of the host")
    add_host_argument(parser)
    parser.add_argument("--report", metavar="FILE-OR-DIR", help="examine the host that a bug report tells of")
    parser.add_argument("--open", action="store_true", help="open every accelerator, one by one, in a child process")
    parser.add_argument(
        "--only", action="append", default=[], metavar="CODE", help="look for this code alone; repeatable"
    )
    parser.add_argument(
        "--skip", action="append", default=[], metavar="CODE", help="do not look for this code; repeatable"
    )
    parser.add_argument("--explain", metavar="CODE", help="print the page of a code, and end")
    parser.add_argument("--list", action="store_true", help="list the codes, and end")
    add_format_arguments(parser)
    add_report_arguments(parser)
    parser.epilog = _EXAMPLES


def run(args: Namespace, context: Context) -> int:
    """Examine and print."""
    if args.explain is not None:
        return explain(args.explain, context, as_json=args.json)
    if args.list:
        return list_codes([(each.code, each.severity, each.title) for each in CHECKS], context, as_json=args.json)
    for code in (*args.only, *args.skip):
        _require_code(code)
    host, read = _host(args, context)
    case = Case(host, _spec(args.bundle), layers_in=context.configuration.overlay2.overlay.directory)
    report = examine(case, judge_what_is_there=args.report is not None, only=args.only, skip=args.skip)
    context.done("examine")
    _tell(report, host, read, args, context)
    _write_files(report, host, args)
    return report.exit_code


def _host(args: Namespace, context: Context) -> tuple[Host, list[str]]:
    """The host, and what is to be said of how it was read."""
    if args.report is None:
        host = probe(args.host, deep=True, opens=args.open)
        context.done("probe")
        return host, []
    if args.host != "live" or args.open:
        raise InputError("--report reads a host from a report; --host and --open are for machines")
    from devproxy.bugreport.report import read_report

    reported = read_report(args.report)
    context.done("read")
    return reported.host, [reported.summary(), *(f"note: {note}" for note in reported.notes)]


def _spec(bundle: str | None) -> Spec | None:
    if bundle is None:
        return None
    from devproxy.oci.load import load

    return load(bundle)


def _require_code(code: str) -> None:
    from devproxy.check.doctor.pages import codes, require

    require(code, codes())


def _tell(report: Report, host: Host, read: list[str], args: Namespace, context: Context) -> None:
    tell_events(report, context)
    if wants_json(args, context):
        about = {"host": host.name, "simulated": host.simulated, "read": read}
        context.print_json({**about, **report_document(report), "summary": verdict(report, host)})
        return
    recorded = " (recorded)" if host.simulated and host.coverage is None else ""
    context.print(f"report {host.name}" if host.coverage is not None else f"host {host.name}{recorded}")
    for line in read:
        context.print(line)
    print_findings(report, context)
    print_verdict(report, verdict(report, host), context)
    context.done("print")


def _write_files(report: Report, host: Host, args: Namespace) -> None:
    if args.html:
        from devproxy.check.html.page import Judged
        from devproxy.cli.html import write_page

        write_page(args.html, "devproxy doctor", host, (Judged("Doctor", report, verdict(report, host)),), None)
    if args.junit:
        from devproxy.cli.junit import write_junit

        wanted = [check.code for check in CHECKS if not args.only or check.code in args.only]
        write_junit(args.junit, "doctor", report, host=host.name, checks=[c for c in wanted if c not in args.skip])
