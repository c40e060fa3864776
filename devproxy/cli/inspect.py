"""`devproxy inspect`: the root built in memory, and a look around in it."""

from __future__ import annotations

import errno

from devproxy.build import Root, build
from devproxy.cli import render
from devproxy.cli.arguments import add_format_arguments, wants_json
from devproxy.cli.bundle import add_bundle_arguments, make_plan_and_restore, tell_outcomes
from devproxy.cli.context import Context
from devproxy.errors import DevproxyError, InputError
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable
    from typing import Final

    from devproxy.cli.quick import Parser

_EXAMPLES = """\
examples:
  devproxy inspect . ls /dev                         what the container's /dev holds, as 'ls -l' shows it
  devproxy inspect . --host h100.tar ls /dev         the same on a recorded host with eight GPUs
  devproxy inspect . stat /dev/nvidia0               one path
  devproxy inspect . tree /dev                       everything below a directory
  devproxy inspect . cat /etc/os-release             a file, as the process would read it
  devproxy inspect . mountinfo                       the mount table, as /proc/self/mountinfo shows it
  devproxy inspect . outcomes                        what was decided for each step of the plan
  devproxy inspect . --restore work.tar tree /tmp    what a root holds that was saved by 'devproxy run --save'

No root is needed, and nothing of this machine is changed.
"""


def add_arguments(parser: Parser) -> None:
    """Declare the verb's own arguments."""
    add_bundle_arguments(parser)
    add_format_arguments(parser)
    parser.add_argument("look", choices=tuple(_LOOKS), metavar="|".join(_LOOKS), help="what to show")
    parser.add_argument("path", metavar="PATH", nargs="?", help="an absolute path inside the root (default: /)")
    parser.epilog = _EXAMPLES


def run(args: Namespace, context: Context) -> int:
    """Build in memory and show."""
    path = _path(args)
    plan, restore = make_plan_and_restore(args, context)
    with build(plan, "memory", timeline=context.timeline, restore=restore) as root:
        tell_outcomes(root, context)
        context.done("tell")
        try:
            as_json = (
                args.json if args.look == "mountinfo" else wants_json(args, context)
            )  # a pipe wants its usual lines
            _LOOKS[args.look](View(root, path, context, as_json))
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            raise _told(args.look, path, error) from error
        context.done("look")
    return 0


def _path(args: Namespace) -> str:
    path: str = args.path or "/"
    if args.path is None and args.look == "cat":
        raise InputError("cat needs a PATH inside the root", hint="for example: devproxy inspect . cat /etc/passwd")
    if args.json and args.look == "cat":
        raise InputError("cat shows a file's bytes as they are, and --json would change them")
    if args.path is not None and args.look in _PATHLESS:
        raise InputError(f"{args.look} shows the whole root and takes no PATH, found {args.path!r}")
    if not path.startswith("/"):
        raise InputError(f"PATH is {path!r}, expected an absolute path inside the root, such as /dev")
    return "/" + "/".join(name for name in path.split("/") if name not in ("", "."))


def _told(look: str, path: str, error: OSError) -> DevproxyError:
    if error.errno == errno.EINVAL and look == "cat":
        return DevproxyError(f"{path} is no regular file: devices are not opened by looking", hint=f"try: stat {path}")
    return DevproxyError(f"{look} {path}: {(error.strerror or str(error)).lower()}")


class View(Record):
    """What to show, and where to."""

    root: Root
    path: str
    context: Context
    json: bool


def _ls(view: View) -> None:
    """A directory's entries; anything else is shown itself."""
    paths = [view.path]
    if render.kind_of(view.root.stat(view.path).st_mode) == "directory":
        paths = [f"{view.path.rstrip('/')}/{name}" for name in view.root.listdir(view.path)]
    if view.json:
        view.context.print_json([render.entry_document(view.root, entry) for entry in paths])
        return
    for line in render.listing(view.root, paths):
        view.context.print(line)


def _tree(view: View) -> None:
    view.root.listdir(view.path)  # a path that is no directory is an error, not an empty tree
    if view.json:
        view.context.print_json(
            [render.entry_document(view.root, entry) for entry in render.walk(view.root, view.path)]
        )
        return
    view.context.print(view.path)
    for line in render.tree(view.root, view.path, view.context.out.encoding or "utf-8"):
        view.context.print(line)


def _stat(view: View) -> None:
    if view.json:
        view.root.lstat(view.path)
        view.context.print_json(render.entry_document(view.root, view.path))
        return
    for line in render.status(view.root, view.path):
        view.context.print(line)


def _cat(view: View) -> None:
    with view.root.open(view.path) as file:
        while block := file.read(_BLOCK):
            view.context.flush(block)


def _mountinfo(view: View) -> None:
    if view.json:
        view.context.print_json([line._asdict() for line in view.root.mountinfo()])
        return
    for line in view.root.mountinfo():
        view.context.print(render.mountinfo_line(line))


def _outcomes(view: View) -> None:
    if view.json:
        view.context.print_json([render.outcome_document(outcome) for outcome in view.root.outcomes])
        return
    width = len(str(len(view.root.outcomes)))
    for number, outcome in enumerate(view.root.outcomes, 1):
        view.context.print(
            f"{number:{width}}  {outcome.describe()}  {view.context.style(f'# {outcome.step.reason}', 'dim')}"
        )


_LOOKS: Final[dict[str, Callable[[View], None]]] = {
    "tree": _tree,
    "ls": _ls,
    "stat": _stat,
    "cat": _cat,
    "mountinfo": _mountinfo,
    "outcomes": _outcomes,
}
_BLOCK: Final = 1 << 20  # a file of an image may be larger than memory
_PATHLESS: Final = frozenset({"mountinfo", "outcomes"})
