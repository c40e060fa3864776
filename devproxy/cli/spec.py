"""`devproxy spec`: a new bundle with this host's accelerators."""

from __future__ import annotations

from devproxy.cli.arguments import add_host_argument
from devproxy.cli.context import Context
from devproxy.errors import NvmlUnasked
from devproxy.host.probe import probe
from devproxy.oci.new_bundle import write_bundle
from devproxy.oci.nvidia_env import parse_visible
from devproxy.plan.offered import Offered, offered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from devproxy.cli.quick import Parser
    from devproxy.host.facts import Host
    from devproxy.oci.nvidia_env import VisibleDevices

_EXAMPLES = """\
examples:
  devproxy spec bundle                          every accelerator of this host
  devproxy spec bundle --gpus 0,2:1             one GPU and one MIG device of another, by nvidia-smi's indices
  devproxy spec bundle --gpus none              whatever else the host has
  devproxy spec bundle --host h100.tar          for a recorded host

Then put a root file system into bundle/rootfs, and 'devproxy plan bundle'. The devices are listed in linux.devices, with
the numbers that they have now; devproxy corrects those that have changed when the bundle is used.
"""


def add_arguments(parser: Parser) -> None:
    """Declare the verb's own arguments."""
    parser.add_argument(
        "directory", metavar="DIR", help="the bundle's directory; a config.json in it is not written over"
    )
    add_host_argument(parser)
    parser.add_argument(
        "--gpus",
        default="all",
        metavar="IDS",
        help="NVIDIA GPUs, as in NVIDIA_VISIBLE_DEVICES: all (the default), none, or indices and UUIDs",
    )
    parser.epilog = _EXAMPLES


def run(args: Namespace, context: Context) -> int:
    """Probe, write the bundle, say what is in it and what is not."""
    host = probe(args.host)
    visible = parse_visible(args.gpus, source="--gpus")
    # The driver's nodes are of no use without a GPU.
    asked = visible if visible is not None and (visible.all or visible.ids) else None
    found = _offered(host, asked, args, context)
    spec = write_bundle(args.directory, found.devices)
    context.say(f"wrote {spec.bundle}/config.json with {len(found.devices)} devices of host {host.name}")
    for device in found.devices:
        context.note(f"{device.path} {device.kind.value} {device.number}")
    for left_out in found.left_out:
        context.warn(f"left out: {left_out}")
    return 0


def _offered(host: Host, gpus: VisibleDevices | None, args: Namespace, context: Context) -> Offered:
    """What the host offers; NVML is asked for what it alone knows, the UUID of a MIG device."""
    try:
        return offered(host, gpus, context.configuration)
    except NvmlUnasked:
        from devproxy.host.ask_nvml import with_nvml
    return offered(with_nvml(host, args.host), gpus, context.configuration)
