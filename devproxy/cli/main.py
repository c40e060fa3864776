"""The `devproxy` command: finds the verb, makes the context, turns errors into messages and exit codes.

Exit codes: 0 done, 1 failed, 2 bad usage or input, 3 an error was found (verify), 4 inconclusive, 130 interrupted.
`run` has its own: the process's code, 125 when devproxy failed after the input was found good, 126 not executable, 127
not found.
"""

from __future__ import annotations

import argparse
import gc
import io
import os
import sys

from devproxy import __version__
from devproxy.errors import DevproxyError, InputError
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Sequence
    from typing import Any, Final, Protocol

    from devproxy.cli.context import Context
else:
    import _signal as signal  # the enumerations around it take longer to load than a root to build

    Protocol = object

INTERRUPTED: Final = 130
SIGPIPE_STATUS: Final = 141


class Verb(Record):
    """A verb: its name, the module that carries it out, one line of help."""

    name: str
    module: str
    help: str


VERBS: Final[tuple[Verb, ...]] = (
    Verb("probe", "devproxy.cli.probe", "show what accelerators this host (or a recorded one) has"),
    Verb("record", "devproxy.cli.record", "record this host into a tar file, for --host"),
    Verb("spec", "devproxy.cli.spec", "write a new bundle that lists this host's accelerators"),
    Verb("plan", "devproxy.cli.plan", "show the steps that build the container's root, each with its reason"),
    Verb("run", "devproxy.cli.run", "build the root on the kernel and run the bundle's process in it"),
    Verb("inspect", "devproxy.cli.inspect", "build the root in memory and look around in it (no root needed)"),
    Verb("verify", "devproxy.cli.verify", "build the root on the kernel and compare it with what it should be"),
    Verb("bench", "devproxy.cli.bench", "measure devproxy beside runc and the kernel's own file systems"),
    Verb("completion", "devproxy.cli.completion", "print a completion script for bash, zsh or fish"),
)


# The verbs that the configuration means something to.
_CONFIGURED: Final = frozenset({"plan", "run", "inspect", "verify"})


class VerbModule(Protocol):
    """What a verb's module offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the verb's own arguments."""

    def run(self, args: argparse.Namespace, context: Context) -> int:
        """Carry it out and return the exit code."""


def entry() -> None:
    """Carry out this process's command line and end it. `devproxy.__main__` is the way in: until here an interrupt killed."""
    # A short life makes little garbage; collecting it while modules load costs a tenth of the start-up.
    gc.set_threshold(50_000, 20, 20)
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that this locale cannot write is no reason to fail
    code = _interruptible(sys.argv[1:])
    sys.stderr.flush()
    # Everything is written and closed by now: taking the interpreter apart would only take time.
    os._exit(code)


def _interruptible(argv: Sequence[str]) -> int:
    """`main`, with what an interrupt may leave undone around it."""
    try:
        if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = main(argv)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # everything is done but to end
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _open_standard_streams() -> None:
    """Where a caller closed some of descriptors 0 to 2, put /dev/null: else the next file that is opened would be taken
    for one of them, here or by the container's process.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            stream = open(descriptor, "w" if descriptor else "r", closefd=False, encoding="utf-8")  # noqa: SIM115 (kept)
            setattr(sys, name, stream)


def main(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code. Nothing that a user can do ends in a traceback."""
    words, command = _split_command(argv)
    json_messages = _wants_json_messages(words)
    try:
        args = _arguments_as_json(words) if json_messages else _arguments(words)
        args.command = command
        if command is not None and args.verb != "run":
            raise InputError(f"'--' and a command belong to 'devproxy run', not to '{args.verb}'")
        code = _dispatch(args)
        sys.stdout.flush()
    except DevproxyError as error:
        return _tell(error, json_messages=json_messages)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader went away (`| head`): nobody is left to tell, and the interpreter must not try at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SIGPIPE_STATUS
    else:
        return code


def _dispatch(args: argparse.Namespace) -> int:
    from devproxy.cli.context import Context
    from devproxy.oci.configuration import parse_configuration

    configuration, warnings = parse_configuration(args.config, args.set)
    context = Context(
        configuration,
        verbosity=args.verbose - args.quiet,
        json_messages=args.log_format == "json",
        timings=getattr(args, "timings", False),
    )
    context.begin(args.verb)
    for warning in warnings:
        context.warn(warning)
    code = INTERRUPTED
    try:
        code = _carry_out(args, context)
    except BrokenPipeError:
        code = SIGPIPE_STATUS
        raise
    finally:
        context.ended(code)
    return code


def _carry_out(args: argparse.Namespace, context: Context) -> int:
    """Carry the verb out; whatever becomes of it is told."""
    try:
        return _module(args.verb).run(args, context)
    except DevproxyError as error:
        context.error(error.message, error.hint)
        return _code_of(args.verb, error)
    except BrokenPipeError:
        raise
    except OSError as error:
        # What no room below has put into its own words; the path at least is known.
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        context.error(f"{where}{(error.strerror or str(error)).lower()}")
        return 125 if args.verb == "run" else 1
    except Exception as error:  # noqa: BLE001 (a defect of ours ends in a message too)
        context.error(
            f"a defect of devproxy: {type(error).__name__}: {error}", "with -v it says where; please report it"
        )
        if context.verbosity > 0:
            from traceback import format_exc

            context.note(format_exc())
        return 125 if args.verb == "run" else 1


def _tell(error: DevproxyError, *, json_messages: bool) -> int:
    """Tell an error that came before there was a context."""
    from devproxy.cli.context import Context
    from devproxy.oci.configuration import Configuration

    Context(Configuration(), json_messages=json_messages).error(error.message, error.hint)
    return 2 if isinstance(error, InputError) else 1


def _code_of(verb: str, error: DevproxyError) -> int:
    if isinstance(error, InputError):
        return 2
    return 125 if verb == "run" else 1


def _wants_json_messages(words: Sequence[str]) -> bool:
    """Whether messages are to be JSON, before it is known whether the rest of the command line is right."""
    asked = False
    for at, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option == "--log-format":
            asked = (value if equals else "".join(words[at + 1 : at + 2])) == "json"
    return asked


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    """Global options may stand before or behind the verb: they are taken out first."""
    known, rest = _global_parser().parse_known_args(words)
    return _parse(rest, known)


def _arguments_as_json(words: Sequence[str]) -> argparse.Namespace:
    """The arguments, where a usage error is an event: argparse writes its own to standard error."""
    from contextlib import redirect_stderr

    told = io.StringIO()
    try:
        with redirect_stderr(told):
            return _arguments(words)
    except SystemExit as ended:
        usage, _, message = told.getvalue().rstrip().rpartition("\n")
        if not message:
            raise  # --help or --version
        raise InputError(message.partition("error: ")[2] or message, hint=" ".join(usage.split())) from ended


def _parse(words: Sequence[str], known: argparse.Namespace) -> argparse.Namespace:
    """Read what is left of the command line. Only the verb that it begins with is declared, and only its module is
    loaded: each pays for itself alone.
    """
    verb = next((verb for verb in VERBS if words[:1] == [verb.name]), None)
    if verb is None:
        return make_parser(every_verb=True).parse_args(words, namespace=known)
    helped = not {"-h", "--help"}.isdisjoint(words)
    # The global options are taken out by now; whoever asks for help has to see them all the same.
    parents = [_global_parser()] if helped else []
    parser = argparse.ArgumentParser(prog=f"devproxy {verb.name}", parents=parents, **_style(verb))
    _module(verb.name).add_arguments(parser)
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
        epilog="Start with 'devproxy probe', then 'devproxy plan BUNDLE', then 'devproxy run BUNDLE'. "
        "'devproxy VERB --help' explains one verb; that of plan, run, inspect and verify lists the keys of --set.",
        allow_abbrev=False,
        parents=[_global_parser()],
    )
    parser.add_argument("--version", action="version", version=f"devproxy {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        sub = verbs.add_parser(verb.name, help=verb.help, **_style(verb))
        if every_verb:
            _module(verb.name).add_arguments(sub)
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
    """The options that every verb takes."""
    parser = argparse.ArgumentParser(prog="devproxy", add_help=False, allow_abbrev=False, formatter_class=_Formatter)
    group = parser.add_argument_group("global options, before or after the verb")
    add = group.add_argument
    add("--config", metavar="FILE.toml", help="read the configuration from a TOML file")
    add("--set", metavar="KEY=VALUE", action="append", default=[], help="set one configuration key")
    add("--log-format", choices=("text", "json"), default="text", help="how messages on stderr look")
    add("-v", "--verbose", action="count", default=0, help="tell reasons and notes too")
    add("-q", "--quiet", action="count", default=0, help="tell errors only")
    return parser


def _module(verb: str) -> VerbModule:
    module = next(candidate.module for candidate in VERBS if candidate.name == verb)
    __import__(module)
    found: Any = sys.modules[module]
    offered: VerbModule = found
    return offered


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _split_command(argv: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """What stands before a lone `--`, and what behind it (None without one)."""
    words = list(argv)
    if "--" not in words:
        return words, None
    at = words.index("--")
    return words[:at], words[at + 1 :]
