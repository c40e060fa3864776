"""A root held to its own outcomes, before a process is started in it: every node, link and mount that the build says it
made is looked at once, by descriptor. Nothing is built in memory for this, so `run` can afford it every time.
"""

from __future__ import annotations

import os
import stat

from devproxy.build import Root
from devproxy.check.entry import Entry, Tree, differences, entry_at
from devproxy.check.finding import Finding, Report, error, unreadable
from devproxy.check.mount_table import MountTable, flags_in_force, parent
from devproxy.check.resolve import MountPlaces
from devproxy.collector import Still
from devproxy.mount_options import ATIME, Attribute, Change, MountOptions
from devproxy.node import FORMATS, Fixed, Identity, LikeHost, NodeKind, number_of_rdev
from devproxy.outcome import Outcomes, Result
from devproxy.plan.steps import (
    Bind,
    Cover,
    MakeNode,
    MakeSymlink,
    Mask,
    MountFilesystem,
    MountRoot,
    RequireNode,
    Seal,
    SealPath,
    Step,
)
from devproxy.targets.kernel.look import Looker
from devproxy.targets.kernel.root import KernelRoot
from devproxy.targets.rootless import Rootless

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final, TypeAlias, TypeGuard

    _Mounted: TypeAlias = MountRoot | MountFilesystem | Bind | Mask | Cover | SealPath | Seal

_HIDING = (MountFilesystem, Bind, Mask)
_NODES = (MakeNode, RequireNode)
_MOUNTED = (MountRoot, MountFilesystem, Bind, Mask, Cover, SealPath, Seal)


def check_outcomes(root: Root) -> Report:
    """Compare a built root with what its build says it made, at the cost of one lstat a node."""
    tree = root.tree
    if not isinstance(tree, KernelRoot):
        return _check(root, tree)
    looker = tree.looker()
    try:
        with Still():
            return _check(root, looker)
    finally:
        looker.done()


def _check(root: Root, tree: Tree) -> Report:
    try:
        table = MountTable(root.mountinfo())
    except OSError as problem:
        return Report((unreadable("/proc/self/mountinfo", problem, "the mount table"),), ())
    findings: list[Finding] = []
    checked, places = _Nodes(root, tree), MountPlaces(tree, table)
    hidden = _Hidden(root.outcomes, places)
    nodes = links = mounts = 0
    for become, first, steps in root.outcomes.stretches():
        if become.result is Result.SKIPPED:
            continue
        if _are_nodes(steps):
            nodes += len(steps)
            found = checked.check(steps, kept=become.kept)
        elif _are_links(steps):
            links += len(steps)
            found = ((place, _check_link(tree, step)) for place, step in enumerate(steps))
        elif _are_mounted(steps):
            mounts += len(steps)
            for each in steps:
                findings += _check_mount(table, places, each, keeps_atime=become.rootless)
            continue
        else:
            continue
        for place, differs in found:
            if differs and not hidden.since(first + place, steps[place].path):  # nobody can reach it any more
                findings += differs
    return Report(tuple(findings), (("nodes", nodes), ("links", links), ("mounts", mounts)))


# Steps that follow each other are looked at together. They are of one class: the first one tells of which.


def _are_nodes(steps: Sequence[Step]) -> TypeGuard[Sequence[MakeNode | RequireNode]]:
    return isinstance(steps[0], _NODES)


def _are_links(steps: Sequence[Step]) -> TypeGuard[Sequence[MakeSymlink]]:
    return isinstance(steps[0], MakeSymlink)


def _are_mounted(steps: Sequence[Step]) -> TypeGuard[Sequence[_Mounted]]:
    return isinstance(steps[0], _MOUNTED)


class _Hidden:
    """What was mounted over what. Looked for only when something else is there than was made."""

    def __init__(self, outcomes: Outcomes, places: MountPlaces) -> None:
        self._outcomes = outcomes
        self._places = places
        self._last: dict[str, int] | None = None

    def since(self, index: int, path: str) -> bool:
        """Whether something was mounted at or above a path after the step `index` made it."""
        if self._last is None:
            self._last = {
                self._places.mounted(outcome.step.path): number
                for number, outcome in enumerate(self._outcomes)
                if isinstance(outcome.step, _HIDING) and outcome.result is not Result.SKIPPED
            }
        place = self._places.of(path)
        while self._last.get(place, -1) <= index:
            if place == "/":
                return False
            place = parent(place)
        return True


class _Nodes:
    """The nodes of one root. One that is right costs an lstat; words are found for the others alone."""

    def __init__(self, root: Root, tree: Tree) -> None:
        self._root = root
        self._tree = tree
        self._rootless = root.rootless
        self._wanted: dict[tuple[object, ...], tuple[int, int, int, int]] = {}  # by a MakeNode but for path and reason
        self._majors: dict[str, int | None] = {}

    def check(self, steps: Sequence[MakeNode | RequireNode], *, kept: bool) -> Iterator[tuple[int, list[Finding]]]:
        """How nodes differ from what the build says it made, or found there: then they kept mode and owner (S69). Those that
        do, by their places among `steps`, which are of one class.
        """
        wrong, form, wanted = [], None, None
        for place, (step, found) in enumerate(zip(steps, _lstats(self._tree, steps), strict=True)):
            if step[1:6] != form:
                form = step[1:6]
                wanted = None if kept else self._wanted.get(form)
            if found is not None and (found.st_mode, found.st_rdev, found.st_uid, found.st_gid) == wanted:
                continue
            if found is None or not self._is_right(step, found, kept=kept):
                wrong.append(place)
            elif not kept:
                wanted = self._wanted.get(form)
        for place in wrong:  # now that nothing else is being looked at
            yield place, self._explain(steps[place], made=not kept and isinstance(steps[place], MakeNode))

    def _is_right(self, step: MakeNode | RequireNode, found: os.stat_result, *, kept: bool) -> bool:
        """Whether a node is the one that was asked for. Remembers how it looks, if all of its form look like that."""
        mode, rdev = found.st_mode, found.st_rdev
        if rdev != self._rdev(step.identity, rdev):
            return False
        if kept or not isinstance(step, MakeNode):
            return stat.S_IFMT(mode) == FORMATS[step.kind]
        wanted = (FORMATS[step.kind] | step.mode, rdev, *_owner(step, self._rootless))
        if isinstance(step.identity, Fixed | None):
            self._wanted[step[1:6]] = wanted
        return (mode, rdev, found.st_uid, found.st_gid) == wanted

    def _rdev(self, identity: Identity | None, found: int) -> int:
        if identity is None or isinstance(identity, Fixed):
            return 0 if identity is None else identity.number.rdev
        if isinstance(identity, LikeHost):
            node = self._root.plan.host.node(identity.path)
            number = identity.asked if node is None or node.kind is not NodeKind.CHARACTER else node.number
            return found if number is None else number.rdev
        if identity.driver not in self._majors:
            self._majors[identity.driver] = self._root.plan.host.major_of(identity.driver)
        major = self._majors[identity.driver]
        # Of a driver that the host does not list the target reserved a major, and any will do: it is the minor that
        # tells its devices apart.
        return os.makedev(os.major(found) if major is None else major, identity.minor)

    def _explain(self, step: MakeNode | RequireNode, *, made: bool) -> list[Finding]:
        why = str(step.reason)
        try:
            found = entry_at(self._tree, step.path)
        except OSError as problem:
            return [unreadable(step.path, problem, why)]
        rdev = 0 if found is None or found.number is None else found.number.rdev
        number = None if step.identity is None else number_of_rdev(self._rdev(step.identity, rdev))
        want = Entry(FORMATS[step.kind], 0, 0, 0, number, None)
        if made and isinstance(step, MakeNode):
            uid, gid = _owner(step, self._root.rootless)
            want = want._replace(mode=step.mode, uid=uid, gid=gid)
        elif found is not None:
            want = want._replace(mode=found.mode, uid=found.uid, gid=found.gid)
        return differences(step.path, want, found, why)


def _lstats(tree: Tree, steps: Sequence[MakeNode | RequireNode]) -> Iterator[os.stat_result | None]:
    """What lstat says of each node, None where it fails. Nothing else may be asked of the tree meanwhile."""
    paths = [step.path for step in steps]
    return tree.lstats(paths) if isinstance(tree, Looker) else (_lstat(tree, path) for path in paths)


def _lstat(tree: Tree, path: str) -> os.stat_result | None:
    try:
        return tree.lstat(path)
    except OSError:
        return None


def _owner(step: MakeNode | RequireNode, rootless: Rootless | None) -> tuple[int, int]:
    if rootless is not None:
        return rootless.uid, rootless.gid  # the only owner there is
    return (step.uid or 0, step.gid or 0) if isinstance(step, MakeNode) else (0, 0)


def _check_link(tree: Tree, step: MakeSymlink) -> list[Finding]:
    try:
        found = entry_at(tree, step.path)
    except OSError as problem:
        return [unreadable(step.path, problem, str(step.reason))]
    return differences(step.path, Entry(stat.S_IFLNK, 0, 0, 0, None, step.target), found, str(step.reason))


def _check_mount(
    table: MountTable,
    places: MountPlaces,
    step: _Mounted,
    *,
    keeps_atime: bool,
) -> list[Finding]:
    """`keeps_atime`: the step's own outcome says that it could not decide how access times are kept (without root)."""
    stack = table.stack(places.mounted(step.path))
    if not stack:
        return [error("mount-missing", step.path, "a mount", "not mounted", str(step.reason))]
    wanted = _flags_asked(step)
    if keeps_atime:
        wanted -= _ACCESS_TIMES
    for line in reversed(stack):
        if wanted <= flags_in_force(line):
            return []
    found = ",".join(sorted(flags_in_force(stack[-1])))
    return [error("mount-flags-differ", step.path, ",".join(sorted(wanted)), found, str(step.reason))]


def _flags_asked(step: _Mounted) -> frozenset[str]:
    match step:
        case Seal() | SealPath() | Cover():
            return _READ_ONLY
        case MountFilesystem() | Bind():
            changes = step.options.change, step.options.recursive
            words = _words_of.get(changes)
            if words is None:
                asked = _asked_of(step.options)
                words = _words_of[changes] = frozenset(
                    "ro" if flag is Attribute.RDONLY else str(flag.name).lower() for flag in Attribute if flag & asked
                )
            return words
        case _:
            return frozenset()


def _asked_of(options: MountOptions) -> Attribute:
    """What a mount is to have of its own options, and then of those for everything below too (rexec, rrelatime)."""
    asked, below = options.change.set, options.recursive
    return (asked & ~below.clear & ~(ATIME if below.atime else 0)) | below.set if below else asked


_ACCESS_TIMES: Final = frozenset({"noatime", "strictatime", "nodiratime"})
_READ_ONLY: Final = frozenset({"ro"})
# Taking flags apart is slow, and a thousand mounts have a handful of combinations.
_words_of: Final[dict[tuple[Change, Change], frozenset[str]]] = {}
