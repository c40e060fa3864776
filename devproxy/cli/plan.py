"""`devproxy plan`: every step that builds the root, each with its reason."""

from __future__ import annotations

from devproxy.cli.arguments import add_format_arguments, wants_json
from devproxy.cli.bundle import add_bundle_arguments, make_plan
from devproxy.cli.context import Context
from devproxy.plan.plan import Plan
from devproxy.plan.steps import Level, Skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from devproxy.cli.quick import Parser

_EXAMPLES = """\
examples:
  devproxy plan .                         the bundle in this directory, on this host
  devproxy plan . --host h100.tar         the same on a recorded host
  devproxy plan . --mode docker --json    the GPUs of NVIDIA_VISIBLE_DEVICES, for a script

Nothing is looked at but the bundle and the host: what depends on the root itself stands as a condition in its step
(when_empty(/tmp)); 'devproxy inspect' and 'devproxy run -v' say what was decided.
"""


def add_arguments(parser: Parser) -> None:
    """Declare the verb's own arguments."""
    add_bundle_arguments(parser)
    add_format_arguments(parser)
    parser.epilog = _EXAMPLES


def run(args: Namespace, context: Context) -> int:
    """Plan and print."""
    plan = make_plan(args, context)
    if wants_json(args, context):
        from devproxy.plan.plan_json import to_json

        context.print_json(to_json(plan))
    else:
        _print_steps(plan, context)
    for step in plan.steps:
        if isinstance(step, Skip) and step.level is Level.WARNING:
            context.warn(f"{step.describe()}  # {step.reason}")
    context.done("print")
    return 0


def _print_steps(plan: Plan, context: Context) -> None:
    recorded = " (recorded)" if plan.host.simulated else ""
    context.print(f"mode {plan.mode.value}, host {plan.host.name}{recorded}, {len(plan.steps)} steps")
    width = len(str(len(plan.steps)))
    for number, step in enumerate(plan.steps, 1):
        context.print(f"{number:{width}}  {step.describe()}  {context.style(f'# {step.reason}', 'dim')}")
