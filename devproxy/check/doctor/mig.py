"""MIG devices: the capabilities that give access to them, their minors, and ids of them."""

from __future__ import annotations

from devproxy.check.doctor.case import Case, Check, seen
from devproxy.check.finding import Finding, Severity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.facts import Capability

_LIST: Final = "/proc/driver/nvidia-caps/mig-minors"
# The driver's layout of minors (MIG user guide, "Device Nodes and Capabilities"): config, monitor, then for each GPU its
# instances, each followed by its compute instances.
_FIRST, _PER_GPU, _PER_INSTANCE = 3, 15, 9
_NO_LEGACY_IDS: Final = 470


def mig_caps_missing(case: Case) -> Iterator[Finding]:
    """A MIG device without both of its capabilities' nodes cannot be opened."""
    nvidia = case.host.nvidia
    for device in nvidia.mig if nvidia is not None else ():
        known = [nvidia.capability(name) for name in device.capabilities] if nvidia is not None else []
        for name, capability in zip(device.capabilities, known, strict=True):
            node = capability.node if capability is not None else ""
            if node and (case.host.node(node) is not None or not case.host.knows(node)):
                continue
            path = f"/proc/driver/nvidia/capabilities/{name}"
            yield Finding(
                "mig-caps-missing", Severity.ERROR, node or path, "the node of a capability",
                "nothing" if node else "no minor is known for it",
                why=f"MIG device GI {device.gpu_instance} CI {device.compute_instance} of GPU minor {device.gpu} needs it",
                hint=f"nvidia-modprobe -f {path}", evidence=(seen(device.source, name),),
            )  # fmt: skip


def mig_minor_unexpected(case: Case) -> Iterator[Finding]:
    """The minors that the driver lists against the layout that it has had so far."""
    nvidia = case.host.nvidia
    for capability in nvidia.capabilities if nvidia is not None else ():
        expected = expected_minor(capability.name)
        if expected is not None and expected != capability.minor:
            yield _unexpected(capability, expected)


def expected_minor(name: str) -> int | None:
    """The minor of a capability by the driver's layout; None for other names."""
    import re

    if name in ("mig/config", "mig/monitor"):
        return 1 if name == "mig/config" else 2
    found = re.fullmatch(r"gpu(\d{1,4})/mig/gi(\d{1,4})/(?:ci(\d{1,4})/)?access", name, re.ASCII)
    if found is None:
        return None
    minor = _FIRST + (int(found[1]) * _PER_GPU + int(found[2])) * _PER_INSTANCE
    return minor if found[3] is None else minor + 1 + int(found[3])


def _unexpected(capability: Capability, expected: int) -> Finding:
    return Finding(
        "mig-minor-unexpected", Severity.WARNING, capability.name, f"minor {expected}", f"minor {capability.minor}",
        why="the driver numbers capabilities otherwise than so far: tools that calculate minors open another device",
        hint=f"cat {_LIST}", evidence=(seen(capability.source, capability.minor),),
    )  # fmt: skip


def mig_id_legacy(case: Case) -> Iterator[Finding]:
    """An id of a MIG device in the form that drivers had before 470."""
    nvidia = case.host.nvidia
    uuids = [mig.uuid for gpu in case.details.nvml.gpus for mig in gpu.mig if mig.uuid.startswith("MIG-")]
    modern = any(not uuid.startswith("MIG-GPU-") for uuid in uuids)
    version = (nvidia.version if nvidia is not None else "") or case.details.nvml.driver
    major = version.partition(".")[0]
    if not modern and not (major.isdigit() and int(major) >= _NO_LEGACY_IDS):
        return
    for source, ids in _requested(case):
        for word in ids:
            if word.upper().startswith("MIG-GPU-") and word.count("/") == 2:
                its = _uuid_of(case, word)
                evidence = (seen(source, word), *(seen("nvidia-smi -L", uuid) for uuid in [*its, *uuids][:1]))
                yield Finding(
                    "mig-id-legacy", Severity.ERROR, word, f"the UUID of a MIG device: {its[0] if its else 'MIG-<uuid>'}",
                    "MIG-GPU-<uuid>/<GI>/<CI>", why="drivers from 470 on know the old form no more: 'unknown device'",
                    hint="nvidia-smi -L", evidence=evidence,
                )  # fmt: skip


def _uuid_of(case: Case, word: str) -> list[str]:
    """The UUID of the MIG device that an id in the old form means, where NVML tells one."""
    gpu, *instances = word.upper().removeprefix("MIG-").split("/")
    return [
        part.uuid
        for each in case.details.nvml.gpus
        for part in each.mig
        if part.uuid
        and (each.uuid or "").upper() == gpu
        and [str(part.gpu_instance), str(part.compute_instance)] == instances
    ]


def mig_changed(case: Case) -> Iterator[Finding]:
    """A bundle that lists capabilities which no MIG device of this host has now."""
    nvidia = case.host.nvidia
    devices = case.spec.devices if case.spec is not None else None
    if nvidia is None or not devices:
        return
    minors = {capability.minor for capability in nvidia.capabilities}
    for device in devices:
        number = device.path.removeprefix("/dev/nvidia-caps/nvidia-cap")
        if number != device.path and number.isdigit() and int(number) not in minors:
            yield Finding(
                "mig-changed", Severity.WARNING, device.path, "a capability of this host", "none with this minor",
                why="GPUs were partitioned anew since the bundle was written", hint="devproxy spec DIR writes a new one",
                evidence=(seen(device.where, device.path), seen(_LIST, f"{len(minors)} capabilities")),
            )  # fmt: skip


def _requested(case: Case) -> Iterator[tuple[str, list[str]]]:
    """Ids that somebody asked for, and where: the environment, a report, the bundle."""
    from devproxy.oci.nvidia_env import VISIBLE_DEVICES, value_of, words_of

    for request in case.details.system.requests:
        yield f"{request.key} ({request.source})", words_of(request.value)
    process = case.spec.process if case.spec is not None else None
    value = value_of(process.env, VISIBLE_DEVICES) if process is not None else None
    if value is not None:
        yield f"process.env {VISIBLE_DEVICES}", words_of(value)


MIG_CHECKS: Final[tuple[Check, ...]] = (
    Check("mig-caps-missing", Severity.ERROR, "a MIG device without its capabilities' nodes", mig_caps_missing),
    Check("mig-id-legacy", Severity.ERROR, "an id of a MIG device in a form that is gone", mig_id_legacy),
    Check("mig-changed", Severity.WARNING, "a bundle with MIG devices that are gone", mig_changed),
    Check("mig-minor-unexpected", Severity.WARNING, "a capability with an unexpected minor", mig_minor_unexpected),
)
