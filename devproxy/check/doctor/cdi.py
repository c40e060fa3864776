"""CDI specs: whether they are valid, whether two have the same device, and whether they are about this host as it is now."""

from __future__ import annotations

import re

from devproxy.cdi.registry import CdiRegistry, load_cdi
from devproxy.check.doctor.case import Case, Check, seen
from devproxy.check.doctor.identities import identity_of
from devproxy.check.finding import Finding, Severity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.cdi.spec import CdiNode, CdiSpec

_GENERATE: Final = "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
_VERSION: Final = re.compile(r"/lib(?:cuda|nvidia-ml)\.so\.(?P<version>\d{3,4}\.\d{1,3}(?:\.\d{1,3})?)$")


def _registry(case: Case) -> CdiRegistry:
    return load_cdi(case.details.system.cdi)


def spec_invalid(case: Case) -> Iterator[Finding]:
    """What engines refuse; a report may have cut a spec off."""
    for error in _registry(case).errors:
        if case.host.coverage is not None and error.problem == "the spec has no devices":
            continue
        yield Finding(
            "cdi-spec-invalid", Severity.ERROR, error.file, "a valid spec", f"line {error.line}: {error.problem}",
            why="engines ignore the whole file", hint=f"mend the line, or {_GENERATE}",
            evidence=(seen(f"{error.file}:{error.line}", error.problem),),
        )  # fmt: skip


def spec_unreadable(case: Case) -> Iterator[Finding]:
    """A spec that its user cannot read: engines say `unresolvable`."""
    caller = case.details.system.caller
    for file in case.details.system.cdi:
        shut = caller is not None and caller.uid not in (0, file.uid) and not file.mode & 0o004
        shut = shut and not (caller is not None and file.gid in (caller.gid, *caller.gids) and file.mode & 0o040)
        if file.why or shut:
            yield Finding(
                "cdi-spec-unreadable", Severity.ERROR, file.path, "to be readable", file.why or f"mode {file.mode:04o}",
                hint=f"chmod 0644 {file.path}", evidence=(seen(file.path, file.why or f"{file.mode:04o} {file.uid}:{file.gid}"),),
            )  # fmt: skip


def device_conflict(case: Case) -> Iterator[Finding]:
    """Of two specs in one directory neither counts."""
    for conflict in _registry(case).conflicts:
        yield Finding(
            "cdi-device-conflict", Severity.ERROR, conflict.name, "one spec that has it", ", ".join(conflict.files),
            why="engines drop a device that two specs of one priority have", hint=f"rm {conflict.files[0]}, if it is the older",
            evidence=tuple(seen(file, conflict.name) for file in conflict.files),
        )  # fmt: skip


def spec_stale(case: Case) -> Iterator[Finding]:
    """A number that the node, or its driver, has not any more: majors of modules change from boot to boot."""
    for spec, node in _nodes(case):
        if node.major is None or not node.major:
            continue
        there, device = case.host.node(node.host_path), identity_of(node.path)
        major = case.host.major_of(device.driver) if device is not None else None
        if there is not None and (there.number.major, there.number.minor) != (node.major, node.minor or 0):
            expected, source, value = str(there.number), there.path, str(there.number)
        elif there is None and major is not None and major != node.major and device is not None:
            expected, source, value = f"{major}:{node.minor or 0}", "/proc/devices", f"{major} {device.driver}"
        else:
            continue
        yield Finding(
            "cdi-spec-stale", Severity.ERROR, node.path, expected, f"{node.major}:{node.minor or 0} in {spec.file}",
            why="the container's node would be another device than the host's: CUDA says 999", hint=_GENERATE,
            evidence=(seen(f"{spec.file}:{node.line}", f"{node.major}:{node.minor}"), seen(source, value)),
        )  # fmt: skip


def driver_stale(case: Case) -> Iterator[Finding]:
    """Mounts of another driver version than the one that is loaded."""
    nvidia = case.host.nvidia
    loaded = nvidia.version if nvidia is not None and nvidia.version else case.details.nvml.driver
    for spec in _registry(case).specs:
        paths = [path for each in (spec.common, *spec.devices) for path in each.mounts]
        found = {match["version"]: path for path in paths if (match := _VERSION.search(path))}
        if loaded and found and loaded not in found:
            version, path = next(iter(found.items()))
            yield Finding(
                "cdi-driver-stale", Severity.ERROR, spec.file, f"libraries of driver {loaded}", f"{version}: {path}",
                why="the spec was made for another driver", hint=_GENERATE,
                evidence=(seen(spec.file, path), seen("driver", loaded)),
            )  # fmt: skip


def host_path_missing(case: Case) -> Iterator[Finding]:
    """A node that the spec takes from the host and that is not there."""
    for spec, node in _nodes(case):
        if (
            case.host.node(node.host_path) is None
            and case.host.knows(node.host_path)
            and node.host_path.startswith("/dev/")
        ):
            yield Finding(
                "cdi-host-path-missing", Severity.ERROR, node.host_path, "a node on the host", "nothing",
                why="engines fail: failed to stat CDI host device", hint=_GENERATE,
                evidence=(seen(f"{spec.file}:{node.line}", node.host_path),),
            )  # fmt: skip


def incomplete(case: Case) -> Iterator[Finding]:
    """GPUs without the nodes that CUDA needs beside them: the spec was made before nvidia-uvm was loaded."""
    for spec in _registry(case).specs:
        common = {node.path for node in spec.common.nodes}
        gpus = [device for device in spec.devices if any(re.fullmatch(r"/dev/nvidia\d+", n.path) for n in device.nodes)]
        for path in ("/dev/nvidiactl", "/dev/nvidia-uvm"):
            without = [each for each in gpus if path not in common | {node.path for node in each.nodes}]
            if without:
                yield Finding(
                    "cdi-incomplete", Severity.ERROR, spec.file, f"{path} with each GPU",
                    f"{len(without)} devices without it", why="CUDA does not work without it",
                    hint=f"nvidia-modprobe -u -c 0 && {_GENERATE}", evidence=(seen(f"{spec.file}:{without[0].line}", without[0].name),),
                )  # fmt: skip


def management_only(case: Case) -> Iterator[Finding]:
    """Only the kind that operators manage hosts with: no container's request for a GPU by index or UUID resolves."""
    specs = [spec for spec in _registry(case).specs if spec.kind.endswith("nvidia.com/gpu")]
    if specs and all(spec.kind == "management.nvidia.com/gpu" for spec in specs):
        yield Finding(
            "cdi-management-only", Severity.WARNING, specs[0].file, "a spec of kind nvidia.com/gpu", specs[0].kind,
            why="it has `all` alone", hint=_GENERATE, evidence=(seen(specs[0].file, specs[0].kind),),
        )  # fmt: skip


def _nodes(case: Case) -> Iterator[tuple[CdiSpec, CdiNode]]:
    for spec in _registry(case).specs:
        found = {
            (n.path, n.host_path, n.major, n.minor): n for each in (spec.common, *spec.devices) for n in each.nodes
        }
        yield from ((spec, node) for node in found.values())


CDI_CHECKS: Final = (
    Check("cdi-spec-invalid", Severity.ERROR, "a CDI spec that engines refuse", spec_invalid),
    Check("cdi-spec-unreadable", Severity.ERROR, "a CDI spec that its user cannot read", spec_unreadable),
    Check("cdi-device-conflict", Severity.ERROR, "two CDI specs have one device", device_conflict),
    Check("cdi-spec-stale", Severity.ERROR, "a CDI spec with a number of an earlier boot", spec_stale),
    Check("cdi-driver-stale", Severity.ERROR, "a CDI spec for another driver", driver_stale),
    Check("cdi-host-path-missing", Severity.ERROR, "a CDI spec names a node that is not there", host_path_missing),
    Check("cdi-incomplete", Severity.ERROR, "a CDI spec without nodes that CUDA needs", incomplete),
    Check("cdi-management-only", Severity.WARNING, "only the management kind of CDI device", management_only),
)
