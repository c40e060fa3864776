"""Start the process of a bundle in a root on the kernel, and stay with it until it ends."""

from __future__ import annotations

import os
import stat

from devproxy.errors import DevproxyError, InputError
from devproxy.launch.signals import Forwarding
from devproxy.oci.spec import Process
from devproxy.targets.kernel.become import Request
from devproxy.targets.kernel.handles import open_null
from devproxy.targets.kernel.root import KernelRoot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from devproxy.build import Root

# What `runc spec` writes: for a caller, or a bundle, that has arguments and no process around them.
_DEFAULT_ENVIRONMENT: Final = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)


def launch(
    root: Root | KernelRoot,
    argv: Sequence[str] | None = None,
    *,
    process: Process | None = None,
    executable: int | None = None,
    started: Callable[[int], None] = lambda _: None,
) -> int:
    """Run a process in `root` until it ends: its exit code, or 128+n when the signal n ended it.

    `process` is the plan's unless given, `argv` replaces its arguments (without a process it has a PATH and nothing else), and `executable` is a descriptor of the
    program, instead of a search for the first argument (S13). The process gets this one's standard streams and no other
    descriptor. It leads a session of its own, so that a terminal's signals reach it once: forwarded, as are the others
    that devproxy gets, when this is the main thread. One that would end any other process ends it too, where the kernel keeps it from the
    first process of a pid namespace. `started` is called with its pid once it runs. The root is used up.

    Raises NotFound, NotExecutable, InputError or DevproxyError when it cannot be started.
    """
    tree, wanted = (root, process) if isinstance(root, KernelRoot) else _of_plan(root, process)
    if argv is not None:
        wanted = (wanted or Process((), env=_DEFAULT_ENVIRONMENT))._replace(args=tuple(argv))
    if wanted is None:
        raise InputError("there is no process to start", hint="give process.args in config.json")
    streams = _streams()
    descriptors = streams if executable is None else (*streams, executable)
    interactive = wanted.terminal and os.isatty(streams[0])
    try:
        forwarding = Forwarding(tree.pidfd, tree.pid, tree.is_running)
        with forwarding:
            terminal = tree.start(Request(wanted, interactive), descriptors)
            forwarding.starting = False
            if forwarding.ended_by:
                if terminal is not None:
                    os.close(terminal)
                tree.wait()
                return 128 + forwarding.ended_by
            started(tree.pid)
            if terminal is not None:
                from devproxy.launch.terminal import relay

                relay(terminal, tree.pidfd, tree.restoring)
            return forwarding.code(tree.wait())
    finally:
        for descriptor in streams:
            if descriptor > 2:
                os.close(descriptor)


def _of_plan(root: Root, process: Process | None) -> tuple[KernelRoot, Process | None]:
    if not isinstance(root.tree, KernelRoot):
        raise DevproxyError("a process needs a root on the kernel, this one is elsewhere")
    return root.tree, root.plan.process if process is None else process


def _streams() -> tuple[int, ...]:
    """0, 1 and 2, and the null device for one that is closed: the next file that is opened would take its place.

    Errors: InputError for a directory: whoever has one open can go from there to everything that is beside it.
    """
    streams = []
    for number, name in enumerate(("input", "output", "error")):
        try:
            found = os.fstat(number)
        except OSError:
            streams.append(open_null(os.O_RDWR))
            continue
        if stat.S_ISDIR(found.st_mode):
            raise InputError(f"standard {name} is a directory: the process could leave its root through it")
        streams.append(number)
    return tuple(streams)
