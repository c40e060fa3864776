"""The mounts of a plan, from the spec's entries to steps (seed sections 1.3 to 1.8).

Read-only comes last: mount points and devices inside a read-only mount are made before it is sealed (S36, S37). A
read-only bind or overlay is read-only at once, because nothing may be made in what belongs to the user.
"""

from __future__ import annotations

from devproxy.mount_options import Attribute, MountOptions
from devproxy.oci.configuration import Cgroupfs
from devproxy.oci.spec import Mount
from devproxy.plan.cgroups import CgroupMounts
from devproxy.plan.devices import in_binds
from devproxy.plan.order import DEVPTS_DATA, MANDATORY, is_cgroup, ordered_mounts
from devproxy.plan.overlays import Overlays
from devproxy.plan.steps import Bind, Level, MountFilesystem, Reason, Seal, Skip, Step, WhenEmpty
from devproxy.plan.visible_mounts import Mounted, VisibleMounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.plan.volumes import Volumes

_TYPES = ("proc", "sysfs", "tmpfs", "devtmpfs", "devpts", "mqueue", "overlay")
# Types that are the machine's own, one for all who mount them, or that take of it what nothing accounts for.
_OF_THE_MACHINE = ("bpf", "configfs", "debugfs", "efivarfs", "hugetlbfs", "pstore", "ramfs", "securityfs", "tracefs")
_BOUND_DEV = "/dev is a bind, nothing is made in it"
_TMPFS_KIND = ("tmpfs", "devtmpfs")
# devtmpfs is 0755 (S8), where a tmpfs would be 01777.
_DEVTMPFS_MODE = "mode=0755"
_TMP = "/tmp"  # noqa: S108 (the container's, not ours)
_TMP_REASON = Reason("rule: internal /tmp", "unless it has entries")


class MountPlanner:
    """Collects the steps that mount. `mounted` is the mount tree so far, `needed` the paths that have to exist in the
    root's own directory.
    """

    def __init__(
        self,
        listed: tuple[Mount, ...],
        mount_order: str,
        overlays: Overlays,
        cgroups: CgroupMounts,
        volumes: Volumes | None,
    ) -> None:
        self._overlays = overlays
        self._volumes = volumes
        self._cgroups = cgroups
        self.steps: list[Step] = []
        self.mounted = VisibleMounts()
        self.needed: dict[str, None] = {}
        self._mounts = ordered_mounts(listed, mount_order)

    def plan(self, dev_contents: list[Step], asked: list[Step]) -> None:
        """Plan every mount, with `dev_contents` and what is `asked` for right behind the /dev that is seen in the end, and
        the internal /tmp. In a /dev that is a bind, what is asked for comes behind every mount: it may be one of them.
        """
        last_dev = self._last_dev()
        is_bound = self._mounts[last_dev].type == "bind"
        for number, mount in enumerate(self._mounts):
            if is_bound and mount.where == MANDATORY and mount.destination == "/dev/pts":
                self._skip(mount, "the mandatory /dev/pts", _BOUND_DEV, Level.NOTE)
            else:
                self._plan_mount(mount)
            if number == last_dev and is_bound:
                self._skip(mount, "the contents of /dev", _BOUND_DEV, Level.NOTE)
            elif number == last_dev:
                self.steps += [*dev_contents, *asked]
        if is_bound:
            self.steps += in_binds(asked, self.mounted)
        if all(mount.destination != _TMP for mount in self._mounts):
            self._plan_tmp()

    def seals(self) -> list[Step]:
        """What becomes read-only at the end, deepest first."""
        return [Seal(mount.path, mount.seal) for mount in self.mounted.sealed() if mount.seal is not None]

    def _last_dev(self) -> int:
        """The index of the /dev that is seen in the end; there is one, it is mandatory."""
        return max(n for n, mount in enumerate(self._mounts) if mount.destination == "/dev" and not is_cgroup(mount))

    def _plan_mount(self, mount: Mount) -> None:
        if self._volumes is not None and self._plan_volume(mount, self._volumes):
            return
        if mount.destination == "/":
            self._skip(mount, "a mount at /", "nobody would see it; root.path names the root", Level.WARNING)
        elif is_cgroup(mount):
            self._plan_cgroup(mount)
        elif mount.type == "bind":
            overlay, note = self._overlays.of_bind(mount)
            self._attach(mount, None, is_users=overlay is None)
            self.steps.append(Bind(mount.destination, mount.source, mount.options, overlay, Reason(mount.where, note)))
        else:
            self._plan_filesystem(mount)

    def _plan_cgroup(self, mount: Mount) -> None:
        """A cgroup mount, of the version that is configured. Nothing is made in it: it is read-only at once."""
        if self._cgroups.version is Cgroupfs.NONE:
            what = f"the {mount.type} mount at {mount.destination}"
            self._skip(mount, what, "the configuration has no cgroup file system", Level.NOTE)
            return
        options, kept = self._cgroups.options(mount)
        if kept:
            self._skip(mount, f"writing to the cgroups at {mount.destination}", kept, Level.WARNING)
        self._attach(mount, None)
        fstype = self._cgroups.fstype
        self.steps.append(
            MountFilesystem(
                mount.destination,
                fstype,
                mount.source,
                options,
                None,
                Reason(mount.where, f"cgroupfs = {self._cgroups.version.value}"),
            )
        )

    def _plan_volume(self, mount: Mount, volumes: Volumes) -> bool:
        """Plan a mount if it is of a volume of the pod."""
        step, told = volumes.plan(mount)
        if told is not None:
            self.steps.append(told)
        if step is None:
            return False
        options, seal = _without_readonly(step.options)
        self._attach(mount, Reason(f"{mount.where}.options", "read-only last") if seal else None)
        self.steps.append(step._replace(options=options))
        return True

    def _plan_filesystem(self, mount: Mount) -> None:
        fstype, note = self._type_of(mount)
        if fstype not in _TYPES or (fstype == "overlay" and mount.layers is None):
            what = f"the mount of type {mount.type} at {mount.destination}"
            self._skip(mount, what, _why_not_mounted(fstype), Level.WARNING)
            return
        layers = mount.layers if fstype == "overlay" else None
        options, seal = _options_for(fstype, mount), False
        if layers is None:  # what is made in an overlay would stay in a layer of the user's
            options, seal = _without_readonly(options)
        self._attach(mount, Reason(f"{mount.where}.options", "read-only last") if seal else None)
        reason = Reason(mount.where, note)
        self.steps.append(MountFilesystem(mount.destination, fstype, mount.source, options, None, reason, layers))

    def _type_of(self, mount: Mount) -> tuple[str, str]:
        """The type that is mounted, and what was decided about it."""
        forced = {"/dev": "devtmpfs", "/dev/pts": "devpts"}.get(mount.destination)
        if forced is not None:
            return forced, "" if mount.type == forced else f"{mount.destination} is always {forced}, not {mount.type}"
        if mount.type == "none":
            why = "type none without bind is taken for sysfs"
            self._skip(mount, f"the type none at {mount.destination}", why, Level.WARNING)
            return "sysfs", why
        fstype = mount.type.partition(".")[0]  # fuse.sshfs is a fuse (S2)
        if fstype == "devtmpfs":
            why = "only /dev is filled; a devtmpfs elsewhere is empty"
            self._skip(mount, f"the device nodes of the devtmpfs at {mount.destination}", why, Level.WARNING)
        return fstype, ""

    def _attach(self, mount: Mount, seal: Reason | None, *, is_users: bool = False) -> None:
        """Note the mount in the tree. What it hides is sealed now: later it could not be reached."""
        if self.mounted.above(mount.destination) is None:
            self.needed[mount.destination] = None
        hidden = self.mounted.add(Mounted(mount.destination, is_users, seal))
        self.steps += [Seal(old.path, old.seal) for old in hidden if old.seal is not None]

    def _plan_tmp(self) -> None:
        self.needed[_TMP] = None
        # It stays out of the tree: whether it is mounted is not known before building.
        options = MountOptions(data=("mode=01777",))
        self.steps.append(MountFilesystem(_TMP, "tmpfs", "tmpfs", options, WhenEmpty(_TMP), _TMP_REASON))

    def _skip(self, mount: Mount, what: str, why: str, level: Level) -> None:
        self.steps.append(Skip(mount.destination, what, level, Reason(mount.where, why)))


def _why_not_mounted(fstype: str) -> str:
    """Why a type is left out (S48)."""
    known = f"mounted are {', '.join(_TYPES)} and binds"
    if fstype in _OF_THE_MACHINE:
        return f"{fstype} shows or takes what is the machine's, and is not mounted; {known}"
    return f"unknown file system type; {known}"


def _options_for(fstype: str, mount: Mount) -> MountOptions:
    """The options without data that was meant for another type of file system."""
    options = mount.options
    if fstype == "devtmpfs":
        data = options.data if mount.type in _TMPFS_KIND else ()
        has_mode = any(word.startswith("mode=") for word in data)
        return options._replace(data=data if has_mode else (_DEVTMPFS_MODE, *data))
    if fstype == "devpts" and mount.type != "devpts":
        return options._replace(data=DEVPTS_DATA)
    return options


def _without_readonly(options: MountOptions) -> tuple[MountOptions, bool]:
    if not options.change.set & Attribute.RDONLY:
        return options, False
    return options._replace(change=options.change._replace(set=options.change.set & ~Attribute.RDONLY)), True
