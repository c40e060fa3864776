"""SELinux: its file system (selinuxfs, libselinux's getenforce and getsebool), and labels from the fact `selinux_labels`."""

from __future__ import annotations

from devproxy.host.sources.document import each_object, text
from devproxy.host.system_facts import Selinux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.root import HostRoot

_ROOT: Final = "/sys/fs/selinux"
# The booleans of container-selinux that let containers have devices.
_BOOLEANS: Final = ("container_use_devices", "container_use_dri_devices", "container_use_xserver_devices")
_SHORT: Final = 64


def read_selinux(root: HostRoot) -> Selinux | None:
    """Whether it enforces; None where there is no SELinux or it cannot be seen."""
    enforcing = root.read_text(f"{_ROOT}/enforce", _SHORT)
    if enforcing is None:
        return None
    booleans = []
    for name in _BOOLEANS:
        # `1 1`: what it is, and what it is to become.
        value = root.read_text(f"{_ROOT}/booleans/{name}", _SHORT)
        if value is not None:
            booleans.append((name, value.startswith("1")))
    labels = each_object(root, "selinux_labels", root.read_fact("selinux_labels"), "labels", _label)
    return Selinux(enforcing.strip() == "1", tuple(sorted(labels)), tuple(booleans))


def _label(each: dict[str, object]) -> tuple[str, str]:
    return text(each.get("path")), text(each.get("label"))
