"""Pods: several containers that share volumes.

The first container that is built begins the pod: the mount hints among its annotations are those that count (S63). A volume is
made by the first container that mounts it, and stays as long as the pod does, whatever becomes of that container (H22).

    >>> with devproxy.Pod("kernel") as pod:
    ...     first, second = pod.build(plan), pod.build(other_plan)
    ...     with first, second:
    ...         devproxy.launch(second)
"""

from __future__ import annotations

import threading

from devproxy.errors import DevproxyError
from devproxy.plan.planner import plan_in_pod

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from devproxy.build import PodWishes, Root
    from devproxy.oci.hints import Hints
    from devproxy.plan.plan import Plan
    from devproxy.targets.kernel.paths import KernelPaths
    from devproxy.targets.memory.shared import SharedWorld
    from devproxy.timeline import Timeline


class Pod:
    """Containers that share what their hints say, on one target. A context manager.

    On the kernel a pod with a `name` has members in other processes too, which join it as long as one of them lives (devproxy.pods.state). A
    pod in memory is one world, in which each container has a mount namespace of its own.

    Roots of a pod are closed like any other, before or after it: they keep what they have of its volumes.
    """

    def __init__(self, target: str = "kernel", *, name: str | None = None) -> None:
        """Errors: InputError for a name that is no plain component of a path; DevproxyError for a target that is unknown, or
        takes no name.
        """
        self._lock = threading.Lock()
        self._closed = False
        if target == "kernel":
            from devproxy.pods.kernel import KernelPod

            self._of: KernelPod | _MemoryPod = KernelPod(name)
        elif target == "memory":
            if name is not None:
                raise DevproxyError("a pod in memory is this process's alone, and takes no name")
            self._of = _MemoryPod()
        else:
            raise DevproxyError(f"target is {target!r}, expected 'memory' or 'kernel'")

    def build(
        self,
        plan: Plan,
        *,
        paths: KernelPaths | None = None,
        timeline: Timeline | None = None,
        restore: str | None = None,
        keep: bool = False,
    ) -> Root:
        """Build the root of one more container. The plan is made anew where the pod has other hints than its bundle: `plan` of
        the root is the one that was carried out. The rest is as for `devproxy.build`; of what is saved and restored the pod's volumes
        are no part.

        Raises InputError for a mount that goes beyond what its volume's hint allows, and DevproxyError as `devproxy.build` does, for a
        pod that is closed, and for one whose state cannot be had or trusted.
        """
        with self._lock:
            if self._closed:
                raise DevproxyError("the pod is closed, no container can be built in it")
            from devproxy.build import PodWishes

            return self._of.build(plan, PodWishes(paths, timeline, restore, keep))

    def take_told(self) -> list[str]:
        """What happened to the pod since it was last asked, in words: what was removed that killed members left."""
        return self._of.take_told()

    def close(self) -> None:
        """Let go of what is shared; the last member's end is the end of the pod. Closing again does nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._of.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class _MemoryPod:
    """A pod in one world."""

    def __init__(self) -> None:
        self._world: SharedWorld | None = None
        self._hints: Hints | None = None

    def take_told(self) -> list[str]:
        """Nothing happens to it that its outcomes do not say."""
        return []

    def build(self, plan: Plan, wishes: PodWishes) -> Root:
        """See `Pod.build`."""
        from devproxy.build import OfPod, build
        from devproxy.targets.memory.shared import SharedWorld

        if self._world is None or self._hints is None:
            self._world, self._hints = SharedWorld(plan.host), plan.hints
        if self._world.host != plan.host:
            raise DevproxyError(
                f"the containers of a pod are on one host: it began on {self._world.host.name}, this plan is for {plan.host.name}",
                hint="plan it with the host of the first container",
            )
        plan = plan_in_pod(plan, self._hints)
        return build(plan, "memory", of_pod=OfPod(self._world, {}), **wishes._asdict())

    def close(self) -> None:
        """See `Pod.close`."""
        if self._world is not None:
            self._world.close()
