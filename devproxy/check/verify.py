"""Verification: the difference between the root that a plan builds in memory and the root that is there.

Compared are the mount table, /dev whole, every path that a step names, masked and read-only paths, and the outcomes.
proc, sysfs, devpts, mqueue and cgroup count as mounts, their contents never: those are the kernel's, so what is masked
or read-only in there is decided by each root, and only held to its own word. The rest of the rootfs is not walked.
"""

from __future__ import annotations

from devproxy.build import Root, build
from devproxy.check.entries import compare_dev, compare_path, named_paths, reasons_of
from devproxy.check.entry import entry_at
from devproxy.check.finding import Finding, Report, Severity, error, unreadable
from devproxy.check.host_mounts import HostMounts, host_mounts
from devproxy.check.masks import check_masks
from devproxy.check.mount_table import parent
from devproxy.check.mounts import compare_mounts
from devproxy.check.side import Side, side_of
from devproxy.host.facts import MajorLine
from devproxy.node import OfDriver
from devproxy.outcome import Outcome, Result
from devproxy.plan.plan import Plan
from devproxy.plan.steps import (
    Bind,
    Cover,
    Level,
    MakeNode,
    Mask,
    MountFilesystem,
    MountRoot,
    RequireNode,
    SealPath,
    Skip,
    Step,
)

_COVERING = (Mask, Cover, SealPath)


def verify(plan: Plan, root: Root) -> Report:
    """Compare `root` with what `plan` builds in memory and report the differences.

    Raises DevproxyError when the plan cannot be built in memory.
    """
    plan = root.plan if root.restored is not None else plan
    try:
        observed = side_of(root)
    except OSError as problem:
        return Report((unreadable("/proc/self/mountinfo", problem, "the mount table"),), ())
    hosts = host_mounts(root, observed.places)
    settled = _with_reserved(plan, root)._replace(
        steps=tuple(_settled(outcome, observed, hosts) for outcome in root.outcomes)
    )
    with build(settled, "memory", rootless=root.rootless, restore=root.restored) as memory:
        return _compare(plan, side_of(memory), observed, hosts)


def _settled(outcome: Outcome, observed: Side, hosts: HostMounts) -> Step:
    """A step for memory to carry out. Whether a directory is empty that the kernel fills, or a mount of the host hides, the
    observed root knows alone.
    """
    step = outcome.step
    if not isinstance(step, MountFilesystem) or step.when is None:
        return step
    place = observed.places.real(step.when.path)
    if not observed.is_kernels(place) and place not in hosts.hidden:
        return step
    if outcome.result is Result.SKIPPED:
        return Skip(step.path, step.describe(), Level.NOTE, step.reason._replace(note=outcome.found))
    return step._replace(when=None)


def _with_reserved(plan: Plan, root: Root) -> Plan:
    """The plan with the majors that the observed root had to reserve: a live kernel passes over those of its own
    drivers, memory knows of none.
    """
    lines: dict[str, MajorLine] = {}
    for step in plan.steps:
        if isinstance(step, MakeNode) and _is_reserved(plan, step) and isinstance(step.identity, OfDriver):
            try:
                found = entry_at(root, step.path)
            except OSError:
                continue
            if found is not None and found.number is not None and plan.host.driver_of(found.number.major) is None:
                lines.setdefault(step.identity.driver, MajorLine(found.number.major, step.identity.driver, "reserved"))
    return plan._replace(host=plan.host._replace(character=(*plan.host.character, *lines.values())))


def _is_reserved(plan: Plan, step: Step) -> bool:
    """Whether the number of a node's driver is nobody's on the plan's host, so that each target reserves one."""
    return (
        isinstance(step, MakeNode | RequireNode)
        and isinstance(step.identity, OfDriver)
        and plan.host.major_of(step.identity.driver) is None
    )


def _compare(plan: Plan, expected: Side, observed: Side, hosts: HostMounts) -> Report:
    reasons = reasons_of(plan)
    mounts = compare_mounts(plan, expected, observed, hosts)
    findings, in_dev, hidden = compare_dev(expected, observed, hosts, reasons)
    named, also_hidden = named_paths(plan, expected, observed, hosts)
    named -= in_dev
    for path in sorted(named):
        findings += compare_path(path, expected, observed, reasons.get(path, ""))
    findings += check_masks(observed)
    told, outcomes = _compare_outcomes(plan, expected, observed, hosts)
    compared = (
        ("mounts", mounts.compared),
        ("entries of /dev", len(in_dev)),
        ("other paths of the plan", len(named)),
        ("masked paths", sum(isinstance(step, Mask) for step in plan.steps)),
        ("covered files", sum(isinstance(step, Cover) for step in plan.steps)),
        ("read-only paths", sum(isinstance(step, SealPath) for step in plan.steps)),
        ("outcomes", outcomes),
    )
    return Report(
        _once([*mounts.findings, *findings, *told]), compared, _notes(mounts.below_binds, hidden | also_hidden)
    )


def _once(findings: list[Finding]) -> tuple[Finding, ...]:
    """A path that cannot be seen is told once, however often it was looked at."""
    told: dict[tuple[object, ...], Finding] = {}
    for finding in findings:
        key = finding if finding.code != "unreadable" else (finding.code, finding.path, finding.found)
        if key not in told or not told[key].why:
            told[key] = finding
    return tuple(told.values())


def _notes(below_binds: int, hidden: set[str]) -> tuple[str, ...]:
    notes = []
    if below_binds:
        notes.append(f"{below_binds} mounts of the host lie below recursive binds; they show on the kernel alone")
    if hidden:
        notes.append(f"not compared, as mounts of the host hide what is there: {' '.join(sorted(hidden))}")
    return tuple(notes)


def _compare_outcomes(plan: Plan, expected: Side, observed: Side, hosts: HostMounts) -> tuple[list[Finding], int]:
    """What both builds decided, step by step, where the state of proc and sysfs has no say in it."""
    written = _written(observed)
    findings: list[Finding] = []
    count = 0
    for want, found in zip(expected.root.outcomes, observed.root.outcomes, strict=True):
        step = found.step
        place = "" if isinstance(step, Skip) else observed.places.real(step.path)
        kernels = bool(place) and (observed.is_kernels(place) or place in hosts.hidden)
        if kernels and (isinstance(step, _COVERING) or want.step != step):
            continue
        count += 1
        held = observed.table.holding(parent(place)) if place else None
        # What the first of the two builds made on the host, the second found there.
        in_place = "/" in written or (held is not None and held.mount_point in written)
        same_words = in_place or kernels or want.found == found.found or _is_reserved(plan, step)
        same_result = want.result is found.result or (in_place and want.kept and found.result is not Result.SKIPPED)
        if not same_result or not same_words:
            findings.append(_outcome_differs(want, found))
    return findings, count


def _written(observed: Side) -> frozenset[str]:
    """Where a build writes on the host: a root that is no overlay, binds, and overlays whose upper layer is the host's."""
    written: set[str] = set()
    for outcome in observed.root.outcomes:
        step = outcome.step
        if outcome.result is Result.SKIPPED or not isinstance(step, MountRoot | Bind | MountFilesystem):
            continue
        place = "/" if isinstance(step, MountRoot) else observed.places.real(step.path)
        written.discard(place)  # what is below is covered
        match step:
            case MountRoot():
                writes = outcome.kept
            case Bind():
                writes = step.overlay is None
            case MountFilesystem():
                writes = step.layers is not None and step.layers.upper != ""
        if writes:
            written.add(place)
    return frozenset(written)


def _outcome_differs(want: Outcome, found: Outcome) -> Finding:
    step = found.step
    difference = error("outcome-differs", step.path, _told(want), _told(found), str(step.reason))
    if want.result is found.result:
        # The same was done for another reason; what it led to was compared above.
        return difference._replace(severity=Severity.WARNING)
    return difference


def _told(outcome: Outcome) -> str:
    return f"{outcome.result.value} ({outcome.found})" if outcome.found else outcome.result.value
