"""The usual command line, read without argparse: that takes as long to load as a root takes to build.

There is one judge of command lines, argparse. What is here takes the same declarations and reads what leaves no doubt; for
help, for errors, for whatever is written in a way that is not the usual one, the answer is None, and argparse reads
the same words. A property test compares the two.
"""

from __future__ import annotations

from devproxy.cli.verbs import find_verb
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence
    from typing import Any, Self, TypeAlias

    # What a verb declares its arguments to.
    Parser: TypeAlias = "ArgumentParser | QuickParser"
else:

    class Namespace:
        """Arguments by name, as argparse has them."""


class _Argument(Record):
    """What was declared, as argparse names it."""

    dest: str
    action: str
    choices: Sequence[str] | None


class QuickParser:
    """Takes the declarations that an argparse.ArgumentParser does, and reads what they make plain."""

    epilog: str | None = None
    usage: str | None = None

    def __init__(self) -> None:
        self._options: dict[str, _Argument] = {}
        self._places: list[_Argument] = []
        self._exclusive: list[list[str]] = []
        self._args = Namespace()
        self._given: set[str] = set()
        self._sure = True

    def add_argument(
        self,
        *names: str,
        action: str = "store",
        default: object = None,
        choices: Sequence[str] | None = None,
        metavar: str | None = None,
        help: str | None = None,  # noqa: A002 (argparse's name)
        **other: object,
    ) -> _Argument:
        """Declare an argument. What is declared with more than these is for argparse to read."""
        del metavar, help  # of interest to those who ask for help
        if other or action not in ("store", "store_true", "count", "append"):
            self._sure = False
        if action == "store_true":
            default = False
        long = [name for name in names if name.startswith("--")]
        dest = (long or names)[0].lstrip("-").replace("-", "_")
        argument = _Argument(dest, action, choices)
        setattr(self._args, dest, list(default) if isinstance(default, list) else default)
        if names[0].startswith("-"):
            self._options.update(dict.fromkeys(names, argument))
        else:
            self._places.append(argument)
        return argument

    def add_argument_group(self, title: str, description: str | None = None) -> Self:
        """A heading in the help."""
        del title, description
        return self

    def add_mutually_exclusive_group(self) -> _Exclusive:
        """Options of which one alone may be given."""
        self._exclusive.append([])
        return _Exclusive(self, self._exclusive[-1])

    def read(self, words: Sequence[str]) -> bool:
        """Read words by what was declared so far. False when there is any doubt."""
        pending = list(reversed(words))
        while pending:
            word = pending.pop()
            name, equals, value = word.partition("=")
            if not word.startswith("-"):
                argument, value = self._places.pop(0) if self._places else None, word
            else:
                argument = self._options.get(name)
                takes_value = argument is not None and argument.action in ("store", "append")
                if takes_value and not equals:
                    value = pending.pop() if pending else ""
                if bool(equals) > takes_value or bool(value) < takes_value or value.startswith("-"):
                    return False
            if argument is None or not self._take(argument, value):
                return False
        return True

    def _take(self, argument: _Argument, value: str) -> bool:
        before = getattr(self._args, argument.dest)
        match argument.action:
            case "store_true":
                after: object = True
            case "count":
                after = before + 1
            case "append":
                after = [*before, value]
            case _:
                after = value
        setattr(self._args, argument.dest, after)
        self._given.add(argument.dest)
        return argument.choices is None or value in argument.choices

    def arguments(self) -> Namespace | None:
        """What was read. None where it is not whole, or more than it may be."""
        contradicted = any(len(self._given.intersection(group)) > 1 for group in self._exclusive)
        return self._args if self._sure and not self._places and not contradicted else None


class _Exclusive:
    """A group of options of which one alone may be given."""

    def __init__(self, parser: QuickParser, members: list[str]) -> None:
        self._parser = parser
        self._members = members

    def add_argument(self, *names: str, **declared: Any) -> None:  # noqa: ANN401 (as the parser takes it)
        """Declare one."""
        self._members.append(self._parser.add_argument(*names, **declared).dest)


def add_global_arguments(parser: Parser) -> None:
    """The options that every verb takes."""
    group = parser.add_argument_group("global options, before or after the verb")
    add = group.add_argument
    add("--config", metavar="FILE.toml", help="read the configuration from a TOML file")
    add("--set", metavar="KEY=VALUE", action="append", default=[], help="set one configuration key")
    add("--log-format", choices=("text", "json"), default="text", help="how messages on stderr look")
    add("-v", "--verbose", action="count", default=0, help="tell reasons and notes too")
    add("-q", "--quiet", action="count", default=0, help="tell errors only")


def read_quickly(words: Sequence[str]) -> Namespace | None:
    """The arguments of a command line that leaves no doubt, with its verb; None for every other one."""
    found = next(((at, verb) for at, word in enumerate(words) if (verb := find_verb(word))), None)
    if found is None:
        return None
    at, verb = found
    parser = QuickParser()
    add_global_arguments(parser)
    if not parser.read(words[:at]):
        return None
    verb.load().add_arguments(parser)
    args = parser.arguments() if parser.read(words[at + 1 :]) else None
    if args is not None:
        args.verb = verb.name
    return args
