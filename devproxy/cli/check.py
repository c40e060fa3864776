"""`devproxy check`: the hardware's health before and after a job, what became of it, and what the job left behind."""

from __future__ import annotations

import os
import time

from devproxy.check.doctor.words import verdict
from devproxy.check.finding import Report
from devproxy.check.report_json import report_document
from devproxy.cli.arguments import add_format_arguments, add_host_argument, add_report_arguments, wants_json
from devproxy.cli.context import Context
from devproxy.cli.findings import explain, list_codes, print_findings, print_verdict, tell_events
from devproxy.errors import DevproxyError, InputError
from devproxy.host.probe import probe
from devproxy.jobs.health.catalogue import JOB_CHECKS
from devproxy.jobs.health.examine import check, wanted_codes
from devproxy.jobs.quarantine import PLACE
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from devproxy.cli.quick import Parser
    from devproxy.host.facts import Host
    from devproxy.jobs.devices import Device
    from devproxy.jobs.health.expectations import Expectations
    from devproxy.jobs.quarantine import Entry
    from devproxy.jobs.scope import Scope

_EXAMPLES = """\
examples:
  devproxy check                                   how this host's accelerators are
  devproxy check --write-expect h100.toml          write down what it has, to hold it and its like to that
  devproxy check --expect h100.toml                and whether it has what it should
  devproxy check --before before.tar               check, and keep this host in before.tar ...
  devproxy check --after before.tar                ... and after the job: what changed, what it left behind, Xids since
  devproxy check --after before.tar --lease note   of the devices of one lease ('lease --note') alone
  devproxy check --after before.tar --quarantine   and keep devices out that must not be given to the next job (root)
  devproxy check --since 2h --only xid-since       one thing; --list has the codes, --explain CODE a page on each
  devproxy check --deadline 10s                    a driver that hangs hangs nobody

In a lease's command (DEVPROXY_LEASE) the devices are the lease's own. Findings of other devices are not this job's: they are named, and
do not count. Without --after and --since, Xids are those of the whole log. An inconclusive check is no healthy one: the kernel's log and
other users' processes are for root to see.

exit codes: 0 nothing is wrong; 3 an error was found; 4 inconclusive: what had to be seen could not be seen, or not in time; 2 no such file,
wrong expectations; 1 failed.
"""


def add_arguments(parser: Parser) -> None:
    """Declare the verb's own arguments."""
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--before", metavar="FILE.tar", help="check, and keep this host in FILE.tar for --after")
    when.add_argument("--after", metavar="FILE.tar", help="also compare with the recording that --before made")
    parser.add_argument("--expect", metavar="FILE.toml", help="hold the host to these expectations")
    parser.add_argument("--write-expect", metavar="FILE.toml", help="write expectations from this host, and end")
    parser.add_argument(
        "--lease", metavar="NOTE", help="of the devices of this lease alone; the file of 'lease --note'"
    )
    parser.add_argument(
        "--since", metavar="TIME", help="the kernel's log since then: 2h (ago), 2026-01-31T12:00, @SECONDS"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="CODE", help="look for this code alone; repeatable"
    )
    parser.add_argument(
        "--skip", action="append", default=[], metavar="CODE", help="do not look for this code; repeatable"
    )
    parser.add_argument("--deadline", metavar="TIME", help="be done by then: what was not told is inconclusive")
    parser.add_argument("--quarantine", action="store_true", help="keep out devices that findings disqualify, by rule")
    parser.add_argument("--place", default=PLACE, metavar="DIR", help=f"where devices are kept out (default {PLACE})")
    parser.add_argument("--explain", metavar="CODE", help="print the page of a code, and end")
    parser.add_argument("--list", action="store_true", help="list the codes, and end")
    add_host_argument(parser)
    add_format_arguments(parser)
    add_report_arguments(parser)
    parser.epilog = _EXAMPLES


class _Checked(Record):
    """What was checked, and what came of it; `failure` is why a device could not be kept out."""

    host: Host | None
    report: Report
    before: Host | None = None
    scope: Scope | None = None
    kept_out: tuple[Entry, ...] = ()
    failure: DevproxyError | None = None

    @property
    def verdict(self) -> str:
        """The last line."""
        return verdict(self.report, self.host) if self.host is not None else "inconclusive: nothing was seen in time"


def run(args: Namespace, context: Context) -> int:
    """Check and print."""
    if args.explain is not None:
        return explain(args.explain, context, as_json=args.json)
    if args.list:
        return list_codes([(each.code, each.severity, each.title) for each in JOB_CHECKS], context, as_json=args.json)
    if args.write_expect is not None:
        return _write_expectations(args, context)
    expect = _require(args)
    checked = _check(args, expect, context)
    _tell(checked, args, context)
    if checked.host is not None:
        _write_files(checked, checked.host, expect, args)
    if checked.failure is not None:
        raise checked.failure
    return checked.report.exit_code


def _require(args: Namespace) -> Expectations | None:
    """What was asked can be done; the expectations.

    Errors: InputError.
    """
    from devproxy.check.doctor.pages import require
    from devproxy.host.recording_file import require_file

    codes = {each.code for each in JOB_CHECKS}
    for code in (*args.only, *args.skip):
        require(code, codes)
    if args.before is not None:
        if args.host != "live":
            raise InputError("--before keeps the live host; --host is a recording already")
        require_file(args.before)
    if args.quarantine and args.place == PLACE:
        if args.host != "live":
            raise InputError(
                "--quarantine keeps out devices of this host, and --host is a recording", hint="--place DIR"
            )
        if os.geteuid() != 0:
            raise InputError("--quarantine: only root keeps devices out", hint="sudo devproxy check ... --quarantine")
    if args.expect is None:
        return None
    from devproxy.jobs.health.expectations import load_expectations

    return load_expectations(args.expect, codes)


def _check(args: Namespace, expect: Expectations | None, context: Context) -> _Checked:
    before = probe(args.after, deep=True) if args.after is not None else None
    seconds = _seconds(args.deadline)
    host, archive, late = _probe(args.host, seconds)
    context.done("probe")
    if host is None:
        from devproxy.jobs.health.sight import too_late

        return _Checked(None, too_late(late), before)
    if args.before is not None:
        from devproxy.host.recording_file import save

        save(archive, args.before)
    if before is not None:
        from devproxy.jobs.health.devices import require_same

        require_same(before, host, args.after)
    scope = _scope(args.lease, host)
    since = _since(args.since, host)
    report = check(host, before=before, expect=expect, since=since, devices=scope, only=args.only, skip=args.skip)
    context.done("check")
    checked = _Checked(host, report, before, scope)
    return _keep_out(checked, host, args) if args.quarantine else checked


def _probe(source: str, seconds: float | None) -> tuple[Host | None, bytes, str]:
    """The host and, of the live one, its recording; or why there is none in time."""
    if source != "live":
        return probe(source, deep=True), b"", ""
    from devproxy.jobs.health.within import Late, recorded_within

    try:
        return *recorded_within(seconds), ""
    except Late as late:
        return None, b"", str(late)


def _seconds(text: str | None) -> float | None:
    """Errors: InputError for no time, and for none at all."""
    from devproxy.jobs.size import parse_duration

    seconds = parse_duration(text) if text is not None else None
    if seconds is not None and seconds <= 0:
        raise InputError(f"--deadline {text}: nothing can be seen in no time", hint="for example 10s")
    return seconds


def _since(text: str | None, host: Host) -> float | None:
    from devproxy.jobs.size import parse_moment

    clock = host.details.system.clock if host.details is not None else None
    return None if text is None else parse_moment(text, time.time() if clock is None else clock.realtime)


def _scope(note: str | None, host: Host) -> Scope | None:
    """The lease of a note, or the one whose command this is part of."""
    from devproxy.jobs.scope import IDENT, Scope, read_scope

    if note is not None:
        return read_scope(note)
    names = frozenset(os.environ.get("DEVPROXY_LEASE", "").split(",")) - {""}
    if not names or host.simulated:
        return None
    from devproxy.jobs.devices import leasable

    here = {device.name: device for device in leasable(host)}
    devices = tuple(here.get(name) or _missing(name) for name in sorted(names))
    return Scope(os.environ.get(IDENT, ""), os.getuid(), 0.0, devices)


def _missing(name: str) -> Device:
    """A device of a lease that the host does not have any more, or cannot use."""
    from devproxy.jobs.devices import Device, Kind

    return Device(Kind.GPU if name.startswith("GPU-") else Kind.TPU, name, -1, "", "", -1, None, ())


def _keep_out(checked: _Checked, host: Host, args: Namespace) -> _Checked:
    """The same with the devices that are kept out now. What goes wrong there is told behind the report, not in its place."""
    from devproxy.jobs.quarantine import add
    from devproxy.jobs.rules import to_quarantine

    kept: list[Entry] = []
    for entry in to_quarantine(checked.report, host, now=time.time(), by=os.getuid(), before=checked.before):
        try:
            add(entry, args.place)
        except DevproxyError as error:
            return checked._replace(kept_out=tuple(kept), failure=error)
        kept.append(entry)
    return checked._replace(kept_out=tuple(kept))


# telling


def _tell(checked: _Checked, args: Namespace, context: Context) -> None:
    report, name = checked.report, checked.host.name if checked.host is not None else args.host
    tell_events(report, context)
    if wants_json(args, context):
        about = {"host": name, "simulated": args.host != "live", "before": args.after}
        lease = checked.scope.ident if checked.scope is not None else None
        kept_out = [entry._asdict() for entry in checked.kept_out]
        more = {"lease": lease, "quarantined": kept_out, "summary": checked.verdict}
        context.print_json({**about, **report_document(report), **more})
        return
    recorded = " (recorded)" if args.host != "live" else ""
    context.print(f"host {name}{recorded}" + (f", compared with {args.after}" if args.after is not None else ""))
    for note in report.notes:
        context.print(note)
    print_findings(report, context)
    for entry in checked.kept_out:
        until = "until it is lifted" if entry.until is None else f"until {_when(entry.until)}"
        context.print()
        context.print(f"{context.style('quarantined', 'bold')} {entry.name} {until}: {entry.reason}")
        context.print(f"  {context.style('lift     ', 'dim')} devproxy quarantine lift {entry.name} --check")
    print_verdict(report, checked.verdict, context)
    if args.before is not None and checked.host is not None:
        context.say(f"this host is kept in {args.before}: devproxy check --after {args.before}")
    context.done("print")


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _write_files(checked: _Checked, host: Host, expect: Expectations | None, args: Namespace) -> None:
    if args.html:
        from devproxy.check.html.page import Judged
        from devproxy.cli.html import write_page

        write_page(args.html, "devproxy check", host, (Judged("Check", checked.report, checked.verdict),), None)
    if args.junit:
        from devproxy.cli.junit import write_junit

        wanted = sorted(wanted_codes(expect, args.only, args.skip))
        write_junit(args.junit, "check", checked.report, host=host.name, checks=wanted)


def _write_expectations(args: Namespace, context: Context) -> int:
    from devproxy.host.recording_file import save
    from devproxy.jobs.health.written import expectations_text

    host = probe(args.host, deep=True)
    text = expectations_text(host)
    save(text.encode(), args.write_expect, what="expectations")
    context.say(f"wrote {args.write_expect}: devproxy check --expect {args.write_expect}")
    for line in text.split("\n"):
        if line.endswith((": they differ", "nothing else is known of them")):
            context.warn(line.removeprefix("# "))
    return 0
