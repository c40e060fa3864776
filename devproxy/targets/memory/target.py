"""The memory target: the verbs of `Target` as calls of a VFS.

What is of the machine is shown by hostfs and never changed: a name that a kernel would make in a bound directory is made in
memory instead, at the same place. A bound tree is one mount here, even if the machine has mounts inside it.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import closing

from devproxy.host.facts import Host
from devproxy.linux.host_calls import MachineCalls
from devproxy.mount_options import NO_CHANGE, Change, Propagation
from devproxy.node import FORMATS, DeviceNumber, Identity, NodeKind
from devproxy.targets.in_bulk import OneByOne
from devproxy.targets.memory import flags as mount_flags
from devproxy.targets.memory.attached import Attached
from devproxy.targets.memory.dentry_tree import DentryTree, kept_of
from devproxy.targets.memory.file_mount import new_file
from devproxy.targets.memory.handles import MemoryMount, MemorySource, open_on_machine
from devproxy.targets.memory.names import Names, is_directory, path_error
from devproxy.targets.memory.overlays import copy_file, new_layer, over_upper, overlay_options
from devproxy.targets.memory.root import MemoryRoot, PodMemoryRoot
from devproxy.targets.memory.shared import SharedWorld
from devproxy.targets.memory.sharing import TYPES, hear_from_machine
from devproxy.targets.memory.world import MOUNTABLE, empty_mount, null_mount, require_flags
from devproxy.targets.rootless import Rootless, open_host_node
from devproxy.targets.target import (
    IN_MEMORY,
    Detached,
    KeptMount,
    Layers,
    Look,
    NewNode,
    NumberFound,
    OverRoot,
    Source,
    Upper,
    Volume,
)
from vfs.credentials import ROOT
from vfs.fs.hostfs import CharacterDevices, HostfsOptions
from vfs.fs.overlay import OverlayOptions
from vfs.fs.static import Synthetic
from vfs.mount import VirtualDentry
from vfs.namespace import MountNamespace
from vfs.options import MountFlags, MountOptions
from vfs.resolve import at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import TracebackType
    from typing import Self

    from vfs.mount import Mount
    from vfs.task import Task


class MemoryTarget(OneByOne):
    """A `Target` in memory. `root` hands the finished tree over; until then closing drops it.

    With `host_fifo` the fifos of binds are the machine's own; `devices` says whether its drivers answer for their character
    devices (H21), which they never do for a recorded host. With `rootless` it lacks what a kernel target without these
    privileges would lack: what verifying that one needs. `world` is that of a pod.
    """

    def __init__(
        self,
        host: Host,
        rootless: Rootless | None = None,
        *,
        host_fifo: bool = False,
        devices: str = CharacterDevices.EMULATED_ONLY.value,
        world: SharedWorld | None = None,
    ) -> None:
        self.rootless = rootless
        self._host_fifo = host_fifo
        self._devices = CharacterDevices.EMULATED_ONLY if host.simulated else CharacterDevices(devices)
        self._simulated = host.simulated
        self._is_alone = world is None
        self._world = SharedWorld(host) if world is None else world
        self._vfs, self._numbers = self._world.vfs, self._world.numbers
        self._sources: list[MemorySource] = []
        self._detached: list[Mount] = []
        self._namespace: MountNamespace | None = None
        self._names: Names | None = None
        self._attached = Attached()
        self._process: Task | None = None
        self._handed_over = False
        self._to_save: list[KeptMount] = []

    @property
    def changes_host(self) -> bool:
        """See `Target.changes_host`."""
        return False

    # sources and detached mounts

    def open_source(self, path: str, within: str = "") -> MemorySource:
        """See `Target.open_source`."""
        self._sources.append(MemorySource(open_on_machine(path, within), path))
        return self._sources[-1]

    def filesystem(
        self, fstype: str, source: str, change: Change, flags: Sequence[str], data: Sequence[str]
    ) -> MemoryMount:
        """See `Target.filesystem`. Superblock flags say how to write to a disk: known ones are shown."""
        if fstype.partition(".")[0] not in MOUNTABLE:
            raise path_error(errno.ENODEV, fstype)
        if self.rootless is not None and fstype in self.rootless.refused:
            raise self.rootless.refuse(fstype)
        require_flags(flags)
        if fstype == "devtmpfs":
            # As on the kernel, where it cannot be the real one: that is the machine's /dev.
            fstype, data = "tmpfs", ("mode=0755", *data)
        if fstype == "tmpfs":
            data = self._owned(data)
        wanted = mount_flags.changed(mount_flags.DEFAULT, Change(set=change.set, atime=change.atime))
        return self._new(source, fstype, MountOptions(wanted, ",".join(data), superblock=tuple(flags)))

    def volume(self, key: str, flags: Sequence[str], data: Sequence[str], maker: str) -> Volume:
        """See `Target.volume`."""
        mount, before = self._world.volume(key, flags, self._owned(data), maker)
        return Volume(self._keep(mount), before)

    def _owned(self, data: Sequence[str]) -> Sequence[str]:
        """The options of a tmpfs whose maker is the only owner there is."""
        if self.rootless is None:
            return data
        return (*data, f"uid={self.rootless.uid}", f"gid={self.rootless.gid}")

    def bind(self, source: Source, *, recursive: bool, change: Change = NO_CHANGE) -> MemoryMount:
        """See `Target.bind`. It begins with the flags of the mount that the source is on."""
        opened = self._use(source)
        mount = self._show(opened, recursive=recursive)
        opened.close()
        if change:
            self.change(mount, change, recursive=False)
        return mount

    def overlay(self, lower: Source, upper: Upper = IN_MEMORY) -> MemoryMount:
        """See `Target.overlay`."""
        opened = self._use(lower)
        like = os.fstat(opened.descriptor)
        owner = (like.st_uid, like.st_gid) if self.rootless is None else (self.rootless.uid, self.rootless.gid)
        try:
            if not opened.is_directory:
                return self._keep(copy_file(self._vfs, opened.descriptor, owner, upper.size))
            layer = self._keep(new_layer(self._vfs, like, owner, upper.size)).mount
            below = self._show(opened, recursive=False).mount
        except OSError as error:
            raise path_error(error.errno or 0, opened.path, error.strerror or "") from None
        finally:
            opened.close()
        layers = OverlayOptions(VirtualDentry(layer, layer.root), (VirtualDentry(below, below.root),))
        mount = self._new("overlay", "overlay", MountOptions(mount_flags.DEFAULT, internal=layers))
        # The overlay holds its layers from now on, and lets them go when it goes.
        self._detached.remove(layer)
        self._detached.remove(below)
        return mount

    def layered(
        self, layers: Layers, source: str, change: Change, flags: Sequence[str], data: Sequence[str]
    ) -> MemoryMount:
        """See `Target.layered`. The upper layer is one more lower one here, below a new one."""
        opened = [self._use(each) for each in layers.all]
        below = [*opened[len(layers.lowers) : len(layers.lowers) + 1], *opened[: len(layers.lowers)]]
        own: list[Mount] = []
        try:
            if self.rootless is not None and "overlay" in self.rootless.refused:
                raise self.rootless.refuse("overlay")
            if layers.upper is not None:
                like = os.fstat(below[0].descriptor)
                owner = (like.st_uid, like.st_gid) if self.rootless is None else (self.rootless.uid, self.rootless.gid)
                own.append(self._keep(over_upper(self._vfs, like, owner)).mount)
            own += [self._show(each, recursive=False).mount for each in below]
        finally:
            for each in opened:
                each.close()
        roots = [VirtualDentry(mount, mount.root) for mount in own]
        options = overlay_options(roots, data, writable=layers.upper is not None)
        wanted = mount_flags.changed(mount_flags.DEFAULT, Change(set=change.set, atime=change.atime))
        mount = self._new(source, "overlay", MountOptions(wanted, internal=options, superblock=tuple(flags)))
        for layer in own:
            self._detached.remove(layer)
        return mount

    def _show(self, source: MemorySource, *, recursive: bool) -> MemoryMount:
        internal = HostfsOptions(
            source.descriptor,
            recursive=recursive,
            fifos=self._host_fifo,
            character_devices=self._devices,
            calls=MachineCalls(),
        )
        flags = mount_flags.of_descriptor(source.descriptor)
        mount = self._new(source.path, "hostfs", MountOptions(flags, internal=internal))
        hear_from_machine(mount.mount, source.descriptor)
        return mount

    def _new(self, source: str, fstype: str, options: MountOptions) -> MemoryMount:
        return self._keep(self._vfs.mount_disconnected(ROOT, source, fstype, options))

    def _keep(self, mount: Mount) -> MemoryMount:
        self._detached.append(mount)
        return MemoryMount(mount)

    def change(self, mount: Detached, change: Change, *, recursive: bool) -> None:
        """See `Target.change`."""
        own = _own(mount).mount
        for each in own.tree() if recursive else [own]:
            each.flags = mount_flags.changed(each.flags, change)

    # what is saved and restored

    def tree(self, mount: Detached) -> DentryTree:
        """See `Target.tree`."""
        own = _own(mount).mount
        return DentryTree(self._vfs, VirtualDentry(own, own.root), rootless=self.rootless is not None)

    def keep(self, mount: Detached) -> None:
        """See `Target.keep`. What is in memory is there as long as the root is."""

    def kept(self, mounts: Sequence[KeptMount]) -> None:
        """See `Target.kept`."""
        self._to_save = list(mounts)

    # mounts in the tree

    def attach(self, mount: Detached, path: str) -> None:
        """See `Target.attach`."""
        own = _own(mount)
        if self._names is None:
            self._attach_root(own, path)
        else:
            place = self._names.find(path)
            if own.is_directory != is_directory(place):
                raise path_error(errno.ENOTDIR if own.is_directory else errno.EISDIR, path)
            self._connect(own.mount, place, path)
        self._detached.remove(own.mount)

    def _attach_root(self, mount: MemoryMount, path: str) -> None:
        if path != "/":
            raise path_error(errno.EINVAL, path, "the first mount is the root's")
        if not mount.is_directory:
            raise path_error(errno.ENOTDIR, path)
        self._namespace = MountNamespace(mount.mount, ROOT)
        self._names = Names(self._vfs, self._namespace.root, self.rootless)
        # The container's process: what /proc/self is.
        process = self._vfs.tasks.spawn()
        process.root = process.cwd = self._namespace.root
        self._process = self._vfs.tasks.default = process

    def _connect(self, mount: Mount, place: VirtualDentry, path: str) -> None:
        if self._is_root(place):
            raise OverRoot(path)
        self._vfs.connect_mount_at(ROOT, mount, at(place))
        self._attached.add(path, mount)

    def propagate(self, path: str, propagation: Propagation, *, recursive: bool) -> None:
        """See `Target.propagate`."""
        self._vfs.set_propagation_at(ROOT, at(self._mounted(path)), TYPES[propagation], recursive=recursive)

    def seal(self, path: str) -> None:
        """See `Target.seal`."""
        self._vfs.set_mount_read_only(self._mounted(path).mount, read_only=True)

    def _mounted(self, path: str) -> VirtualDentry:
        place = self._attached.at(path) or self._there.find(path)
        if place.dentry is not place.mount.root:
            raise path_error(errno.EINVAL, path)
        return place

    def seal_path(self, path: str) -> bool:
        """See `Target.seal_path`."""
        place = self._find_if_there(path)
        if place is None:
            return False
        if self._is_root(place):
            self.seal("/")
            return True
        copy = self._there.copy(place, path)
        for each in copy.tree():
            each.flags |= MountFlags.RDONLY
        self._connect(copy, place, path)
        return True

    def mask(self, path: str) -> bool:
        """See `Target.mask`."""
        place = self._find_if_there(path)
        if place is None:
            return False
        if self._is_root(place):
            raise OverRoot(path)
        self._connect(empty_mount(self._vfs) if is_directory(place) else null_mount(self._vfs), place, path)
        return True

    def cover(self, path: str, contents: bytes, mode: int) -> bool:
        """See `Target.cover`."""
        place = self._find_if_there(path)
        if place is None:
            return False
        if is_directory(place):
            raise path_error(errno.EISDIR, path)
        self._connect(new_file(self._vfs, contents, mode), place, path)
        return True

    def _is_root(self, place: VirtualDentry) -> bool:
        return self._namespace is not None and place == self._namespace.root

    def _find_if_there(self, path: str) -> VirtualDentry | None:
        try:
            return self._there.find(path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    # names in the tree

    def make_mount_point(self, path: str, *, directory: bool) -> str:
        """See `Target.make_mount_point`. Returns "" if it is there by now."""
        there = self._there
        return there.make_directories(path, for_mount=True)[1] if directory else there.make_file(path)

    def make_directory(self, path: str, mode: int) -> bool:
        """See `Target.make_directory`. What is asked for in proc or sysfs is taken to be there: only a kernel knows."""
        return bool(self._there.make_directories(path, mode, for_mount=True)[1])

    def make_node(
        self, path: str, kind: NodeKind, number: DeviceNumber | None, mode: int, uid: int, gid: int
    ) -> Look | None:
        """See `Target.make_node`."""
        if self.rootless is not None and number is not None:
            return self._bind_node(path, kind, number)
        parent, name = self._there.parent(path, make=True)
        rdev = 0 if number is None else number.rdev
        self._there.make(parent, name, Synthetic(FORMATS[kind] | mode, uid, gid, rdev), path)
        return None

    def _bind_node(self, path: str, kind: NodeKind, number: DeviceNumber) -> Look | None:
        parent, name = self._there.parent(path, make=True)
        if self.look(path) is not None:
            raise path_error(errno.EEXIST, path)
        with closing(MemorySource(open_host_node(path, kind, number), path)) as source:
            self._there.make(parent, name, Synthetic(stat.S_IFREG | 0o644), path)
            mount = self._show(source, recursive=False)
        self.attach(mount, path)
        return self.look(path)

    def make_nodes(self, nodes: Iterable[NewNode]) -> int:
        """See `Target.make_nodes`."""
        return 0 if self.rootless is not None else self._there.make_nodes(nodes)

    def make_symlink(self, path: str, target: str) -> None:
        """See `Target.make_symlink`."""
        parent, name = self._there.parent(path, make=True)
        self._there.make(parent, name, Synthetic(stat.S_IFLNK | 0o777, target=target), path)

    # looking

    def look(self, path: str) -> Look | None:
        """See `Target.look`."""
        return self._there.look(path)

    def look_in(self, source: Source, path: str) -> Look | None:
        """See `Target.look_in`."""
        mount = self._show(_opened(source), recursive=True).mount
        try:
            names = Names(self._vfs, VirtualDentry(mount, mount.root), self.rootless)
            return names.look(path) if source.is_directory else names.look_at(mount.root.inode)
        finally:
            self._discard(mount)

    def list_directory(self, path: str) -> list[str]:
        """See `Target.list_directory`."""
        return self._there.list_directory(path)

    def number_of(self, identity: Identity) -> NumberFound:
        """See `Target.number_of`."""
        return self._numbers.number_of(identity)

    # the end

    def finish(self) -> None:
        """See `Target.finish`."""
        leftover = next((source for source in self._sources if not source.used), None)
        if leftover is not None:
            raise path_error(errno.EBUSY, leftover.path, "a source that was opened was never used")

    def root(self) -> MemoryRoot:
        """The tree, which is its receiver's to close from now on. Precondition: `finish` was called."""
        assert self._namespace is not None, "nothing is attached at /"
        self._handed_over = True
        if self._is_alone or self._process is None:
            root = MemoryRoot(self._vfs, self._namespace, simulated=self._simulated)
        else:
            root = PodMemoryRoot(self._vfs, self._namespace, self._process, simulated=self._simulated)
        root.keep([kept_of(self._vfs, each, _own(each.mount).mount) for each in self._to_save])
        return root

    def close(self) -> None:
        """See `Target.close`."""
        sources, self._sources = self._sources, []
        for source in sources:
            source.close()
        for mount in list(self._detached):
            self._discard(mount)
        if self._namespace is not None and not self._handed_over:
            self.root().close()
        if self._is_alone:
            self._world.close()

    def _discard(self, mount: Mount) -> None:
        self._detached.remove(mount)
        self._vfs.discard_mount(mount)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _there(self) -> Names:
        if self._names is None:
            raise path_error(errno.EINVAL, "/", "nothing is attached at / yet")
        return self._names

    def _use(self, source: Source) -> MemorySource:
        opened = _opened(source)
        if opened.used:
            raise path_error(errno.EBADF, opened.path, "a source is used once")
        opened.used = True
        return opened


def _opened(source: Source) -> MemorySource:
    assert isinstance(source, MemorySource)
    return source


def _own(mount: Detached) -> MemoryMount:
    assert isinstance(mount, MemoryMount)
    return mount
