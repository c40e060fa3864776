"""overlay: one tree shown over others, with changes kept in the upper one (S41 to S46).

Analogous to overlayfs (Documentation/filesystems/overlayfs.rst), in its default configuration: index, metacopy, redirect_dir
and xino are off. What follows from that holds here too:

* renaming a directory that has a part in a lower layer is EXDEV: mv(1) then copies. (The seed copies the directory up
  instead; a root in memory has to say what the kernel's would.)
* a lower file with several names is copied up for the one that is changed; the others stay as they are;
* whiteouts are character devices 0:0, which nobody can make by mknod (EPERM); a directory that hides the lower ones of its
  name has the attribute trusted.overlay.opaque "y"; attributes under trusted.overlay. are stored under another name, and
  those of the layers are hidden.

Differences: there is no work directory, as every change happens under the lock of the VFS; device and inode numbers are the
overlay's own and keep while it is mounted, through copy-up too. Layers must not be changed by others meanwhile.
"""

from __future__ import annotations

from vfs.fs.overlay.filesystem import OverlayFilesystem, OverlayType
from vfs.fs.overlay.options import OverlayOptions

__all__ = ["OverlayFilesystem", "OverlayOptions", "OverlayType"]
