"""tmpfs: files in memory (tmpfs(5), S54, S55).

Regular files, directories, links, nodes, fifos and sockets; hard links; user, trusted and security attributes; files without names; a limit on pages and
on inodes. Nothing else changes a tmpfs than the VFS, so its names and attributes are simply kept.

Differences from Linux's: without a size there is no limit (S54), and `size=0` means no room rather than no limit; there are no
access control lists; what is no regular file is no more counted once its last name is gone, though it be open.
"""

from __future__ import annotations

from vfs.fs.tmpfs.filesystem import TmpfsFilesystem, TmpfsType
from vfs.fs.tmpfs.options import TmpfsOptions

__all__ = ["TmpfsFilesystem", "TmpfsOptions", "TmpfsType"]
