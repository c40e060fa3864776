"""Modes of nodes: those that a mistake made, those that shut people out, and what the driver's parameters have to do with it."""

from __future__ import annotations

import stat

from devproxy.check.doctor.case import Case, Check, seen
from devproxy.check.doctor.identities import is_nvidia
from devproxy.check.finding import Evidence, Finding, Severity
from devproxy.host.accelerator_nodes import accelerator_nodes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.facts import HostNode
    from devproxy.host.system_facts import Caller

_PARAMS: Final = "/proc/driver/nvidia/params"
_MODE: Final = "DeviceFileMode"
_DIRECTORIES: Final = ("/dev/nvidia-caps", "/dev/nvidia-caps-imex-channels", "/dev/dri", "/dev/vfio", "/dev/accel")
# Capabilities are there to shut people out, vfio groups are opened by whoever was given them, uvm's mode never changes.
_MEANT: Final = (
    "/dev/nvidia-caps",
    "/dev/vfio/",
    "/dev/dri/card",
    "/dev/nvidia-nvswitch",
    "/dev/nvidia-nvlink",
    "/dev/iommu",
)


def node_mode_malformed(case: Case) -> Iterator[Finding]:
    """Bits that no device node needs: an octal mode that was written as a decimal number."""
    for node in accelerator_nodes(case.host.nodes):
        odd = node.mode & ~0o666
        if not odd:
            continue
        shown = f"{node.kind.value}{stat.filemode(node.mode)[1:]}"
        decimal = _looks_octal(node.mode)
        why = f"{decimal} was taken for decimal, which is 0{node.mode:o}: 0666 is 438, 0660 is 432" if decimal else ""
        nvidia = is_nvidia(node.path)
        config = "options nvidia NVreg_DeviceFileMode=0666 in /etc/modprobe.d"
        hint = f"chmod 0666 {node.path}; then write {config}" if nvidia else f"chmod 0666 {node.path}"
        yield Finding(
            "node-mode-malformed", Severity.ERROR, node.path, "no bits but read and write", shown,
            why=why or "an execute, set-id or sticky bit on a device node is a mistake", hint=hint,
            evidence=(seen(node.path, f"0{node.mode:o}"), *(_parameter(case) if nvidia else ())),
        )  # fmt: skip


def node_mode_restrictive(case: Case) -> Iterator[Finding]:
    """Nodes that not everybody may open: who is shut out, and which group would help."""
    caller = case.details.system.caller
    # CUDA needs no render node; those of NVIDIA's GPUs are left out, and those of whom nothing is known.
    rendering = {found.path for found in case.host.accelerators if found.addresses}
    for node in accelerator_nodes(case.host.nodes):
        if node.path.startswith("/dev/dri/") and node.path not in rendering:
            continue
        if node.path.startswith(_MEANT) or node.mode & 0o006 == 0o006 or node.mode & ~0o666:
            continue
        # Who wrote a report is not known; a node that is its owner's alone shuts out whoever is not root.
        out = not node.mode & 0o066 if caller is None else not _may_open(node, caller)
        if node.path.startswith("/dev/dri/") and not out:
            continue  # the kernel's own default, and a screen's business
        group = _group(node.gid, caller)
        helps = node.mode & 0o060 == 0o060 and node.gid != 0
        hint = f"usermod -aG {group} USER, and a new login; in a container: --group-add {node.gid}" if helps else (
            f"chmod 0666 {node.path}, or a udev rule that gives it to a group"
        )  # fmt: skip
        serious = out and not node.path.startswith("/dev/dri/")
        who = "not everybody may open it"
        if out:
            who = f"nobody but uid {node.uid} may open it" if caller is None else f"uid {caller.uid} may not open it"
        yield Finding(
            "node-mode-restrictive", Severity.ERROR if serious else Severity.WARNING, node.path,
            "to be readable and writable for who uses it",
            f"0{node.mode:o}, uid {node.uid}, group {group}", why=who, hint=hint,
            evidence=(seen(node.path, f"0{node.mode:o} {node.uid}:{node.gid}"), *(_parameter(case) if is_nvidia(node.path) else ())),
        )  # fmt: skip


def node_mode_looser(case: Case) -> Iterator[Finding]:
    """nvidia-modprobe makes uvm's nodes 0666, whatever the parameters say."""
    mode = _parameter_value(case)
    if mode is None or mode & 0o006 == 0o006:
        return
    for path in ("/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"):
        node = case.host.node(path)
        if node is not None and node.mode & ~mode & 0o666:
            yield Finding(
                "node-mode-looser-than-params", Severity.INFO, path, f"0{mode:o}, as {_MODE} says", f"0{node.mode:o}",
                why="the parameters are not asked for nvidia-uvm: its nodes are always 0666",
                hint=f"a udev rule or tmpfiles.d line that sets the mode of {path}",
                evidence=(seen(path, f"0{node.mode:o}"), *_parameter(case)),
            )  # fmt: skip


def node_directory_unreadable(case: Case) -> Iterator[Finding]:
    """A directory of nodes that the caller may not enter."""
    for unseen in case.host.unseen:
        parent = unseen.path.rpartition("/")[0]
        path = unseen.path if unseen.path in _DIRECTORIES else parent
        if path in _DIRECTORIES and unseen.why.startswith("EACCES"):
            yield Finding(
                "node-directory-unreadable", Severity.ERROR, path, "a directory that can be entered", "EACCES",
                why="every node in it is out of reach, whatever its own mode", hint=f"chmod 0755 {path}",
                evidence=(seen(unseen.path, unseen.why),),
            )  # fmt: skip


def params_no_device_files(case: Case) -> Iterator[Finding]:
    """ModifyDeviceFiles: 0 on a host: nobody makes the nodes by himself."""
    nvidia = case.host.nvidia
    if nvidia is None or nvidia.param("ModifyDeviceFiles") != "0" or case.details.system.containers:
        return
    yield Finding(
        "params-no-device-files", Severity.INFO, _PARAMS, "ModifyDeviceFiles: 1", "ModifyDeviceFiles: 0",
        why="inside a container that is how it should be; on a host udev or a script has to make the nodes",
        hint="grep -r NVreg_ModifyDeviceFiles /etc/modprobe.d", evidence=(seen(_PARAMS, "ModifyDeviceFiles: 0"),),
    )  # fmt: skip


def _looks_octal(mode: int) -> int | None:
    """The number that was meant to be octal, if the mode is one that was read as decimal: 01232 is 666."""
    text = str(mode)
    meant = len(text) == 3 and not text.strip("0246")
    return mode if meant else None


def _parameter_value(case: Case) -> int | None:
    nvidia = case.host.nvidia
    text = nvidia.param(_MODE) if nvidia is not None else None
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) <= 5 else None


def _parameter(case: Case) -> tuple[Evidence, ...]:
    mode = _parameter_value(case)
    return () if mode is None else (seen(_PARAMS, f"{_MODE}: {mode} (decimal; 0{mode:o})"),)


def _may_open(node: HostNode, caller: Caller) -> bool:
    """Whether the caller may read and write a node (path_resolution(7), "Permissions")."""
    if caller.uid == 0 or "CAP_DAC_OVERRIDE" in caller.capabilities:
        return True
    if node.uid == caller.uid:
        return node.mode & 0o600 == 0o600
    if node.gid in (caller.gid, *caller.gids):
        return node.mode & 0o060 == 0o060
    return node.mode & 0o006 == 0o006


def _group(gid: int, caller: Caller | None) -> str:
    known = {number: name for name, number in caller.groups} if caller is not None else {}
    return known.get(gid, {0: "root"}.get(gid, str(gid)))


MODE_CHECKS: Final[tuple[Check, ...]] = (
    Check("node-mode-malformed", Severity.ERROR, "a mode with bits that no node has", node_mode_malformed),
    Check("node-directory-unreadable", Severity.ERROR, "a directory of nodes out of reach", node_directory_unreadable),
    Check("node-mode-restrictive", Severity.WARNING, "a node that not everybody may open", node_mode_restrictive),
    Check("node-mode-looser-than-params", Severity.INFO, "uvm's nodes are looser than asked", node_mode_looser),
    Check("params-no-device-files", Severity.INFO, "the driver makes no nodes", params_no_device_files),
)
