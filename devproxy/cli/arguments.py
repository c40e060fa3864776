"""Arguments that several verbs share."""

from __future__ import annotations

from devproxy.cli.context import Context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from devproxy.cli.quick import Parser


def add_host_argument(parser: Parser) -> None:
    """--host."""
    parser.add_argument("--host", default="live", metavar="HOST", help="'live' (the default) or a recording's file")


def add_format_arguments(parser: Parser) -> None:
    """--json and --text, for verbs that print tables to people and JSON to pipes."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON on a terminal too")
    form.add_argument("--text", action="store_true", help="print text to a pipe or file too")


def add_report_arguments(parser: Parser) -> None:
    """--html and --junit: the report as a file too, for the artefacts and the test page of a CI job."""
    parser.add_argument(
        "--html", metavar="FILE", help="write the report as a page too; a file that is there is replaced"
    )
    parser.add_argument("--junit", metavar="FILE", help="write it as JUnit's XML too; a file that is there is replaced")


def wants_json(args: Namespace, context: Context) -> bool:
    """What these two, or their absence, come to."""
    return context.wants_json(asked=args.json, refused=args.text)
