"""Propagation types in the VFS's words (mount_namespaces(7))."""

from __future__ import annotations

from typing import Final

from devproxy.mount_options import Propagation
from vfs.options import Propagation as MountPropagation

TYPES: Final = {
    Propagation.SHARED: MountPropagation.SHARED,
    Propagation.SLAVE: MountPropagation.SLAVE,
    Propagation.PRIVATE: MountPropagation.PRIVATE,
    Propagation.UNBINDABLE: MountPropagation.UNBINDABLE,
}
