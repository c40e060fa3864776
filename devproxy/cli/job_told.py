"""How a job is told while it goes on: to people, to GitHub's runner, to GitLab's.

All of it goes to standard error, so that standard output is the command's alone.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import termios
import time

from devproxy.cli.context import Context
from devproxy.jobs.job import github, gitlab
from devproxy.jobs.job.listener import Listener
from devproxy.jobs.job.markdown import markdown_of
from devproxy.jobs.job.result import COMMAND, Fault, Hardware, Result, State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.jobs.job.result import Phase
    from devproxy.jobs.lease import Waiting
    from devproxy.jobs.scope import Scope

_TELL_EVERY: Final = 5.0
# How long the reader of a log may take to read what is in its pipe.
_READ: Final = 2.0
# GitHub shows no more of a step's summary.
_SUMMARY: Final = 1 << 20


def teller(context: Context) -> Plain:
    """The one for where this runs."""
    if context.json_messages:
        return Events(context)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        return GitHub(context)
    return GitLab(context) if os.environ.get("GITLAB_CI") == "true" else Plain(context)


class Plain(Listener):
    """A line for what is worth one."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._told = ""
        self._at = 0.0

    def waits(self, waiting: Waiting) -> None:
        """Said when it changes, and no more often than every few seconds."""
        words, now = waiting.describe(), time.monotonic()
        if words != self._told and now - self._at >= _TELL_EVERY:
            self._told, self._at = words, now
            self.say(f"waiting: {words}")

    def leased(self, scope: Scope) -> None:
        """Which devices."""
        names = ", ".join(f"{each.kind.value} {each.rank} ({each.name})" for each in scope.devices)
        self.say(f"leased {names}")

    def doubts(self, words: str) -> None:
        """A warning."""
        self.warn(words)

    def ends(self, phase: Phase, *, fatal: bool) -> None:
        """What did not go well is said at once, the rest with -v, and so is what is about to be said as the error."""
        told = f"{phase.name}: {phase.words or phase.state.value} ({phase.seconds:.2f} s)"
        if phase.state is State.DONE or fatal:
            self.context.note(self.words(told))
        else:
            self.warn(told)

    def command_wrote(self, *, line_ended: bool) -> None:
        """What follows begins on a line of its own."""
        if not line_ended:
            self.write("")

    def over(self, result: Result) -> None:
        """The verdict."""
        verdict = result.verdict
        for each in result.left:
            words = f"left behind: {each.what}: {each.done}"
            if each.ours:
                self.say(words)
            else:  # perhaps somebody else's: on a host that is shared there is always something
                self.context.note(self.words(words))
        for entry in result.quarantined:
            self.say(f"{entry.name} is quarantined ({entry.code}): {entry.reason}")
        for problem in result.problems:
            self.warn(problem)
        if verdict.fault is not Fault.NOBODY:
            self.context.error(self.words(verdict.headline))
        elif verdict.hardware is Hardware.FINE:
            self.say(verdict.headline)
        else:
            self.warn(verdict.headline)
        if result.asked.artifacts:
            page = os.path.join(result.asked.artifacts, "report.html")
            self.say(f"artifacts: {page if os.path.exists(page) else result.asked.artifacts}")

    def say(self, message: str) -> None:
        """Progress."""
        self.context.say(self.words(message))

    def warn(self, message: str) -> None:
        """Something that is not as it should be."""
        self.context.warn(self.words(message))

    def words(self, message: str) -> str:
        """A message, as this log may have it: names of devices and processes are in it."""
        return message

    def write(self, line: str) -> None:
        """A line as it is."""
        self.context.write_message(line)


class Events(Plain):
    """With `--log-format json` (docs/events.md)."""

    def leased(self, scope: Scope) -> None:
        """Which devices."""
        names = [device.name for device in scope.devices]
        self.context.event("info", "leased", f"leased {', '.join(names)}", lease=scope.ident, devices=names)

    def ends(self, phase: Phase, *, fatal: bool) -> None:
        """Every phase."""
        level = "info" if phase.state is State.DONE or fatal else "warning"
        fields = {"phase": phase.name, "state": phase.state.value, "duration_ms": round(phase.seconds * 1000, 3)}
        self.context.event(level, "job-phase", f"{phase.name}: {phase.words or phase.state.value}", **fields)

    def over(self, result: Result) -> None:
        """The verdict."""
        verdict = result.verdict
        well = "info" if verdict.hardware is Hardware.FINE else "warning"
        level = well if verdict.fault is Fault.NOBODY else "error"
        self.context.event(
            level,
            "verdict",
            verdict.headline,
            fault=verdict.fault.value,
            hardware=verdict.hardware.value,
            devices=list(verdict.devices),
            code=verdict.code,
        )


class GitHub(Plain):
    """Groups, annotations, the step's summary. What the command writes between two lines is no command to the runner."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._token = os.urandom(16).hex()

    def words(self, message: str) -> str:
        """Nothing in it is a command."""
        return github.harmless(message)

    def begins(self, phase: str) -> None:
        """A group for each phase but the command: what is in one is folded."""
        if phase != COMMAND:
            self.write(f"::group::devproxy job: {phase}")

    def ends(self, phase: Phase, *, fatal: bool) -> None:
        """Its end, behind what is to be said of it."""
        super().ends(phase, fatal=fatal)
        if phase.name != COMMAND:
            self.write("::endgroup::")

    def command_writes(self) -> None:
        """The runner reads both streams side by side: it must have read this before it reads what the command writes."""
        self.write(github.stop_commands(self._token))
        _read_out(2)

    def command_wrote(self, *, line_ended: bool) -> None:
        """It must have read all that the command wrote before it reads this."""
        super().command_wrote(line_ended=line_ended)
        _read_out(1)
        _read_out(2)
        self.write(github.resume_commands(self._token))

    def over(self, result: Result) -> None:
        """Annotations and the summary."""
        super().over(result)
        for line in github.annotate(result):
            self.write(line)
        place = os.environ.get("GITHUB_STEP_SUMMARY")
        if place:
            self._summarize(place, markdown_of(result))

    def _summarize(self, place: str, text: str) -> None:
        try:
            descriptor = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o644)
            with open(descriptor, "wb") as file:
                file.write(text.encode(errors="backslashreplace")[:_SUMMARY])
        except OSError as error:
            self.warn(f"no summary was written to {place}: {(error.strerror or '').lower()}")


class GitLab(Plain):
    """Sections that can be folded: open for the command, closed for the others."""

    def begins(self, phase: str) -> None:
        """A section."""
        header = f"devproxy job: {phase}"
        self.write(gitlab.section_start(_section(phase), header, time.time(), collapsed=phase != COMMAND))

    def ends(self, phase: Phase, *, fatal: bool) -> None:
        """Its end."""
        super().ends(phase, fatal=fatal)
        self.write(gitlab.section_end(_section(phase.name), time.time()))


def _section(phase: str) -> str:
    return f"devproxy_{phase.replace(' ', '_')}"


def _read_out(descriptor: int) -> None:
    """Wait, a moment, until whoever reads a pipe has read what is in it (FIONREAD tells of either end, pipe(7))."""
    until = time.monotonic() + _READ
    try:
        while stat.S_ISFIFO(os.fstat(descriptor).st_mode) and time.monotonic() < until:
            if not int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), sys.byteorder):
                return
            time.sleep(0.005)
    except OSError:
        return  # it is closed
