"""All of /dev and every path that a step names, on both sides."""

from __future__ import annotations

import os
import stat

from devproxy.check.entry import Entry, differences, entry_at
from devproxy.check.finding import Finding, unreadable
from devproxy.check.host_mounts import HostMounts
from devproxy.check.mount_table import parent
from devproxy.check.side import Side
from devproxy.plan.plan import Plan
from devproxy.plan.steps import Cover, Mask, Skip


def compare_dev(
    expected: Side, observed: Side, hosts: HostMounts, reasons: dict[str, str]
) -> tuple[list[Finding], set[str], set[str]]:
    """Compare everything under /dev, but for what lies in the mounts below it. Returns the findings, the paths that were
    compared, and those that could not be, as mounts of the host hide them.
    """
    top = expected.places.real("/dev")
    mounts = (expected.table.points | observed.table.points) - {top}
    findings: list[Finding] = []
    paths = {top}
    for side in (expected, observed):
        _walk(side, top, mounts | hosts.hidden.keys(), paths, findings)
    hidden = {path for path in paths if hosts.hide(path, observed.table)}
    paths -= hidden
    for path in sorted(paths):
        findings += compare_path(path, expected, observed, reasons.get(path, ""))
    return findings, paths, hidden


def compare_path(path: str, expected: Side, observed: Side, why: str) -> list[Finding]:
    """Compare what one path is. Of the root of a pseudo file system only the kind counts: the rest is the kernel's."""
    try:
        want = entry_at(expected.root, path)
        found = entry_at(observed.root, path)
    except OSError as problem:
        return [unreadable(path, problem, why)]
    if expected.table.is_pseudo(expected.places.of(path)) or observed.table.is_pseudo(observed.places.of(path)):
        want, found = _kind_alone(want), _kind_alone(found)
    return differences(path, want, found, why)


def named_paths(plan: Plan, expected: Side, observed: Side, hosts: HostMounts) -> tuple[set[str], set[str]]:
    """Every path that a step names, and the directories above it, but for masks and covers (`masks` looks at them) and what lies
    inside proc, sysfs and their like. Those that mounts of the host hide come second.
    """
    paths: set[str] = set()
    for step in plan.steps:
        if isinstance(step, Skip | Mask | Cover):
            continue
        path = step.path
        while path not in paths:
            paths.add(path)
            path = parent(path)
    paths = {path for path in paths if not (_is_kernels(expected, path) or _is_kernels(observed, path))}
    hidden = {path for path in paths if hosts.hide(observed.places.of(path), observed.table)}
    return paths - hidden, hidden


def reasons_of(plan: Plan) -> dict[str, str]:
    """For each path that a step names, who asks for it; the last step wins, as its mount lies on top."""
    return {step.path: str(step.reason) for step in plan.steps if not isinstance(step, Skip)}


def _is_kernels(side: Side, path: str) -> bool:
    """Whether a path is among the contents of a pseudo file system."""
    place = side.places.of(path)
    return side.table.is_inside_pseudo(place) and place not in side.table.points


def _kind_alone(entry: Entry | None) -> Entry | None:
    return None if entry is None else entry._replace(mode=0, uid=0, gid=0)


def _walk(side: Side, directory: str, stops: frozenset[str], paths: set[str], findings: list[Finding]) -> None:
    pending = [directory]
    while pending:
        here = pending.pop()
        try:
            children = [os.path.join(here, name) for name in side.root.listdir(here)]
            paths.update(children)
            pending += [path for path in children if path not in stops and _is_directory(side, path)]
        except (FileNotFoundError, NotADirectoryError):
            continue  # comparing the path itself says so
        except OSError as problem:
            findings.append(unreadable(here, problem))


def _is_directory(side: Side, path: str) -> bool:
    try:
        return stat.S_ISDIR(side.root.lstat(path).st_mode)
    except OSError:
        return False  # comparing the path itself says why
