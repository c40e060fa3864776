"""overlay: one tree shown over others, with changes kept in the upper one (S41 to S46).

Analogous to overlayfs (Documentation/filesystems/overlayfs.rst), with one to 500 lower layers, and an upper one or none, which
makes the file system read-only. What it says in its layers is what overlayfs says and reads there:

* whiteouts are character devices 0:0, which nobody can make by mknod (EPERM); in layers kept in an overlay they may also be empty
  files with trusted.overlay.whiteout, in a directory that has trusted.overlay.opaque "x";
* a directory that hides the lower ones of its name has trusted.overlay.opaque "y";
* renaming a directory that has a part in a lower layer is EXDEV: mv(1) then copies. (The seed copies the directory up instead; a
  root in memory has to say what the kernel's would.) With `redirect_dir=on` it is renamed, and trusted.overlay.redirect says
  where the lower layers have it. Redirects found are followed unless `redirect_dir=nofollow`, which makes them EPERM;
* attributes under trusted.overlay. are stored under another name, and those of the layers are hidden. With `userxattr` all of
  this is under user.overlay.;
* a lower file with several names is copied up for the one that is changed; the others stay as they are.

index, metacopy (and with it layers of data alone), nfs_export, verity and xino are off, and cannot be asked for.

Differences: there is no work directory, as every change happens under the lock of the VFS; a text that names an upper layer
has to name one all the same. Device and inode numbers are the overlay's own and keep while it is mounted, through copy-up
too, and are those of one file for all its names: Linux forgets that under `userxattr` for nodes, links, fifos and sockets.
There is no `uuid` for them to depend on. Copying up leaves holes holes. A directory that one layer alone has is listed
without its whiteouts. Layers must not be changed by others meanwhile.
"""

from __future__ import annotations

from vfs.fs.overlay.filesystem import OverlayFilesystem, OverlayType
from vfs.fs.overlay.options import OverlayOptions, RedirectDir

__all__ = ["OverlayFilesystem", "OverlayOptions", "OverlayType", "RedirectDir"]
