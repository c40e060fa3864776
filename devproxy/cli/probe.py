"""`devproxy probe`: what this host, or a recorded one, has, and what could not be seen.

It judges nothing: that is for `doctor`. What was not seen comes last, where whoever looks at the end of a page sees it.
"""

from __future__ import annotations

import stat

from devproxy.cli.arguments import add_format_arguments, add_host_argument, wants_json
from devproxy.cli.context import Context
from devproxy.cli.probe_details import held_by, nvml_line, print_details, where_it_ran
from devproxy.errors import InputError
from devproxy.host.facts import Accelerator, Host, MigDevice, Nvidia, NvidiaGpu, TpuChip
from devproxy.host.probe import probe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Final

    from devproxy.cli.quick import Parser

# Drivers whose majors people look for; the others are in the JSON.
_INTERESTING: Final = ("nvidia", "drm", "infiniband", "accel", "vfio", "kfd", "gdrdrv")

_CAPABILITIES: Final = "/dev/nvidia-caps/"


def add_arguments(parser: Parser) -> None:
    """Declare the verb's own arguments."""
    add_host_argument(parser)
    add_format_arguments(parser)
    parser.add_argument(
        "--open",
        "--opens",
        action="store_true",
        help="open each accelerator too: who opens a TPU keeps others from it meanwhile",
    )
    parser.add_argument("--watch", action="store_true", help="print what changes as it happens, until Ctrl-C")


def run(args: Namespace, context: Context) -> int:
    """Probe and print."""
    if args.watch:
        from devproxy.cli.probe_watch import run_watch

        return run_watch(args, context)
    if args.open and args.host != "live":
        raise InputError("--open opens devices of this machine, and a recording has none", hint="leave --host out")
    host = probe(args.host, deep=True, opens=args.open)
    if wants_json(args, context):
        from devproxy.host.facts_json import to_json

        context.print_json(to_json(host))
    else:
        print_host(host, context)
    return 0


def print_host(host: Host, context: Context) -> None:
    """All that is known of a host, as tables for people."""
    recorded = " (recorded)" if host.simulated else ""
    product = f", {host.product_name}" if host.product_name else ""
    context.print(f"host {host.name}{recorded}: Linux {host.kernel or 'of unknown release'}{product}")
    if host.details is not None and (inside := where_it_ran(host.details)):
        context.print(inside)
    if host.nvidia is None:
        seen = host.knows("/sys/bus/pci/devices") and host.knows("/proc/driver/nvidia/version")
        context.print("no NVIDIA GPU" if seen else "no NVIDIA GPU was seen; not everything could be looked at")
    else:
        _print_nvidia(host, host.nvidia, context)
    _print_others(host, context)
    if host.details is not None:
        print_details(host.details, context)
    majors = [(str(line.major), line.name) for line in host.character if line.name.startswith(_INTERESTING)]
    if majors:
        context.print()
        context.table(majors, ("MAJOR", "DRIVER"))
    rows = [(each.path, each.why) for each in host.unseen]
    holders = host.details.devices.holders if host.details is not None else None
    if holders is not None and not holders.complete:
        rows.append(("who holds devices", holders.why or "not every process could be looked into"))
    if rows:
        context.print()
        context.table(rows, ("NOT SEEN", "WHY"))


def _print_nvidia(host: Host, nvidia: Nvidia, context: Context) -> None:
    loaded = "a driver of unknown version" if host.major_of("nvidia") is not None else "no NVIDIA driver"
    version = f"driver {nvidia.version}" if nvidia.version else loaded
    models = {gpu.model for gpu in nvidia.gpus}
    # One model is told once: eight times it would make the table wider than a terminal.
    one = f" ({next(iter(models))})" if len(models) == 1 and all(models) else ""
    context.print(f"{len(nvidia.gpus)} NVIDIA GPU{'' if len(nvidia.gpus) == 1 else 's'}{one}, {version}")
    if host.details is not None and (asked := nvml_line(host.details)):
        context.print(asked)
    if nvidia.gpus:
        context.print()
        header = ("GPU", "PCI ADDRESS", "NUMA", "MINOR", "NODE", "HELD BY", "UUID", "MODEL")
        columns = len(header) - bool(one)
        context.table([_gpu_row(host, gpu)[:columns] for gpu in nvidia.gpus], header[:columns])
    if nvidia.mig:
        context.print()
        rows = [_mig_row(host, nvidia, gpu, mig) for gpu in nvidia.gpus for mig in nvidia.mig if mig.gpu == gpu.minor]
        context.table(
            rows, ("MIG DEVICE", "GPU INSTANCE", "COMPUTE INSTANCE", f"NODES IN {_CAPABILITIES[:-1]}", "UUID")
        )


def _gpu_row(host: Host, gpu: NvidiaGpu) -> tuple[str, ...]:
    minor = "-" if gpu.minor is None else str(gpu.minor)
    held = "-" if gpu.minor is None else held_by(host, (f"/dev/nvidia{gpu.minor}",))
    numa, node = _numa_node(host, gpu.address), _node_of(host, gpu)
    return str(gpu.rank), gpu.address, numa, minor, node, held, gpu.uuid or "-", gpu.model or "-"


def _mig_row(host: Host, nvidia: Nvidia, gpu: NvidiaGpu, mig: MigDevice) -> tuple[str, ...]:
    found = [nvidia.capability(name) for name in mig.capabilities]
    nodes = ", ".join(
        "unknown" if each is None else _shown(host, each.node).removeprefix(_CAPABILITIES) for each in found
    )
    told = host.details.nvml.part(gpu, mig) if host.details is not None else None
    return f"{gpu.rank}:{mig.rank}", str(mig.gpu_instance), str(mig.compute_instance), nodes, told.uuid if told else "-"


def _print_others(host: Host, context: Context) -> None:
    if host.tpus:
        context.print()
        context.print(f"{len(host.tpus)} TPU chip{'' if len(host.tpus) == 1 else 's'}")
        context.print()
        header = ("TPU", "PCI ADDRESS", "NUMA", "GENERATION", "HELD BY", "NODE")
        context.table([_chip_row(host, chip) for chip in host.tpus], header)
    if host.accelerators:
        context.print()
        rows = [_accelerator_row(host, accelerator) for accelerator in host.accelerators]
        context.table(rows, ("OTHER ACCELERATOR", "HELD BY", "DEVICE", "DRIVER"))


def _chip_row(host: Host, chip: TpuChip) -> tuple[str, ...]:
    nodes = ", ".join(_shown(host, path) for path in chip.nodes)
    numa, held = _numa_node(host, chip.address), held_by(host, chip.nodes) if chip.nodes else "-"
    return str(chip.rank), chip.address, numa, chip.generation, held, nodes or f"none: {chip.problem}"


def _accelerator_row(host: Host, accelerator: Accelerator) -> tuple[str, ...]:
    devices = [device for device in host.pci if device.address in accelerator.addresses]
    named = ", ".join(f"{device.address} ({device.vendor:04x}:{device.device:04x})" for device in devices)
    drivers = ", ".join(dict.fromkeys(device.driver for device in devices))
    return _shown(host, accelerator.path), held_by(host, (accelerator.path,)), named or "-", drivers or "-"


def _numa_node(host: Host, address: str) -> str:
    """The NUMA node of a function; `-` where the firmware does not say."""
    node = next((device.numa_node for device in host.pci if device.address == address), -1)
    return "-" if node < 0 else str(node)


def _node_of(host: Host, gpu: NvidiaGpu) -> str:
    return "-" if gpu.minor is None else _shown(host, f"/dev/nvidia{gpu.minor}")


def _shown(host: Host, path: str) -> str:
    node = host.node(path)
    if node is None:
        return f"{path} missing"
    # ls writes the type first: `crw-rw-rw-`.
    return f"{path} {node.kind.value}{stat.filemode(node.mode)[1:]} {node.number}"
