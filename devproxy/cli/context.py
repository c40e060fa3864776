"""What every verb is given: the configuration, where to print, and how.

Results go to standard output, messages to standard error. Colour and alignment for people appear only on a terminal; a
pipe gets JSON (decided by each verb through `wants_json`). With `--log-format json` everything on standard error is one event a
line (devproxy.cli.events, docs/events.md), what the work cost included; `--timings` tells that to people.
"""

from __future__ import annotations

import os
import sys

from devproxy import __version__
from devproxy.errors import DevproxyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final, TextIO

    from devproxy.check.finding import Finding
    from devproxy.oci.configuration import Configuration
    from devproxy.outcome import Outcome
    from devproxy.timeline import Phase, Timeline

_STYLES: Final = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}


class Context:
    """One invocation of devproxy. `verbosity` is -1 with -q (errors only), 1 with -v (reasons and notes too). `timeline` is
    None where nobody wants to know what the work cost.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        verbosity: int = 0,
        json_messages: bool = False,
        timings: bool = False,
        out: TextIO | None = None,
        err: TextIO | None = None,
    ) -> None:
        self.configuration = configuration
        self.verbosity = verbosity
        self.out = sys.stdout if out is None else out
        self.err = sys.stderr if err is None else err
        self.json_messages = json_messages
        self._timings = timings and not json_messages
        self._told = 0
        self.timeline: Timeline | None = None
        self.colour = _has_colour(self.out)
        self._err_colour = _has_colour(self.err)

    # output

    def wants_json(self, *, asked: bool, refused: bool = False) -> bool:
        """Whether a verb prints JSON: it was asked to (`--json`), or nobody is there to read a table and text was not
        asked for (`--text`).
        """
        return asked or not (refused or self.out.isatty())

    def print(self, text: str = "") -> None:
        """One line of the result."""
        self._put(_printable(text, styles=self.colour) + "\n")

    def print_json(self, document: object) -> None:
        """The result as JSON, indented, keys in the order given."""
        import json

        self._put(json.dumps(document, indent=2) + "\n")

    def flush(self, block: bytes = b"") -> None:
        """Everything that was printed is written now, and after it, as they are, the bytes of `block`."""
        try:
            self.out.flush()
            if block:
                self.out.buffer.write(block)
                self.out.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise unwritten(error) from error

    def _put(self, text: str) -> None:
        try:
            self.out.write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise unwritten(error) from error

    def style(self, text: str, *names: str) -> str:
        """`text` in a colour, where there is colour."""
        return _styled(text, names) if self.colour else text

    def table(self, rows: Iterable[Sequence[str]], header: Sequence[str]) -> None:
        """Aligned columns; the last one is not padded. Styles in cells do not count as width."""
        lines = [tuple(_printable(cell, styles=self.colour) for cell in row) for row in (header, *rows)]
        widths = [max(_width(line[column]) for line in lines) for column in range(len(header))]
        for number, line in enumerate(lines):
            cells = [cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)]
            text = "  ".join(cells).rstrip()
            self._put((self.style(text, "bold") if number == 0 else text) + "\n")

    # messages

    def error(self, message: str, hint: str = "") -> None:
        """Why it ended."""
        self.done("failed")
        self._message("error", message, hint)

    def warn(self, message: str, hint: str = "") -> None:
        """Something the user should know, though the work goes on."""
        self._message("warning", message, hint)

    def note(self, message: str) -> None:
        """Something worth knowing with -v."""
        self._message("note", message)

    @property
    def tells_notes(self) -> bool:
        """Whether anybody is told a note: it need not be made else."""
        return self._is_told("note")

    def say(self, message: str) -> None:
        """Progress for people, on standard error; nothing with -q."""
        self._message("info", message)

    def found(self, finding: Finding, *, error: bool) -> None:
        """A finding: an error, or something the user should know."""
        from devproxy.cli.events import finding_fields

        level = "error" if error else "warning"
        if self.json_messages:
            self.event(level, "finding", finding.describe(), **finding_fields(finding))
        else:
            self._message(level, finding.describe())

    def _message(self, kind: str, message: str, hint: str = "") -> None:
        if self.json_messages:
            fields = {"hint": hint} if hint else {}
            level, event = ("debug", kind) if kind == "note" else (kind, "message" if kind == "info" else kind)
            self.event(level, event, message, **fields)
        elif self._is_told(kind):
            label = "" if kind == "info" else f"{kind}: "
            self.write_message(f"devproxy: {self._styled(label, _COLOURS[kind])}{_printable(message, styles=False)}")
            if hint:
                self.write_message(f"{self._styled('hint: ', 'dim')}{_printable(hint, styles=False)}")

    def _is_told(self, level: str) -> bool:
        return self.verbosity >= _VERBOSITY[level]

    def _styled(self, label: str, colour: str) -> str:
        return _styled(label, (colour,)) if colour and label and self._err_colour else label

    def write_message(self, lines: str) -> None:
        """Lines on standard error, as they are. Where nobody reads there any more, or the disk that it goes to is full, the work is
        worth doing all the same.
        """
        try:
            self.err.write(lines + "\n")
            self.err.flush()
        except OSError:
            return

    # what happens, for programs

    def event(self, level: str, event: str, message: str, **fields: object) -> None:
        """One event, with `--log-format json` alone."""
        if self.json_messages and self._is_told(level):
            from devproxy.cli.events import line

            self.write_message(line(level, event, message, fields))

    def outcomes(self, outcomes: Iterable[Outcome]) -> None:
        """What became of each step, with `--log-format json` alone: an event each."""
        if not self.json_messages or self.verbosity < 0:
            return
        from devproxy.cli.events import step_fields

        steps = self.timeline.steps if self.timeline is not None else ()
        for number, outcome in enumerate(outcomes, 1):
            cost = steps[number - 1].nanoseconds if steps else None
            level = "warning" if outcome.warning else "info"
            self.event(level, "step", outcome.describe(), **step_fields(number, outcome, cost))

    # what it cost

    def begin(self, verb: str) -> None:
        """The work on a verb begins. What it cost until now is the processor's time: the wall's began before this program."""
        self.event("info", "start", f"devproxy {__version__} {verb}", verb=verb, version=__version__, pid=os.getpid())
        if self.json_messages or self._timings:
            from time import process_time_ns

            from devproxy.timeline import Timeline

            self.timeline = Timeline(self._tell_phase)
            self.timeline.add("start-up", process_time_ns())

    def done(self, phase: str) -> None:
        """A phase ended, the next one begins."""
        if self.timeline is not None:
            self.timeline.done(phase)

    def _tell_phase(self, phase: Phase) -> None:
        if self.json_messages:
            from devproxy.cli.events import phase_fields

            self.event("info", "phase", f"{phase.name}: {phase.nanoseconds / 1e6:.2f} ms", **phase_fields(phase))

    def tell_timings(self) -> None:
        """With `--timings`: the table; once it was told, a line for each phase since."""
        if not self._timings or self.timeline is None:
            return
        from devproxy.cli.timings import table

        phases = self.timeline.phases[self._told :]
        if self._told:
            lines = [f"devproxy: {phase.name}: {phase.nanoseconds / 1e6:.2f} ms" for phase in phases]
        else:
            lines = table(self.timeline)
        self._told += len(phases)
        self.write_message("\n".join(_printable(line, styles=False) for line in lines))

    def ended(self, code: int) -> None:
        """Everything is done, with this exit code."""
        self.done("close")
        self.tell_timings()
        if self.timeline is not None and self.json_messages:
            cost = round(self.timeline.total / 1e6, 3)
            self.event("info", "end", f"devproxy ends with code {code}", code=code, duration_ms=cost)


def unwritten(error: OSError) -> DevproxyError:
    """The result, or a part of it, did not get where standard output goes."""
    return DevproxyError(f"cannot write to standard output: {(error.strerror or str(error)).lower()}")


# How verbose it has to be for a message of a kind to be told.
_VERBOSITY: Final = {"error": -sys.maxsize, "warning": 0, "info": 0, "note": 1, "debug": 1}
_COLOURS: Final = {"error": "red", "warning": "yellow", "note": "dim", "info": ""}


def _has_colour(stream: TextIO) -> bool:
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def _styled(text: str, names: Iterable[str]) -> str:
    return f"\x1b[{';'.join(_STYLES[name] for name in names)}m{text}\x1b[0m"


def _width(cell: str) -> int:
    if "\x1b" not in cell:
        return len(cell)
    import re

    return len(re.sub(r"\x1b\[[0-9;]*m", "", cell))


def _printable(text: str, *, styles: bool) -> str:
    """Names come from bundles and images: control characters (but for our own colours, with `styles`) and lone
    surrogates are shown escaped, so that a file name can neither move the cursor nor pass for a line of its own.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c.isprintable() or (styles and _is_style(text, i)) else _escape(c) for i, c in enumerate(text))


def _is_style(text: str, index: int) -> bool:
    if text[index] != "\x1b" or not text.startswith("\x1b[", index):
        return False
    end = text.find("m", index)
    return end != -1 and all(code in _KNOWN_CODES for code in text[index + 2 : end].split(";"))


_KNOWN_CODES: Final = frozenset(("0", *_STYLES.values()))


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
