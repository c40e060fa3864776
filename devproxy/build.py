"""A plan carried out on a target.

`carry_out` is the only place where steps and verbs meet: it asks the target, decides what a step left open, and records
one outcome a step. `build` puts it to work: in this process for the memory target, in a forked builder for the kernel.

A root exists whole or not at all: the first step that fails ends the build, and the target drops what it holds.
"""

from __future__ import annotations

import os

from devproxy.carry.carrier import Carrier
from devproxy.collector import Still
from devproxy.errors import DevproxyError
from devproxy.linux.mountinfo import MountLine
from devproxy.outcome import Outcomes, from_plain, to_plain
from devproxy.plan.plan import Plan
from devproxy.plan.steps import Bind, MountRoot
from devproxy.record import Record
from devproxy.targets.root import Root as TargetRoot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import IO, Any, Self

    from devproxy.carry.host_layers import PlannedLayers
    from devproxy.saves.restore import Restore
    from devproxy.saves.save import Saved
    from devproxy.targets.kernel.handles import HeldVolume
    from devproxy.targets.kernel.paths import KernelPaths
    from devproxy.targets.memory.shared import SharedWorld
    from devproxy.targets.rootless import Rootless
    from devproxy.targets.target import Target
    from devproxy.timeline import Timeline


class OfPod(Record):
    """What a pod gives a container that is built in it: in memory the world that it is in, on the kernel the pod's volumes."""

    world: SharedWorld | None
    volumes: Mapping[str, HeldVolume]


class PodWishes(Record):
    """What one container's build in a pod is asked for beside its plan, as `build` takes it."""

    paths: KernelPaths | None
    timeline: Timeline | None
    restore: str | None
    keep: bool


class Root:
    """A built root: the plan, what became of each step, and the tree to look at. A context manager; closing drops the
    root. `rootless` says what was lacking if it was built without privileges, `removed` what killed runs had left, `restored` what was
    put into it.
    """

    def __init__(
        self,
        plan: Plan,
        outcomes: Outcomes,
        tree: TargetRoot,
        rootless: Rootless | None = None,
        layers: PlannedLayers | None = None,
    ) -> None:
        self.plan = plan
        self.outcomes = outcomes
        self.tree = tree
        self.rootless = rootless
        self.removed = () if layers is None else tuple(layers.removed)
        self._layers = layers
        self.restored: Restore | None = None
        self.keeps = False

    @property
    def simulated(self) -> bool:
        """Whether it was built from a recorded host: then ENXIO is what opening a device should say."""
        return self.plan.host.simulated

    def listdir(self, path: str = "/") -> list[str]:
        """The names in a directory, sorted. Raises OSError as os.listdir does."""
        return self.tree.listdir(path)

    def stat(self, path: str) -> os.stat_result:
        """What a path is, links followed inside the root. Raises OSError as os.stat does."""
        return self.tree.stat(path)

    def lstat(self, path: str) -> os.stat_result:
        """What a path is, a final link not followed. Raises OSError as os.lstat does."""
        return self.tree.lstat(path)

    def read_bytes(self, path: str) -> bytes:
        """The contents of a regular file. Raises OSError; EINVAL for anything that is no regular file."""
        return self.tree.read_bytes(path)

    def open(self, path: str, mode: str = "rb", *, devices: bool = False) -> IO[Any]:
        """Open a file inside the root as the built-in of that name does; without `b` in the mode it is UTF-8 text. A device, fifo
        or socket is opened only with `devices`. Raises OSError as the built-in does; EINVAL for what is not to be opened.
        """
        return self.tree.open(path, mode, devices=devices)

    def readlink(self, path: str) -> str:
        """The target of a symbolic link. Raises OSError as os.readlink does."""
        return self.tree.readlink(path)

    def mountinfo(self) -> list[MountLine]:
        """The mount table (proc_pid_mountinfo(5))."""
        return self.tree.mountinfo()

    def save(self, file: str) -> Saved:
        """Save the changes to the root as an OCI layer: what is in its overlays and tmpfs (docs/architecture.md, "Save and restore").
        Its process may run, or have ended. `build` takes the file as `restore`.

        Raises InputError for a name that is taken; DevproxyError when something cannot be read or written, and for a root on the
        kernel that was built without `keep`. No file is left then.
        """
        from devproxy.saves.save import save_root

        kept = self.tree.kept()
        if not self.keeps:
            raise DevproxyError(
                "nothing of this root was kept, so that nothing can be saved", hint="build it with keep=True"
            )
        try:
            return save_root(self.plan, self.outcomes, kept, file)
        finally:
            for each in kept:
                each.tree.close()

    def close(self) -> None:
        """Drop the root, and the layers that it had on the host."""
        try:
            self.tree.close()
        finally:
            if self._layers is not None:
                self._layers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Wishes(Record):
    """What a build is asked for beside its plan: `sandbox` is in the names of layers on the host, a `timeline` gets what the parts and the
    steps cost, `restore` is put into the root, `keep` holds on to what is written to it, for a save; `of_pod` is what its pod gives.
    """

    sandbox: str = ""
    timeline: Timeline | None = None
    restore: Restore | None = None
    keep: bool = False
    of_pod: OfPod | None = None


_NO_WISHES = Wishes()


def carry_out(plan: Plan, target: Target, wishes: Wishes = _NO_WISHES) -> Outcomes:
    """Carry out every step of `plan` on `target` and return an outcome for each, in the plan's order.

    Raises InputError when a source of the host is missing or of the wrong kind (nothing was mounted then),
    DevproxyError when a step fails: the message names the step, what was found, and where the step comes from.
    """
    if wishes.restore is None and not wishes.keep:
        return _carry_out(plan, Carrier(plan, target, wishes.sandbox), wishes.timeline)
    from devproxy.carry.changes import Changes

    changes = Changes(plan, target, wishes.restore, keep=wishes.keep)
    try:
        return _carry_out(plan, Carrier(plan, target, wishes.sandbox, changes), wishes.timeline)
    finally:
        changes.close()


def _carry_out(plan: Plan, carrier: Carrier, timeline: Timeline | None) -> Outcomes:
    if timeline is not None:
        return _carry_out_timed(plan, carrier, timeline)
    carrier.open_sources()
    outcomes = carrier.carry_all()
    carrier.finish()
    return outcomes


def _carry_out_timed(plan: Plan, carrier: Carrier, timeline: Timeline) -> Outcomes:
    timeline.begin_parts()
    carrier.open_sources()
    timeline.part("sources")
    outcomes = Outcomes.of([timeline.carry(carrier.carry, step) for step in plan.steps])
    timeline.part("steps")
    carrier.finish()
    timeline.part("finish")
    return outcomes


def build(  # noqa: PLR0913 (each is a wish of its own, and by name)
    plan: Plan,
    target: str = "memory",
    *,
    paths: KernelPaths | None = None,
    rootless: Rootless | None = None,
    timeline: Timeline | None = None,
    of_pod: OfPod | None = None,
    restore: str | Restore | None = None,
    keep: bool = False,
) -> Root:
    """Build the root of `plan` on `target`, `memory` or `kernel`. `paths` forces the kernel target's older ways (for
    tests); `rootless` has the memory target lack what a rootless kernel target lacked (for `verify`). A `timeline` gets the
    phase `build`, its parts and what each step cost (devproxy.timeline). `of_pod` is what a pod gives to its containers
    (devproxy.pods.pod).

    `restore` names a file of `Root.save`, whose changes are in the root before it is sealed and before its process starts; a
    `Restore` is one that `plan` was fitted to already. `keep` holds on to what is written to a root on the kernel, so that it can
    be saved, also when its process has ended; one in memory always is.

    Without privileges the kernel target works in a user namespace of the caller alone (devproxy.targets.rootless).

    Raises DevproxyError as `carry_out` does, and when the kernel refuses what building needs (namespaces); InputError for a file
    that is damaged, or does not go with the plan.
    """
    if target not in ("memory", "kernel"):
        raise DevproxyError(f"target is {target!r}, expected 'memory' or 'kernel'")
    if isinstance(restore, str):
        from devproxy.saves.restore import fitted, read_restore

        restore = read_restore(restore)
        plan = fitted(plan, restore)
    sandbox = os.urandom(6).hex() if target == "kernel" else ""
    wishes = Wishes(sandbox, timeline, restore, keep or target == "memory", of_pod)
    root = _build_in_memory(plan, rootless, wishes) if target == "memory" else _build_on_kernel(plan, paths, wishes)
    root.restored, root.keeps = restore, wishes.keep
    if timeline is not None:
        timeline.done("build", rest="target")
    return root


def _build_in_memory(plan: Plan, rootless: Rootless | None, wishes: Wishes) -> Root:
    from devproxy.targets.memory import MemoryTarget

    timeline, world = wishes.timeline, wishes.of_pod and wishes.of_pod.world
    with MemoryTarget(
        plan.host, rootless, host_fifo=plan.host_fifo, devices=plan.character_devices, world=world
    ) as target:
        outcomes = carry_out(plan, target, wishes)
        if timeline is not None:
            timeline.take(timeline.measured, plan.steps)
        return Root(plan, outcomes, target.root(), rootless)


def _build_on_kernel(plan: Plan, paths: KernelPaths | None, wishes: Wishes) -> Root:
    from devproxy.targets.kernel.builder import start_builder

    timeline = wishes.timeline

    def work(target: Target) -> list[object]:
        # The steps themselves are in this process already, in the same order.
        told = to_plain(carry_out(plan, target, wishes))
        return told if timeline is None else [*told, list(timeline.measured)]

    layers = None
    if any(isinstance(step, MountRoot | Bind) and step.overlay and step.overlay.on_host for step in plan.steps):
        from devproxy.carry.host_layers import PlannedLayers

        layers = PlannedLayers(plan, wishes.sandbox)
    try:
        tree = start_builder(
            plan.host,
            work,
            namespaces=plan.namespaces,
            hostname=plan.hostname,
            domainname=plan.domainname,
            paths=paths,
            volumes=wishes.of_pod.volumes if wishes.of_pod is not None else {},
        )
    except BaseException:
        if layers is not None:
            layers.close()
        raise
    if timeline is not None:
        timeline.take(tree.outcomes.pop(), plan.steps)
    with Still():
        outcomes = from_plain(plan.steps, tree.outcomes)
    return Root(plan, outcomes if layers is None else layers.told(outcomes), tree, tree.rootless, layers)
