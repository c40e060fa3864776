"""Masked, covered and read-only paths, looked at in the root itself: what they hide differs from kernel to kernel, so each root
is held to what its own build says it did.
"""

from __future__ import annotations

import errno
import os
import stat

from devproxy.check.finding import Finding, error, unreadable
from devproxy.check.mount_table import flags_in_force
from devproxy.check.side import Side
from devproxy.outcome import Outcome, Result
from devproxy.plan.steps import Cover, Mask, SealPath

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_NULL = os.makedev(1, 3)


def check_masks(side: Side) -> list[Finding]:
    """Every masked path hides what was there, every covered file shows the plan's contents, every read-only path is
    read-only; one that was missing is missing still.
    """
    findings: list[Finding] = []
    for outcome in side.root.outcomes:
        step = outcome.step
        if isinstance(step, Mask | Cover | SealPath):
            try:
                findings += _check(side, step, outcome)
            except OSError as problem:
                findings.append(unreadable(step.path, problem, str(step.reason)))
    return findings


_CODES: Final[dict[type, str]] = {Mask: "path-not-masked", Cover: "path-not-covered", SealPath: "path-not-readonly"}


def _check(side: Side, step: Mask | Cover | SealPath, outcome: Outcome) -> list[Finding]:
    code = _CODES[type(step)]
    skipped = outcome.result is Result.SKIPPED
    place = step.path if skipped else side.places.mounted(step.path)
    try:
        found = side.root.stat(place)
    except (FileNotFoundError, NotADirectoryError):
        return []  # nothing is there to hide or to protect
    except OSError as problem:
        if skipped and problem.errno == errno.ELOOP:
            return []  # nothing in the root is
        raise
    if skipped and side.places.real(place) == "/":
        return []  # nothing can hide the root itself: the outcome says so
    if skipped:
        return [error(code, step.path, "missing, as when the root was built", "there now", str(step.reason))]
    if isinstance(step, SealPath):
        sealed = _is_readonly(side, place)
        return [] if sealed else [error(code, step.path, "read-only", "writable", str(step.reason))]
    if isinstance(step, Cover):
        return _check_cover(side, step, place, found)
    shows = _shows(side, place, found)
    return (
        [error(code, step.path, "an empty read-only directory or an empty file", shows, str(step.reason))]
        if shows
        else []
    )


def _check_cover(side: Side, step: Cover, place: str, found: os.stat_result) -> list[Finding]:
    """What is there must be the plan's file, whole and read-only."""
    wanted = step.contents.encode()
    expected = f"a read-only file of {len(wanted)} bytes, {step.mode:04o}"
    shows = "something that is no file"
    if stat.S_ISREG(found.st_mode):
        contents, mode, sealed = side.root.read_bytes(place), stat.S_IMODE(found.st_mode), _is_readonly(side, place)
        if contents == wanted and mode == step.mode and sealed:
            return []
        others = "" if contents == wanted else ", other ones"
        shows = f"a {'read-only' if sealed else 'writable'} file of {len(contents)} bytes{others}, {mode:04o}"
    return [error(_CODES[Cover], step.path, expected, shows, str(step.reason))]


def _shows(side: Side, path: str, found: os.stat_result) -> str:
    """What a masked path lets through, or nothing."""
    if stat.S_ISDIR(found.st_mode):
        names = side.root.listdir(path)
        if names:
            return f"a directory with {len(names)} entries"
        return "" if _is_readonly(side, path) else "a writable directory"
    if stat.S_ISCHR(found.st_mode):
        number = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
        return "" if found.st_rdev == _NULL else f"character device {number}"
    if stat.S_ISREG(found.st_mode):
        size = len(side.root.read_bytes(path))
        return f"a file of {size} bytes" if size else ""
    return "something that is no file"


def _is_readonly(side: Side, path: str) -> bool:
    line = side.table.holding(path)
    return line is not None and "ro" in flags_in_force(line)
