"""Propagation between mounts in memory, in the VFS's words, and from the machine (mount_namespaces(7))."""

from __future__ import annotations

from devproxy.linux.mountinfo import parse_line
from devproxy.mount_options import Propagation
from vfs.options import Propagation as MountPropagation
from vfs.propagation import become_slave_outside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vfs.mount import Mount

TYPES: Final = {
    Propagation.SHARED: MountPropagation.SHARED,
    Propagation.SLAVE: MountPropagation.SLAVE,
    Propagation.PRIVATE: MountPropagation.PRIVATE,
    Propagation.UNBINDABLE: MountPropagation.UNBINDABLE,
}


def hear_from_machine(mount: Mount, descriptor: int) -> None:
    """Make a mount a slave of what a descriptor is on, if that is shared or a slave: so a container's binds begin, since
    nothing that is mounted inside shows outside.
    """
    tags = dict(tag.partition(":")[::2] for tag in _tags(descriptor))
    group = tags.get("shared") or tags.get("master")
    if group:
        become_slave_outside(mount, int(group))


def _tags(descriptor: int) -> tuple[str, ...]:
    """The optional fields of the line that the machine's mountinfo has about a descriptor's mount."""
    with open(f"/proc/self/fdinfo/{descriptor}", encoding="utf-8") as about:
        mount_id = next((line.split()[1] for line in about if line.startswith("mnt_id:")), "")
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        found = next((line for line in table if line.startswith(f"{mount_id} ")), None)
    return () if found is None else parse_line(found).tags
