"""`devproxy lease`: accelerators for one command, nobody else's meanwhile; and who has which."""

from __future__ import annotations

import errno
import os
import time

from devproxy.cli.arguments import add_format_arguments, add_host_argument, wants_json
from devproxy.cli.context import Context
from devproxy.errors import InputError, NotStarted
from devproxy.host.probe import probe
from devproxy.host.recording_file import save
from devproxy.jobs.busy import Busy
from devproxy.jobs.devices import Kind, Wanted, environment, leasable, require_sight
from devproxy.jobs.lease import Asking, Waiting, acquire
from devproxy.jobs.listing import held, waiters
from devproxy.jobs.program import why_not
from devproxy.jobs.quarantine import PLACE as KEPT_OUT
from devproxy.jobs.scope import scope_document
from devproxy.jobs.size import parse_duration, parse_size
from devproxy.jobs.state import PLACE, State, elsewhere

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Final

    from devproxy.cli.quick import Parser
    from devproxy.host.facts import Host

_EXAMPLES = """\
examples:
  devproxy lease 1 -- python train.py              any one accelerator, or an error at once if none is free
  devproxy lease 2 --wait 30m -- pytest hwtests    wait for two, half an hour at most; first come, first served
  devproxy lease 1 --model H100 --mem 80G -- ./job
  devproxy lease 4 --kind tpu -- python bench.py
  devproxy lease list                              who has what, since when, and who waits

The command replaces this one. It has the lease as long as it lives, and so do those of its children that keep its descriptors: the
locks end with the last of them, however it ends. A device that a process has open, or whose memory is in use, is passed over. CUDA_VISIBLE_DEVICES, NVIDIA_VISIBLE_DEVICES or TPU_VISIBLE_CHIPS say which
accelerators it has; a `devproxy run` below it sees those alone. Leases bind those who ask for them: they keep nobody from opening a node.

exit codes: the command's own; 2 for what this host can never give; 1 when nothing was free in time; 126, 127 for the command.
"""
_TELL_EVERY: Final = 5.0


def add_arguments(parser: Parser) -> None:
    """Declare the verb's own arguments."""
    parser.add_argument("what", metavar="N|list", help="how many accelerators, or 'list'")
    parser.add_argument("--kind", choices=["gpu", "tpu"], help="which kind, where the host has both")
    parser.add_argument("--model", default="", metavar="WORDS", help="words of the model's name: 'H100', 'v5e'")
    parser.add_argument("--mem", metavar="SIZE", help="at least so much memory each: 80G, 40960M")
    parser.add_argument("--numa", type=int, metavar="NODE", help="on this NUMA node")
    parser.add_argument("--wait", metavar="TIME", help="wait so long for them: 90, 90s, 30m, 2h, or 'forever'")
    parser.add_argument("--note", metavar="FILE", help="write down what is leased, for 'check' and 'clean' afterwards")
    parser.add_argument("--state", default=PLACE, metavar="DIR", help=f"where leases are kept (default {PLACE})")
    parser.add_argument(
        "--quarantine", default=KEPT_OUT, metavar="DIR", help=f"where devices are kept out (default {KEPT_OUT})"
    )
    add_host_argument(parser)
    add_format_arguments(parser)
    parser.epilog = _EXAMPLES


def run(args: Namespace, context: Context) -> int:
    """Lease and become the command; or list."""
    if args.what == "list":
        return _list(args, context)
    if not args.command:
        raise InputError("no command to give the lease to", hint="devproxy lease 1 -- COMMAND")
    host = _host(args.host, with_memory=args.mem is not None)
    every = leasable(host)
    require_sight(host, every)
    wanted = Wanted(
        _number(args.what),
        Kind(args.kind) if args.kind else None,
        args.model,
        parse_size(args.mem) if args.mem else None,
        args.numa,
    )
    busy = Busy(host, args.quarantine)
    wait = parse_duration(args.wait) if args.wait else 0.0
    with State(args.state) as state:
        asking = Asking(every, wanted, tuple(args.command), busy.why)
        lease = acquire(state, asking, wait=wait, progress=_Progress(context).tell)
    names = ", ".join(f"{device.kind.value} {device.rank} ({device.name})" for device in lease.devices)
    context.note(f"leased {names}")
    for device in lease.devices:
        if why := busy.unseen(device):
            context.warn(f"whether {device.kind.value} {device.rank} is in use was not seen: {why}")
    if args.note:
        save(scope_document(lease.scope).encode(), args.note, what="note")
    for descriptor in lease.descriptors:
        os.set_inheritable(descriptor, True)  # noqa: FBT003 (os has it so)
    return _become(args.command, environment(lease.scope, every) | elsewhere(args.state))


def _host(source: str, *, with_memory: bool) -> Host:
    """What leasing has to know. A deep probe asks programs, services and every process: of a live host it is made only for
    what NVML alone tells, how much memory there is, and to find out what was not seen where nothing is there to be leased.
    """
    if source == "live" and not with_memory:
        host = probe(source)
        if leasable(host):
            return host
    return probe(source, deep=True)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 6 and int(text)):
        raise InputError(f"{text!r} accelerators asked for, expected a number, or 'list'")
    return int(text)


def _become(command: list[str], more: dict[str, str]) -> int:
    """Replace this process by the command, which keeps the lease.

    Errors: NotStarted.
    """
    try:
        os.execvpe(  # noqa: S606 (what is leased for)
            command[0], command, {**os.environ, **more}
        )
    except OSError as error:
        if why_not(command[0], error.errno or 0) == errno.ENOENT:
            raise NotStarted(f"{command[0]!r} was not found", 127) from None
        raise NotStarted(f"{command[0]!r} cannot be executed: {(error.strerror or '').lower()}", 126) from error


class _Progress:
    """Says what is waited for: when that changes, and now and then."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._told = ""
        self._at = 0.0

    def tell(self, waiting: Waiting) -> None:
        """Called each time somebody has looked in vain."""
        words = waiting.describe()
        now = time.monotonic()
        if words != self._told and now - self._at >= _TELL_EVERY:
            self._told, self._at = words, now
            self._context.say(f"waiting: {words}")


def _list(args: Namespace, context: Context) -> int:
    with State(args.state) as state:
        leases, queue = held(state), waiters(state)
    if wants_json(args, context):
        context.print_json({"held": [each._asdict() for each in leases], "waiting": [each._asdict() for each in queue]})
        return 0
    if leases:
        rows = [(h.device, _who(h.uid), str(h.pid or "-"), _when(h.since), " ".join(h.command) or "-") for h in leases]
        context.table(rows, ("DEVICE", "USER", "PID", "SINCE", "COMMAND"))
    else:
        context.print("nothing is leased")
    if queue:
        context.print()
        waiting = [
            (str(n), _who(w.uid), str(w.pid), _when(w.since), " ".join(w.command)) for n, w in enumerate(queue, 1)
        ]
        context.table(waiting, ("WAITS", "USER", "PID", "SINCE", "COMMAND"))
    return 0


def _who(uid: int | None) -> str:
    if uid is None:
        return "unknown"
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _when(since: float | None) -> str:
    return "-" if since is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(since))
