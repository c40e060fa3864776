"""proc: what the VFS knows about itself and its tasks (proc(5)).

`filesystems` are the registered types, `devices` the drivers of the device table, `mounts` a link to the caller's; each task of the VFS
(`vfs.task`) has a directory with cgroup, comm, cwd, exe, mountinfo, mounts, mountstats, root, status and its threads in task.
`self` and `thread-self` are the task on whose behalf the calling thread acts (`Tasks.acting_as`): neither credentials nor the
place in the tree say who asks. hidepid hides by the credentials of whoever opens or searches, and from listings and lookups by
those of the acting task.

What a running kernel alone knows (memory, processors, sys) is a tree that whoever registers the type gives it. Not there: a
task's fd, maps and net. cwd, exe and root are followed by their
text, not as jumps to places that no path leads to.
"""

from vfs.fs.proc.filesystem import ProcFilesystem as ProcFilesystem
from vfs.fs.proc.filesystem import ProcType as ProcType
