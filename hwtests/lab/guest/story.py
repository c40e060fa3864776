"""The README's story as it stands there: what is typed, by whom, and what they see.

In blocks of ```console of one section a line with a prompt is a command (`ci-a$ devproxy lease list`, `root# ...`), and those behind
it, up to the next prompt, are what it prints. `…` stands for anything within a line; a line of nothing else for any number of lines. A
command that ends with `&` goes on while others are typed; what it prints is looked at in the end. Quotes (`> - text`) are what the
report says.
"""

from __future__ import annotations

import fcntl
import html
import os
import pty
import pwd
import re
import select
import struct
import subprocess
import termios
import time
from pathlib import Path
from typing import Final, NamedTuple

SECTION: Final = "## A day with eight GPUs and two agents"
_PROMPT: Final = re.compile(r"(root#|[a-z-]+\$) (.+)")
_ANYTHING: Final = "…"
_PATIENCE: Final = 120.0


class Step(NamedTuple):
    """A command that somebody types, and what they see: lines with `…` for what is not told."""

    user: str
    command: str
    sees: tuple[str, ...]

    def is_as_told(self, printed: str) -> bool:
        """Whether what was printed is what the text shows."""
        parts = []
        for line in self.sees:
            if line.strip() == _ANYTHING:
                parts.append(r"(?:.*\n)*")
            else:
                parts.append(".*".join(map(re.escape, line.rstrip().split(_ANYTHING))) + r"[ ]*\n")
        return re.fullmatch("".join(parts), printed) is not None


def read_steps(text: str) -> list[Step]:
    """The steps of the section, in their order."""
    steps: list[Step] = []
    for block in re.findall(r"^```console\n(.*?)^```$", _section(text), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if found := _PROMPT.fullmatch(line):
                steps.append(Step(found[1][:-1], found[2], ()))
            else:
                assert steps, f"{line!r} stands before any prompt"
                steps[-1] = steps[-1]._replace(sees=(*steps[-1].sees, line))
    return steps


def read_quotes(text: str) -> list[str]:
    """What the section says that the report says."""
    return [line.removeprefix("> - ") for line in _section(text).splitlines() if line.startswith("> - ")]


def _section(text: str) -> str:
    _, found, rest = text.partition(f"\n{SECTION}\n")
    assert found, f"there is no {SECTION!r}"
    return rest.partition("\n## ")[0]


class Typed:
    """A command on a terminal of its own."""

    def __init__(self, step: Step, command: str, env: dict[str, str]) -> None:
        self.step = step
        self.printed = ""
        account = pwd.getpwnam(step.user)
        self._terminal, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("4H", 40, 120, 0, 0))
        self._shell = subprocess.Popen(
            ["sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=inside,
            stderr=inside,
            cwd=account.pw_dir,
            env={**env, "HOME": account.pw_dir, "USER": step.user},
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            start_new_session=True,
        )
        os.close(inside)

    def read_line(self) -> None:
        """Wait until it has printed a line."""
        while "\n" not in self.printed and self._read(_PATIENCE):
            pass

    def finish(self) -> int:
        """Its exit code, once it has ended and all that it printed is read."""
        while self._shell.poll() is None:
            self._read(0.05)
        while self._read(0):
            pass
        os.close(self._terminal)
        return self._shell.returncode

    def _read(self, seconds: float) -> bool:
        """Read what is there within so many seconds. A terminal without a process answers EIO."""
        if not select.select([self._terminal], [], [], seconds)[0]:
            return False
        try:
            self.printed += os.read(self._terminal, 1 << 16).decode().replace("\r\n", "\n")
        except OSError:
            time.sleep(min(seconds, 0.05))
            return False
        return True


class Player:
    """Types the commands, each in a shell of its user's, in their home."""

    def __init__(self, env: dict[str, str]) -> None:
        self._env = env
        self._codes: dict[str, int] = {}
        self._going_on: list[Typed] = []

    def play(self, step: Step) -> Typed:
        """The command, at its end; one that goes on once it has printed a line."""
        words = step.command.removesuffix("&")
        # `$?` is that of the command before, as in a shell that goes on.
        typed = Typed(step, f"(exit {self._codes.get(step.user, 0)}); {words}", self._env)
        if words != step.command:
            self._going_on.append(typed)
            typed.read_line()
        else:
            self._codes[step.user] = typed.finish()
        return typed

    def finish(self) -> list[Typed]:
        """Wait for those that went on."""
        for typed in self._going_on:
            typed.finish()
        return self._going_on


def text_of(page: Path) -> str:
    """The words of an HTML page."""
    return " ".join(
        html.unescape(re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", page.read_text(), flags=re.DOTALL)).split()
    )
