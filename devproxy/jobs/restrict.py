"""A host as the holder of a lease sees it: with the accelerators of the lease and no others."""

from __future__ import annotations

from devproxy.errors import InputError
from devproxy.host.facts import Host
from devproxy.jobs.quarantine import kept_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def restricted(host: Host, names: frozenset[str | None]) -> tuple[Host, frozenset[str]]:
    """The host without the GPUs and TPU chips whose names (UUID, PCI address) are not among `names`, and the nodes of those.

    It keeps an honest job to its own devices; whoever unsets the variable is kept by nothing but the modes of the nodes.
    """
    gone: set[str] = set()
    nvidia = host.nvidia
    if nvidia is not None:
        out = [gpu for gpu in nvidia.gpus if gpu.uuid not in names]
        gone |= {f"/dev/nvidia{gpu.minor}" for gpu in out if gpu.minor is not None}
        minors = {gpu.minor for gpu in out}
        nvidia = nvidia._replace(
            gpus=tuple(gpu for gpu in nvidia.gpus if gpu.uuid in names),
            mig=tuple(device for device in nvidia.mig if device.gpu not in minors),
        )
    chips = tuple(chip for chip in host.tpus if chip.address in names)
    gone |= {path for chip in host.tpus if chip.address not in names for path in chip.nodes}
    nodes = tuple(node for node in host.nodes if node.path not in gone)
    return host._replace(nvidia=nvidia, tpus=chips, nodes=nodes), frozenset(gone)


def given(host: Host, leased: frozenset[str] | None, warn: Callable[[str], None]) -> tuple[Host, frozenset[str]]:
    """The host with the accelerators of a lease (None: all of them) that are not in quarantine; each that would be there
    otherwise is warned of.
    """
    names = {gpu.uuid for gpu in host.nvidia.gpus if gpu.uuid} if host.nvidia is not None else set()
    names |= {chip.address for chip in host.tpus}
    ours = names if leased is None else names & leased
    out = {} if host.simulated else {name: entry for name, entry in kept_out().items() if name in ours}
    for name, entry in out.items():
        warn(f"{name} is left out: {entry.describe()}")
    if leased is None and not out:
        return host, frozenset()
    unnamed = {gpu.uuid for gpu in host.nvidia.gpus} - names if host.nvidia is not None and leased is None else set()
    return restricted(host, frozenset(ours - out.keys()) | unnamed)


def require_own(paths: Iterable[str], gone: frozenset[str]) -> None:
    """Errors: InputError if a bundle lists a node of an accelerator that is not in the lease."""
    foreign = sorted(gone.intersection(paths))
    if foreign:
        raise InputError(
            f"the bundle lists {', '.join(foreign)}, which is not leased, or quarantined",
            hint="let NVIDIA_VISIBLE_DEVICES=all select those that can be had; 'devproxy quarantine list' says who is out",
        )
