"""A pod whose containers are built on the kernel."""

from __future__ import annotations

import os

from devproxy.build import OfPod, build
from devproxy.carry.words import failure
from devproxy.linux.namespaces import is_privileged
from devproxy.oci.hints import from_json, to_json
from devproxy.plan.planner import plan_in_pod
from devproxy.plan.steps import MountFilesystem
from devproxy.pods.state import Membership
from devproxy.targets.kernel.pod_namespace import PodNamespace
from devproxy.without_root import fit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from devproxy.build import PodWishes, Root
    from devproxy.plan.plan import Plan
    from devproxy.pods.state import Members
    from devproxy.targets.kernel.handles import HeldVolume
    from devproxy.targets.kernel.pod_namespace import Inside


class KernelPod:
    """The volumes are in a mount namespace that this process holds by its descriptors; with a name, other processes join it as
    long as one of its members lives.
    """

    def __init__(self, name: str | None) -> None:
        self._membership = None if name is None else Membership(name)
        self._namespace: PodNamespace | None = None
        self._told: list[str] = []

    def take_told(self) -> list[str]:
        """What happened to the pod since it was last asked, in words."""
        told, self._told = self._told, []
        return told

    def build(self, plan: Plan, wishes: PodWishes) -> Root:
        """See `Pod.build`."""
        with _Nobody() if self._membership is None else self._membership.locked() as members:
            namespace = self._join(plan, members)
            with namespace.enter() as inside:
                plan = plan_in_pod(plan, from_json(inside.document()))
                volumes = _volumes(plan, inside)
        try:
            return build(plan, "kernel", of_pod=OfPod(None, volumes), **wishes._asdict())
        finally:
            for held in volumes.values():
                os.close(held.descriptor)

    def _join(self, plan: Plan, members: Members | None) -> PodNamespace:
        """The pod's namespace; this process begins it, if there is none yet."""
        if self._namespace is not None:
            return self._namespace
        found = [] if members is None else members.living()
        self._namespace = PodNamespace(*found) if found else PodNamespace.make(to_json(plan.hints))
        if self._membership is not None and members is not None:
            self._membership.join(members, (self._namespace.mount, self._namespace.user))
            if members.removed:
                self._told.append(f"removed what {members.removed} killed members of pods left")
        return self._namespace

    def close(self) -> None:
        """See `Pod.close`."""
        namespace, self._namespace = self._namespace, None
        try:
            if self._membership is not None:
                self._membership.leave()
        finally:
            if namespace is not None:
                namespace.close()


class _Nobody:
    """In place of the members of a pod without a name."""

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return


def _volumes(plan: Plan, inside: Inside) -> dict[str, HeldVolume]:
    """A mount of each volume that a plan uses. Errors: DevproxyError that names the step."""
    volumes: dict[str, HeldVolume] = {}
    rootless = not is_privileged()
    try:
        for step in plan.steps:
            if not isinstance(step, MountFilesystem) or not step.volume or step.volume in volumes:
                continue
            fitted = fit(step, plan, None).step if rootless else step
            assert isinstance(fitted, MountFilesystem)
            options = fitted.options
            try:
                volumes[step.volume] = inside.volume(step.volume, options.superblock, options.data, plan.bundle)
            except OSError as error:
                raise failure(step, error, rootless=rootless) from error
    except BaseException:
        for held in volumes.values():
            os.close(held.descriptor)
        raise
    return volumes
