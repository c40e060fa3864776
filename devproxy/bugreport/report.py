"""A bug report, read: the host that it tells of, and what of it was understood as what."""

from __future__ import annotations

from devproxy.bugreport.draft import Draft, Use
from devproxy.bugreport.files import read_documents
from devproxy.bugreport.lines import lines_of
from devproxy.bugreport.machine import to_host
from devproxy.bugreport.recognisers import RECOGNISERS
from devproxy.errors import InputError
from devproxy.host.facts import Host
from devproxy.record import Record


class Reported(Record):
    """What a report says. `used` are the lines that were understood, `lines` counts those that are not blank, `read`
    those of them that were understood; `notes` tell of contradictions and of what was left out.
    """

    host: Host
    used: tuple[Use, ...]
    lines: int
    read: int
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """`read 14 of 60 lines: ls -l (5 nodes), /proc/devices (20 majors)`."""
        told = ", ".join(self.kinds()) or "nothing that is known here"
        return f"read {self.read} of {self.lines} lines: {told}"

    def kinds(self) -> list[str]:
        """What was understood, each kind once with how much there was of it."""
        amounts: dict[str, tuple[int, str]] = {}
        for use in self.used:
            if use.what != "command":
                before = amounts.get(use.what, (0, ""))
                amounts[use.what] = before[0] + use.amount, use.noun or before[1]
        return [_kind(what, *amount) for what, amount in amounts.items()]


def read_report(path: str) -> Reported:
    """The report in a file (text, .gz, .tar, .tar.gz), in a directory (a must-gather), or on standard input (`-`).

    Raises:
        InputError: there is no such file, or it cannot be read or decompressed, or there is no text in it: an empty report is
            what a failed pipe leaves, and nothing wrong was found in it would be a lie.
    """
    draft = Draft()
    lines = read = 0
    name = "from standard input" if path == "-" else path.rstrip("/").rpartition("/")[2] or "report"
    for document in read_documents(path, draft.note):
        counted = _scan(document.text, draft, document.command)
        lines += counted[0]
        read += counted[1]
    if not lines:
        where = "standard input" if path == "-" else path
        raise InputError(f"there is no text in {where}", hint="was what should have written it successful?")
    return Reported(to_host(draft, name), tuple(draft.uses), lines, read, tuple(draft.notes))


def read_text(text: str, name: str = "report") -> Reported:
    """The report that a text is."""
    draft = Draft()
    lines, read = _scan(text, draft, "")
    return Reported(to_host(draft, name), tuple(draft.uses), lines, read, tuple(draft.notes))


def _scan(text: str, draft: Draft, command: str) -> tuple[int, int]:
    """Offer every line to the recognisers; the first that takes it has it. Counts lines, and those that were taken."""
    lines = lines_of(text)
    if command:
        from devproxy.bugreport.command import parse_command

        draft.command, draft.fresh, draft.heading = parse_command(command), True, ""
    at = taken = 0
    while at < len(lines):
        took = next((took for take in RECOGNISERS if (took := take(lines, at, draft))), 0)
        taken += sum(bool(line.text) for line in lines[at : at + took])
        at += took or 1
    return sum(bool(line.text) for line in lines), taken


def _kind(what: str, amount: int, noun: str) -> str:
    if not noun:
        return what
    return f"{what} ({amount} {noun}{'' if amount == 1 else 's'})"
