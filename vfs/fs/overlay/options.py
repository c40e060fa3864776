"""What an overlay mount is asked for."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vfs.errors import error
from vfs.fs.static import refused
from vfs.options import mount_data
from vfs.resolve import PathOperation

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.mount import VirtualDentry
    from vfs.virtual_filesystem import VirtualFilesystem

LOWER_LIMIT: Final = 500
"""The most lower layers (OVL_MAX_STACK)."""


@dataclass(frozen=True, slots=True)
class OverlayOptions:
    """For `MountOptions.internal`: the layers, the topmost lower one first. Mounts that are attached nowhere become the
    overlay's, which lets them go at its end.

    `root` is where the paths of a text `lowerdir=/a:/b,upperdir=/c,workdir=/d` are looked up instead.
    """

    upper: VirtualDentry | None = None
    lowers: tuple[VirtualDentry, ...] = ()
    root: VirtualDentry | None = None


def parse(vfs: VirtualFilesystem, creds: Credentials, data: str, root: VirtualDentry | None) -> OverlayOptions:
    """The layers that a text names, each as a mount of its own. A work directory is accepted and not needed.

    Errors: EINVAL for options that are unknown, relative paths, and no root to look them up in; ENOENT, ENOTDIR.
    """
    paths: dict[str, list[str]] = {}
    for key, value in mount_data(data):
        if key not in {"lowerdir", "upperdir", "workdir"} or not value or root is None:
            raise refused(key, value)
        paths[key] = _split(value) if key == "lowerdir" else [value.replace("\\:", ":")]
    if not all(path.startswith("/") for each in paths.values() for path in each):
        raise error(errno.EINVAL, data)
    if root is None:
        return OverlayOptions()
    layers: dict[str, list[VirtualDentry]] = {"upperdir": [], "lowerdir": []}
    try:
        for key, found in layers.items():
            for path in paths.get(key, []):
                mount = vfs.clone_mount(creds, PathOperation(root, root, path))
                found.append(root._replace(mount=mount, dentry=mount.root))
    except OSError:
        for layer in (*layers["upperdir"], *layers["lowerdir"]):
            vfs.discard_mount(layer.mount)
        raise
    return OverlayOptions(layers["upperdir"][0] if layers["upperdir"] else None, tuple(layers["lowerdir"]))


def _split(lowerdir: str) -> list[str]:
    """The paths of a lowerdir, in which a backslash keeps a colon from separating."""
    return [path.replace("\\:", ":") for path in re.split(r"(?<!\\):", lowerdir)]
