"""What /proc/PID/mountinfo, mounts and mountstats say about a namespace (proc_pid_mountinfo(5); S56).

The options shown are the flags in force. Sorted by mount id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vfs.mount import VirtualDentry
from vfs.mount_tree import path_from
from vfs.options import MountFlags

if TYPE_CHECKING:
    from vfs.filesystem import Filesystem
    from vfs.mount import Mount
    from vfs.namespace import MountNamespace

# The order of show_mnt_opts() in fs/proc_namespace.c.
_SHOWN: Final = (
    (MountFlags.NOSUID, "nosuid"),
    (MountFlags.NODEV, "nodev"),
    (MountFlags.NOEXEC, "noexec"),
    (MountFlags.NOATIME, "noatime"),
    (MountFlags.NODIRATIME, "nodiratime"),
    (MountFlags.RELATIME, "relatime"),
    (MountFlags.NOSYMFOLLOW, "nosymfollow"),
)
_ESCAPES: Final = str.maketrans({" ": "\\040", "\t": "\\011", "\n": "\\012", "\\": "\\134"})


def escape(text: str) -> str:
    """The text with the characters that separate fields written in octal."""
    return text.translate(_ESCAPES)


def _source(mount: Mount) -> str:
    # What fstab(5) takes for a comment is escaped too, in sources alone (mangle()).
    return escape(mount.source or "none").replace("#", "\\043")


def mount_flags(mount: Mount) -> str:
    """The options of one mount: `rw,nosuid,nodev`."""
    shown = ["ro" if MountFlags.RDONLY in mount.flags else "rw"]
    shown += [text for flag, text in _SHOWN if flag in mount.flags]
    return ",".join(shown)


def _tags(mount: Mount) -> str:
    """The optional fields (proc_pid_mountinfo(5)). A master lies in the same VFS: propagate_from is never needed."""
    shared = f" shared:{mount.peers.id}" if mount.peers is not None else ""
    master = f" master:{mount.master.id}" if mount.master is not None else ""
    return shared + master + (" unbindable" if mount.unbindable else "")


def _root(mount: Mount) -> str:
    # What Linux appends to the root of a bind whose source was removed (dentry_path()).
    return escape(mount.root.path()) + ("//deleted" if mount.root.dead else "")


def _options(fs: Filesystem) -> str:
    return "".join(f",{option}" for option in (*fs.flags, fs.mount_options()) if option)


def mountinfo(namespace: MountNamespace, root: VirtualDentry | None = None) -> list[str]:
    """One line a mount that can be reached from `root`, the root of the namespace by default:
    id, parent id, device, root, mount point, options, tags, "-", type, source, options of the file system.

    A root mount is its own parent, as it has none that could be seen.
    """
    lines = []
    # Mounts that come, go and move meanwhile shall be seen once, or not at all.
    with namespace.root_mount.fs.lock:
        for mount, point in _reachable(namespace, root):
            fs = mount.fs
            parent_id = mount.id if mount.parent is None else mount.parent.id
            options = _options(fs)
            lines.append(
                f"{mount.id} {parent_id} 0:{fs.minor} {_root(mount)} {escape(point)} {mount_flags(mount)}"
                f"{_tags(mount)} - {fs.type_name} {_source(mount)} {'ro' if fs.read_only else 'rw'}{options}"
            )
    return lines


def mounts(namespace: MountNamespace, root: VirtualDentry | None = None) -> list[str]:
    """The lines of /proc/mounts: source, mount point, type, options, and two zeros (fstab(5))."""
    lines = []
    # Mounts that come, go and move meanwhile shall be seen once, or not at all.
    with namespace.root_mount.fs.lock:
        for mount, point in _reachable(namespace, root):
            shown = mount_flags(mount) + _options(mount.fs)
            lines.append(f"{_source(mount)} {escape(point)} {mount.fs.type_name} {shown} 0 0")
    return lines


def mountstats(namespace: MountNamespace, root: VirtualDentry | None = None) -> list[str]:
    """The lines of /proc/PID/mountstats (show_vfsstat)."""
    with namespace.root_mount.fs.lock:
        return [
            f"device {_source(mount)} mounted on {escape(point)} with fstype {mount.fs.type_name}"
            for mount, point in _reachable(namespace, root)
        ]


def _reachable(namespace: MountNamespace, root: VirtualDentry | None) -> list[tuple[Mount, str]]:
    start = namespace.root if root is None else root
    found = []
    for mount in namespace:
        point = path_from(start, VirtualDentry(mount, mount.root))
        if point is not None:
            found.append((mount, point))
    return found
