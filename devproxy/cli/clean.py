"""`devproxy clean`: what a job left, and only what is that job's, found and removed."""

from __future__ import annotations

import os

from devproxy.cli.arguments import add_format_arguments, wants_json
from devproxy.cli.context import Context
from devproxy.errors import InputError
from devproxy.host.probe import probe
from devproxy.jobs.clean.asked import How
from devproxy.jobs.clean.cleaning import clean
from devproxy.jobs.clean.which import is_number, noted, over, require_over, traces
from devproxy.jobs.devices import leasable
from devproxy.jobs.size import parse_duration
from devproxy.jobs.state import PLACE, State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from devproxy.cli.quick import Parser
    from devproxy.host.facts import Host
    from devproxy.jobs.clean.dirt import Cleaned, Dirt
    from devproxy.jobs.scope import Scope

_EXAMPLES = """\
examples:
  devproxy clean --dry-run                               what the leases that are over have left, yours or, for root, everybody's
  devproxy record before.tar
  devproxy lease 1 --note lease.json -- ./job
  devproxy clean --lease lease.json --before before.tar  this lease's leftovers, and the devices' settings as they were before

Removed is what is proven to be the lease's: processes that were started with its number or have its lock, and their children; and what
those made or nobody else can have made, since it began: libtpu's lock, shared memory, semaphores and queues, MPS's pipes and logs. What
may be somebody else's is told and stays. Settings are the compute and persistence modes, clocks, power limit, ECC and MIG of the lease's
devices. A lease whose command lives is not cleaned after.

exit codes: 0 nothing is left; 3 something is, that could not be removed or is not proven to be the lease's; 4 nothing is, as far as could
be seen; 1 failed; 2 no such lease, or it is not over.
"""


def add_arguments(parser: Parser) -> None:
    """Declare the verb's own arguments."""
    parser.add_argument(
        "--lease", metavar="LEASE", help="which one: the file of 'devproxy lease --note', or DEVPROXY_LEASE_ID's value"
    )
    parser.add_argument(
        "--before", metavar="RECORDING", help="the host before the job, to whose settings it is put back"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be removed, and touch nothing")
    parser.add_argument(
        "--grace", default="5s", metavar="TIME", help="so long may a process take to end that is asked to (default 5s)"
    )
    parser.add_argument("--state", default=PLACE, metavar="DIR", help=f"where leases are kept (default {PLACE})")
    add_format_arguments(parser)
    parser.epilog = _EXAMPLES


def run(args: Namespace, context: Context) -> int:
    """Clean after each lease that is asked for."""
    grace = parse_duration(args.grace)
    if grace is None:
        raise InputError(
            "'--grace forever' never ends", hint="a process that does not listen is killed after that time"
        )
    before = None if args.before is None else probe(args.before, deep=True)
    if not os.path.lexists(args.state):  # nobody ever leased here, and looking makes nothing
        return _clean(args, context, None, (before, grace))
    with State(args.state) as state:
        return _clean(args, context, state, (before, grace))


def _clean(args: Namespace, context: Context, state: State | None, how: tuple[Host | None, float]) -> int:
    before, grace = how
    scopes = _scopes(args, state)
    every = [clean(scope, before=before, dry_run=args.dry_run, how=How(state=state, grace=grace)) for scope in scopes]
    if wants_json(args, context):
        context.print_json([cleaned.document() for cleaned in every])
    else:
        for cleaned in every:
            _tell(context, cleaned)
        if not every:
            context.print(f"nothing is left of {'any lease that is over' if args.lease is None else args.lease}")
    codes = {cleaned.exit_code for cleaned in every}
    return 3 if 3 in codes else max(codes, default=0)


def _scopes(args: Namespace, state: State | None) -> list[Scope]:
    """The leases to clean after.

    Errors: InputError for one that is not over.
    """
    if args.lease is not None and not is_number(args.lease):
        scope = noted(args.lease)
        require_over(scope, state)
        return [scope]
    devices = leasable(probe("live", deep=True))
    if args.lease is None:
        return over(state, devices)
    scopes = [scope for scope in traces(state, devices) if scope.ident == args.lease]
    for scope in scopes:
        require_over(scope, state)
    return scopes


def _tell(context: Context, cleaned: Cleaned) -> None:
    scope = cleaned.scope
    context.print(context.style(f"lease {scope.ident} of uid {scope.uid}", "bold"))
    done = "would remove" if cleaned.dry_run else "removed"
    for dirt in cleaned.removed:
        context.print(f"  {context.style(done, 'green')} {dirt.describe()}")
    for dirt in cleaned.left:
        context.print(f"  {context.style('left', 'red')} {_left(dirt)}")
        if dirt.hint:
            context.print(f"       {context.style('hint: ', 'dim')}{dirt.hint}")
    for words in cleaned.unseen:
        context.print(f"  {context.style('not seen', 'yellow')} {words}")
    if not cleaned.removed and not cleaned.left:
        context.print("  nothing is left")


def _left(dirt: Dirt) -> str:
    return f"{dirt.kind.value} {dirt.what}: {dirt.why}"
