"""What is held on to of a root that is to be saved: upper layers, and copies of mounts, by their descriptors."""

from __future__ import annotations

from devproxy.linux import mounts
from devproxy.targets.kernel.handles import KernelMount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from devproxy.targets.target import KeptMount


class Keeper:
    """Owns the descriptors until they are taken."""

    def __init__(self) -> None:
        self._kept: list[tuple[KeptMount, int]] = []
        self.descriptors: list[int] = []

    def add(self, mount: KernelMount) -> None:
        """An overlay's upper layer, if it was asked to be kept."""
        if mount.layer >= 0:
            self.descriptors.append(mount.layer)

    def attached(self, mount: KernelMount) -> None:
        """A mount was attached. A copy of it is kept, so that the process may unmount what is its own (umount(2), EBUSY); before
        6.15 only what is attached can be copied.
        """
        if mount.keep:
            mount.layer = mounts.clone_tree(mount.descriptor, recursive=False)
            self.add(mount)

    def choose(self, kept: Sequence[KeptMount]) -> None:
        """These are what the root has in the end."""
        for each in kept:
            assert isinstance(each.mount, KernelMount)
            self._kept.append((each, each.mount.layer))

    def take(self) -> list[tuple[KeptMount, int]]:
        """What is to be saved, with descriptors that are the caller's from now on."""
        taken, self._kept = self._kept, []
        for _, descriptor in taken:
            self.descriptors.remove(descriptor)
        return taken
