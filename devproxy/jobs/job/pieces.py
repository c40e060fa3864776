"""The pieces of a job's page that are not findings: tiles, bars of time, output, what changed."""

from __future__ import annotations

import re

from devproxy.check.html.markup import Html, element, join
from devproxy.check.html.tables import table
from devproxy.jobs.job.result import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from devproxy.difference.comparison import Comparison
    from devproxy.jobs.job.command import Ended
    from devproxy.jobs.job.output import Written
    from devproxy.jobs.job.result import Phase
    from devproxy.jobs.scope import Scope

_LINES: Final = 120
_DIFFERENCES: Final = 300
# Colours and the like (ECMA-48, 5.4): nobody wants to read their codes.
_CONTROL: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


def tile(title: str, state: str, words: str, more: str) -> Html:
    """A title, its state in a word, and what belongs to it. `state` is ok, error, inconclusive or empty."""
    inner = (element("h2", title), element("strong", words), element("span", more or None, class_="quiet"))
    return element("div", *inner, class_=f"tile {state}".strip())


def phases_table(phases: Sequence[Phase]) -> Html:
    """What each phase took, as bars on one line of time."""
    if not phases:
        return element("p", "Nothing was begun.")
    first = phases[0].began
    whole = max(max(phase.began + phase.seconds for phase in phases) - first, 0.001)
    rows = [
        (
            phase.name,
            element("span", f"{phase.seconds:.2f} s", style="white-space: nowrap"),
            _bar(phase, (phase.began - first) / whole, phase.seconds / whole),
            phase.words if phase.state is State.DONE else f"{phase.state.value}: {phase.words}",
        )
        for phase in phases
    ]
    return table("What each phase took", ("Phase", "Took", "", ""), rows)


def _bar(phase: Phase, start: float, share: float) -> Html:
    start = min(max(start, 0.0), 0.995)
    place = f"margin-left: {start * 100:.2f}%; width: {min(share, 1 - start) * 100:.2f}%"
    return element("div", element("div", class_=f"bar {phase.state.value}", style=place), class_="track")


def output(ended: Ended | None) -> Html:
    """The last lines of both streams, what went wrong first."""
    if ended is None:
        return element("p", "It was not started.")
    parts = [_stream("standard error", ended.err), _stream("standard output", ended.out)]
    return join(part for part in parts if part is not None) or element("p", "It wrote nothing.")


def _stream(name: str, written: Written) -> Html | None:
    if not written.size:
        return None
    lines = _CONTROL.sub("", written.tail.decode(errors="replace")).replace("\r\n", "\n").splitlines()
    shown = lines[-_LINES:]
    cut = len(lines) > len(shown) or written.size > len(written.tail)
    told = f"{name}: {'the last lines of ' if cut else ''}{written.size} bytes"
    kept = f", all in {' and '.join(written.files)}" if written.files and not written.lost else ""
    text = _window(name, element("div", "\n".join(shown)))
    return join((element("h3", f"{told}{kept}"), text))


def kernel_lines(lines: Sequence[str], scope: Scope | None) -> Html:
    """The kernel's log; lines about one of the lease's devices stand out."""
    addresses = [device.address.partition(".")[0] for device in scope.devices] if scope else []
    shown = [
        element("span", f"{line}\n", class_="hot" if any(address in line for address in addresses) else None)
        for line in lines[-_LINES * 2 :]
    ]
    return _window("the kernel's log", element("div", join(shown)))


def _window(name: str, inner: Html) -> Html:
    """Lines that scroll by themselves, reached by keyboard."""
    return element("div", inner, class_="output", role="region", aria_label=name, tabindex="0")


def changed(difference: Comparison | None) -> Html:
    """The differences between before and after; processes that came and went are left to diff.txt."""
    if difference is None:
        return element("p", "The host was not seen both before and after.")
    rows = [
        (line.group, element("span", line.text, class_=_class(line.before, line.after)))
        for line in difference.lines
        if not line.minor
    ]
    shown = table("Between before and after", ("", "Difference"), rows[:_DIFFERENCES])
    more = element("p", f"and {len(rows) - _DIFFERENCES} more in diff.txt") if len(rows) > _DIFFERENCES else None
    unseen = [element("li", f"not compared: {each}") for each in difference.unseen]
    nothing = None if rows else element("p", "Nothing: the host is as it was before.")
    return join((nothing, shown, more, element("ul", join(unseen)) if unseen else None))


def _class(before: str | None, after: str | None) -> str | None:
    return "gone" if after is None else "new" if before is None else None
