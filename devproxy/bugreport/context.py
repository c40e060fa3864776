"""What says where the output that follows is from: commands, headings, `inside the container`, `before` and `after`."""

from __future__ import annotations

import posixpath
import re

from devproxy.bugreport.command import Command, inline_command, parse_line
from devproxy.bugreport.draft import Draft
from devproxy.bugreport.system import requested

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.bugreport.lines import Line

_TITLE: Final = re.compile(
    r"(?:#{1,6}\s+|\*\*|__|=+ ?|-{3,} ?|\d{1,2}[.)]\s+|\[|>+\s*)(?P<text>\S.{0,120}?)(?:\*\*|__|=+|-{3,}|\])?:?\s*$"
)
_SETEXT: Final = re.compile(r"[=-]{3,}$")
_INSIDE: Final = re.compile(
    r"\b(?:inside|within|in|from|into) (?:the |a |an |my |our |this )?(?:\w+ )?(?:docker |podman |gpu |running |lxc |lxd |k8s |kubernetes )?(?:containers?|pods?|guest)\b|容器(?:内|中|里)|コンテナ(?:内|の中)|(?:im|dans le|en el|no) (?:container|conteneur|contenedor|contêiner)",
    re.IGNORECASE,
)
_OUTSIDE: Final = re.compile(
    r"\b(?:on|from) (?:the |my |a |our )?(?:\w+ )?(?:host|node|bare metal|machine)\b|\bhost(?: machine| side| system| os)?\W{0,3}$|宿主机|主机上|ホスト(?:側|上|で)|auf dem host|sur l'hôte|en el host",
    re.IGNORECASE,
)
_EXPECTED: Final = re.compile(
    r"\b(?:expected|erwartet|attendu|esperado|what (?:did|should) .{0,40}expect|预期|期望|期待)", re.IGNORECASE
)
_STATE: Final = re.compile(r"\b(?:before|after)\b", re.IGNORECASE)


def take_command(lines: list[Line], at: int, draft: Draft) -> int:
    """A line with a command: what comes next is its output."""
    if lines[at].fence:
        return 0
    command = parse_line(lines[at].text)
    if command is None:
        return 0
    number = lines[at].number
    requested(lines[at].text, number, draft)
    draft.command, draft.command_line, draft.fresh, draft.heading = command, number, True, ""
    if command.name == "exit":
        draft.inside = False
    elif command.directory and not command.inside:
        draft.directory = _home(command.directory, draft.directory)
    _move(command, draft)
    draft.use(number, number, "command")
    if command.typed and _is_silent(lines, at):
        _silence(command, number, draft)
    return 1


def _move(command: Command, draft: Draft) -> None:
    """Follow `cd`."""
    found = re.match(r"(?:sudo )?cd ([/~\w.-]{1,200})", command.text)
    if found is not None:
        draft.directory = posixpath.normpath(posixpath.join(draft.directory or "/", found[1]))


def _home(path: str, before: str) -> str:
    return path if path.startswith("/") else before if path != "~" else ""


def _is_silent(lines: list[Line], at: int) -> bool:
    """Whether a command printed nothing: behind its prompt comes the next, or the output says so."""
    for line in lines[at + 1 : at + 3]:
        if line.fence:
            return False  # a report may show the command alone and its output below
        if line.text:
            if re.fullmatch(
                r"\W{0,2}(?:no output|nothing|empty|none|keine Ausgabe|无输出|没有输出)\W{0,2}",
                line.text,
                re.IGNORECASE,
            ):
                return True
            found = parse_line(line.text)
            return found is not None and found.typed
    return False


def _silence(command: Command, number: int, draft: Draft) -> None:
    """A filter that let nothing through: none of what it asks for is there."""
    if command.cut:
        return
    where = "/proc/modules" if command.name == "lsmod" or command.reads("/proc/modules") else ""
    where = "/proc/devices" if command.reads("/proc/devices") else where
    if where and command.filters:
        for pattern in command.filters:
            for glob in pattern.split("|"):
                draft.cover(f"{where}:{glob}", number)
        draft.use(number, number, f"empty {where}")
    elif command.name == "ls" and "2>/dev/null" in command.text:
        for operand in command.operands:
            if operand.startswith("/dev/"):
                draft.cover(operand, number)


def take_title(lines: list[Line], at: int, draft: Draft) -> int:
    """A heading, or a sentence before output: whether host or container, before or after, expected or seen. It is not
    counted as understood.
    """
    text = lines[at].text
    if not text or len(text) > 300:
        return 0
    title = _TITLE.match(text)
    setext = at + 1 < len(lines) and _SETEXT.match(lines[at + 1].text) is not None
    leads = text.endswith((":", "：")) or title is not None or setext
    if title is not None or setext:
        draft.expected = _EXPECTED.search(text) is not None
        draft.command = None
    if leads or (at + 1 < len(lines) and lines[at + 1].fence):
        if _OUTSIDE.search(text):
            draft.inside = False
        elif _INSIDE.search(text):
            draft.inside = True
    if leads and _STATE.search(text) and len(text) < 120:
        draft.label = (title["text"] if title else text).strip(" :#*")
    found = inline_command(text)
    if found is not None and leads | (at + 1 < len(lines) and lines[at + 1].fence):
        draft.command, draft.command_line, draft.fresh, draft.heading = found, lines[at].number, True, ""
    return 0
