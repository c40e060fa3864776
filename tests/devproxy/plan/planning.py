"""Hosts made of values, and short ways to a plan."""

from __future__ import annotations

from typing import Any, TypeVar

from devproxy.host.facts import Host, MajorLine, MiscLine, Nvidia, NvidiaGpu
from devproxy.oci.configuration import Configuration
from devproxy.oci.load import parse_spec
from devproxy.overlay import NO_OVERLAY as NO_OVERLAY2
from devproxy.plan.plan import Plan
from devproxy.plan.planner import plan
from tests.bundles import runc_spec_like

T = TypeVar("T")

BUNDLE = "/b"
DEFAULTS = Configuration()
STRICT = Configuration(strict=True)
NO_OVERLAY = Configuration(overlay2=NO_OVERLAY2)
LISTED = Configuration(mount_order="listed")


def gpu(rank: int, minor: int | None, uuid: str | None = None) -> NvidiaGpu:
    """A GPU whose PCI address tells its rank."""
    full = f"GPU-{rank:08x}-aaaa-BBBB-cccc-dddddddddddd" if uuid is None else uuid
    return NvidiaGpu(rank, f"0000:{rank + 1:02x}:00.0", minor, full or None, "NVIDIA L4", "/proc/driver/nvidia/gpus")


# Two GPUs whose device minors are the other way round than their ranks.
GPUS = (gpu(0, 1), gpu(1, 0))
NVIDIA_MAJORS = (MajorLine(195, "nvidia"), MajorLine(195, "nvidiactl"), MajorLine(510, "nvidia-uvm"))


def machine(
    gpus: tuple[NvidiaGpu, ...] | None = None,
    majors: tuple[MajorLine, ...] = (),
    misc: tuple[MiscLine, ...] = (MiscLine(200, "tun"),),
) -> Host:
    """A host; without `gpus` it has no NVIDIA driver."""
    character = (MajorLine(1, "mem"), MajorLine(5, "/dev/tty"), MajorLine(10, "misc"), *majors)
    nvidia = None if gpus is None else Nvidia("575.51.03", (), gpus)
    return Host("test", True, "6.18.0", "Test Machine", character, (), misc, (), (), nvidia, ())


PLAIN = machine()
GPU_HOST = machine(GPUS, NVIDIA_MAJORS)


def planned(host: Host = PLAIN, *, config: Configuration = DEFAULTS, mode: str = "auto", **changes: Any) -> Plan:
    """The plan for a runc-spec-like bundle with changes. Of the capabilities that `runc spec` asks for in vain nothing is said."""
    document = runc_spec_like(**changes)
    process = document.get("process")
    if isinstance(process, dict) and "capabilities" not in (changes.get("process") or {}):
        process["capabilities"].pop("ambient", None)
    return plan(parse_spec(document, BUNDLE), host, mode=mode, config=config)


def bare(host: Host = PLAIN, *, config: Configuration = DEFAULTS, mode: str = "auto", **changes: Any) -> Plan:
    """The plan for a bundle without mounts, masked or read-only paths, on a writable root."""
    linux = {"resources": None, "maskedPaths": None, "readonlyPaths": None, **changes.pop("linux", {})}
    changes = {"root": {"readonly": False}, "mounts": [], **changes}
    return planned(host, config=config, mode=mode, linux=linux, **changes)


def mount(destination: str, fstype: str = "tmpfs", *options: str, source: str = "/source") -> dict[str, Any]:
    """An entry of `mounts`."""
    return {"destination": destination, "type": fstype, "source": source, "options": list(options)}


def steps_of(plan: Plan, kind: type[T]) -> list[T]:
    """The steps of one kind, in order."""
    return [step for step in plan.steps if isinstance(step, kind)]


def lines(plan: Plan, *prefixes: str) -> list[str]:
    """The descriptions of the steps that begin with one of `prefixes`."""
    return [step.describe() for step in plan.steps if step.describe().startswith(prefixes)]
