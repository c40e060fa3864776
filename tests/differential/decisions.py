"""Where devproxy differs from its peers on purpose. A difference that no decision here explains is a defect of one of the two.

Rows named S are notes/seed.md's, kept in docs/decisions.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.differential.view import Entry, MountSeen, View


class Difference(NamedTuple):
    """Something that is not the same: `what` is mount, entry, text or code; `ours` and `theirs` are the two values."""

    what: str
    where: str
    ours: object
    theirs: object


@dataclass(frozen=True)
class Decision:
    """A reason to differ, and how to recognise it."""

    name: str
    explains: Callable[[Difference], bool]


def differences(ours: View, theirs: View) -> Iterator[Difference]:
    """Everything in which two views of one bundle differ."""
    yield from _mount_differences(ours.mounts, theirs.mounts)
    for path in sorted(ours.entries.keys() | theirs.entries.keys()):
        mine, other = ours.entries.get(path), theirs.entries.get(path)
        if mine != other:
            yield Difference("entry", path, mine, other)
    if ours.text != theirs.text:
        yield Difference("text", "", ours.text, theirs.text)
    if ours.code != theirs.code:
        yield Difference("code", "", ours.code, theirs.code)


def _mount_differences(ours: list[MountSeen], theirs: list[MountSeen]) -> Iterator[Difference]:
    mine, other = Counter(ours), Counter(theirs)
    extra, lacking = list((mine - other).elements()), list((other - mine).elements())
    for mount in extra:
        twin = next((candidate for candidate in lacking if candidate.point == mount.point), None)
        if twin is not None:
            lacking.remove(twin)
        yield Difference("mount", mount.point, mount, twin)
    for mount in lacking:
        yield Difference("mount", mount.point, None, mount)
    common = mine & other
    if [m.point for m in ours if m in common] != [m.point for m in theirs if m in common]:
        yield Difference("order", "", [m.point for m in ours if m in common], [m.point for m in theirs if m in common])


def unexplained(
    ours: View, theirs: View, decisions: tuple[Decision, ...], used: set[str] | None = None
) -> list[Difference]:
    """The differences that no decision explains; the names of those that did are added to `used`."""
    left = []
    for difference in differences(ours, theirs):
        decision = next((d for d in decisions if d.explains(difference)), None)
        if decision is None:
            left.append(difference)
        elif used is not None:
            used.add(decision.name)
    return left


def only_ours(difference: Difference, *paths: str) -> bool:
    """An entry that only we have, at one of `paths`."""
    return difference.what == "entry" and difference.theirs is None and difference.where in paths


def type_is(value: object, *types: str) -> bool:
    """Whether a mount is there and has one of these types."""
    return isinstance(value, MountSeen) and value.fstype in types


def mode_of(value: object) -> int | None:
    """The mode of an entry."""
    return value.mode if isinstance(value, Entry) else None
