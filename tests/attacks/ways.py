"""The ways in which devproxy is given a bundle. Each command runs in a forked child, with a time limit."""

from __future__ import annotations

import codecs
import io
import os
import select
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from devproxy.cli.main import main
from tests.attacks.scene import Ran, Scene, give
from tests.unprivileged import UID, drop_root

# A user may not be able to read what root's interpreter has not imported yet.
codecs.lookup("unicode_escape")
TIMEOUT = 20
LEAKED = 7


class Way(NamedTuple):
    """`verb` is run or inspect, `settings` of --set, `kernel` is the value of DEVPROXY_KERNEL."""

    name: str
    verb: str = "run"
    settings: tuple[str, ...] = ()
    kernel: str = ""
    rootless: bool = False


MEMORY = Way("overlay in memory", settings=("overlay2=root:memory",))
NONE = Way("no overlay", settings=("overlay2=none",))
SELF = Way("layers on the host", settings=("overlay2=root:self",))
OLDEST = Way("the oldest kernel", settings=("overlay2=none",), kernel="oldest")
OLDEST_OVERLAY = Way("the oldest kernel, overlay", settings=("overlay2=root:memory",), kernel="oldest")
ROOTLESS = Way("without root", settings=("overlay2=none",), rootless=True)
INSPECT = Way("in memory", verb="inspect")
AS_ROOT = (MEMORY, NONE, SELF, OLDEST, OLDEST_OVERLAY)
WITHOUT_ROOT = (ROOTLESS, INSPECT)


def attack(scene: Scene, way: Way) -> Ran:
    """Run the bundle of a scene in one way."""
    scene.write()
    if way.rootless and os.geteuid() == 0:
        give(scene.directory, UID)
        scene.write()
    words = [f"--set={each}" for each in (*way.settings, *scene.settings)]
    what = ["mountinfo"] if way.verb == "inspect" else []
    return command(scene, [way.verb, str(scene.bundle), *what, *words], way)


def command(scene: Scene, argv: list[str], way: Way) -> Ran:
    """One command line of devproxy's."""

    def child() -> int:
        os.environ.pop("DEVPROXY_KERNEL", None)
        if way.kernel:
            os.environ["DEVPROXY_KERNEL"] = way.kernel
        if scene.leaked is not None:
            leak(scene.leaked)
        if way.rootless:
            drop_root()
        return main(argv)

    return ran(child, null=scene.null_stdin)


def leak(path: Path) -> None:
    """What a careless caller does: leave a descriptor of the host open for whoever is started."""
    opened = os.open(path, os.O_RDONLY)
    os.dup2(opened, LEAKED, inheritable=True)
    if opened != LEAKED:
        os.close(opened)


def ran(work: Callable[[], int], *, null: bool = False, keep: tuple[int, ...] = ()) -> Ran:
    """What `work` came to in a forked child with streams of its own, and with the descriptors `keep`."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            _in_child(work, (out.fileno(), err.fileno()), null=null, keep=keep)
        code = wait(child)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return Ran(code, texts[0], texts[1])


def _in_child(work: Callable[[], int], files: tuple[int, int], *, null: bool, keep: tuple[int, ...]) -> None:
    code = 99
    try:
        reader = os.open("/dev/null", os.O_RDONLY) if null else os.pipe()[0]
        for number, descriptor in enumerate((reader, *files)):
            os.dup2(descriptor, number)
        for number in set(range(3, 64)) - set(keep):
            os.closerange(number, number + 1)
        for name, number in (("stdout", 1), ("stderr", 2)):
            stream = io.TextIOWrapper(
                io.FileIO(number, "w", closefd=False), errors="backslashreplace", encoding="utf-8"
            )
            setattr(sys, name, stream)
        code = work()
    except BaseException as error:  # noqa: BLE001 (told to the parent)
        os.write(2, f"Traceback: {error!r}".encode())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(child: int, timeout: float = TIMEOUT) -> int | None:
    """The exit code of a child; None if it had to be killed."""
    pidfd = os.pidfd_open(child)
    try:
        ended, _, _ = select.select([pidfd], [], [], timeout)
    finally:
        os.close(pidfd)
    if not ended:
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    return os.waitstatus_to_exitcode(status) if ended else None
