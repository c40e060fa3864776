"""Copies of the host's mounts that are not in the tree yet."""

from __future__ import annotations

from devproxy.linux import mounts
from devproxy.mount_options import Change
from devproxy.targets.kernel.attributes import attributes, set_attributes
from devproxy.targets.kernel.handles import KernelMount, KernelSource


class Binds:
    """Makes them. `unattached` are the descriptors of those that are its owner's to close. `detached`: the kernel can do in one
    call what takes an older one two (6.15).
    """

    def __init__(self, *, detached: bool) -> None:
        self._detached = detached
        self.unattached: set[int] = set()

    def of(self, source: KernelSource, change: Change, *, recursive: bool) -> KernelMount:
        """See `Target.bind`. The source is let go of."""
        try:
            if change and not recursive and self._detached:
                mount = mounts.clone_with_attributes(source.descriptor, *attributes(change))
                self.unattached.add(mount)
            else:
                mount = mounts.clone_tree(source.descriptor, recursive=recursive)
                self.unattached.add(mount)
                if change:
                    set_attributes(mount, change, recursive=False)
        except OSError as error:
            error.filename, error.filename2 = source.path, None
            raise
        source.close()
        return KernelMount(mount, is_directory=source.is_directory)

    def of_directory(self, path: str, change: Change) -> KernelMount | None:
        """See `Target.bind_directory`. A path that ends in a slash leads to a directory, or nowhere (path_resolution(7))."""
        mount = mounts.clone_path_with_attributes(f"{path}/", *attributes(change)) if "\0" not in path else None
        if mount is None:
            return None
        self.unattached.add(mount)
        return KernelMount(mount, is_directory=True)
