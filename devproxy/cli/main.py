"""The `devproxy` command: finds the verb, makes the context, turns errors into messages and exit codes.

Exit codes: 0 done, 1 failed, 2 bad usage or input, 3 an error was found (verify), or a difference (diff), 4 inconclusive, 130 interrupted.
Those that have a command's code as theirs (`run`, `lease`, `job`) end with 125 when devproxy failed after the input was found good, 126
where it is not executable, 127 where it was not found.
"""

from __future__ import annotations

import io
import os
import sys

from devproxy.cli.quick import read_quickly
from devproxy.cli.verbs import TAKES_COMMAND, find_verb
from devproxy.errors import DevproxyError, InputError, NotStarted

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from argparse import Namespace
    from collections.abc import Callable, Sequence
    from typing import Final

    from devproxy.cli.context import Context
else:
    import _signal as signal  # the enumerations around it take longer to load than a root to build

INTERRUPTED: Final = 130
SIGPIPE_STATUS: Final = 141
_NAMES: Final = ("after_host", "artifacts", "expect", "html", "junit", "note")


def entry(at_end: Callable[[int], None] = lambda _: None) -> None:
    """Carry out this process's command line, call `at_end` with its code, and end. `devproxy.__main__` is the way in: until here an
    interrupt killed.
    """
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that this locale cannot write is no reason to fail
    code = _interruptible(sys.argv[1:])
    try:  # noqa: SIM105 (contextlib takes its time, too)
        sys.stderr.flush()
    except OSError:
        pass  # messages are written at once: what is left is what could not be
    at_end(code)
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
        args = _arguments(words, json_messages=json_messages)
        args.command = command
        if command is not None and args.verb not in TAKES_COMMAND:
            raise InputError(f"'--' and a command belong to 'devproxy {TAKES_COMMAND[0]}', not to '{args.verb}'")
        _require_names(args)
        code = _dispatch(args)
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


def _require_names(args: Namespace) -> None:
    """What was asked for has a name: `--junit "$REPORT"` without that variable would leave no report, and say nothing."""
    for name in _NAMES:
        if getattr(args, name, None) == "":
            raise InputError(
                f"--{name.replace('_', '-')} names nothing, but the empty string", hint="is a variable unset?"
            )


def _dispatch(args: Namespace) -> int:
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


def _carry_out(args: Namespace, context: Context) -> int:
    """Carry the verb out; whatever becomes of it is told."""
    try:
        verb = find_verb(args.verb)
        assert verb is not None
        code = verb.load().run(args, context)
        context.flush()
    except DevproxyError as error:
        context.error(error.message, error.hint or _surroundings())
        return _code_of(args.verb, error)
    except BrokenPipeError:
        raise
    except OSError as error:
        # What no room below has put into its own words; the path at least is known.
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        context.error(f"{where}{(error.strerror or str(error)).lower()}", _surroundings())
        return _failed(args)
    except Exception as error:  # noqa: BLE001 (a defect of ours ends in a message too)
        context.error(
            f"a defect of devproxy: {type(error).__name__}: {error}", "with -v it says where; please report it"
        )
        if context.verbosity > 0:
            from traceback import format_exc

            context.note(format_exc())
        return _failed(args)
    else:
        return code


def _failed(args: Namespace) -> int:
    """The code of what failed with no word for it: not one that could be taken for a command's."""
    has_command = args.verb in TAKES_COMMAND and not (args.verb == "lease" and args.command is None)
    return 125 if has_command else 1


def _surroundings() -> str:
    """A hint for whoever works in a chroot or a container that lacks what the rest takes for granted; else nothing."""
    if not os.path.exists("/proc/self/fd"):
        return "there is no procfs here: mount -t proc proc /proc"
    if not os.path.exists(os.devnull):
        return "there is no /dev/null here: mknod -m 666 /dev/null c 1 3"
    return ""


def _tell(error: DevproxyError, *, json_messages: bool) -> int:
    """Tell an error that came before there was a context."""
    from devproxy.cli.context import Context
    from devproxy.oci.configuration import Configuration

    Context(Configuration(), json_messages=json_messages).error(error.message, error.hint)
    return 2 if isinstance(error, InputError) else 1


def _code_of(verb: str, error: DevproxyError) -> int:
    if isinstance(error, InputError):
        return 2
    if isinstance(error, NotStarted):
        return error.code
    return 125 if verb == "run" else 1


def _wants_json_messages(words: Sequence[str]) -> bool:
    """Whether messages are to be JSON, before it is known whether the rest of the command line is right."""
    asked = False
    for at, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option == "--log-format":
            asked = (value if equals else "".join(words[at + 1 : at + 2])) == "json"
    return asked


def _arguments(words: Sequence[str], *, json_messages: bool) -> Namespace:
    args = read_quickly(words)
    if args is not None:
        return args
    from devproxy.cli.context import unwritten
    from devproxy.cli.parser import read_arguments, read_arguments_as_json

    try:
        return read_arguments_as_json(words) if json_messages else read_arguments(words)
    except SystemExit:
        try:
            sys.stdout.flush()  # help and version are written there
        except BrokenPipeError:
            raise
        except OSError as error:
            raise unwritten(error) from error
        raise


def _split_command(argv: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """What stands before a lone `--`, and what behind it (None without one)."""
    words = list(argv)
    if "--" not in words:
        return words, None
    at = words.index("--")
    return words[:at], words[at + 1 :]
