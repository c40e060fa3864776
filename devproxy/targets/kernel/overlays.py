"""Overlays on the kernel: over a directory overlayfs, over a file a copy of it, which is the same view (S43, S44)."""

from __future__ import annotations

import errno
import os
import stat

from devproxy.linux import mounts
from devproxy.targets.kernel.filesystems import new_filesystem, new_overlay
from devproxy.targets.kernel.handles import KernelMount, KernelSource
from devproxy.targets.kernel.paths import KernelPaths
from devproxy.targets.kernel.tree import Closer
from devproxy.targets.target import NOT_OVERLAID, Upper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_CHUNK: Final = 1 << 20


class Overlays:
    """Makes overlays. Before 6.15 a tmpfs has to be attached while something is made of it; nobody sees it then."""

    def __init__(self, paths: KernelPaths, closer: Closer, *, rootless: bool) -> None:
        self._paths = paths
        self._closer = closer
        self._rootless = rootless
        self._kept: list[int] | None = None

    def make(self, lower: KernelSource, upper: Upper) -> KernelMount:
        """The mount of an overlay. See `Target.overlay`."""
        if not lower.is_directory:
            return KernelMount(self._over_file(lower.descriptor, upper), is_directory=False)
        self._kept = [] if upper.keep else None
        mount = self._on_host(lower, upper) if upper.name else self._in_memory(lower.descriptor, upper)
        return KernelMount(mount, is_directory=True, layer=self._kept[0] if self._kept else -1)

    def _in_memory(self, lower: int, upper: Upper) -> int:
        layer = self._new_tmpfs(upper)
        try:
            return self._new_overlay(lower, layer)
        finally:
            self._let_go(layer)

    def _on_host(self, lower: KernelSource, upper: Upper) -> int:
        from devproxy.targets.kernel.layers import open_layer

        base = lower.descriptor
        if upper.directory:
            base = os.open(upper.directory, os.O_PATH | os.O_DIRECTORY)
        try:
            layer = open_layer(base, upper.name, upper.directory or lower.path)
        finally:
            if upper.directory:
                os.close(base)
        try:
            return self._new_overlay(lower.descriptor, layer)
        finally:
            os.close(layer)

    def _over_file(self, lower: int, upper: Upper) -> int:
        found = os.fstat(lower)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, NOT_OVERLAID)
        holder = self._new_tmpfs(upper)
        try:
            copy = os.open("file", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, dir_fd=holder)
            try:
                _copy(lower, copy)
                if not self._rootless:
                    os.fchown(copy, found.st_uid, found.st_gid)
                os.fchmod(copy, stat.S_IMODE(found.st_mode))
                os.utime(copy, ns=(found.st_atime_ns, found.st_mtime_ns))
            finally:
                os.close(copy)
            return mounts.clone_tree(holder, "file", recursive=False)
        finally:
            self._let_go(holder)

    def _new_overlay(self, lower: int, layer: int) -> int:
        return new_overlay(lower, layer, by_fd=self._paths.layers_by_fd, rootless=self._rootless, kept=self._kept)

    def _new_tmpfs(self, upper: Upper) -> int:
        size = (f"size={upper.size}",) if upper.size else ()
        tmpfs = new_filesystem("tmpfs", "overlay", 0, (), ("mode=0755", *size))
        if not self._paths.detached:
            mounts.cover_root(tmpfs)
        return tmpfs

    def _let_go(self, tmpfs: int) -> None:
        if not self._paths.detached:
            mounts.detach(tmpfs)
        self._closer.add(tmpfs)


def _copy(lower: int, copy: int) -> None:
    source = os.open(f"/proc/self/fd/{lower}", os.O_RDONLY)
    try:
        while chunk := os.read(source, _CHUNK):
            view = memoryview(chunk)
            while view:
                view = view[os.write(copy, view) :]
    finally:
        os.close(source)
