"""What a sysfs in memory holds: the machine's CPUs, its product name, and what libtpu reads to find its TPUs (S49, S75,
S81).
"""

from __future__ import annotations

import os
import stat

from vfs.fs.static import Synthetic
from vfs.fs.sysfs import DIRECTORIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.facts import Host
    from vfs.fs.sysfs import SysfsTree

_PRODUCT: Final = "devices/virtual/dmi/id"
_CPUS: Final = "devices/system/cpu"
# What the kernel can be built for (CONFIG_NR_CPUS); a longer list is none.
_CPU_LIMIT: Final = 8192
_DIRECTORY: Final = Synthetic(stat.S_IFDIR | 0o755)


def sysfs_tree(host: Host) -> SysfsTree:
    """The tree of one host. Of two facts about one path the first counts; paths outside /sys are none."""
    tree: dict[str, Synthetic] = {}
    if host.product_name:
        tree["class/dmi/id"] = _link(f"../../{_PRODUCT}")
        tree[f"{_PRODUCT}/product_name"] = _file(f"{host.product_name}\n")
    for entry in host.sysfs:
        path = os.path.normpath(entry.path).removeprefix("/sys/")
        if not path.startswith("/"):
            tree.setdefault(path, _link(entry.link) if entry.link else _file(entry.text))
    present = next((entry.text for entry in host.sysfs if entry.path == f"/sys/{_CPUS}/present"), "")
    for cpu in parse_cpu_list(present):
        tree.setdefault(f"{_CPUS}/cpu{cpu}", _DIRECTORY)
    return _without_clashes(tree)


def parse_cpu_list(text: str) -> list[int]:
    """`0-3,8` as numbers (Documentation/admin-guide/cputopology.rst); none if it is no such list."""
    cpus: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        ends = (first, last or first)
        if not all(end.isascii() and end.isdigit() and len(end) <= 4 and int(end) < _CPU_LIMIT for end in ends):
            return []
        cpus += range(int(ends[0]), int(ends[1]) + 1)
    return cpus


def _without_clashes(tree: dict[str, Synthetic]) -> SysfsTree:
    """The tree without what lies below something that is no directory, or has something below it: a recording may say
    anything.
    """
    parents = {parent for path in (*tree, *(f"{path}/" for path in DIRECTORIES)) for parent in _parents(path)}
    leaves = {path for path, what in tree.items() if not stat.S_ISDIR(what.mode)} - parents
    return [
        (path, what)
        for path, what in tree.items()
        if (path in leaves or stat.S_ISDIR(what.mode)) and not leaves.intersection(_parents(path))
    ]


def _parents(path: str) -> list[str]:
    names = path.split("/")
    return ["/".join(names[:count]) for count in range(1, len(names))]


def _file(text: str) -> Synthetic:
    return Synthetic(stat.S_IFREG | 0o444, data=text.encode("utf-8", "surrogateescape"))


def _link(target: str) -> Synthetic:
    return Synthetic(stat.S_IFLNK | 0o777, target=target)
