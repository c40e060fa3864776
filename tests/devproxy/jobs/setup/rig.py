"""A machine of values as the running one: in a mount namespace of a child's own its /dev, /sys and files of /proc are those of a
`Machine`, on a tmpfs, with real device nodes; /etc, /run and /var/lib are empty ones. modprobe is a script that changes /proc/devices.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from devproxy.cli.main import main
from devproxy.host.facts import Host
from devproxy.jobs.setup import survey
from devproxy.linux.mounts import set_propagation_of_everything
from devproxy.linux.namespaces import CLONE, unshare
from devproxy.process import find_program, run
from tests.devproxy.linux.forked import in_child
from tests.hosts.machine import Machine

MS_PRIVATE = 1 << 18
FILES = ("/proc/devices", "/proc/misc", "/proc/modules")
# What a kernel with the stub of a driver would do; UVM is the major that it is given.
MODPROBE = """\
#!/bin/sh
list=$(cat /proc/devices)
case "$*" in
"-b nvidia-uvm" | nvidia-uvm)
    [ -e /lib-modules/nvidia-uvm ] || { echo "modprobe: FATAL: Module nvidia-uvm not found." >&2; exit 1; }
    [ -e /lib-modules/blacklist ] && exit 0
    echo "$list" | sed 's/^Character devices:$/&\\n510 nvidia-uvm/' >/proc/devices ;;
"-r nvidia-uvm")
    [ -e /lib-modules/busy ] && { echo "modprobe: FATAL: Module nvidia_uvm is in use." >&2; exit 1; }
    echo "$list" | sed '/ nvidia-uvm$/d' >/proc/devices ;;
-c) [ -e /lib-modules/blacklist ] && echo "blacklist nvidia_uvm" ;;
esac
"""


def on(machine: Machine, work: Callable[[], Any], *, module: bool = True) -> Any:
    """What `work` returned on that machine, through JSON."""

    def child() -> Any:
        _become(machine, module=module)
        return work()

    return in_child(child)


def _become(machine: Machine, *, module: bool) -> None:
    unshare(CLONE["mount"])
    set_propagation_of_everything(MS_PRIVATE)
    # What the tests themselves run in is not what is tested.
    survey.read_containers = lambda *_: ()  # type: ignore[attr-defined]
    run(["mount", "-t", "tmpfs", "-o", "mode=755", "scratch", "/mnt"])
    machine.write_to("/mnt")
    for directory in (
        "/mnt/proc/driver",
        "/mnt/sys",
        "/mnt/etc",
        "/mnt/run",
        "/mnt/var/lib",
        "/mnt/lib-modules",
        "/mnt/bin",
    ):
        os.makedirs(directory, exist_ok=True)
    Path("/mnt/etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    Path("/mnt/etc/group").write_text("root:x:0:\ntpu:x:1234:\n")
    script = Path("/mnt/bin/modprobe")
    script.write_text(MODPROBE.replace("/lib-modules", "/mnt/lib-modules"))
    script.chmod(0o755)
    os.symlink(os.path.realpath(find_program("awk") or "awk"), "/mnt/bin/awk")  # which one it is /etc says elsewhere
    os.environ["PATH"] = f"/mnt/bin:{os.environ['PATH']}"
    if module:
        Path("/mnt/lib-modules/nvidia-uvm").touch()
    # A kernel without modules has no list of them.
    files = [path for path in FILES if os.path.exists(path)]
    for path in files:
        Path(f"/mnt{path}").touch()
    places = [*files, "/proc/driver", "/sys", "/etc", "/run", "/var/lib", "/dev"]
    run(["sh", "-ec", "".join(f"mount --bind /mnt{path} {path}\n" for path in places)])


def setup(*words: str) -> tuple[int, str]:
    """`devproxy setup WORDS`: its exit code, and what it printed on both streams."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = main(["setup", *(() if "--json" in words else ("--text",)), *words])
        sys.stdout.flush()
    return code, out.getvalue()


def tree(*places: str) -> dict[str, str]:
    """What is at and below these places: types, numbers, modes, owners, where links lead, what files say."""
    return {path: _told(path) for place in places or ("/dev",) for path in _walk(place)}


def identities(place: str = "/dev") -> dict[str, tuple[int, int]]:
    """Which inode each path is, and when it was last changed."""
    looked = ((path, os.lstat(path)) for path in _walk(place))
    return {path: (found.st_ino, found.st_ctime_ns) for path, found in looked}


def _walk(place: str) -> Iterator[str]:
    yield place
    for here, directories, files in os.walk(place):
        for name in (*directories, *files):
            yield os.path.join(here, name)


def _told(path: str) -> str:
    found = os.lstat(path)
    words = f"{stat.filemode(found.st_mode)} {found.st_uid}:{found.st_gid}"
    if stat.S_ISLNK(found.st_mode):
        return f"-> {os.readlink(path)}"
    if stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
        return f"{words} {os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
    if stat.S_ISREG(found.st_mode):
        return f"{words} {Path(path).read_text()!r}"
    return words


def bare(machine: Machine, host: Host) -> Machine:
    """The machine without a node or link of NVIDIA's: a driver that was just loaded."""
    nodes = [node for node in host.nodes if node.path.startswith("/dev/nvidia")]
    machine.remove(*(node.path for node in nodes), *(f"/dev/char/{node.number}" for node in nodes))
    return machine.remove(*{os.path.dirname(node.path) for node in nodes} - {"/dev"})
