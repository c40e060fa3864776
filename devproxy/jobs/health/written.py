"""Expectations written from a host that is as it should be."""

from __future__ import annotations

from devproxy.json_text import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from devproxy.host.facts import Host
    from devproxy.host.nvml_facts import NvmlGpu


def expectations_text(host: Host) -> str:
    """The file that `load_expectations` reads. What the host's GPUs do not tell, or not alike, is left out, with a comment."""
    lines = [
        f"# What {host.product_name or 'this host'} should have, as devproxy found it. Delete what may be otherwise."
    ]
    if host.product_name:
        lines += ["", "[host]", f"product = {dumps(host.product_name)}"]
    nvidia = host.nvidia
    if nvidia is not None and nvidia.version:
        lines += ["", "[driver]", f"version = {dumps(nvidia.version)}  # or '>={nvidia.version.partition('.')[0]}'"]
    lines += ["", "[gpu]", f"count = {len(nvidia.gpus) if nvidia is not None else 0}"]
    if nvidia is not None and nvidia.gpus:
        models = sorted({gpu.model for gpu in nvidia.gpus if gpu.model})
        lines += [f"model = {dumps(models[0] if len(models) == 1 else models)}"] if models else []
        lines += _gpu_lines(host)
    usable = [chip for chip in host.tpus if chip.nodes and not chip.problem]
    if usable:
        generations = {chip.generation for chip in usable}
        lines += ["", "[tpu]", f"count = {len(usable)}"]
        lines += [f"generation = {dumps(generations.pop())}"] if len(generations) == 1 else []
    return "\n".join([*lines, "", "[checks]", "# power-capped = false", ""])


_READ: tuple[tuple[str, Callable[[NvmlGpu], object]], ...] = (
    ("memory", lambda gpu: gpu.health.memory_total),
    ("pcie-width", lambda gpu: gpu.health.pcie_width),
    ("pcie-generation", lambda gpu: gpu.health.pcie_generation_most),
    ("nvlinks", lambda gpu: sum(gpu.health.nvlinks) if gpu.health.nvlinks else None),
    ("mig", lambda gpu: gpu.mig_mode),
    ("ecc", lambda gpu: gpu.health.bounds.ecc),
    ("persistence", lambda gpu: gpu.health.persistence),
)


def _gpu_lines(host: Host) -> Iterable[str]:
    gpus = host.details.nvml.gpus if host.details is not None else ()
    if not gpus:
        yield "# NVML did not answer: nothing else is known of them"
        return
    for key, read in _READ:
        values = {read(gpu) for gpu in gpus}
        if len(values) > 1:
            yield f"# {key}: they differ"
        elif (value := values.pop()) is not None:
            yield f"{key} = {dumps(value)}"
    slowdown = {gpu.health.bounds.temperature_slowdown for gpu in gpus}
    if len(slowdown) == 1 and (limit := slowdown.pop()) is not None:
        yield f"# temperature-most = {limit - 5}  # they slow down at {limit}"
