"""The kernel target: the verbs of `Target` as system calls.

It lives in the process that the builder forked, in a mount namespace of that process's own. The tree is attached
nowhere while it is built where the kernel can (6.15), so that a failed build leaves nothing; older kernels build it in
the private namespace, which vanishes with the process just as well.
"""

from __future__ import annotations

import errno
import os
import stat

from devproxy.host.facts import Host
from devproxy.linux import mounts
from devproxy.linux.paths import is_same_place, open_within
from devproxy.linux.syscalls import about
from devproxy.mount_options import NO_CHANGE, Attribute, Change, Propagation
from devproxy.node import Identity, LikeHost
from devproxy.targets.kernel.attach import attach, attach_by_name
from devproxy.targets.kernel.attributes import EVERY_ATTRIBUTE, PROPAGATION, set_attributes
from devproxy.targets.kernel.binds import Binds
from devproxy.targets.kernel.file_mount import new_file
from devproxy.targets.kernel.filesystems import LayerDescriptors, layered, new_filesystem
from devproxy.targets.kernel.handles import NO_VOLUMES, HeldVolume, KernelMount, KernelSource, open_null
from devproxy.targets.kernel.keeper import Keeper
from devproxy.targets.kernel.kept import Kept
from devproxy.targets.kernel.look import leading_directories, look, look_at, number_on_host
from devproxy.targets.kernel.names import TreeNames
from devproxy.targets.kernel.overlays import Overlays
from devproxy.targets.kernel.paths import KernelPaths
from devproxy.targets.kernel.reach import Reach
from devproxy.targets.kernel.tree import Closer, Tree
from devproxy.targets.numbers import Numbers
from devproxy.targets.rootless import Rootless
from devproxy.targets.target import (
    IN_MEMORY,
    Detached,
    KeptMount,
    Layers,
    Look,
    NumberFound,
    OverRoot,
    Source,
    Upper,
    Volume,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from devproxy.targets.kernel.descriptor_tree import DescriptorTree

# What is mounted of these is new, and nobody else has it until the root is finished.
_PRIVATE_TYPES = frozenset(("tmpfs", "devtmpfs"))


class KernelTarget(TreeNames):
    """A `Target` on the running kernel.

    Precondition: this process has a mount namespace of its own, in which nothing is shared, and a umask of 0: modes are
    meant as they are given.
    """

    def __init__(
        self,
        host: Host,
        live: Mapping[int, str],
        paths: KernelPaths,
        rootless: Rootless | None = None,
        volumes: Mapping[str, HeldVolume] = NO_VOLUMES,
    ) -> None:
        super().__init__(rootless)
        self._numbers = Numbers(host, live)
        self._simulated = host.simulated
        self._paths = paths
        self._closer = Closer()
        self._kept = Kept(self._closer)
        self._reach = Reach(self._kept, paths, self._closer)
        self._private: set[int] = set()  # st_dev of the file systems that are new
        self._fresh = ""  # the mount point that was made last
        self._placed = False
        self._finished = False
        self._root_propagation = 0
        self._sources: list[KernelSource] = []
        self._binds = Binds(detached=paths.detached)
        self._volumes = dict(volumes)
        self._keeper = Keeper()
        self._empty = -1
        self._null = open_null(os.O_PATH)

    @property
    def changes_host(self) -> bool:
        """See `Target.changes_host`."""
        return True

    # sources and detached mounts

    def open_source(self, path: str, within: str = "") -> KernelSource:
        """See `Target.open_source`. Links are followed as the host does: the operator named this path."""
        try:
            descriptor, is_directory = self._open_on_host(path, within, os.O_PATH | os.O_DIRECTORY), True
        except NotADirectoryError:
            descriptor, is_directory = self._open_on_host(path, within, os.O_PATH), False
        source = KernelSource(descriptor, path, self._closer, is_directory=is_directory)
        self._sources.append(source)
        return source

    def _open_on_host(self, path: str, within: str, flags: int) -> int:
        return open_within(within, path, flags, self._paths.opener) if within else os.open(path, flags)

    def filesystem(
        self, fstype: str, source: str, change: Change, flags: Sequence[str], data: Sequence[str]
    ) -> KernelMount:
        """See `Target.filesystem`."""
        try:
            mount = new_filesystem(fstype, source, int(change.set), flags, data)
        except PermissionError:
            if self.rootless is None:
                raise
            raise self.rootless.refuse(fstype) from None
        if fstype in _PRIVATE_TYPES:
            self._private.add(os.fstat(mount).st_dev)
        return KernelMount(mount, is_directory=True)

    def volume(self, key: str, flags: Sequence[str], data: Sequence[str], maker: str) -> Volume:
        """See `Target.volume`. One descriptor is held of each, which stays with its first mount when that is attached: of
        that, later ones are copies. Precondition: it is attached by then.
        """
        held = self._volumes.get(key)
        if held is None:
            mount = self.filesystem("tmpfs", "tmpfs", Change(), flags, data)
            self._private.discard(os.fstat(mount.descriptor).st_dev)  # other containers have it too
            self._volumes[key] = HeldVolume(os.dup(mount.descriptor), maker, is_attached=True)
            return Volume(mount, "")
        self._volumes[key] = held._replace(maker=held.maker or maker, is_attached=True)
        if not held.is_attached:
            return Volume(KernelMount(os.dup(held.descriptor), is_directory=True), held.maker)
        copy = mounts.clone_tree(held.descriptor, recursive=False)
        mounts.mount_setattr(copy, clear=EVERY_ATTRIBUTE)
        return Volume(KernelMount(copy, is_directory=True), held.maker)

    def bind(self, source: Source, *, recursive: bool, change: Change = NO_CHANGE) -> KernelMount:
        """See `Target.bind`."""
        return self._binds.of(self._use(source), change, recursive=recursive)

    def bind_directory(self, path: str, change: Change) -> KernelMount | None:
        """See `Target.bind_directory`."""
        return self._binds.of_directory(path, change) if self._paths.detached else None

    def overlay(self, lower: Source, upper: Upper = IN_MEMORY) -> KernelMount:
        """See `Target.overlay`."""
        opened = self._use(lower)
        overlays = Overlays(self._paths, self._closer, rootless=self.rootless is not None)
        with about(opened.path):
            mount = overlays.make(opened, upper)
        opened.close()
        self._keeper.add(mount)
        return mount

    def layered(
        self, layers: Layers, source: str, change: Change, flags: Sequence[str], data: Sequence[str]
    ) -> KernelMount:
        """See `Target.layered`."""
        opened = [self._use(each) for each in layers.all]
        descriptors, lowers = [each.descriptor for each in opened], len(layers.lowers)
        given = LayerDescriptors(tuple(descriptors[:lowers]), *descriptors[lowers:])
        try:
            mount = layered(given, source, int(change.set), flags, data, by_fd=self._paths.layers_by_fd)
        except PermissionError:
            if self.rootless is None:
                raise
            raise self.rootless.refuse("overlay") from None
        finally:
            for each in opened:
                each.close()
        return KernelMount(mount, is_directory=True)

    def change(self, mount: Detached, change: Change, *, recursive: bool) -> None:
        """See `Target.change`."""
        set_attributes(_own(mount).descriptor, change, recursive=recursive)

    # what is saved and restored

    def tree(self, mount: Detached) -> DescriptorTree:
        """See `Target.tree`."""
        from devproxy.targets.kernel.descriptor_tree import DescriptorTree

        owner = None if self.rootless is None else (self.rootless.uid, self.rootless.gid)
        return DescriptorTree(_own(mount).descriptor, owner, inside=True)

    def keep(self, mount: Detached) -> None:
        """See `Target.keep`."""
        own = _own(mount)
        own.keep = own.layer < 0

    def kept(self, mounts: Sequence[KeptMount]) -> None:
        """See `Target.kept`."""
        self._keeper.choose(mounts)

    def take_kept(self) -> list[tuple[KeptMount, int]]:
        """What is to be saved, with descriptors that are the caller's: of upper layers, and of copies of mounts."""
        return self._keeper.take()

    # mounts in the tree

    def attach(self, mount: Detached, path: str) -> None:
        """See `Target.attach`."""
        own = _own(mount)
        self._binds.unattached.discard(own.descriptor)
        if self._tree is None:
            self._attach_root(own, path)
            return
        tree = self._tree
        by_name = attach(tree, own, path)
        self._keeper.attached(own)
        self._kept.add(path, own.descriptor)
        # No directory that is held open was reached through a mount point that is new.
        if path != self._fresh:
            if by_name:
                tree.forget_but(path)
            else:
                tree.forget()

    def attach_all(self, attached: Iterable[tuple[Detached, str]]) -> int:
        """See `Target.attach_all`: one system call each, as long as they are in directories that are held open."""
        if self._tree is None:
            return 0
        made = 0
        for mount, path in attached:
            own = _own(mount)
            if own.keep or not attach_by_name(self._tree, own, path):
                break
            self._binds.unattached.discard(own.descriptor)
            self._kept.add(path, own.descriptor)
            self._tree.forget_but(path)
            made += 1
        return made

    def _attach_root(self, mount: KernelMount, path: str) -> None:
        if path != "/":
            raise OSError(errno.EINVAL, "the first mount is the root's", path)
        if not mount.is_directory:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        self._tree = Tree(mount.descriptor, self._paths.opener, self._closer, self._private)
        if not self._paths.detached:
            self._place()

    def propagate(self, path: str, propagation: Propagation, *, recursive: bool) -> None:
        """See `Target.propagate`. That of the root waits for `finish`: pivot_root(2) refuses a shared one."""
        if path == "/":
            self._root_propagation = PROPAGATION[propagation]
            return
        self._change_attached(path, propagation=PROPAGATION[propagation], recursive=recursive)

    def seal(self, path: str) -> None:
        """See `Target.seal`."""
        self._change_attached(path, attributes=int(Attribute.RDONLY))

    def _change_attached(
        self, path: str, *, attributes: int = 0, propagation: int = 0, recursive: bool = False
    ) -> None:
        """mount_setattr(2) on the topmost mount at a path. It refuses a mount of a detached tree, so that the root is
        placed first.
        """
        self._place()
        place = self._kept.at(path)
        if place is None:
            place = self._there.open(path, os.O_PATH)
            self._there.done(place)
        with about(path):
            mounts.mount_setattr(place, attributes=attributes, propagation=propagation, recursive=recursive)

    def seal_path(self, path: str) -> bool:
        """See `Target.seal_path`. The copy is read-only before it is seen (no moment in between)."""
        place = self._open_if_there(path)
        if place is None:
            return False
        if is_same_place(place, self._there.root):
            self._there.done(place)
            self.seal("/")
            return True
        with about(path):
            copy = mounts.clone_tree(place, recursive=True)
            mounts.mount_setattr(copy, attributes=int(Attribute.RDONLY), recursive=True)
            self._cover(path, place, copy)
        return True

    def mask(self, path: str) -> bool:
        """See `Target.mask`. The null device is the host's, verified before anything was mounted: what the root calls
        /dev/null may be anything.
        """
        place = self._open_if_there(path)
        if place is None:
            return False
        if is_same_place(place, self._there.root):
            self._there.done(place)
            raise OverRoot(path)
        with about(path):
            if stat.S_ISDIR(os.fstat(place).st_mode):
                self._cover(path, place, self._empty_directory())
            else:
                self._cover(path, place, mounts.clone_tree(self._null, recursive=False))
        return True

    def cover(self, path: str, contents: bytes, mode: int) -> bool:
        """See `Target.cover`."""
        place = self._open_if_there(path)
        if place is None:
            return False
        if stat.S_ISDIR(os.fstat(place).st_mode):
            self._there.done(place)
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        with about(path):
            self._cover(path, place, new_file(contents, mode, detached=self._paths.detached))
        return True

    def _empty_directory(self) -> int:
        """A mount of an empty read-only tmpfs: one for all, where the kernel copies what is attached nowhere (6.15)."""
        if self._empty < 0:
            made = new_filesystem("tmpfs", "tmpfs", int(Attribute.RDONLY), (), ())
            if not self._paths.detached:
                return made
            self._empty = made
        return mounts.clone_tree(self._empty, recursive=False)

    def _open_if_there(self, path: str) -> int | None:
        """Open what rights are taken away from, in the mount that it is in. None if it is missing."""
        if not self._paths.openat2:
            self._place()
        return self._reach.open(self._there.root, path)

    def _cover(self, path: str, place: int, mount: int) -> None:
        mounts.move_mount(mount, place)
        self._there.done(place)
        self._kept.add(path, mount)
        self._reach.forget()
        self._there.forget()

    # names in the tree

    def make_mount_point(self, path: str, *, directory: bool) -> str:
        """See `Target.make_mount_point`. Returns "" if it is there by now."""
        first = self._there.make_mount_point(path, directory=directory)
        if first:
            self._fresh = path
        return first

    # looking

    def look_in(self, source: Source, path: str) -> Look | None:
        """See `Target.look_in`."""
        opened = self._opened(source)
        return (
            look(opened.tree(self._paths.opener), path) if opened.is_directory else look_at(os.fstat(opened.descriptor))
        )

    def directories_in(self, source: Source, paths: Iterable[str]) -> int:
        """See `Target.directories_in`."""
        opened = self._opened(source)
        return leading_directories(opened.tree(self._paths.opener), paths) if opened.is_directory else 0

    def number_of(self, identity: Identity) -> NumberFound:
        """See `Target.number_of`."""
        if isinstance(identity, LikeHost):
            # A number that nobody has would be whoever's gets it next.
            real = identity._replace(asked=None)
            return self._numbers.number_of(real) if self._simulated else number_on_host(real.path)
        return self._numbers.number_of(identity)

    # the end

    def finish(self) -> None:
        """See `Target.finish`. Makes the tree this process's root (pivot_root(2)); nothing of the host's is left."""
        if self._finished:
            return
        leftover = next((source for source in self._sources if not source.used), None)
        if leftover is not None:
            raise OSError(errno.EBUSY, "a source that was opened was never used", leftover.path)
        root = self._there.root
        self._place()
        os.fchdir(root)
        mounts.pivot_root_here()
        if self._root_propagation:
            mounts.mount_setattr(root, propagation=self._root_propagation)
        self._finished = True

    def close(self) -> None:
        """Drop every descriptor. A tree that was placed nowhere vanishes with them."""
        for source in self._sources:
            if not source.used:
                source.close()
        if self._tree is not None:
            self._tree.close()
        self._kept.close()
        self._reach.forget()
        for descriptor in (
            self._empty,
            self._null,
            *self._binds.unattached,
            *self._keeper.descriptors,
            *(each.descriptor for each in self._volumes.values()),
        ):
            if descriptor >= 0:
                self._closer.add(descriptor)
        self._tree, self._sources, self._empty, self._null = None, [], -1, -1
        self._binds.unattached.clear()
        self._volumes.clear()
        self._keeper.descriptors.clear()
        self._closer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _place(self) -> None:
        """Attach the root in the private namespace, once."""
        if not self._placed:
            mounts.cover_root(self._there.root)
            self._placed = True

    def _opened(self, source: Source) -> KernelSource:
        assert isinstance(source, KernelSource)
        return source

    def _use(self, source: Source) -> KernelSource:
        opened = self._opened(source)
        if opened.used:
            raise OSError(errno.EBADF, "a source is used once", opened.path)
        opened.used = True
        return opened


def _own(mount: Detached) -> KernelMount:
    assert isinstance(mount, KernelMount)
    return mount
