"""The rows: the behaviours of the seed (S) and what its upstream has added since (H), one line each; and what is not for us."""

from __future__ import annotations

from typing import Final

# Who can say what is right. The live ones run beside us; the lab's answers were recorded on real machines.
LIVE: Final = ("runsc", "runc", "crun", "kernel")
ORACLES: Final = (*LIVE, "lab", "specification")

_SEED: Final = """
the file system types that exist, by name and once each
a type is found by its name up to the first dot; an unknown one is refused
device drivers are registered in order: memory, terminal, tun, fuse
a fresh /dev is filled by each driver in turn
/dev has links to the standard streams and to ptmx, and the directories shm and pts
the device nodes of every /dev: numbers, mode, owner
a device file gets its parents, its kind, and no second life
/dev is a devtmpfs with mode 0755, one for each container
one driver for one device number; a number without driver opens with ENXIO
what null, zero, full, random, tty and tun do when read and written
mounting is root's work: umask 0022, forty symlinks, whoever the process is
errors of setting up say what was set up, with the path
mounts, then device files, then the executable as the user finds it
an executable is found as given, from the working directory, or in PATH
an executable that is not found is reported with the PATH
cgroup mounts of the spec follow the configuration
mounts on /proc, /sys, /dev and /dev/pts replace ours, however the path is written
a bind on /dev stays a bind
the mounts that every container has, when the spec lacks them
the order of the mounts, parents first
every bind source is used, with the access that the configuration gives it
a mount option has one `=` at most
options with values are for tmpfs and cgroup alone
options that are flags: ro, noatime, noexec and their opposites
keys and values are split at the first `=` and trimmed
mounts are validated before anything is built
the flags and propagation words that a bind knows
relative sources are relative to the bundle
descriptors of sources are handed out in order, the root's first
a source that was opened and not used is an error
the option bind or rbind makes any type a bind
a bind without a source is an input error
a mount listed before its parent is still seen
bind sources are taken in the order of the spec without hiding one another
what failed, the root or a mount below it, is told
mount points are made below read-only mounts, which are sealed afterwards
device files are made before their mount is read-only
the root mount: its flags, its place in mountinfo
where an overlay's upper layer may live
the spelling of overlay2 and its errors
who gets an overlay: the root, binds, hints; never what is read-only
upper layers in the source itself or in a directory, gone at the end
an overlay's lower layer is a directory or a regular file, and is never written
a regular file below an overlay is copied up at once
what an overlay hides of itself, and the owner and mode of its root
what an overlay shows: its line in mountinfo, an untouched host
errors of a mount below the root name it and its type
an unknown type is skipped with a warning
type none without bind is sysfs; what sysfs is given
a mount point that is missing is made, also on a read-only root
destinations with dots, and a mount on / itself
mount points that are files or links
a bind whose source is missing or of another kind
the options of tmpfs: mode, owner, size
a tmpfs that is full; noexec in force
the lines of mountinfo and mounts: flags, escapes, order
a mount on /tmp is the user's, however it is written
/tmp gets a tmpfs where it is missing or empty
/tmp that is a link gets its tmpfs where the link leads
the annotations of mount hints, and what is wrong with one
incomplete hints, and two with one source
a hint belongs to the mounts with its source; what is shared, and with what access
shared mounts are made once and joined by every container
a replica may not ask for more than the shared mount gives
replicas see one another's files, whatever their type
the devices of the spec: kind, mode, numbers
a device without fileMode has 0666
parents of a device file are made; a link in its place is not followed
a node that exists already is accepted when it is the one asked for
owner and group of a device file, its mode without umask
which file systems take device nodes
/dev/nvidia-uvm has the major of this machine
sources are found again by destination after a restore
TPUs of the accel driver: found, registered, made
TPUs in sysfs: what is shown of them and linked where
when GPUs are asked for
which GPUs the environment selects
the NVIDIA drivers, their numbers and known versions
which nodes of NVIDIA come with which mode
dynamic majors and anonymous minors: which is next
what sysfs and procfs hold at their roots
"""

_SINCE: Final = """
/dev has links by number in char and block
one way to make a device file: parents, what exists, owner
a device without fileMode has 0666, as in the specification
device opens that go through a gofer
a gofer's own choice of device nodes
what turns GPU support on
hooks of NVIDIA's tools, and their rule for the environment
hooks that are left out
GPUs by index, UUID or neither
driver capabilities that are asked for and allowed
majors of NVIDIA's devices, capabilities and channels
driver versions whose interface is known
/proc/driver/nvidia inside of a container
TPUs of accel and of vfio, with their majors
what turns TPU support on
TPUs in sysfs: any bus, iommu groups, classes
uverbs devices of InfiniBand
overlays told by lower and upper layer
hints for the root itself
EROFS images and upper layers as tar
sizes and options of one overlay or bind; who answers a device
shared mounts made on demand, and kept
mount points match their mounts in kind
nosuid, locked flags, remounts, moves, slaves, namespaces
cgroup mounts: controllers of version 1, the tree of version 2
working directory, /proc/devices, options of devpts, /dev/tty
one dynamic major for one key
devices that a restore finds under other numbers
POSIX access control lists and optional interfaces
a new bundle with the TPUs of this machine
"""


def _numbered(letter: str, titles: str) -> dict[str, str]:
    return {f"{letter}{number}": title for number, title in enumerate(titles.strip().splitlines(), 1)}


ROWS: Final = _numbered("S", _SEED) | _numbered("H", _SINCE)

# What of a row is not for us, and why; a row that has tests as well is covered but for this. docs/decisions.md has more.
NOT_FOR_US: Final = {
    "H4": "sources and devices are opened by devproxy itself: there is no gofer to ask",
    "H5": "there is no gofer with a /dev of its own: the plan lists every node",
    "H8": "hooks are the work of the runtime that starts the container: one in a spec is a skipped step with a warning",
    "H12": "no ioctl is translated here, so that no driver's interface has to be known; an unknown version is S78's",
    "H20": "EROFS images are not read",
    "H29": "no access control lists: none of the file systems here keeps them",
}
