"""The command line as argparse reads it: help, errors, and every way to write it. The usual one is devproxy.cli.quick's."""

from __future__ import annotations

import argparse
import io
import os

from devproxy import __version__
from devproxy.cli.quick import add_global_arguments
from devproxy.cli.verbs import VERBS, Verb, find_verb
from devproxy.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final

# The verbs that the configuration means something to.
_CONFIGURED: Final = frozenset({"plan", "run", "inspect", "verify"})


def read_arguments(words: Sequence[str]) -> argparse.Namespace:
    """Global options may stand before or behind the verb: they are taken out first."""
    known, rest = _global_parser().parse_known_args(words)
    return _parse(rest, known)


def read_arguments_as_json(words: Sequence[str]) -> argparse.Namespace:
    """The arguments, where a usage error is an event: argparse writes its own to standard error."""
    from contextlib import redirect_stderr

    told = io.StringIO()
    try:
        with redirect_stderr(told):
            return read_arguments(words)
    except SystemExit as ended:
        usage, _, message = told.getvalue().rstrip().rpartition("\n")
        if not message:
            raise  # --help or --version
        raise InputError(message.partition("error: ")[2] or message, hint=" ".join(usage.split())) from ended


def _parse(words: Sequence[str], known: argparse.Namespace) -> argparse.Namespace:
    """Read what is left of the command line. Only the verb that it begins with is declared, and only its module is
    loaded: each pays for itself alone.
    """
    verb = find_verb(words[0]) if words else None
    if verb is None:
        return make_parser(every_verb=True).parse_args(words, namespace=known)
    helped = not {"-h", "--help"}.isdisjoint(words)
    # The global options are taken out by now; whoever asks for help has to see them all the same.
    parents = [_global_parser()] if helped else []
    parser = argparse.ArgumentParser(prog=f"devproxy {verb.name}", parents=parents, **_style(verb))
    verb.load().add_arguments(parser)
    if helped and verb.name in _CONFIGURED:
        from devproxy.cli.keys import described

        parser.add_argument_group("keys of --set and --config, with their defaults", described())
    known.verb = verb.name
    if verb.name == "run":
        return parser.parse_args(words[1:], namespace=known)  # one place alone, so the quicker way does
    return parser.parse_intermixed_args(words[1:], namespace=known)


def make_parser(*, every_verb: bool = False) -> argparse.ArgumentParser:
    """The parser of everything, for help and completion; with `every_verb` it knows the verbs' arguments too."""
    parser = argparse.ArgumentParser(
        prog="devproxy",
        description="Turns an OCI bundle and an accelerator host into a working container root, and proves that it works.",
        epilog="Something is broken: 'devproxy doctor'. To get to know it: 'devproxy probe', then 'devproxy plan BUNDLE', then 'devproxy run BUNDLE'. "
        "'devproxy VERB --help' explains one verb; that of plan, run, inspect and verify lists the keys of --set.",
        allow_abbrev=False,
        parents=[_global_parser()],
    )
    parser.add_argument("--version", action="version", version=f"devproxy {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        sub = verbs.add_parser(verb.name, help=verb.help, **_style(verb))
        if every_verb:
            verb.load().add_arguments(sub)
    return parser


def _style(verb: Verb) -> dict[str, Any]:
    return {"description": _sentence(verb.help), "allow_abbrev": False, "formatter_class": _Formatter}


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Help as it is written, as wide as the terminal.

    argparse makes a formatter for every argument that is declared; left alone, it imports shutil for the width.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_terminal_width() - 2)


def _terminal_width() -> int:
    try:
        return max(os.get_terminal_size(1).columns, 40)
    except OSError:
        return 100


def _global_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="devproxy", add_help=False, allow_abbrev=False, formatter_class=_Formatter)
    add_global_arguments(parser)
    return parser


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
