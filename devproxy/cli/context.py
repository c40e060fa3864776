"""What every verb is given: the configuration, where to print, and how.

Results go to standard output, messages to standard error. Colour and alignment for people appear only on a terminal; a
pipe gets JSON (decided by each verb through `wants_json`). With `--log-format json` each message is one JSON object a
line, in the shape that containerd reads: level, msg, time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from devproxy.oci.configuration import Configuration

_STYLES: Final = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}


class Context:
    """One invocation of devproxy. `verbosity` is -1 with -q (errors only), 1 with -v (reasons and notes too)."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        verbosity: int = 0,
        json_messages: bool = False,
        out: TextIO | None = None,
        err: TextIO | None = None,
    ) -> None:
        self.configuration = configuration
        self.verbosity = verbosity
        self.out = sys.stdout if out is None else out
        self.err = sys.stderr if err is None else err
        self._json_messages = json_messages
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
        self.out.write(_printable(text, styles=self.colour) + "\n")

    def print_json(self, document: object) -> None:
        """The result as JSON, indented, keys in the order given."""
        import json

        self.out.write(json.dumps(document, indent=2) + "\n")

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
            self.out.write((self.style(text, "bold") if number == 0 else text) + "\n")

    # messages

    def error(self, message: str, hint: str = "") -> None:
        """Why it ended."""
        self._message("error", message, "red")
        if hint:
            self._message("hint", hint, "dim")

    def warn(self, message: str) -> None:
        """Something the user should know, though the work goes on."""
        if self.verbosity >= 0:
            self._message("warning", message, "yellow")

    def note(self, message: str) -> None:
        """Something worth knowing with -v."""
        if self.verbosity > 0:
            self._message("note", message, "dim")

    def say(self, message: str) -> None:
        """Progress for people, on standard error; nothing with -q."""
        if self.verbosity >= 0:
            self._message("info", message, "")

    def _message(self, level: str, message: str, colour: str) -> None:
        if self._json_messages:
            import json
            import time

            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self.err.write(json.dumps({"level": level, "msg": message, "time": stamp}) + "\n")
            return
        label = "" if level == "info" else f"{level}: "
        if colour and self._err_colour:
            label = _styled(label, (colour,))
        self.err.write(f"{'' if level == 'hint' else 'devproxy: '}{label}{_printable(message, styles=False)}\n")


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
