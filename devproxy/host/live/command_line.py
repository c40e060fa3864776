"""The kernel's parameters that decide about accelerators; the rest of /proc/cmdline is nobody's business."""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_PARAMETER: Final = re.compile(
    r"(?:(?:intel_|amd_)?iommu|iommu\.\w+|nvidia[\w-]*|nouveau|rd\.driver\.blacklist|modprobe\.blacklist|module_blacklist|pci|pcie_\w+"
    r"|vfio[\w-]*|amdgpu|i915|xe|hugepages|default_hugepagesz|cgroup_no_v1|cgroup_disable|systemd\.unified_cgroup_hierarchy"
    r"|selinux|enforcing|nomodeset|lockdown|module\.sig_enforce|numa_balancing)(?:[.=].*)?"
)
_LONGEST: Final = 200


def read() -> dict[str, object]:
    """`{"parameters": ["intel_iommu=on"]}`.

    Errors: OSError where the file cannot be read.
    """
    with open("/proc/cmdline", "rb") as file:
        return {"parameters": reduced(file.read(1 << 16).decode("utf-8", "replace"))}


def reduced(text: str) -> list[str]:
    """The parameters that are told, in their order (Documentation/admin-guide/kernel-parameters.rst)."""
    return [word[:_LONGEST] for word in text.split() if _PARAMETER.fullmatch(word)]
