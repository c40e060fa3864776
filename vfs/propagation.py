"""Which mounts hear of what is mounted and unmounted elsewhere: propagation types (mount_namespaces(7), "Shared subtrees").

Analogous to fs/pnode.c. Difference: a peer group is an object of its own that knows its members and its slaves, where Linux
links mounts in rings and lets a slave point at one of its masters.

All functions are called with the lock of the VFS held.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from vfs.options import Propagation

if TYPE_CHECKING:
    from vfs.dentry import Dentry
    from vfs.mount import Mount, VirtualDentry


Relate = Callable[["Mount", "Mount"], None]
"""What a mount and its copy are to each other: `become_peer` or `become_slave`."""


class GroupIds:
    """The numbers of peer groups: the lowest free one from 1 on (mnt_alloc_group_id), but for those of groups outside."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._last = 0
        self._outside: dict[int, PeerGroup] = {}

    def allocate(self) -> int:
        """A number that no group has."""
        if self._free:
            return heapq.heappop(self._free)
        self._last += 1
        while self._last in self._outside:
            self._last += 1
        return self._last

    def outside(self, number: int) -> PeerGroup:
        """The group of that number whose members are none of this VFS's: nothing is ever heard of it."""
        if number not in self._outside:
            self._outside[number] = PeerGroup(self, number)
        return self._outside[number]

    def release(self, number: int) -> None:
        """Take the number of a group that is gone back."""
        heapq.heappush(self._free, number)


class PeerGroup:
    """Mounts that share what happens on them, and the mounts that only listen.

    Invariants: every member has it as `peers`, every slave as `master`; all members have one and the same master. A group
    has a member: with the last one it is gone; one that is outside never had any. Both tables are sets that keep their order.
    """

    __slots__ = ("id", "ids", "members", "slaves")

    def __init__(self, ids: GroupIds, number: int | None = None) -> None:
        self.ids = ids
        self.id = ids.allocate() if number is None else number
        self.members: dict[Mount, None] = {}
        self.slaves: dict[Mount, None] = {}

    @property
    def master(self) -> PeerGroup | None:
        """The group that the members are slaves of."""
        member = next(iter(self.members), None)
        return None if member is None else member.master


def set_propagation(mount: Mount, propagation: Propagation) -> None:
    """Give a mount a type (change_mnt_propagation).

    A slave needs a master: a mount that was not shared has none to get, and stays as it is.
    """
    if propagation is Propagation.SHARED:
        share(mount)
        return
    source = _leave(mount) if mount.peers is not None else mount.master
    if propagation is Propagation.SLAVE:
        _set_master(mount, source)
        return
    _set_master(mount, None)
    mount.unbindable = propagation is Propagation.UNBINDABLE


def share(mount: Mount) -> None:
    """Make a mount shared, in a group of its own; one that is shared stays in its group."""
    mount.unbindable = False
    if mount.peers is None:
        _join(mount, PeerGroup(mount.fs.vfs.group_ids))


def unshare(mount: Mount) -> None:
    """Take a mount out of its group, and leave its master as it is."""
    if mount.peers is not None:
        _leave(mount)


def become_slave_outside(mount: Mount, number: int) -> None:
    """Make a mount a slave of a group that is not of this VFS, as a bind of a shared mount of the machine is one."""
    _set_master(mount, mount.fs.vfs.group_ids.outside(number))


def become_peer(original: Mount, copy: Mount) -> None:
    """Let a copy hear and tell what its original does (clone_mnt): that is what a bind is."""
    if original.peers is not None:
        _join(copy, original.peers)
    _set_master(copy, original.master)


def become_listener(original: Mount, copy: Mount) -> None:
    """Let a copy hear what its original does, and tell nobody: a copy for an owner with less privileges (CL_SLAVE)."""
    _set_master(copy, original.peers or original.master)


def become_slave(original: Mount, copy: Mount) -> None:
    """Let a copy hear what its original does. Precondition: the original is shared."""
    _set_master(copy, original.peers)


def _join(mount: Mount, group: PeerGroup) -> None:
    mount.peers = group
    group.members[mount] = None


def _leave(mount: Mount) -> PeerGroup | None:
    """Take a mount out of its group; the group that it heard of last: its peers if any are left, else its master.

    The slaves of a group that is gone are given to that master, or are slaves no more.
    """
    group = mount.peers
    assert group is not None
    mount.peers = None
    del group.members[mount]
    if group.members:
        return group
    group.ids.release(group.id)
    for slave in list(group.slaves):
        _set_master(slave, mount.master)
    return mount.master


def _set_master(mount: Mount, master: PeerGroup | None) -> None:
    if mount.master is not None:
        del mount.master.slaves[mount]
    mount.master = master
    if master is not None:
        master.slaves[mount] = None


def receivers(mount: Mount) -> list[Mount]:
    """The mounts that hear what happens on a mount, itself not among them; masters come before their slaves."""
    if mount.peers is None:
        return []
    found = {mount: None}
    groups = {mount.peers: None}
    pending = [mount.peers]
    for group in pending:
        for each in (*group.members, *group.slaves):
            found[each] = None
            if each.peers is not None and each.peers not in groups:
                groups[each.peers] = None
                pending.append(each.peers)
    del found[mount]
    return list(found)


def copies_for(
    source: Mount, target: VirtualDentry, newly_shared: Collection[Mount], copy: Callable[[Mount, Relate], Mount]
) -> Iterable[tuple[Mount, Mount]]:
    """Copy a tree for every mount that hears of its arrival at `target` (propagate_mnt): receivers, each with its copy.

    Copies for peers of the target are peers of the source. What a slave gets is a slave of what its nearest master got, and
    is shared among its own peers. Precondition: every mount of the tree is shared; those that are so only now may hear of
    their own arrival, but do not count as shared for that.
    """
    group = target.mount.peers
    assert group is not None
    first_copies = {group: source}
    for receiver in receivers(target.mount):
        if receiver.namespace is None or not _shows(receiver, target.dentry):
            continue
        own = None if receiver in newly_shared else receiver.peers
        if own in first_copies:
            yield receiver, copy(first_copies[own], become_peer)
            continue
        tree = copy(first_copies[_nearest_master(receiver, first_copies)], become_slave)
        if own is not None:
            for each in tree.tree():
                share(each)
            first_copies[own] = tree
        yield receiver, tree


def _shows(mount: Mount, dentry: Dentry) -> bool:
    return mount.root is dentry or mount.root.is_ancestor_of(dentry)


def _nearest_master(mount: Mount, groups: dict[PeerGroup, Mount]) -> PeerGroup:
    group = mount.master
    while group is not None and group not in groups:
        group = group.master
    assert group is not None, "a receiver hears of the target by its masters"
    return group


def counterparts(tree: Iterable[Mount]) -> set[Mount]:
    """What else is unmounted when a tree is (propagate_umount): the mounts at the same places in what hears of it.

    A mount with another mount in it stays, and so does one that is locked if its parent stays. One that is covered goes, and what covers it takes its place: then its parent,
    which has a mount now, stays.
    """
    gone = set(tree)
    also: set[Mount] = set()
    for mount in gone:
        if mount.parent is not None and mount.mountpoint is not None:
            found = (receiver.children.get(mount.mountpoint) for receiver in receivers(mount.parent))
            also.update(child for child in found if child is not None and child not in gone)
    while True:
        stays = _those_that_stay(also, gone)
        if not stays:
            return also
        also -= stays


def _those_that_stay(candidates: set[Mount], gone: set[Mount]) -> set[Mount]:
    stays: set[Mount] = set()
    gone = gone | candidates
    for mount in candidates:
        left = [child for child in mount.children.values() if child not in gone]
        if any(child.mountpoint is not mount.root for child in left) or (mount.locked and mount.parent not in gone):
            stays.add(mount)
        elif cover(mount, gone) is not None:
            parent = mount.parent
            if parent is not None and parent in candidates and mount.mountpoint is not parent.root:
                stays.add(parent)
    return stays


def cover(mount: Mount, gone: set[Mount]) -> Mount | None:
    """The mount on top of one that goes, past others that go: what takes its place."""
    above = mount.children.get(mount.root)
    while above is not None and above in gone:
        above = above.children.get(above.root)
    return above
