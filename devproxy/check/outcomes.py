"""A root held to its own outcomes, before a process is started in it: every node, link and mount that the build says it
made is looked at once, by descriptor. Nothing is built in memory for this, so `run` can afford it every time.
"""

from __future__ import annotations

import stat

from devproxy.build import Root
from devproxy.check.entry import Entry, differences, entry_at
from devproxy.check.finding import Finding, Report, error, unreadable
from devproxy.check.mount_table import MountTable, flags_in_force
from devproxy.check.resolve import real_path
from devproxy.mount_options import Attribute
from devproxy.node import DeviceNumber, Fixed, Identity, NodeKind
from devproxy.outcome import Outcome, Result
from devproxy.plan.steps import (
    Bind,
    MakeNode,
    MakeSymlink,
    Mask,
    MountFilesystem,
    MountRoot,
    RequireNode,
    Seal,
    SealPath,
)

_FORMATS = {NodeKind.CHARACTER: stat.S_IFCHR, NodeKind.BLOCK: stat.S_IFBLK, NodeKind.FIFO: stat.S_IFIFO}
_MOUNTED = (MountRoot, MountFilesystem, Bind, Mask, SealPath, Seal)


def check_outcomes(root: Root) -> Report:
    """Compare a built root with what its build says it made, at the cost of one lstat a node."""
    try:
        table = MountTable(root.mountinfo())
    except OSError as problem:
        return Report((unreadable("/proc/self/mountinfo", problem, "the mount table"),), ())
    findings: list[Finding] = []
    nodes = links = mounts = 0
    for outcome in root.outcomes:
        step = outcome.step
        if outcome.result is Result.SKIPPED:
            continue
        if isinstance(step, MakeNode | RequireNode):
            nodes += 1
            findings += _check_node(root, step, outcome)
        elif isinstance(step, MakeSymlink):
            links += 1
            findings += _check_link(root, step)
        elif isinstance(step, _MOUNTED):
            mounts += 1
            findings += _check_mount(root, table, step)
    return Report(tuple(findings), (("nodes", nodes), ("links", links), ("mounts", mounts)))


def _check_node(root: Root, step: MakeNode | RequireNode, outcome: Outcome) -> list[Finding]:
    try:
        found = entry_at(root, step.path)
    except OSError as problem:
        return [unreadable(step.path, problem, str(step.reason))]
    number = _number(root, step.identity, found)
    want = Entry(_FORMATS[step.kind], 0, 0, 0, number, None)
    if isinstance(step, MakeNode) and "exists" not in outcome.found:
        want = want._replace(mode=step.mode, uid=step.uid or 0, gid=step.gid or 0)
    elif found is not None:
        # A node that was there before keeps its mode and owner (S69).
        want = want._replace(mode=found.mode, uid=found.uid, gid=found.gid)
    return [] if found == want else differences(step.path, want, found, str(step.reason))


def _number(root: Root, identity: Identity | None, found: Entry | None) -> DeviceNumber | None:
    if identity is None or isinstance(identity, Fixed):
        return None if identity is None else identity.number
    major = root.plan.host.major_of(identity.driver)
    if major is None:
        # The target reserved one, and any will do: it is the minor that tells its devices apart.
        major = found.number.major if found is not None and found.number is not None else 0
    return DeviceNumber(major, identity.minor)


def _check_link(root: Root, step: MakeSymlink) -> list[Finding]:
    try:
        found = entry_at(root, step.path)
    except OSError as problem:
        return [unreadable(step.path, problem, str(step.reason))]
    return differences(step.path, Entry(stat.S_IFLNK, 0, 0, 0, None, step.target), found, str(step.reason))


def _check_mount(
    root: Root, table: MountTable, step: MountRoot | MountFilesystem | Bind | Mask | SealPath | Seal
) -> list[Finding]:
    stack = table.stack(step.path) or table.stack(real_path(root, step.path))
    if not stack:
        return [error("mount-missing", step.path, "a mount", "not mounted", str(step.reason))]
    wanted = _flags_asked(step)
    if any(wanted <= flags_in_force(line) for line in stack):
        return []
    found = ",".join(sorted(flags_in_force(stack[-1])))
    return [error("mount-flags-differ", step.path, ",".join(sorted(wanted)), found, str(step.reason))]


def _flags_asked(step: MountRoot | MountFilesystem | Bind | Mask | SealPath | Seal) -> set[str]:
    match step:
        case Seal() | SealPath():
            return {"ro"}
        case MountFilesystem() | Bind():
            asked = step.options.change.set
            return {"ro" if flag is Attribute.RDONLY else str(flag.name).lower() for flag in Attribute if flag & asked}
        case _:
            return set()
