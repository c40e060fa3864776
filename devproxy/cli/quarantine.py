"""`devproxy quarantine`: devices that are kept out of leases and plans, and why."""

from __future__ import annotations

import os
import time

from devproxy.cli.arguments import add_format_arguments, add_host_argument, wants_json
from devproxy.cli.context import Context
from devproxy.errors import DevproxyError, InputError
from devproxy.jobs.quarantine import PLACE, Entry, add, entries, lift
from devproxy.jobs.size import parse_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from devproxy.cli.quick import Parser

_EXAMPLES = """\
examples:
  devproxy quarantine add GPU-5d0bb1a7-... --code xid-since --reason 'Xid 79 in job 4711' --for 7d
  devproxy quarantine list
  devproxy quarantine lift GPU-5d0bb1a7-...             it is well again, I say
  devproxy quarantine lift GPU-5d0bb1a7-... --check     it is well again, if the doctor finds nothing against it

A device that is quarantined is given to no lease, and 'run' and 'plan' leave it out. One whose time is over is given out again;
it stays in the list until it is lifted. Names are a GPU's UUID and a TPU chip's PCI address; an index is a name of this host alone.
"""


def add_arguments(parser: Parser) -> None:
    """Declare the verb's own arguments."""
    parser.add_argument(
        "action",
        choices=["add", "list", "lift"],
        metavar="add|list|lift",
        help="keep a device out, list those, let one in again",
    )
    parser.add_argument("device", metavar="DEVICE", nargs="?", help="a GPU's UUID or index, a TPU chip's PCI address")
    parser.add_argument(
        "--code", default="manual", metavar="CODE", help="a code of the doctor's, or a word of your own"
    )
    parser.add_argument("--reason", default="", metavar="WORDS", help="what happened")
    parser.add_argument(
        "--for", dest="time", default="forever", metavar="TIME", help="so long: 12h, 7d, or 'forever' (the default)"
    )
    parser.add_argument(
        "--check", action="store_true", help="with lift: only if the doctor finds no error of this device"
    )
    parser.add_argument("--place", default=PLACE, metavar="DIR", help=f"where it is kept (default {PLACE})")
    add_host_argument(parser)
    add_format_arguments(parser)
    parser.epilog = _EXAMPLES


def run(args: Namespace, context: Context) -> int:
    """Add, list or lift."""
    if args.action == "list":
        return _list(args, context)
    if args.device is None:
        raise InputError(f"'quarantine {args.action}' needs a device", hint="'devproxy probe' shows their UUIDs")
    name = _name(args)
    if args.action == "lift":
        if args.check:
            _require_well(name, args)
        lift(name, args.place)
        context.say(f"{name} is given out again")
        return 0
    if not args.reason:
        raise InputError("no reason given", hint="--reason: whoever finds the device missing wants to know")
    seconds = parse_duration(args.time)
    now = time.time()
    until = None if seconds is None else now + seconds
    add(Entry(name, args.code, args.reason, now, until, os.getuid()), args.place)
    context.say(f"{name} is kept out{'' if until is None else f' until {_when(until)}'}")
    return 0


def _name(args: Namespace) -> str:
    """The device's name; an index is that of the host."""
    if not args.device.isdecimal():
        return str(args.device)
    from devproxy.host.probe import probe

    host = probe(args.host)
    for gpu in host.nvidia.gpus if host.nvidia is not None else ():
        if str(gpu.rank) == args.device and gpu.uuid:
            return gpu.uuid
    raise InputError(f"this host has no GPU {args.device} with a UUID", hint="'devproxy probe' shows them")


def _require_well(name: str, args: Namespace) -> None:
    """Errors: DevproxyError while the doctor finds an error of the device, or cannot see it."""
    from devproxy.check.doctor.examine import doctor
    from devproxy.host.probe import probe

    host = probe(args.host, deep=True)
    gpus = [gpu for gpu in (host.nvidia.gpus if host.nvidia is not None else ()) if gpu.uuid == name]
    chips = [chip for chip in host.tpus if chip.address == name]
    if not gpus and not chips:
        raise DevproxyError(f"{name} is not on this host: it stays quarantined")
    subjects = {name, *(gpu.address for gpu in gpus), *(f"/dev/nvidia{gpu.minor}" for gpu in gpus)}
    subjects |= {path for chip in chips for path in chip.nodes}
    wrong = [finding for finding in doctor(host).errors if finding.path in subjects]
    if wrong:
        raise DevproxyError(f"{name} stays quarantined: {'; '.join(finding.describe() for finding in wrong)}")


def _list(args: Namespace, context: Context) -> int:
    found = entries(args.place)
    now = time.time()
    if wants_json(args, context):
        context.print_json([entry._asdict() | {"holds": entry.holds(now)} for entry in found])
        return 0
    if not found:
        context.print("nothing is quarantined")
        return 0
    rows = [(e.name, e.code, _when(e.since), _until(e, now), e.reason) for e in found]
    context.table(rows, ("DEVICE", "CODE", "SINCE", "UNTIL", "REASON"))
    return 0


def _until(entry: Entry, now: float) -> str:
    if entry.until is None:
        return "lifted"
    return _when(entry.until) if entry.holds(now) else "expired: look at it, then lift it"


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else "-"
