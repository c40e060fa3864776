"""hostfs: a directory or file of the machine, reached by descriptors that nothing escapes.

Analogous to a bind mount, with the rules of a userspace VFS (the rows on the gofer file system: S21, S50, S71):

* Every access goes through a directory descriptor and one name, never following a link: no path string is ever given to
  the machine. Links are text here, resolved by the VFS inside the VFS's root.
* Whose calls they are: the process's own user makes every one, and needs the rights for it on the machine. The caller's credentials
  are checked by the VFS before, against the owners and modes that the machine has; what is made is given to the caller, or taken
  back with the machine's EPERM.
* Names may change behind our back, so every step of every walk asks the machine (`revalidates`). A file is one `Inode` as
  long as somebody holds it: its device and inode number are its identity. With `exclusive`, the word that nobody else changes
  the tree, names and attributes are kept: walks ask nothing, and what others change all the same is seen late or is ESTALE.
* A walk over any number of files takes few descriptors: `vfs.fs.hostfs.descriptors`. A file that lost its name is reached
  while it is open; a directory that was moved or removed by others is ESTALE once its descriptor was given up.
* Only regular files are opened on the machine. A device node found there opens what the VFS's device table has for its
  number, unless `character_devices` lets drivers of the machine answer, a fifo is a pipe of the VFS's unless `fifos` is asked for, a socket opens nothing: looking at a tree never touches a
  driver or wakes a reader. Making device nodes is EPERM unless `devices` is asked for.
* Not writable, it never changes the machine (EROFS); what must be made for a mount is synthetic, in memory.
* What `os` has no call for is asked of `HostCalls`: renaming with flags, allocating with modes, times of birth.
* Mounts below the root are crossed if `recursive`. Without, the directory that a mount covers cannot be seen from outside it:
  it is shown empty, as is a covered file. What is mounted from the same device cannot be told apart, and is shown.
"""

from __future__ import annotations

from vfs.fs.hostfs.calls import HostCalls
from vfs.fs.hostfs.filesystem import HostFilesystem, HostfsType
from vfs.fs.hostfs.options import CharacterDevices, HostfsOptions

__all__ = ["CharacterDevices", "HostCalls", "HostFilesystem", "HostfsOptions", "HostfsType"]
