"""Places of a machine that every Linux fills: where one is empty, nothing there was seen, and absence from it means nothing.

A container, a chroot or a unit with TemporaryFileSystem= may have an empty directory where sysfs, procfs or /dev belong. Every
read there says ENOENT, as it does on a machine that has no accelerator.
"""

from __future__ import annotations

from devproxy.host.facts import Unseen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.facts import Host


def empty_places(host: Host) -> tuple[Unseen, ...]:
    """What has to be there on any machine and is not: CPUs in sysfs, `mem` in /proc/devices, /dev/null's like in /dev."""
    if host.coverage is not None:
        return ()  # a report holds what somebody pasted
    empty = (
        ("/sys", host.sysfs or host.pci, "no CPU in it: is sysfs mounted?"),
        ("/proc", host.character, "no driver in /proc/devices: is proc mounted?"),
        ("/dev", host.nodes, "no device node in it"),
    )
    return tuple(Unseen(place, why) for place, seen, why in empty if not seen and host.knows(place))
