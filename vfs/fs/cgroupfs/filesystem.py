"""The two types, and the file system that shows a hierarchy."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from vfs.dentry import Dentry
from vfs.filesystem import FilesystemType
from vfs.fs.cgroupfs import options as words
from vfs.fs.cgroupfs import version1, version2
from vfs.fs.cgroupfs.directory import GroupDirectory
from vfs.fs.cgroupfs.group import Group, Hierarchies, Hierarchy
from vfs.fs.static import ROOT_INO, StaticFilesystem

if TYPE_CHECKING:
    from vfs.credentials import Credentials
    from vfs.fs.cgroupfs.control import ControlFile
    from vfs.options import MountOptions
    from vfs.virtual_filesystem import VirtualFilesystem

_MAGIC: Final = 0x27_E0EB
_MAGIC_2: Final = 0x6367_7270
_SHARED: Final = "cgroup"


def hierarchies(vfs: VirtualFilesystem) -> Hierarchies:
    """Those of a VFS."""
    found = vfs.shared.setdefault(_SHARED, None)
    if found is None:
        found = vfs.shared[_SHARED] = Hierarchies(vfs.tasks)
    assert isinstance(found, Hierarchies)
    return found


class CgroupFilesystem(StaticFilesystem):
    """A hierarchy, shown. Which files a group has can change (cgroup.subtree_control), so that names are asked for anew."""

    revalidates = True

    def __init__(
        self, vfs: VirtualFilesystem, type_name: str, hierarchy: Hierarchy, options: str, *, noprefix: bool
    ) -> None:
        magic = _MAGIC_2 if hierarchy.unified else _MAGIC
        super().__init__(vfs, type_name, magic=magic, mode=0o555, options=options)
        self.hierarchy = hierarchy
        self.noprefix = noprefix
        self.inos = itertools.count(ROOT_INO)
        self.directory = GroupDirectory(self, hierarchy.root, 0o555)
        self.root = Dentry("", None, self.directory)
        hierarchy.fs = self

    def files(self, group: Group) -> dict[str, ControlFile]:
        """The control files of a group by name, in order."""
        unified = self.hierarchy.unified
        files = list(version2.CORE if unified else version1.CORE)
        tables = version2.CONTROLLERS if unified else version1.CONTROLLERS
        for controller in sorted(group.controllers):
            files += tables.get(controller, ())
        return {
            file.name.removeprefix("cpuset.") if self.noprefix else file.name: file
            for file in files
            if file.is_in(group)
        }

    def release(self) -> None:
        """See `Hierarchies.unmounted`."""
        hierarchies(self.vfs).unmounted(self.hierarchy)


class CgroupType(FilesystemType):
    """Registers as "cgroup": version 1, whose mounts name their controllers or a hierarchy without any."""

    name = "cgroup"

    def get_filesystem(
        self, vfs: VirtualFilesystem, creds: Credentials, source: str, options: MountOptions
    ) -> StaticFilesystem:
        """Errors: EINVAL; EBUSY for a controller or a name of another hierarchy."""
        asked = words.parse(options.data)
        hierarchy = hierarchies(vfs).find_or_make(asked.controllers, asked.name, none=asked.none)
        if hierarchy.fs is not None:
            return hierarchy.fs
        fs = CgroupFilesystem(vfs, self.name, hierarchy, asked.shown, noprefix=asked.noprefix)
        if not hierarchy.root.children:
            hierarchy.release_agent = asked.release_agent
            hierarchy.root.values["cgroup.clone_children"] = int(asked.clone_children)
        return fs


class Cgroup2Type(FilesystemType):
    """Registers as "cgroup2": the one unified hierarchy."""

    name = "cgroup2"

    def get_filesystem(
        self, vfs: VirtualFilesystem, creds: Credentials, source: str, options: MountOptions
    ) -> StaticFilesystem:
        """Errors: EINVAL."""
        shown = words.parse_2(options.data)
        unified = hierarchies(vfs).unified
        return unified.fs or CgroupFilesystem(vfs, self.name, unified, shown, noprefix=False)
