"""`devproxy probe`: what this host, or a recorded one, has."""

from __future__ import annotations

import stat

from devproxy.cli.arguments import add_format_arguments, add_host_argument, wants_json
from devproxy.cli.context import Context
from devproxy.host.facts import Accelerator, Host, MigDevice, Nvidia, NvidiaGpu, TpuChip
from devproxy.host.probe import probe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Final

    from devproxy.cli.quick import Parser

# Drivers whose majors people look for; the others are in the JSON.
_INTERESTING: Final = ("nvidia", "drm", "infiniband", "accel", "vfio", "kfd", "gdrdrv")


def add_arguments(parser: Parser) -> None:
    """Declare the verb's own arguments."""
    add_host_argument(parser)
    add_format_arguments(parser)


def run(args: Namespace, context: Context) -> int:
    """Probe and print."""
    host = probe(args.host)
    if wants_json(args, context):
        from devproxy.host.facts_json import to_json

        context.print_json(to_json(host))
    else:
        _print_tables(host, context)
    return 0


def _print_tables(host: Host, context: Context) -> None:
    recorded = " (recorded)" if host.simulated else ""
    product = f", {host.product_name}" if host.product_name else ""
    context.print(f"host {host.name}{recorded}: Linux {host.kernel or 'of unknown release'}{product}")
    if host.nvidia is None:
        context.print("no NVIDIA GPU")
    else:
        _print_nvidia(host, host.nvidia, context)
    _print_others(host, context)
    majors = [(str(line.major), line.name) for line in host.character if line.name.startswith(_INTERESTING)]
    if majors:
        context.print()
        context.table(majors, ("MAJOR", "DRIVER"))
    if host.unseen:
        context.print()
        context.table(host.unseen, ("NOT SEEN", "WHY"))


def _print_nvidia(host: Host, nvidia: Nvidia, context: Context) -> None:
    loaded = "a driver of unknown version" if host.major_of("nvidia") is not None else "no NVIDIA driver"
    version = f"driver {nvidia.version}" if nvidia.version else loaded
    context.print(f"{len(nvidia.gpus)} NVIDIA GPU{'' if len(nvidia.gpus) == 1 else 's'}, {version}")
    if nvidia.gpus:
        context.print()
        header = ("GPU", "PCI ADDRESS", "MINOR", "NODE", "UUID", "MODEL")
        context.table([_gpu_row(host, gpu) for gpu in nvidia.gpus], header)
    if nvidia.mig:
        context.print()
        rows = [_mig_row(host, nvidia, gpu, mig) for gpu in nvidia.gpus for mig in nvidia.mig if mig.gpu == gpu.minor]
        context.table(rows, ("MIG DEVICE", "GPU INSTANCE", "COMPUTE INSTANCE", "NODES"))


def _gpu_row(host: Host, gpu: NvidiaGpu) -> tuple[str, ...]:
    minor = "-" if gpu.minor is None else str(gpu.minor)
    return (str(gpu.rank), gpu.address, minor, _node_of(host, gpu), gpu.uuid or "-", gpu.model or "-")


def _mig_row(host: Host, nvidia: Nvidia, gpu: NvidiaGpu, mig: MigDevice) -> tuple[str, ...]:
    found = [nvidia.capability(name) for name in mig.capabilities]
    nodes = ", ".join("unknown" if each is None else _shown(host, each.node) for each in found)
    return f"{gpu.rank}:{mig.rank}", str(mig.gpu_instance), str(mig.compute_instance), nodes


def _print_others(host: Host, context: Context) -> None:
    if host.tpus:
        context.print()
        context.print(f"{len(host.tpus)} TPU chip{'' if len(host.tpus) == 1 else 's'}")
        context.print()
        context.table([_chip_row(host, chip) for chip in host.tpus], ("TPU", "PCI ADDRESS", "GENERATION", "NODE"))
    if host.accelerators:
        context.print()
        rows = [_accelerator_row(host, accelerator) for accelerator in host.accelerators]
        context.table(rows, ("OTHER ACCELERATOR", "DEVICE", "DRIVER"))


def _chip_row(host: Host, chip: TpuChip) -> tuple[str, ...]:
    nodes = ", ".join(_shown(host, path) for path in chip.nodes)
    return str(chip.rank), chip.address, chip.generation, nodes or f"none: {chip.problem}"


def _accelerator_row(host: Host, accelerator: Accelerator) -> tuple[str, ...]:
    devices = [device for device in host.pci if device.address in accelerator.addresses]
    named = ", ".join(f"{device.address} ({device.vendor:04x}:{device.device:04x})" for device in devices)
    drivers = ", ".join(dict.fromkeys(device.driver for device in devices))
    return _shown(host, accelerator.path), named or "-", drivers or "-"


def _node_of(host: Host, gpu: NvidiaGpu) -> str:
    return "-" if gpu.minor is None else _shown(host, f"/dev/nvidia{gpu.minor}")


def _shown(host: Host, path: str) -> str:
    node = host.node(path)
    if node is None:
        return f"{path} missing"
    # ls writes the type first: `crw-rw-rw-`.
    return f"{path} {node.kind.value}{stat.filemode(node.mode)[1:]} {node.number}"
