"""`devproxy completion`: scripts for the shells, made from the same parser that reads the command line."""

from __future__ import annotations

import argparse
import shlex

from devproxy.cli.context import Context
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.cli.quick import Parser

_EXAMPLES = """\
examples:
  source <(devproxy completion bash)                                        this bash session
  devproxy completion bash > /etc/bash_completion.d/devproxy                every bash session
  devproxy completion zsh > "${fpath[1]}/_devproxy"                         zsh
  devproxy completion fish > ~/.config/fish/completions/devproxy.fish       fish
"""


class Value(Record):
    """What an argument takes: one of `words`, and with `files` also a path (of a file, or of a directory)."""

    words: tuple[str, ...] = ()
    files: str = ""


class Option(Record):
    """An option by its names; `value` is None for a switch."""

    names: tuple[str, ...]
    help: str
    value: Value | None


class Command(Record):
    """A verb, or the program itself: its options and what stands in the places behind it."""

    name: str
    help: str
    options: tuple[Option, ...]
    places: tuple[Value, ...]


# The word that usage shows for a value says what it is.
_BY_METAVAR: Final = {
    "BUNDLE": Value(files="directory"),
    "DIR": Value(files="directory"),
    "HOST": Value(("live",), files="file"),
    "FILE.tar": Value(files="file"),
    "FILE.toml": Value(files="file"),
}


def add_arguments(parser: Parser) -> None:
    """Declare the verb's own arguments."""
    parser.add_argument("shell", choices=tuple(_SHELLS), metavar="|".join(_SHELLS), help="the shell to complete in")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace, context: Context) -> int:
    """Print the script, as it is: it goes to a file, whatever reads the output."""
    from devproxy.cli.parser import make_parser

    program, verbs = _commands(make_parser(every_verb=True))
    for line in _SHELLS[args.shell](program, verbs):
        context.print(line)
    return 0


def _commands(parser: argparse.ArgumentParser) -> tuple[Command, list[Command]]:
    verbs: list[Command] = []
    for action in _actions(parser):
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 (argparse names it nowhere else)
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}  # noqa: SLF001
            verbs = [_command(name, helps.get(name, ""), sub) for name, sub in action.choices.items()]
    return _command("devproxy", "", parser), verbs


def _command(name: str, summary: str, parser: argparse.ArgumentParser) -> Command:
    options: list[Option] = []
    places: list[Value] = []
    for action in _actions(parser):
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            continue
        value = None if action.nargs == 0 else _value(action)
        if action.option_strings:
            options.append(Option(tuple(action.option_strings), action.help or "", value))
        elif value is not None:
            places.append(value)
    return Command(name, summary, tuple(options), tuple(places))


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions  # noqa: SLF001 (argparse has no public list of what was declared)


def _value(action: argparse.Action) -> Value:
    if action.choices is not None:
        return Value(tuple(map(str, action.choices)))
    return _BY_METAVAR.get(str(action.metavar), Value())


# bash


def _bash(program: Command, verbs: list[Command]) -> list[str]:
    """A function for `complete -F`: the verb is the first word that is one, options are known by their names."""
    return [
        "# bash completion for devproxy",
        "_devproxy() {",
        '    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb="" place=0 skip="" word',
        "    local -i i",
        "    COMPREPLY=()",
        "    for ((i = 1; i < COMP_CWORD; i++)); do",
        "        word=${COMP_WORDS[i]}",
        "        if [[ $word == -- ]]; then compopt -o default 2>/dev/null; return; fi",
        '        if [[ -n $skip ]]; then skip=""; continue; fi',
        f"        case $word in {_bash_names(program, verbs)}) skip=1; continue ;; -*) continue ;; esac",
        "        if [[ -z $verb ]]; then verb=$word; else ((place++)); fi",
        "    done",
        "    case $prev in",
        *(f"        {line}" for line in _bash_values(program, verbs)),
        "    esac",
        "    if [[ $cur == -* ]]; then",
        "        case $verb in",
        *(f"            {verb.name}) {_bash_complete(_names(verb, program))} ;;" for verb in verbs),
        f"            *) {_bash_complete(_names(program))} ;;",
        "        esac",
        "        return",
        "    fi",
        "    case $verb:$place in",
        f"        :0) {_bash_complete(Value(tuple(verb.name for verb in verbs)))} ;;",
        *(f"        {verb.name}:{n}) {_bash_complete(v)} ;;" for verb in verbs for n, v in enumerate(verb.places)),
        "    esac",
        "}",
        "complete -F _devproxy devproxy",
    ]


def _bash_names(program: Command, verbs: list[Command]) -> str:
    """The options that take a value, as the pattern of a case."""
    names = [n for command in (program, *verbs) for option in command.options if option.value for n in option.names]
    return "|".join(dict.fromkeys(names))


def _bash_values(program: Command, verbs: list[Command]) -> list[str]:
    seen: dict[str, str] = {}
    for command in (program, *verbs):
        for option in command.options:
            if option.value is not None:
                seen.setdefault("|".join(option.names), _bash_complete(option.value))
    return [f"{names}) {reply}; return ;;" for names, reply in seen.items()]


def _names(*commands: Command) -> Value:
    """Every option of some commands."""
    return Value(tuple(dict.fromkeys(n for command in commands for option in command.options for n in option.names)))


def _bash_complete(value: Value) -> str:
    flag = {"directory": "-d ", "file": "-f "}.get(value.files, "")
    words = f"-W {shlex.quote(' '.join(value.words))} " if value.words else ""
    if not flag and not words:
        return ":"
    option = "compopt -o filenames 2>/dev/null; " if flag else ""
    return f'{option}mapfile -t COMPREPLY < <(compgen {flag}{words}-- "$cur")'


# zsh


def _zsh(program: Command, verbs: list[Command]) -> list[str]:
    lines = ["#compdef devproxy", "_devproxy() {", "    local state verbs", "    verbs=("]
    lines += [f"        {shlex.quote(verb.name + ':' + verb.help)}" for verb in verbs]
    lines += ["    )", "    _arguments -C \\"]
    lines += [f"        {spec} \\" for spec in _zsh_options(program.options)]
    lines += ["        '1:verb:->verb' '*::argument:->rest'", "    case $state in"]
    lines += ["        verb) _describe verb verbs ;;", "        rest)", "            case $words[1] in"]
    for verb in verbs:
        specs = [*_zsh_options(verb.options), *_zsh_options(program.options[1:])]
        specs += [shlex.quote(f"{n}:{_zsh_value(value)}") for n, value in enumerate(verb.places, 1)]
        lines.append(f"                {verb.name}) _arguments {' '.join(dict.fromkeys(specs))} ;;")
    return [*lines, "            esac ;;", "    esac", "}", '_devproxy "$@"']


def _zsh_options(options: tuple[Option, ...]) -> list[str]:
    specs = []
    for option in options:
        text = option.help.translate({ord("["): "(", ord("]"): ")", ord(":"): ","})
        tail = "" if option.value is None else f":{_zsh_value(option.value)}"
        specs += [shlex.quote(f"{name}[{text}]{tail}") for name in option.names]
    return specs


def _zsh_value(value: Value) -> str:
    if value.files:
        return "directory:_files -/" if value.files == "directory" else "file:_files"
    return f"value:({' '.join(value.words)})" if value.words else "value: "


# fish


def _fish(program: Command, verbs: list[Command]) -> list[str]:
    lines = ["# fish completion for devproxy", "complete -c devproxy -f"]
    lines += _fish_options(program.options, "")
    for verb in verbs:
        lines.append(f"complete -c devproxy -n __fish_use_subcommand -a {verb.name} -d {shlex.quote(verb.help)}")
        condition = f"-n '__fish_seen_subcommand_from {verb.name}' "
        lines += _fish_options(verb.options, condition)
        lines += [f"complete -c devproxy {condition}{_fish_value(value)}" for value in verb.places if any(value)]
    return lines


def _fish_options(options: tuple[Option, ...], condition: str) -> list[str]:
    lines = []
    for option in options:
        names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
        value = "" if option.value is None else f" -r {_fish_value(option.value)}".rstrip()
        lines.append(f"complete -c devproxy {condition}{names}{value} -d {shlex.quote(option.help)}")
    return lines


def _fish_value(value: Value) -> str:
    words = f" -a {shlex.quote(' '.join(value.words))}" if value.words else ""
    if value.files == "directory":
        return f"-a '(__fish_complete_directories)'{words}"
    return f"-F{words}" if value.files else words.strip()


_SHELLS: Final = {"bash": _bash, "zsh": _zsh, "fish": _fish}
