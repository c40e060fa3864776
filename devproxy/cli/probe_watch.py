"""`devproxy probe --watch`: changes as they happen, a line for each difference, or an object a line as JSON."""

from __future__ import annotations

import time

from devproxy.cli.arguments import wants_json
from devproxy.cli.context import Context
from devproxy.errors import InputError
from devproxy.host.watch import Change, watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace


def run_watch(args: Namespace, context: Context) -> int:
    """Watch until it is interrupted or the reader goes away."""
    if args.host != "live" or args.open:
        what = "a recording does not change" if args.host != "live" else "--open would hold what is watched"
        raise InputError(f"--watch follows this machine: {what}")
    as_json = wants_json(args, context)
    context.say("watching accelerators, drivers, device nodes and CDI specs; end it with Ctrl-C")
    for change in watch(tell=context.warn, until_closed=_descriptor(context)):
        if as_json:
            _print_json(change, context)
        else:
            at = time.strftime("%H:%M:%S", time.localtime(change.time))
            for difference in change.differences:
                context.print(f"{context.style(at, 'dim')} {difference.describe()}")
        context.flush()  # whoever reads a pipe reads along
    return 0


def _print_json(change: Change, context: Context) -> None:
    import json

    document = {
        "time": round(change.time, 3),
        "because": list(change.because),
        "differences": [each._asdict() | {"text": each.describe()} for each in change.differences],
    }
    context.print(json.dumps(document))


def _descriptor(context: Context) -> int | None:
    try:
        return context.out.fileno()
    except (OSError, ValueError):
        return None  # no file: a test's
