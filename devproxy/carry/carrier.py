"""How each kind of step is carried out, whatever the target."""

from __future__ import annotations

import errno
import os

from devproxy.carry.missing import first_missing, look_in
from devproxy.carry.nodes import Nodes
from devproxy.carry.overlay import Overlaid, check_directory, make_overlay
from devproxy.carry.within import within
from devproxy.carry.words import failure, refuse_source, told
from devproxy.errors import DevproxyError, InputError
from devproxy.linux.cgroups import hierarchies
from devproxy.mount_options import Attribute, MountOptions
from devproxy.node import LikeHost
from devproxy.outcome import DONE, Become, Outcome, Outcomes, Result
from devproxy.overlay import layer_name
from devproxy.plan.plan import Plan
from devproxy.plan.steps import (
    Bind,
    Cover,
    Level,
    MakeDirectory,
    MakeNode,
    MakeSymlink,
    Mask,
    MountFilesystem,
    MountRoot,
    RequireNode,
    Seal,
    SealPath,
    Skip,
    Step,
    is_tmpfs,
)
from devproxy.targets.target import Detached, Layers, Look, OverRoot, Source, Target
from devproxy.without_root import Fitted, fit, other_owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from devproxy.carry.changes import Changes

NOT_WRITTEN = "changes stay in memory here"
_AT_A_TIME = 64
_BOUND = Become(Result.CHOSEN, "a directory")
_NODES = (MakeNode, RequireNode)


class Carrier:
    """Carries the steps of one plan out on one target, in order.

    It remembers the opened source of each bind, or already the mount that it became, and which mounts were skipped, so
    that their `Seal` is skipped with them.
    """

    def __init__(self, plan: Plan, target: Target, sandbox: str, changes: Changes | None = None) -> None:
        self._plan = plan
        self._changes = changes
        self._target = target
        self._sandbox = sandbox
        self._sources: dict[int, Source] = {}
        self._fitted: dict[int, Fitted] = {}
        self._binds: dict[int, Detached] = {}
        self._layers: dict[int, str] = {}
        self._opened: dict[int, Layers] = {}
        self._skipped: set[str] = set()
        self._nodes = Nodes(target)
        self._made_in: str | None = None
        self._directories = True  # whether the last source was one

    def open_sources(self) -> None:
        """Open everything of the host that the plan binds, and look at its nodes, before anything is mounted (S34, S53).

        Binds are copied now, not in their turn: a root that is attached by then would be below the host's `/`, and come
        along with what is mounted there.

        Raises InputError naming the source and the entry of the spec that asks for it; DevproxyError for one that cannot
        be bound.
        """
        to_copy: list[Bind] = []
        for index, step in enumerate(self._plan.steps):
            if isinstance(step, _NODES):
                if isinstance(step.identity, LikeHost):
                    self._nodes.look_at_host(step, step.identity)
            elif isinstance(step, Bind):
                if not self._bind_at_once(step, to_copy):
                    self._open_source(index, step)
                    if step.overlay is None:
                        to_copy.append(step)
            elif isinstance(step, MountRoot):
                self._open_source(index, step)
            elif isinstance(step, MountFilesystem) and step.layers is not None:
                from devproxy.carry.layers import open_layers  # few specs mount overlays

                self._opened[id(step.layers)] = open_layers(self._target, step, step.layers)
            # Some at a time: then their descriptors are neighbours, which one call closes.
            if len(to_copy) >= _AT_A_TIME:
                self._copy_all(to_copy)
        self._copy_all(to_copy)

    def _bind_at_once(self, step: Bind, before: list[Bind]) -> bool:
        """Bind a directory that only its path is needed of. Says whether that could be done. Behind a source that was none, none is
        expected: most binds of a spec are like the one before.
        """
        if not self._directories:
            return False
        options = step.options
        if (
            step.overlay is not None
            or options.recursive_bind
            or not options.change
            or self._target.rootless is not None
        ):
            return False
        if within(step, self._plan):
            return False
        self._copy_all(before)  # mount tables list mounts in the order in which they were made
        mount = self._target.bind_directory(step.source, options.change)
        if mount is None:
            return False
        self._binds[id(step)] = mount
        return True

    def _open_source(self, index: int, step: Bind | MountRoot) -> None:
        try:
            source = self._sources[id(step)] = self._target.open_source(step.source, within(step, self._plan))
        except OSError as error:
            refuse_source(step, error)
        self._directories = source.is_directory
        if step.overlay is not None:
            self._layers[id(source)] = layer_name(self._sandbox, index)
            check_directory(step.overlay)

    def _copy_all(self, steps: list[Bind]) -> None:
        for step in steps:
            self._copy(step, self._sources[id(step)])
        steps.clear()

    def _copy(self, step: Bind, source: Source) -> None:
        fitted = step
        if self._target.rootless is not None:
            # What the host has mounted below is looked for while nothing of ours is mounted.
            own = self._fitted[id(step)] = fit(step, self._plan, source)
            assert isinstance(own.step, Bind)
            fitted = own.step
        try:
            options = fitted.options
            mount = self._target.bind(source, recursive=options.recursive_bind, change=options.change)
            self._binds[id(fitted)] = mount
        except OSError as error:
            raise self._failure(step, error) from error

    def _failure(self, step: Step, error: OSError) -> DevproxyError:
        return failure(step, error, rootless=self._target.rootless is not None)

    def carry_all(self) -> Outcomes:
        """Carry every step out, in order. Raises as `carry`."""
        steps, at = self._plan.steps, 0
        outcomes = Outcomes(steps)
        while at < len(steps):
            step = steps[at]
            made, become = 0, DONE
            if type(step) is MakeNode:
                made = self._nodes.make_run(steps, at)
            elif type(step) is Bind and self._target.rootless is None and self._changes is None:
                made, become = self._target.attach_all(self._plain_binds(steps, at)), _BOUND
            if made:
                outcomes.add(become, made)
                at += made
            else:
                outcomes.add(Become(*self.carry(step)[1:]))
                at += 1
        return outcomes

    def carry(self, step: Step) -> Outcome:
        """Carry one step out. Raises DevproxyError naming the step, and what was found, when it fails."""
        try:
            outcome = self._carry(step) if self._target.rootless is None else self._carry_fitted(step)
        except OverRoot:
            found = "leads to the root itself, over which nobody sees a mount"
            outcome = Outcome(step, Result.SKIPPED, found, warning=True)
            if isinstance(step, MountFilesystem | Bind):
                self._skip(step, outcome)
        except OSError as error:
            raise self._failure(step, error) from error
        if outcome.warning and self._plan.strict:
            raise DevproxyError(
                f"{step.describe()}: {outcome.found or step.reason}", hint="strict is set: a warning is an error"
            )
        return outcome

    def _carry_fitted(self, step: Step) -> Outcome:
        """Carry out as much of a step as can be had without privileges."""
        source = self._sources.get(id(step))
        fitted = self._fitted.get(id(step)) or fit(step, self._plan, source)
        if source is not None:
            self._sources[id(fitted.step)] = source
        overlaid = isinstance(step, MountRoot) or (isinstance(step, Bind) and step.overlay is not None)
        own = look_in(self._target, source, "/") if source is not None and overlaid else None
        outcome = self._carry(fitted.step)._replace(step=step)
        lacks = fitted.lacks or ("" if own is None else self._other_owner(step, own))
        if not lacks or outcome.result is Result.SKIPPED:
            return outcome
        found = f"{outcome.found}; {lacks}" if outcome.found else lacks
        warning = outcome.warning or fitted.warning
        return outcome._replace(result=Result.CHOSEN, found=found, warning=warning, rootless=True)

    def _other_owner(self, step: Step, own: Look) -> str:
        """What the top of an overlay lacks, whose layer is the caller's."""
        if not isinstance(step, MountRoot):
            return other_owner(step.path, own, 0, 0)
        made = self._target.look("/")  # the directory itself, if nothing had to be made in it
        return "" if made is None else other_owner("/", own, made.uid, made.gid)

    def finish(self) -> None:
        """Set the root's propagation, last of all, and make the tree one root."""
        if self._changes is not None:
            self._changes.finish()
        try:
            for step in self._plan.steps:
                if isinstance(step, MountRoot) and step.propagation is not None:
                    self._target.propagate("/", step.propagation, recursive=False)
            self._target.finish()
        except OSError as error:
            raise DevproxyError(f"cannot finish the root: {told(error)}") from error

    def _carry(self, step: Step) -> Outcome:  # noqa: C901, PLR0911 (one line a kind of step; mypy checks that none is missing)
        match step:  # what there are thousands of comes first
            case MakeNode():
                return self._nodes.make(step)
            case Bind():
                return self._bind(step)
            case MountRoot():
                return self._mount_root(step)
            case MountFilesystem():
                return self._mount_filesystem(step)
            case MakeDirectory():
                made = self._target.make_directory(step.path, step.mode)
                return Outcome(
                    step, Result.DONE, "" if made else "exists", kept=not made, made=step.path if made else ""
                )
            case RequireNode():
                return self._nodes.require(step)
            case MakeSymlink():
                return self._nodes.make_symlink(step)
            case Mask() | Cover() | SealPath():
                return self._take_away(step)
            case Seal():
                return self._seal(step)
            case Skip():
                return Outcome(step, Result.SKIPPED, warning=step.level is Level.WARNING)

    # mounts

    def _mount_root(self, step: MountRoot) -> Outcome:
        source = self._sources[id(step)]
        if not source.is_directory:
            raise InputError(
                f"{step.reason.source} {step.source} is not a directory", hint="it names the container's root"
            )
        found, overlaid, aside = "", step.overlay is not None, ""
        if overlaid and step.when is not None:
            missing = first_missing(self._target, source, step.when.paths)
            overlaid = missing is not None
            found = f"overlay, because {missing} is missing" if overlaid else "nothing is missing, no overlay"
        if overlaid:
            mount, _, _, aside = self._make_overlay(step, source)
        else:
            mount = self._target.bind(source, recursive=True)
        if self._changes is not None:
            self._changes.attaching(step, mount, "overlay" if overlaid else "")
        self._target.attach(mount, "/")
        result = Result.CHOSEN if found else Result.DONE
        return Outcome(step, result, found, kept=not overlaid, aside=aside)

    def _mount_filesystem(self, step: MountFilesystem) -> Outcome:
        if step.when is not None:
            in_the_way = self._in_the_way(step.when.path)
            if in_the_way:
                return self._skip(step, Outcome(step, Result.SKIPPED, in_the_way))
        if step.volume:
            return self._mount_volume(step)
        try:
            mounts = self._new_filesystems(step)
        except OSError as error:
            refused = error.errno == errno.EPERM and self._target.rootless is not None
            if error.errno != errno.ENODEV and not refused:
                raise
            found = str(error.strerror) if refused else f"file system type {step.fstype} is unknown here"
            return self._skip(step, Outcome(step, Result.SKIPPED, found, warning=True, rootless=refused))
        if self._changes is not None:
            self._changes.attaching(step, mounts[""], "tmpfs" if is_tmpfs(step) else "")
        made = self._attach(mounts.pop(""), step.path, step.options)
        if mounts:
            self._attach_hierarchies(mounts, step)
        found = f"made {made}" if made else "" if step.when is None else f"{step.when.path} is empty"
        aside = NOT_WRITTEN if step.layers and step.layers.upper and not self._target.changes_host else ""
        return Outcome(step, Result.DONE if step.when is None else Result.CHOSEN, found, aside=aside, made=made)

    def _skip(self, step: MountFilesystem | Bind, outcome: Outcome) -> Outcome:
        self._skipped.add(step.path)
        if self._changes is not None:
            self._changes.skipped(step, outcome.found)
        return outcome

    def _mount_volume(self, step: MountFilesystem) -> Outcome:
        options = step.options
        mount, maker = self._target.volume(step.volume, options.superblock, options.data, self._plan.bundle)
        if options.change:
            self._target.change(mount, options.change, recursive=False)
        if self._changes is not None:
            self._changes.attaching(step, mount, "")  # the pod's, whoever writes to it
        made = self._attach(mount, step.path, options)
        aside = f"joined, {maker} made it" if maker else "made"
        return Outcome(step, Result.DONE, f"made {made}" if made else "", aside=aside, made=made)

    def _new_filesystems(self, step: MountFilesystem) -> dict[str, Detached]:
        """The mounts of a step by their names below its path: one, but for the hierarchies of cgroup version 1, which
        are beside each other in a tmpfs (cgroups(7), "Mounting v1 controllers").
        """
        options, filesystem = step.options, self._target.filesystem
        if step.layers is not None:
            layers = self._opened[id(step.layers)]
            return {"": self._target.layered(layers, step.source, options.change, options.superblock, options.data)}
        if step.fstype != "cgroup":
            return {"": filesystem(step.fstype, step.source, options.change, options.superblock, options.data)}
        found = hierarchies()
        if not found:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        parent = options.change._replace(set=options.change.set & ~Attribute.RDONLY)
        mounts = {"": filesystem("tmpfs", "tmpfs", parent, (), ("mode=755",))}
        for each in found:
            mounts[each.directory] = filesystem("cgroup", "cgroup", options.change, (), each.options)
        return mounts

    def _attach_hierarchies(self, mounts: dict[str, Detached], step: MountFilesystem) -> None:
        for name, mount in mounts.items():
            self._attach(mount, f"{step.path}/{name}", step.options)
            for controller in name.split(",") if "," in name else ():
                self._target.make_symlink(f"{step.path}/{controller}", name)
        if step.options.change.set & Attribute.RDONLY:
            self._target.seal(step.path)

    def _plain_binds(self, steps: Sequence[Step], first: int) -> Iterator[tuple[Detached, str]]:
        """The binds of the steps from `first` on that are attached as they stand."""
        for place in range(first, len(steps)):
            step = steps[place]
            if type(step) is not Bind:
                return
            path, _, options, overlay, _ = step
            if overlay is not None or options.propagation or options.recursive:
                return
            if self._made_in is not None:
                if self._made_in == path[: path.rfind("/")]:
                    return  # where the mount point is likely to be missing, too
                self._made_in = None
            yield self._binds[id(step)], path

    def _bind(self, step: Bind) -> Outcome:
        if step.overlay is None:
            mount = self._binds[id(step)]
            own = Overlaid(mount, "a directory" if mount.is_directory else "a file")
        else:
            own = self._make_overlay(step, self._sources[id(step)])
            if step.options.change:
                self._target.change(own.mount, step.options.change, recursive=False)
        if self._changes is not None:
            kind = "" if step.overlay is None else "overlay" if own.mount.is_directory else "file"
            self._changes.attaching(step, own.mount, kind)
        made = self._attach(own.mount, step.path, step.options)
        found = f"{own.found}, made {made}" if made else own.found
        return Outcome(step, Result.CHOSEN, found, own.warning, aside=own.aside, made=made)

    def _make_overlay(self, step: MountRoot | Bind, source: Source) -> Overlaid:
        keep = self._changes is not None and self._changes.keep
        return make_overlay(self._target, step, source, self._layers[id(source)], keep=keep)

    def _attach(self, mount: Detached, path: str, options: MountOptions) -> str:
        """Attach a mount, making the mount point if it is missing; returns the first path that was made."""
        target, made = self._target, ""
        if options.recursive:
            target.change(mount, options.recursive, recursive=True)
        directory = path[: path.rfind("/")]
        try:
            # Where a mount point was missing the next one beside it is likely to be: then it need not be looked for.
            if directory == self._made_in:
                made = target.make_mount_point(path, directory=mount.is_directory)
            target.attach(mount, path)
        except FileNotFoundError:
            made = target.make_mount_point(path, directory=mount.is_directory)
            target.attach(mount, path)
        self._made_in = directory if made else None
        for propagation, recursive in options.propagation:
            target.propagate(path, propagation, recursive=recursive)
        return made

    def _in_the_way(self, path: str) -> str:
        """Why nothing may be mounted at `path` (S58), or nothing."""
        try:
            entries = self._target.list_directory(path)
        except FileNotFoundError:
            return ""
        except NotADirectoryError:
            return f"{path} is not a directory"
        except OSError as error:
            if error.errno == errno.ELOOP:
                return f"{path} is a symbolic link that cannot be followed"
            if error.errno != errno.ENOTEMPTY:
                raise
            return f"{path} is a directory that a kernel fills"
        return f"{path} has {len(entries)} entries" if len(entries) > 1 else f"{path} has an entry" if entries else ""

    def _seal(self, step: Seal) -> Outcome:
        if step.path in self._skipped:
            return Outcome(step, Result.SKIPPED, "it was not mounted")
        self._target.seal(step.path)
        return Outcome(step, Result.DONE)

    def _take_away(self, step: Mask | Cover | SealPath) -> Outcome:
        try:
            match step:
                case Mask():
                    there = self._target.mask(step.path)
                case Cover():
                    there = self._target.cover(step.path, step.contents.encode(), step.mode)
                case SealPath():
                    there = self._target.seal_path(step.path)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            found = "links lead in a circle, or out of the root through /proc: nothing in the root is at this path"
            return Outcome(step, Result.SKIPPED, found)
        return Outcome(step, Result.DONE) if there else Outcome(step, Result.SKIPPED, "not there")
