"""Container engines and their toolkit: not configured for GPUs, or configured for another way of running than this one."""

from __future__ import annotations

import re

from devproxy.check.doctor.case import Case, seen
from devproxy.check.finding import Finding, Severity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from devproxy.host.facts import Host
    from devproxy.host.system_facts import CgroupRules, Runtime

_TOOLKIT: Final = "nvidia-container-runtime"
_NO_CGROUPS: Final = "nvidia-container-cli.no-cgroups"
_MODE: Final = "nvidia-container-runtime.mode"
_ENGINES: Final = ("docker", "containerd", "cri-o", "podman")
_HOOKS: Final = (_TOOLKIT, "nvidia-ctk", "nvidia-container-cli")
# BPF_F_REPLACE; and the first libnvidia-container that knows cgroup v2 at all.
_KERNEL: Final = (5, 6)
_CLI: Final = (1, 8)
_CONTROL: Final = 255


def cgroups_disabled_rootful(case: Case) -> Iterator[Finding]:
    """no-cgroups = true is for engines without root: with root the container's device filter stays shut."""
    toolkit = _runtime(case, _TOOLKIT)
    if toolkit is None or toolkit.setting(_NO_CGROUPS) != "true" or toolkit.setting(_MODE) == "cdi":
        return
    rootful = _rootful(case)
    if rootful is False:
        return
    yield Finding(
        "cgroups-disabled-rootful", Severity.ERROR if rootful else Severity.WARNING, toolkit.source,
        "no-cgroups = false for an engine that runs as root", "no-cgroups = true",
        why="NVML says Unknown Error in containers of such an engine: nobody lets its devices through",
        hint="nvidia-ctk config --set nvidia-container-cli.no-cgroups=false --in-place",
        evidence=(seen(toolkit.source, f"{_NO_CGROUPS} = true"),),
    )  # fmt: skip


def runtime_rootless_legacy(case: Case) -> Iterator[Finding]:
    """In a user namespace the legacy hook may not edit the device filter, and must not try."""
    toolkit, caller = _runtime(case, _TOOLKIT), case.details.system.caller
    if toolkit is None or caller is None or not caller.user_namespace:
        return
    mode, no_cgroups = toolkit.setting(_MODE) or "auto", toolkit.setting(_NO_CGROUPS)
    if mode == "legacy" and no_cgroups != "true":
        yield Finding(
            "runtime-rootless-legacy", Severity.ERROR, toolkit.source, "CDI, or no-cgroups = true, without root",
            f"mode {mode}, no-cgroups = {no_cgroups or 'false'}",
            why="bpf_prog_query and devices.allow are refused in a user namespace",
            hint="podman run --device nvidia.com/gpu=all (CDI); or nvidia-ctk config --set nvidia-container-cli.no-cgroups --in-place",
            evidence=(seen(caller.source, "in a user namespace"), seen(toolkit.source, f"{_MODE} = {mode}")),
        )  # fmt: skip


def runtime_bpf_unsupported(case: Case) -> Iterator[Finding]:
    """Control groups v2 filter devices by a BPF program, which old kernels and toolkits cannot put in place."""
    cgroups = case.details.system.cgroups
    cli = _runtime(case, "nvidia-container-cli")
    if cgroups is None or cgroups.mode != "v2" or cli is None:
        return
    kernel, version = _numbers(case.host.kernel), _numbers(cli.version)
    if version and version < _CLI:
        yield Finding(
            "runtime-bpf-unsupported", Severity.ERROR, cli.path, "libnvidia-container 1.8 or later", cli.version,
            why="`cgroup subsystem devices not found`: it knows the control groups of version 1 only",
            hint="install nvidia-container-toolkit 1.8 or later",
            evidence=(seen(cgroups.source, cgroups.mode), seen(cli.source, cli.version)),
        )  # fmt: skip
    elif kernel and kernel < _KERNEL:
        yield Finding(
            "runtime-bpf-unsupported", Severity.ERROR, "kernel", "Linux 5.6 or later with control groups v2",
            case.host.kernel, why="BPF_PROG_ATTACH says `invalid argument`: this kernel cannot replace a device filter",
            hint="a newer kernel; or systemd.unified_cgroup_hierarchy=0 on the kernel's command line",
            evidence=(seen(cgroups.source, cgroups.mode), seen("facts/uname.json", case.host.kernel)),
        )  # fmt: skip


def runtime_not_configured(case: Case) -> Iterator[Finding]:
    """An engine, GPUs with a driver, and neither the toolkit nor a CDI spec."""
    system, nvidia = case.details.system, case.host.nvidia
    engines = [each for each in system.runtimes if each.name in _ENGINES]
    if nvidia is None or not nvidia.version or not engines or system.containers or case.host.coverage is not None:
        return
    if any(_runtime(case, name) is not None for name in _HOOKS) or any(
        "nvidia.com/" in each.text for each in system.cdi
    ):
        return
    asked = [each for each in system.requests if each.key.startswith("NVIDIA_") or each.key == "--gpus"]
    yield Finding(
        "runtime-not-configured", Severity.ERROR if asked else Severity.WARNING, engines[0].name,
        "the NVIDIA container toolkit, or a CDI spec", "neither",
        why="the engine says `could not select device driver` when it is asked for a GPU",
        hint="install nvidia-container-toolkit; nvidia-ctk runtime configure --runtime=docker && systemctl restart docker",
        evidence=(
            seen("facts/runtimes.json", ", ".join(each.name for each in system.runtimes)),
            *(seen(each.source, f"{each.key}={each.value}") for each in asked),
        ),
    )  # fmt: skip


def cgroup_rule_missing(case: Case) -> Iterator[Finding]:
    """A list of device rules (control groups v1) that names GPUs and does not let them be read and written."""
    cgroups = case.details.system.cgroups
    for rules in cgroups.rules if cgroups is not None else ():
        for number, why in _missing(case.host, rules):
            yield Finding(
                "cgroup-rule-missing", Severity.ERROR, rules.group, f"a rule `c {number} rw`", why,
                why="opening says EPERM, NVML Unknown Error: systemd lost the rules, or the runtime gave none",
                hint="nvidia-ctk system create-dev-char-symlinks --create-all, then start the container anew; or use CDI",
                evidence=tuple(seen(rules.source, " ".join((r[0], f"{r[1]}:{r[2]}", r[3]))) for r in rules.rules[-20:]),
            )  # fmt: skip


def _missing(host: Host, rules: CgroupRules) -> Iterator[tuple[str, str]]:
    """Numbers that the list ought to let through: of each major of NVIDIA's that it names at all."""
    open_rules = [rule for rule in rules.rules if rule[0] in "ac" and "r" in rule[3] and "w" in rule[3]]
    if any(rule[1] == "*" for rule in open_rules):
        return
    named = {rule[1] for rule in rules.rules if rule[0] == "c"}
    uvm = host.major_of("nvidia-uvm")
    known = {"195": "NVIDIA's GPUs"} | ({str(uvm): "nvidia-uvm"} if uvm is not None else {})
    if not named & known.keys():
        return
    for major, what in known.items():
        let = {rule[2] for rule in open_rules if rule[1] == major}
        if not let:
            yield f"{major}:*", f"none that lets {what} be read and written"
        elif major == "195" and "*" not in let and str(_CONTROL) not in let:
            yield f"195:{_CONTROL}", "none for /dev/nvidiactl"


def _rootful(case: Case) -> bool | None:
    """Whether an engine runs as root here; None when nothing tells."""
    sockets = case.details.system.sockets
    if sockets is not None and any(each.service in ("docker", "containerd", "cri-o") for each in sockets):
        return True
    caller = case.details.system.caller
    if caller is None:
        return None
    return caller.uid == 0 and not caller.user_namespace


def _runtime(case: Case, name: str) -> Runtime | None:
    return next((runtime for runtime in case.details.system.runtimes if runtime.name == name), None)


def _numbers(version: str) -> tuple[int, int] | None:
    found = re.match(r"(\d{1,4})\.(\d{1,4})", version)
    return (int(found[1]), int(found[2])) if found else None
