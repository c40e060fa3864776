"""cgroup and cgroup2: the root directory of a control group hierarchy, as far as a mount shows it (cgroups(7)).

What Linux shows below belongs to a running kernel, and so does the question which hierarchies there are already: here every
mount is one of its own. The options are those of kernel/cgroup/cgroup-v1.c (cgroup1_parse_param, check_cgroupfs_options) and
of cgroup2 in kernel/cgroup/cgroup.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vfs.filesystem import FilesystemType
from vfs.fs.static import StaticFilesystem, refused
from vfs.options import MountOptions, mount_data

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.virtual_filesystem import VirtualFilesystem

_MAGIC: Final = 0x27_E0EB
_MAGIC_2: Final = 0x6367_7270
# The order in which the kernel numbers and shows them (include/linux/cgroup_subsys.h).
_CONTROLLERS: Final = [
    "cpuset",
    "cpu",
    "cpuacct",
    "blkio",
    "memory",
    "devices",
    "freezer",
    "net_cls",
    "perf_event",
    "net_prio",
    "hugetlb",
    "pids",
    "rdma",
    "misc",
]
_FLAGS: Final = ("noprefix", "xattr", "cpuset_v2_mode", "favordynmods", "clone_children")
_FLAGS_2: Final = (
    "nsdelegate",
    "favordynmods",
    "memory_localevents",
    "memory_recursiveprot",
    "memory_hugetlb_accounting",
    "pids_localevents",
)
_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")
_NAME_LIMIT: Final = 64


class CgroupType(FilesystemType):
    """Registers as "cgroup": version 1, whose mounts name their controllers or a hierarchy without any."""

    name = "cgroup"

    def get_filesystem(
        self, vfs: VirtualFilesystem, creds: Credentials, source: str, options: MountOptions
    ) -> StaticFilesystem:
        """Errors: EINVAL."""
        return StaticFilesystem(vfs, self.name, magic=_MAGIC, mode=0o555, options=_parse(options.data))


class Cgroup2Type(FilesystemType):
    """Registers as "cgroup2": the one unified hierarchy."""

    name = "cgroup2"

    def get_filesystem(
        self, vfs: VirtualFilesystem, creds: Credentials, source: str, options: MountOptions
    ) -> StaticFilesystem:
        """Errors: EINVAL."""
        given = set()
        for key, value in mount_data(options.data):
            if key not in _FLAGS_2 or value is not None:
                raise refused(key, value)
            given.add(key)
        shown = ",".join(flag for flag in _FLAGS_2 if flag in given)
        return StaticFilesystem(vfs, self.name, magic=_MAGIC_2, mode=0o555, options=shown)


def _parse(data: str) -> str:
    words: set[str] = set()
    texts: dict[str, str] = {}
    for key, value in mount_data(data):
        if key in _CONTROLLERS or (value is None and (key in _FLAGS or key in {"all", "none"})):
            words.add(key)
        elif key in {"name", "release_agent"} and value and key not in texts:
            texts[key] = value
        else:
            raise refused(key, value)
    if "name" in texts and (len(texts["name"]) >= _NAME_LIMIT or not _NAME_CHARACTERS.issuperset(texts["name"])):
        raise refused("name", texts["name"])
    controllers = _chosen_controllers(words, named="name" in texts)
    return _shown(controllers, words, texts)


def _chosen_controllers(words: set[str], *, named: bool) -> list[str]:
    """Which controllers a mount has: those it lists; all for "all", and for a mount that says nothing at all.

    A name alone is a hierarchy that another mount may have made: that is not known here, so it is taken.

    Errors: EINVAL for "all" beside controllers or "none", and for "none" beside controllers or without a name.
    """
    listed = [name for name in _CONTROLLERS if name in words]
    if len({"all", "none", *listed} & (words - set(listed[1:]))) > 1:
        raise refused("all" if "all" in words else "none", None)
    if "all" in words or not (listed or named or "none" in words):
        listed = list(_CONTROLLERS)
    if not (listed or named):
        raise refused("none", None)
    if "noprefix" in words and listed not in ([], ["cpuset"]):
        raise refused("noprefix", None)
    return listed


def _shown(controllers: list[str], words: set[str], texts: dict[str, str]) -> str:
    shown = controllers + [flag for flag in _FLAGS[:4] if flag in words]
    shown += [f"release_agent={texts['release_agent']}"] if "release_agent" in texts else []
    shown += ["clone_children"] if "clone_children" in words else []
    shown += [f"name={texts['name']}"] if "name" in texts else []
    return ",".join(shown)
