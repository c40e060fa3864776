"""A file with contents of ours, as a mount that covers another file."""

from __future__ import annotations

import os
import stat

from devproxy.targets.memory.flags import DEFAULT
from vfs.credentials import ROOT
from vfs.fs.tmpfs import TmpfsOptions
from vfs.mount import Mount, VirtualDentry
from vfs.options import MountFlags, MountOptions, OpenOptions
from vfs.resolve import at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from vfs.virtual_filesystem import VirtualFilesystem

_FLAGS: Final = MountFlags.RDONLY | MountFlags.NOSUID | MountFlags.NODEV | MountFlags.NOEXEC


def new_file(vfs: VirtualFilesystem, contents: bytes, mode: int) -> Mount:
    """A read-only mount whose root is a file, attached nowhere."""
    options = MountOptions(DEFAULT, f"mode={mode:o}", internal=TmpfsOptions(stat.S_IFREG))
    mount = vfs.mount_disconnected(ROOT, "tmpfs", "tmpfs", options)
    with vfs.open_at(ROOT, at(VirtualDentry(mount, mount.root)), OpenOptions(os.O_WRONLY)) as file:
        file.write(contents)
    mount.flags |= _FLAGS
    return mount
