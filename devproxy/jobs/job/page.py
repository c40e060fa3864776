"""A job as one page that explains it at a glance: whose fault, which device, the evidence, what changed, what it took."""

from __future__ import annotations

import os
import shlex
import time

import devproxy
from devproxy.check.finding import Finding, Report
from devproxy.check.html.chapters import contents, findings, scope
from devproxy.check.html.markup import Html, element, join
from devproxy.check.html.page import whole_page
from devproxy.check.html.picture import picture
from devproxy.check.html.tables import code, facts, table
from devproxy.jobs.job.pieces import changed, kernel_lines, output, phases_table, tile
from devproxy.jobs.job.result import Fault, Hardware, Look, Result
from devproxy.jobs.job.verdict import device_of, errors_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

_STATES: Final = {Hardware.FINE: "ok", Hardware.BAD: "error", Hardware.UNKNOWN: "inconclusive"}


def page_of(result: Result) -> str:
    """The page: complete, without scripts, and nothing in it is fetched from anywhere."""
    chapters = list(_chapters(result))
    body = element(
        "body",
        element("a", "To the evidence", href="#evidence", class_="skip"),
        element(
            "header",
            element("h1", "devproxy job"),
            element("p", code(shlex.join(result.asked.command) or f"devproxy run {result.asked.bundle}")),
            element("p", _about(result), class_="quiet"),
            element("div", element("strong", result.verdict.headline), class_=f"verdict {_state(result)}"),
            element("div", _command(result), _hardware(result), _left(result), _lease(result), class_="tiles"),
            contents([(name, title) for name, title, _ in chapters]),
        ),
        element("main", *(element("section", element("h2", title), inner, id=name) for name, title, inner in chapters)),
    )
    return whole_page(f"devproxy job: {result.verdict.headline}", body)


def _about(result: Result) -> str:
    began = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(result.began))
    rehearsed = (
        f" · rehearsed on the recording {os.path.basename(result.asked.host)}" if result.asked.host != "live" else ""
    )
    return f"{began} · {result.seconds:.1f} s in all · exit code {result.verdict.code} · devproxy {devproxy.__version__}{rehearsed}"


def _state(result: Result) -> str:
    if result.verdict.fault is Fault.NOBODY:
        return _STATES[result.verdict.hardware]
    return "inconclusive" if result.verdict.fault is Fault.UNKNOWN else "error"


# the tiles


def _command(result: Result) -> Html:
    ended = result.ended
    if ended is None:
        return tile("The command", "inconclusive", "not started", "")
    return tile("The command", "ok" if ended.ok else "error", ended.describe(), f"ran for {ended.seconds:.1f} s")


def _hardware(result: Result) -> Html:
    verdict, look = result.verdict, result.after or result.before
    devices = result.scope.devices if result.scope else ()
    blamed = [each for each in devices if each.name in verdict.devices]
    which = ", ".join(f"{each.kind.value} {each.rank} ({each.name})" for each in blamed)
    codes = ", ".join(dict.fromkeys(each.code for each in errors_of(look))) if look else "nobody looked"
    told = " · ".join(filter(None, (which, codes)))
    return tile("The hardware", _STATES[verdict.hardware], verdict.hardware.value, told)


def _left(result: Result) -> Html:
    stays = sum(each.stays for each in result.left)
    if result.ended is None:
        return tile("Left behind", "", "nothing was started", "")
    if not result.left:
        return tile("Left behind", "ok", "nothing", "")
    gone, others = sum(each.gone for each in result.left), sum(not each.ours for each in result.left)
    numbers = ((stays, "could not be removed"), (gone, "removed"), (others, "perhaps somebody else's"))
    words = ", ".join(f"{number} {told}" for number, told in numbers if number)
    return tile("Left behind", "error" if stays else "ok", words, ", ".join(each.what for each in result.left[:3]))


def _lease(result: Result) -> Html:
    if result.scope is None:
        return tile("The lease", "inconclusive", "no device was had", "")
    devices = ", ".join(f"{each.kind.value} {each.rank}" for each in result.scope.devices)
    out = ", ".join(entry.name for entry in result.quarantined)
    return tile(
        "The lease", "error" if out else "", devices, f"quarantined: {out}" if out else f"number {result.scope.ident}"
    )


# the chapters


def _chapters(result: Result) -> Iterator[tuple[str, str, Html]]:
    after = result.after or result.before
    yield "evidence", "The evidence", _evidence(result)
    written = ("output", "What the command wrote last", output(result.ended))
    first = result.verdict.fault is Fault.COMMAND  # then that is the evidence
    if first:
        yield written
    if result.left:
        rows = [
            (each.what, each.done, "" if each.gone else "still there" if each.ours else "left alone")
            for each in result.left
        ]
        yield "left", "Left behind", table("What the command left behind", ("What", "What became of it", ""), rows)
    yield "changed", "What changed", changed(result.difference)
    if not first:
        yield written
    if result.kernel:
        yield "kernel", "The kernel's log meanwhile", kernel_lines(result.kernel, result.scope)
    yield "timings", "Timings", phases_table(result.phases)
    yield "devices", "The devices", _devices(result)
    every = after.report.findings if after else ()
    if after is not None and after.host is not None:
        yield "host", "The host", picture(after.host, every)
    for name, title, look in (
        ("before", "before", result.before),
        ("after", "after", result.after),
        ("cleaned", "after cleaning", result.cleaned),
    ):
        if look is not None:
            yield f"check-{name}", f"The check {title}", _check(look)


def _evidence(result: Result) -> Html:
    """Why it is red: what is wrong with the hardware, else what the command and devproxy say."""
    look = result.after or result.before
    errors = errors_of(look)
    parts: list[Html | None] = [findings(Report(errors, ()))] if errors else []
    for refused in result.refused:
        names = ", ".join(sorted(refused.scope.names))
        parts.append(element("p", f"{names} was leased first, was bad, and was given back:"))
        parts.append(findings(Report(refused.report.errors, ())))
    if result.problems:
        items = [element("li", problem) for problem in result.problems]
        parts += [element("p", "What devproxy could not do:"), element("ul", join(items))]
    if result.verdict.fault is Fault.COMMAND:
        parts.append(
            element("p", "Nothing is wrong with the devices, as far as was looked: see what the command wrote last.")
        )
    return join(parts) if parts else element("p", "Nothing was found to be wrong.")


def _check(look: Look) -> Html:
    return join((findings(look.report), scope(look.report)))


def _devices(result: Result) -> Html:
    devices = result.scope.devices if result.scope else ()
    rows = [
        (
            f"{each.kind.value} {each.rank}",
            code(each.name),
            each.model,
            code(each.address),
            _of(result.before, each.name, result),
            _of(result.after, each.name, result),
        )
        for each in devices
    ]
    number = facts((("Lease", code(result.scope.ident)),)) if result.scope else None
    return join((number, table("The lease's devices", ("", "Name", "Model", "At", "Before", "After"), rows)))


def _of(look: Look | None, name: str, result: Result) -> str:
    """What a check said of one device."""
    if look is None or look.host is None:
        return "not seen"
    devices = result.scope.devices if result.scope else ()
    mine: list[Finding] = [each for each in look.report.findings if device_of(each, devices) == name]
    return ", ".join(dict.fromkeys(each.code for each in mine)) or "fine"
