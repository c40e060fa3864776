"""What the containers of a pod have in common in memory: a world, the numbers of its devices, its volumes."""

from __future__ import annotations

from devproxy.drivers import register_drivers
from devproxy.host.facts import Host
from devproxy.targets.memory.flags import DEFAULT
from devproxy.targets.memory.proc import proc_tree
from devproxy.targets.memory.sysfs import sysfs_tree
from devproxy.targets.memory.world import new_world
from devproxy.targets.numbers import Numbers
from vfs.credentials import ROOT
from vfs.mount import VirtualDentry
from vfs.options import MountOptions
from vfs.resolve import at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from vfs.mount import Mount


class SharedWorld:
    """A VFS for one container or several on the same host. Each volume is a mount that is attached nowhere, of which every
    container has copies.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.vfs = new_world(sysfs_tree(host), proc_tree(host))
        register_drivers(self.vfs.devices, host)
        # Nothing here reaches a live driver.
        self.numbers = Numbers(host, {})
        self._volumes: dict[str, tuple[Mount, str]] = {}

    def volume(self, key: str, flags: Sequence[str], data: Sequence[str], maker: str) -> tuple[Mount, str]:
        """A mount of a volume, attached nowhere, and who made the volume before; see `Target.volume`."""
        master, before = self._volumes.get(key, (None, ""))
        if master is None:
            options = MountOptions(DEFAULT, ",".join(data), superblock=tuple(flags))
            master = self.vfs.mount_disconnected(ROOT, "tmpfs", "tmpfs", options)
            self._volumes[key] = master, maker
        return self.vfs.clone_mount(ROOT, at(VirtualDentry(master, master.root))), before

    def close(self) -> None:
        """Let go of the volumes; what containers have of them stays theirs."""
        volumes, self._volumes = self._volumes, {}
        for master, _ in volumes.values():
            self.vfs.discard_mount(master)
