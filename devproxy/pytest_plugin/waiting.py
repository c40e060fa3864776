"""What a test waits for, told while it waits: on the terminal, by workers of pytest-xdist too."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext

import pytest

from devproxy.jobs.lease import Waiting
from devproxy.jobs.listing import held, waiters
from devproxy.jobs.state import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

# Seconds: who waits a moment only need not say so, and who waits for long says so now and then.
_QUIET: Final = 3.0
_AGAIN: Final = 30.0
_MOST: Final = 16


class Progress:
    """Says what a test waits for: with -v at once, else after a few seconds, with -q never; again when that changes."""

    def __init__(self, item: pytest.Item, state: State) -> None:
        self._item = item
        self._state = state
        self._since = time.monotonic()
        self._told = ""
        self._at: float | None = None

    def tell(self, waiting: Waiting) -> None:
        """Called each time somebody has looked in vain."""
        now = time.monotonic()
        verbosity = self._item.config.get_verbosity()
        if verbosity < 0 or (verbosity == 0 and now - self._since < _QUIET):
            return
        words = waiting.describe()
        pause = _QUIET if words != self._told else _AGAIN
        if self._at is None or now - self._at >= pause:
            self._told, self._at = words, now
            _write(self._item.config, [f"{self._item.nodeid} waits for accelerators: {words}", *who_has(self._state)])


def who_has(state: State) -> Iterator[str]:
    """A line for each device that is leased, and each that waits: who, since when, with what."""
    yield from _shortened([f"  {each.device}: {_who(each.pid, each.since, each.command)}" for each in held(state)])
    yield from _shortened([f"  waits: {_who(each.pid, each.since, each.command)}" for each in waiters(state)])


def _shortened(lines: Sequence[str]) -> list[str]:
    return [*lines[:_MOST], *([f"  and {len(lines) - _MOST} more"] if len(lines) > _MOST else [])]


def _who(pid: int, since: float | None, command: Sequence[str]) -> str:
    when = "" if since is None else time.strftime(", since %H:%M:%S", time.localtime(since))
    return f"pid {pid or 'of another namespace'}{when}: {' '.join(command) or 'it does not say what it is'}"


def _write(config: pytest.Config, lines: Sequence[str]) -> None:
    """Past pytest's capturing. A worker of pytest-xdist has no terminal; its standard error is the controller's."""
    capture = config.pluginmanager.getplugin("capturemanager")
    terminal = None if hasattr(config, "workerinput") else config.pluginmanager.getplugin("terminalreporter")
    with capture.global_and_fixture_disabled() if capture is not None else nullcontext():
        if terminal is None:
            sys.stderr.write("".join(f"{line}\n" for line in lines))
            sys.stderr.flush()
            return
        terminal.ensure_newline()
        for line in lines:
            terminal.write_line(line)
