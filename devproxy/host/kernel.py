"""The kernel's release, the machine's product name and CPUs, and the limits of the process that probes."""

from __future__ import annotations

from devproxy.host.facts import Limit, SysfsEntry
from devproxy.host.root import HostRoot, fact_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# The directory that /sys/class/dmi/id links to. Virtual machines and Arm boards may have none.
_PRODUCT_NAME: Final = "/sys/devices/virtual/dmi/id/product_name"
_CPUS: Final = "/sys/devices/system/cpu"
_LIMIT: Final = 4096


def read_kernel(root: HostRoot) -> str:
    """`6.8.0-51-generic`, as uname(2) says; empty if it does not."""
    release = root.read_fact("uname").get("release", "")
    if isinstance(release, str):
        return release
    root.note(fact_path("uname"), f"release is {release!r}, expected a text")
    return ""


def read_product_name(root: HostRoot) -> str:
    """DMI's name of the machine, or empty."""
    return (root.read_text(_PRODUCT_NAME) or "").strip()


def read_limits(root: HostRoot) -> tuple[Limit, ...]:
    """The resource limits that containers started from here inherit (getrlimit(2)), by name."""
    limits = []
    for name, value in sorted(root.read_fact("limits").items()):
        match value:
            case [int() | None as soft, int() | None as hard]:
                limits.append(Limit(name, soft, hard))
            case _:
                root.note(fact_path("limits"), f"{name} is {value!r}, expected the soft and the hard limit")
    return tuple(limits)


def read_cpus(root: HostRoot) -> tuple[SysfsEntry, ...]:
    """Which CPUs there are, as the kernel's lists of them say (S81)."""
    return read_files(root, _CPUS, ("online", "possible", "present"))


def read_files(root: HostRoot, directory: str, names: tuple[str, ...]) -> tuple[SysfsEntry, ...]:
    """Small text files of a directory in sysfs, those that are there."""
    texts = ((f"{directory}/{name}", root.read_text(f"{directory}/{name}", _LIMIT)) for name in names)
    return tuple(SysfsEntry(path, text) for path, text in texts if text is not None)
