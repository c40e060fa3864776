"""The kernel's modules around accelerators: those that are loaded (/proc/modules, proc(5)), and those that are built in."""

from __future__ import annotations

import re

from devproxy.host.system_facts import KernelModule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.root import HostRoot

_LOADED: Final = "/proc/modules"
_DIRECTORY: Final = "/sys/module"
_NAMES: Final = re.compile(
    r"nvidia(?:_\w+)?|nouveau|nova_core|gasket|apex|tpu_common|accel|google_\w+|vfio(?:_\w+)?|iommufd|amdgpu|amdkfd|amdxdna|i915|xe"
    r"|intel_vpu|habanalabs|qaic|mlx5_(?:core|ib)|ib_(?:core|uverbs|peer_mem)|gdrdrv|kvm(?:_intel|_amd)?|drm"
)
# name, size, uses, users, state, address, and taints
_LINE: Final = re.compile(
    r"(?P<name>\w{1,64}) \d+ (?P<uses>\d{1,10}|-) (?P<by>\S+) (?P<state>Live|Loading|Unloading)\b"
)
_STATES: Final = {"Live": "live", "Loading": "coming", "Unloading": "going"}
_LIMIT: Final = 1 << 18
_SHORT: Final = 4096


def read_modules(root: HostRoot) -> tuple[KernelModule, ...] | None:
    """Those that are there, by name; None when that cannot be seen. A kernel without modules has only built-in ones."""
    text = root.read_text(_LOADED, _LIMIT)
    if text is None and any(unseen.path == _LOADED for unseen in root.unseen):
        return None
    loaded = [module for line in (text or "").split("\n") if (module := _loaded(root, line)) is not None]
    names = {module.name for module in loaded}
    built_in = [name for name in root.listdir(_DIRECTORY) if _NAMES.fullmatch(name) and name not in names]
    others = (KernelModule(name, _version(root, name), None, "builtin", f"{_DIRECTORY}/{name}") for name in built_in)
    return tuple(sorted([*loaded, *others], key=lambda module: module.name))


def _loaded(root: HostRoot, line: str) -> KernelModule | None:
    found = _LINE.match(line)
    if found is None or not _NAMES.fullmatch(found["name"]):
        return None
    uses = None if found["uses"] == "-" else int(found["uses"])
    by = tuple(name for name in found["by"].split(",") if name not in ("", "-"))
    return KernelModule(found["name"], _version(root, found["name"]), uses, _STATES[found["state"]], _LOADED, by)


def _version(root: HostRoot, name: str) -> str:
    """The version that the module says it has; most have none."""
    return (root.read_text(f"{_DIRECTORY}/{name}/version", _SHORT) or "").strip()
