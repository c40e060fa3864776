"""Volumes that the containers of a pod share: tmpfs that mount hints name, keyed by the source of their mounts (S62 to S65, H22)."""

from __future__ import annotations

from devproxy.errors import InputError
from devproxy.mount_options import ATIME, Attribute, Change, MountOptions
from devproxy.oci.hints import Hints, MountHint
from devproxy.oci.spec import Mount
from devproxy.plan.order import MANDATORY
from devproxy.plan.steps import Level, MountFilesystem, Reason, Skip

# What a volume's own options may keep every mount of it from (S64).
_KEPT = (
    (Attribute.RDONLY, "ro", "read-only", "read-write"),
    (Attribute.NOEXEC, "noexec", "noexec", "executable"),
    (Attribute.NOATIME, "noatime", "noatime", "with access times"),
    (Attribute.NOSUID, "nosuid", "nosuid", "with set-user-ID programs"),
)
# They hold what every container has of its own.
_NEVER = ("/", "/dev", "/dev/pts")


class Volumes:
    """Decides for each mount of a spec whether it is one of a volume."""

    def __init__(self, hints: Hints) -> None:
        self._shared = {source: hint for source, hint in hints.by_source.items() if hint.shared}

    def plan(self, mount: Mount) -> tuple[MountFilesystem | None, Skip | None]:
        """The step of a mount that is of a volume, and what is told about it. The letters of its source decide: the host is not
        looked at.

        Errors: InputError for a mount that would allow what the volume's own options forbid (S64).
        """
        hint = self._shared.get(mount.source)
        if hint is None or mount.type not in ("tmpfs", "bind") or mount.where == MANDATORY:
            return None, None
        if mount.destination in _NEVER:
            reason = Reason(mount.where, f"what is at {mount.destination} is each container's own")
            return None, Skip(mount.destination, f"sharing the volume {hint.name}", Level.WARNING, reason)
        return _volume_step(mount, hint)


def _volume_step(mount: Mount, hint: MountHint) -> tuple[MountFilesystem, Skip | None]:
    """A mount of a volume, and what is told about options that are left out (S63).

    Errors: InputError for a mount that would allow what the volume's own options forbid (S64).
    """
    wanted, own = _of_mount(mount.options), hint.parsed_options()
    for attribute, word, kept, found in _KEPT:
        if own.change.set & attribute and not wanted.change.set & attribute:
            raise InputError(
                f"{mount.where}, {mount.destination} is {found}, but its volume {hint.name} is {kept}",
                hint=f"add {word} to the options of the mount, or take it out of those of the hint",
            )
    note = f"the hint {hint.name} makes it a volume in memory"
    if mount.type == "bind":
        note += f"; {mount.source} of the host is not used"
    step = MountFilesystem(
        mount.destination,
        "tmpfs",
        "tmpfs",
        wanted._replace(superblock=own.superblock, data=own.data),
        None,
        Reason(mount.where, note),
        volume=mount.source,
    )
    ignored = ",".join((*mount.options.superblock, *mount.options.data))
    if not ignored:
        return step, None
    reason = Reason(f"{mount.where}.options", f"the hint {hint.name} says how the volume is made")
    return step, Skip(mount.destination, f"{ignored} of the mount at {mount.destination}", Level.WARNING, reason)


def _of_mount(options: MountOptions) -> MountOptions:
    """The options of one mount of a volume. Nothing is mounted below it, so that `rro` is `ro`."""
    change, below = options.change, options.recursive
    if below:
        of_time = Attribute(ATIME) if below.atime else Attribute(0)
        change = Change(
            (change.set & ~below.clear & ~of_time) | below.set,
            (change.clear & ~below.set) | below.clear,
            change.atime or below.atime,
        )
    return MountOptions(change=change, propagation=options.propagation)
