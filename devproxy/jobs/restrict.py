"""A host as the holder of a lease sees it: with the accelerators of the lease and no others."""

from __future__ import annotations

from devproxy.errors import InputError
from devproxy.host.facts import Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

VARIABLE: Final = "DEVPROXY_LEASE"


def restricted(host: Host, names: frozenset[str]) -> tuple[Host, frozenset[str]]:
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


def require_own(paths: Iterable[str], gone: frozenset[str]) -> None:
    """Errors: InputError if a bundle lists a node of an accelerator that is not in the lease."""
    foreign = sorted(gone.intersection(paths))
    if foreign:
        raise InputError(
            f"the bundle lists {', '.join(foreign)}, which {VARIABLE} does not lease",
            hint="let NVIDIA_VISIBLE_DEVICES=all select the leased ones, or lease those that are listed",
        )
