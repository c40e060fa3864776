"""`devproxy diff`: what differs between two recordings, two plans or two reports."""

from __future__ import annotations

from devproxy.cli.arguments import add_format_arguments, wants_json
from devproxy.cli.context import Context
from devproxy.difference.comparison import Comparison, to_json
from devproxy.difference.files import compare_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from devproxy.cli.quick import Parser

_EXAMPLES = """\
examples:
  devproxy diff yesterday.tar today.tar           what became of a machine
  devproxy diff host.tar live                     what this machine has now that the recording does not say
  devproxy diff old-plan.json new-plan.json       steps that came, went or changed (devproxy plan --json)
  devproxy diff before.json after.json            findings that are new or gone (verify or doctor --json)

What the files hold is told by their content. What changes from one moment to the next (temperatures, memory in use, counters) is
not compared; processes, values that were measured, and where a bundle lies are told last, and count as no difference.

exit codes: 0 no differences; 3 there are some; 4 none were found, but one side could not see what the other could; 2 the files
cannot be compared.
"""


def add_arguments(parser: Parser) -> None:
    """Declare the verb's own arguments."""
    parser.add_argument("before", metavar="A", help="a recording, a plan or a report; 'live' is this host")
    parser.add_argument("after", metavar="B", help="another of the same kind")
    add_format_arguments(parser)
    parser.epilog = _EXAMPLES


def run(args: Namespace, context: Context) -> int:
    """Compare and print."""
    comparison = compare_files(args.before, args.after)
    if wants_json(args, context):
        context.print_json(to_json(comparison))
    else:
        _print(comparison, context)
    return comparison.exit_code


def _print(comparison: Comparison, context: Context) -> None:
    group = ""
    for line in comparison.lines:
        if line.group != group:
            group = line.group
            context.print(context.style(f"{group}:", "bold"))
        colour = "dim" if line.minor else "green" if line.before is None else "red" if line.after is None else "yellow"
        context.print(f"  {context.style(line.text, colour)}")
    for unseen in comparison.unseen:
        context.print(f"not compared: {unseen}")
    number = sum(not line.minor for line in comparison.lines)
    found = f"{number} difference{'' if number == 1 else 's'}" if number else "no differences"
    context.print(f"{found} between these {comparison.kind}s")
