"""Which findings keep a device out, and for how long: what NHC does by taking a node offline, and Kubernetes by a device's taint.

`NoExecute`: what runs on the device cannot be trusted either; `NoSchedule`: it may end, nothing new is given the device (the effects
of device taints, KEP-5055). Only findings that name one device count, and only errors: what could not be seen keeps nobody out.
"""

from __future__ import annotations

import re

from devproxy.choice import Choice
from devproxy.errors import InputError
from devproxy.jobs.health.case import units
from devproxy.jobs.quarantine import Entry, check_name
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.check.finding import Finding, Report
    from devproxy.host.facts import Host
    from devproxy.jobs.health.case import Unit


class Effect(Choice):
    """What a rule does to a device, in the words of Kubernetes' device taints."""

    NO_SCHEDULE = "NoSchedule"
    NO_EXECUTE = "NoExecute"


class Rule(Record):
    """A finding's `code` (an Xid's with its number) that keeps a device out: for `days`, or until somebody lifts it (None); and
    what lets it in again.
    """

    code: str
    effect: Effect
    days: float | None
    requalify: str


_RESET: Final = "reset it, then dcgmi diag -r 2"
_DIAGNOSE: Final = "dcgmi diag -r 3 after a reset"
_REPLACE: Final = "have the board replaced"
_CYCLE: Final = "power-cycle the machine, then dcgmi diag -r 3"
_LOOK: Final = "devproxy check finds it well again"
_DAY: Final = 86400.0

_NO_EXECUTE, _NO_SCHEDULE = Effect.NO_EXECUTE, Effect.NO_SCHEDULE

# Broken or lost: until somebody lifts it. What a reset mends: a day, in which somebody resets it; it comes again if it is not mended.
RULES: Final = (
    *(Rule(f"xid-since {number}", _NO_EXECUTE, None, _REPLACE) for number in (64,)),
    *(Rule(f"xid-since {number}", _NO_EXECUTE, None, _CYCLE) for number in (79, 143)),
    *(Rule(f"xid-since {number}", _NO_EXECUTE, 7, _DIAGNOSE) for number in (48, 57, 58, 95, 140)),
    *(Rule(f"xid-since {number}", _NO_EXECUTE, 1, _RESET) for number in (44, 46, 61, 62, 72, 109, 110, 119, 120, 122)),
    *(Rule(f"xid-since {number}", _NO_SCHEDULE, 1, _RESET) for number in (74, 94, 136, 144, 145, 146, 147, 148, 149, 150)),
    Rule("device-lost", _NO_EXECUTE, None, _CYCLE),
    Rule("device-lost-since", _NO_EXECUTE, None, _CYCLE),
    Rule("gpu-init-failed", _NO_EXECUTE, None, _CYCLE),
    Rule("row-remap-failed", _NO_EXECUTE, None, _REPLACE),
    Rule("ecc-uncorrected", _NO_EXECUTE, 7, _DIAGNOSE),
    Rule("row-remap-pending", _NO_SCHEDULE, 1, _RESET),
    Rule("fabric-not-ready", _NO_SCHEDULE, 1, _LOOK),
    Rule("nvlink-down", _NO_SCHEDULE, 1, _LOOK),
    Rule("temperature-high", _NO_SCHEDULE, 0.25, _LOOK),
    Rule("pcie-width-degraded", _NO_SCHEDULE, 7, "reseat the board; devproxy check finds it well again"),
    Rule("tpu-chip-unusable", _NO_SCHEDULE, 1, _LOOK),
)  # fmt: skip
_BY_CODE: Final = {rule.code: rule for rule in RULES}


def rule_of(finding: Finding) -> Rule | None:
    """The rule for a finding, or None. An Xid that a reset does not concern (a program's own, 13 or 31) has none."""
    if finding.code != "xid-since":
        return _BY_CODE.get(finding.code)
    number = re.match(r"Xid (\d+)", finding.found)
    return _BY_CODE.get(f"xid-since {number[1]}") if number else None


def to_quarantine(report: Report, host: Host, *, now: float, by: int, before: Host | None = None) -> tuple[Entry, ...]:
    """The devices that a report's errors keep out, one entry each: the longest rule counts, and the reason says them all.

    `before` names devices that `host` does not have any more. `now` is in seconds since the epoch, `by` the user's number.
    """
    every = (*units(host), *(units(before) if before is not None else ()))
    against: dict[str, list[tuple[Rule, Finding]]] = {}
    for finding in report.errors:
        rule = rule_of(finding)
        if rule is None:
            continue
        name = _name(finding, every)
        if name:
            against.setdefault(name, []).append((rule, finding))
    return tuple(_entry(name, pairs, now, by) for name, pairs in against.items())


def _name(finding: Finding, every: tuple[Unit, ...]) -> str:
    """The name of the device that a finding is about; empty where it is about none. Of two that had one address the one now counts,
    unless it is the other that is lost.
    """
    found = [unit for unit in every if finding.path in unit.subjects]
    if finding.code == "device-lost-since":
        found.reverse()
    if found:
        return found[0].name
    try:
        check_name(finding.path)  # of a device that is not here any more
    except InputError:
        return ""
    return finding.path


def _entry(name: str, pairs: list[tuple[Rule, Finding]], now: float, by: int) -> Entry:
    first = max(pairs, key=lambda pair: float("inf") if pair[0].days is None else pair[0].days)
    rule, finding = first
    until = None if rule.days is None else now + rule.days * _DAY
    told = "; ".join(dict.fromkeys(f"{each.found} [{each.code}]" for _, each in (first, *pairs)))
    return Entry(name, finding.code, f"{told}. {rule.effect.value}; to requalify: {rule.requalify}", now, until, by)
