"""A plan from a spec, a host and a configuration: pure, so that the same three give the same plan.

The order of the steps is the order of the work: the root, the mounts with the contents of /dev, the internal /tmp, the
spec's devices, the working directory; then everything that takes rights away, and what is left out.
"""

from __future__ import annotations

from devproxy.collector import Still
from devproxy.errors import InputError
from devproxy.host.facts import Host
from devproxy.oci.configuration import Configuration
from devproxy.oci.hints import Hints, parse_hints
from devproxy.oci.spec import Process, Spec, Unsupported
from devproxy.overlay import Overlaid
from devproxy.plan.cgroups import cgroup_mounts
from devproxy.plan.dev import dev_contents
from devproxy.plan.devices import device_steps
from devproxy.plan.host_nodes import verbs_remarks
from devproxy.plan.modes import Choice, choose_mode, with_annotations
from devproxy.plan.mounts import MountPlanner
from devproxy.plan.nvidia import NvidiaDrivers, version_remarks
from devproxy.plan.overlays import Overlays, told_of_hints
from devproxy.plan.plan import Asked, Plan
from devproxy.plan.steps import (
    Level,
    MakeDirectory,
    Mask,
    MountRoot,
    Reason,
    Seal,
    SealPath,
    Skip,
    Step,
    WhenMissing,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.plan.volumes import Volumes

_DEFAULTS = Configuration()
_NOT_DONE_HERE = "run does not do this"


def plan(
    spec: Spec, host: Host, *, mode: str = "auto", config: Configuration = _DEFAULTS, hints: Hints | None = None
) -> Plan:
    """How to meet `spec` on `host`. `mode` is auto, docker, spec or none. `hints` are those of the pod that the container joins
    (S63); its own count for one that begins a pod, or is alone.

    Errors: InputError for a mode that is not supported, an id that names no GPU or TPU of the host, a mount that goes beyond its
    volume's hint, and, under strict, for everything that would be left out with a warning.
    """
    with Still():
        return _plan(spec, host, mode, config, parse_hints(spec.annotations), hints)


def _plan(spec: Spec, host: Host, mode: str, config: Configuration, own: Hints, hints: Hints | None) -> Plan:
    counting = own if hints is None else hints
    config, told_of_switches = with_annotations(config, spec.annotations)
    nvidia = None if config.nvproxy is False else NvidiaDrivers(host)
    choice = choose_mode(spec, host, mode, config, nvidia)
    overlays = Overlays(config.overlay2, counting)
    cgroups = cgroup_mounts(config.cgroupfs, spec.namespaces)
    mounts = MountPlanner(spec.mounts, config.mount_order, overlays, cgroups, _volumes(counting))
    mounts.plan(dev_contents(host, tun=config.tun), _selected(choice, spec, host, config))
    devices = _devices(spec, nvidia, mounts, tpus=config.tpuproxy is not False)
    cwd = _working_directory(spec.process, mounts)
    with_gpus = choice.visible is not None or (nvidia is not None and nvidia.are_in(spec))
    steps = (
        _root(spec, config, tuple(mounts.needed)),
        *mounts.steps,
        *devices,
        *cwd,
        *(_params(host) if with_gpus else ()),
        *_protections(spec, mounts),
        *told_of_switches,
        *choice.skipped,
        *(version_remarks(host) if with_gpus else ()),
        *verbs_remarks(spec.devices or (), host),
        *told_of_hints(own, counting),
        *_ambient(spec.process),
        *(_left_out(unsupported) for unsupported in spec.unsupported),
    )
    if config.strict:
        _refuse_warnings(steps)
    return Plan(
        bundle=spec.bundle,
        mode=choice.mode,
        steps=steps,
        host=host._replace(product_name=config.product_name) if config.product_name else host,
        process=spec.process,
        namespaces=tuple(namespace for namespace in spec.namespaces if namespace.type not in ("user", "time")),
        hostname=spec.hostname,
        domainname=spec.domainname,
        strict=config.strict,
        host_fifo=config.host_fifo,
        character_devices=config.character_devices,
        hints=counting,
        asked=Asked(spec, mode, config),
    )


def _selected(choice: Choice, spec: Spec, host: Host, config: Configuration) -> list[Step]:
    """The nodes of the accelerators that the environment selects."""
    nodes: list[Step] = []
    if choice.visible is not None:
        from devproxy.plan.nvidia_docker import docker_nodes

        nodes += docker_nodes(choice.visible, spec.process, host, config)
    if choice.tpus is not None:
        from devproxy.plan.tpu import selected_nodes

        nodes += selected_nodes(choice.tpus, host)
    return nodes


def _params(host: Host) -> list[Step]:
    from devproxy.plan.nvidia_params import params_steps

    return params_steps(host)


def _volumes(hints: Hints) -> Volumes | None:
    if not any(hint.shared for hint in hints.by_source.values()):
        return None
    from devproxy.plan.volumes import Volumes  # few bundles have any

    return Volumes(hints)


def plan_in_pod(made: Plan, hints: Hints) -> Plan:
    """The same container in a pod in which these hints count (S63). Errors: as `plan`."""
    if made.hints.by_source == hints.by_source or made.asked is None:
        return made
    spec, mode, config = made.asked
    return plan(spec, made.host, mode=mode, config=config, hints=hints)


def _root(spec: Spec, config: Configuration, needed: tuple[str, ...]) -> MountRoot:
    """The root; a read-only one is overlaid only if something has to be made in it (S40, S41). A rootfs hint outweighs
    the configuration (H19).
    """
    overlay2, where = config.overlay2, "root.path"
    if spec.rootfs_hint is not None:
        overlay2, where = spec.rootfs_hint.overlay2_or(overlay2), "the rootfs hint in annotations"
    if overlay2.mounts is Overlaid.NONE:
        reason = Reason(where, "overlay2 = none, the rootfs itself is changed")
        return MountRoot(spec.rootfs, None, None, spec.rootfs_propagation, reason)
    when = WhenMissing(needed) if spec.readonly else None
    reason = Reason(where, f"overlay2 = {overlay2}")
    return MountRoot(spec.rootfs, overlay2.overlay, when, spec.rootfs_propagation, reason)


def _devices(spec: Spec, nvidia: NvidiaDrivers | None, mounts: MountPlanner, *, tpus: bool) -> list[Step]:
    devices = spec.devices or ()
    holders = [mounts.mounted.holding(device.path) for device in devices]
    for device, holder in zip(devices, holders, strict=True):
        if holder is None:
            mounts.needed[device.path] = None
    return [*device_steps(devices, nvidia, holders, tpus=tpus)]


def _working_directory(process: Process | None, mounts: MountPlanner) -> list[Step]:
    if process is None or process.cwd == "/":
        return []
    _need(process.cwd, mounts)
    return [MakeDirectory(process.cwd, 0o755, Reason("process.cwd"))]


def _need(path: str, mounts: MountPlanner) -> None:
    if mounts.mounted.holding(path) is None:
        mounts.needed[path] = None


def _protections(spec: Spec, mounts: MountPlanner) -> list[Step]:
    """What takes rights away, after everything is made: mounts deepest first, paths, the root last (S35 to S38). A masked
    path may hide a mount, which could not be found any more then.
    """
    steps = mounts.seals()
    steps += [SealPath(path, Reason(f"linux.readonlyPaths[{n}]")) for n, path in enumerate(spec.readonly_paths)]
    steps += [Mask(path, Reason(f"linux.maskedPaths[{n}]")) for n, path in enumerate(spec.masked_paths)]
    if spec.readonly:
        steps.append(Seal("/", Reason("root.readonly")))
    return steps


def _ambient(process: Process | None) -> list[Step]:
    """Ambient capabilities that the kernel cannot raise (capabilities(7)); `runc spec` writes them, hence no warning."""
    if process is None or process.capabilities is None:
        return []
    sets = process.capabilities
    lost = [name for name in sets.ambient if name not in sets.inheritable or name not in sets.permitted]
    if not lost:
        return []
    reason = Reason("process.capabilities.ambient", "not permitted and inheritable, so the kernel does not raise it")
    return [Skip("/", f"ambient {', '.join(lost)}", Level.NOTE, reason)]


def _left_out(unsupported: Unsupported) -> Skip:
    level = Level.NOTE if unsupported.harmless else Level.WARNING
    return Skip("/", unsupported.what, level, Reason(unsupported.where, _NOT_DONE_HERE))


def _refuse_warnings(steps: tuple[Step, ...]) -> None:
    warnings = [step for step in steps if isinstance(step, Skip) and step.level is Level.WARNING]
    if warnings:
        told = "; ".join(f"{step.what} ({step.reason})" for step in warnings)
        raise InputError(f"strict: {told}", hint="take it out of the bundle, or do not ask for strict")
