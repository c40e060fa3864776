"""The mount options of cgroup and cgroup2 (kernel/cgroup/cgroup-v1.c: cgroup1_parse_param, check_cgroupfs_options; cgroup2 in
kernel/cgroup/cgroup.c).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from vfs.fs.static import refused
from vfs.options import mount_data

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
_JOB: Final = "job"
"""A controller of gVisor's alone (S23): a number for a group. It has to be named, so that "all" is what Linux has."""
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


class Asked(NamedTuple):
    """What a mount of version 1 asks for. Without controllers and `none`, any hierarchy of that name will do."""

    controllers: tuple[str, ...]
    none: bool
    name: str
    release_agent: str
    clone_children: bool
    noprefix: bool
    shown: str
    """What mountinfo shows of it."""


def parse_2(data: str) -> str:
    """The options of version 2, as mountinfo shows them. Errors: EINVAL."""
    given = set()
    for key, value in mount_data(data):
        if key not in _FLAGS_2 or value is not None:
            raise refused(key, value)
        given.add(key)
    return ",".join(flag for flag in _FLAGS_2 if flag in given)


def parse(data: str) -> Asked:
    """The options of version 1. Errors: EINVAL."""
    words: set[str] = set()
    texts: dict[str, str] = {}
    for key, value in mount_data(data):
        if key in (*_CONTROLLERS, _JOB) or (value is None and (key in _FLAGS or key in {"all", "none"})):
            words.add(key)
        elif key in {"name", "release_agent"} and value and key not in texts:
            texts[key] = value
        else:
            raise refused(key, value)
    if "name" in texts and (len(texts["name"]) >= _NAME_LIMIT or not _NAME_CHARACTERS.issuperset(texts["name"])):
        raise refused("name", texts["name"])
    controllers = _chosen_controllers(words, named="name" in texts)
    return Asked(
        tuple(controllers),
        "none" in words,
        texts.get("name", ""),
        texts.get("release_agent", ""),
        "clone_children" in words,
        "noprefix" in words,
        _shown(controllers, words, texts),
    )


def _chosen_controllers(words: set[str], *, named: bool) -> list[str]:
    """Which controllers a mount has: those it lists; all for "all", and for a mount that says nothing at all.

    A name alone is a hierarchy that another mount has made.

    Errors: EINVAL for "all" beside controllers or "none", and for "none" beside controllers or without a name.
    """
    listed = [name for name in (*_CONTROLLERS, _JOB) if name in words]
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
