"""A file with contents of ours, as a mount that covers another file."""

from __future__ import annotations

import os

from devproxy.linux import mounts
from devproxy.mount_options import Attribute
from devproxy.targets.kernel.filesystems import new_filesystem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_ATTRIBUTES: Final = int(Attribute.RDONLY | Attribute.NOSUID | Attribute.NODEV | Attribute.NOEXEC)


def new_file(contents: bytes, mode: int, *, detached: bool) -> int:
    """A read-only mount whose root is a file, attached nowhere. Before 6.15, when `detached` is false, its file system has
    to be attached while the file is taken from it; nobody sees it there.
    """
    holder = new_filesystem("tmpfs", "tmpfs", 0, (), ("mode=0700",))
    try:
        if not detached:
            mounts.cover_root(holder)
        file = os.open("file", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, dir_fd=holder)
        try:
            with open(file, "wb", closefd=False) as stream:
                stream.write(contents)
            os.fchmod(file, mode)
        finally:
            os.close(file)
        mount = mounts.clone_tree(holder, "file", recursive=False)
        if not detached:
            mounts.detach(holder)
    finally:
        os.close(holder)
    mounts.mount_setattr(mount, attributes=_ATTRIBUTES)
    return mount
