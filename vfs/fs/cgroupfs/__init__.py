"""cgroup and cgroup2: control groups (cgroups(7); Documentation/admin-guide/cgroup-v1, cgroup-v2.rst).

Groups are directories, what they have and allow is in their files, and the tasks of the VFS (`vfs.task`) are their members. A
VFS has one unified hierarchy and any number of version 1, each with its controllers or its name: mounting the same again shows the
same tree. Nothing runs here, so limits other than those on the number of tasks and groups are kept and shown, not enforced.

Not there: threaded groups, freezing and killing, pressure and statistics, delegation to cgroup namespaces, release agents being
run, and files of other controllers than cpu, cpuacct, cpuset, job, memory and pids.
"""

from vfs.fs.cgroupfs.filesystem import Cgroup2Type as Cgroup2Type
from vfs.fs.cgroupfs.filesystem import CgroupType as CgroupType
