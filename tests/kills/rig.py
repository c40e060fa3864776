"""Runs that are killed, and what may be left of them: nothing, or what the next command tells and removes.

Everything happens in a child with a mount namespace of its own, in which every mount is shared: a mount that reaches the place
where devproxy was called shows, and nobody else's does. The child adopts every orphan, so that what has no parent left is seen.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

from devproxy.cli.main import main
from devproxy.linux.mounts import set_propagation_of_everything
from devproxy.linux.namespaces import CLONE, unshare
from devproxy.linux.process import prctl
from devproxy.process import run
from tests.bundles import runc_spec_like, write_bundle
from tests.devproxy.linux.forked import in_child
from tests.kills.tracing import Traced
from tests.unprivileged import GID, UID, drop_root

MS_PRIVATE, MS_SHARED = 1 << 18, 1 << 20
_SUBREAPER = 36
RECORDING = Path(__file__).parents[2] / "example" / "host-8gpu.tar"


def apart() -> None:
    """Be where nobody else's mounts show, and adopt the orphans of all that is started from now on."""
    unshare(CLONE["mount"])
    set_propagation_of_everything(MS_PRIVATE)
    set_propagation_of_everything(MS_SHARED)
    # Where the state of pods is: nobody else's either.
    run(["mount", "-t", "tmpfs", "-o", "mode=755", "run", "/run"])
    prctl(_SUBREAPER, 1)


class Variant(NamedTuple):
    """A way to run: options behind `run BUNDLE` (DIR is a directory for layers), changes of config.json, who runs it."""

    name: str
    options: tuple[str, ...] = ()
    config: tuple[tuple[str, Any], ...] = ()
    verb: str = "run"
    rootless: bool = False
    terminal: bool = False
    oldest: bool = False


_NO_PID = {"namespaces": [{"type": kind} for kind in ("mount", "ipc", "uts", "network")]}
_DOCKER = {"env": ["PATH=/bin", "NVIDIA_VISIBLE_DEVICES=all"]}
_SHARED = {"rootfsPropagation": "shared"}
_FAMILY = {"args": ["sh", "-c", "sleep 100 & sleep 0.05"]}
_WRITER = {"args": ["sh", "-c", "echo text > /bound/new; dd if=/dev/zero of=/made/here/zeros bs=64k count=8"]}
_HINTS = {
    f"dev.gvisor.spec.mount.{name}.{key}": value
    for name, source, kind in (("scratch", "tmpfs", "tmpfs"), ("bound", "SOURCE", "bind"))
    for key, value in {"source": source, "type": kind, "share": "pod"}.items()
}
_NAMES = ["CAP_SETUID", "CAP_SETGID"]
_OTHER_USER = {
    "args": ["su", "-s", "/bin/sh", "nobody", "-c", "exec sleep 0.05"],
    "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), _NAMES),
}


def _set(value: str) -> tuple[str, str]:
    return "--set", value


VARIANTS = (
    Variant("root-memory", _set("overlay2=root:memory")),
    Variant("all-memory", _set("overlay2=all:memory")),
    Variant("root-self", _set("overlay2=root:self")),
    Variant("all-self", _set("overlay2=all:self")),
    Variant("dir", _set("overlay2=all:dir=DIR")),
    Variant("none", _set("overlay2=none")),
    Variant("docker", ("--host", str(RECORDING), "--mode", "docker"), (("process", _DOCKER),)),
    Variant("cgroup1", _set("cgroupfs=v1")),
    Variant("cgroup2", _set("cgroupfs=v2")),
    Variant("verify", _set("overlay2=all:self"), verb="verify"),
    Variant("terminal", _set("overlay2=root:self"), (("process", {"terminal": True}),), terminal=True),
    Variant("no-pid-namespace", _set("overlay2=root:self"), (("linux", _NO_PID),)),
    Variant("shared", (), (("linux", _SHARED), ("process", _FAMILY))),
    Variant("other-user", (), (("process", _OTHER_USER),)),
    Variant("oldest", _set("overlay2=all:self"), oldest=True),
    Variant("pod", (*_set("overlay2=all:self"), "--pod", "kills"), (("annotations", _HINTS),)),
    Variant("save", (*_set("overlay2=all:self"), "--save", "DIR/saved.tar"), (("process", _WRITER),)),
    Variant("rootless", rootless=True),
    Variant("rootless-self", _set("overlay2=all:self"), rootless=True),
)


class Kill(NamedTuple):
    """Who is killed, and when: a part of the time that an undisturbed run takes, or at a border of a system call."""

    who: str
    part: float = 0.0
    border: int = 0


WHO = ("devproxy", "builder", "both", "everybody")


class Place:
    """A bundle and a directory for layers, and what stood there before anything was run."""

    def __init__(self, directory: Path, variant: Variant) -> None:
        self.variant = variant
        self.layers = directory / "layers"
        self.layers.mkdir()
        source = directory / "source"
        source.mkdir()
        (source / "file").write_text("kept")
        bind = {"destination": "/bound", "type": "bind", "source": str(source), "options": ["rbind"]}
        made = {"destination": "/made/here", "type": "tmpfs", "source": "tmpfs"}
        changes = json.loads(json.dumps(dict(variant.config)).replace("SOURCE", str(source)))
        document = runc_spec_like(**{**changes, "process": {"args": ["sleep", "0.05"], **changes.get("process", {})}})
        document["mounts"] += [bind, made]
        self.bundle = write_bundle(directory / "bundle", document)
        rootfs = Path(self.bundle, "rootfs")
        (rootfs / "bin/su").symlink_to("busybox")
        (rootfs / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
        (rootfs / "etc/group").write_text("nobody:x:65534:\n")
        self._tops = [Path(self.bundle), source, self.layers, Path("/run")]
        if variant.rootless:
            for top in (directory, *self._tops[:-1]):
                for path in (top, *top.rglob("*")):
                    os.chown(path, UID, GID, follow_symlinks=False)
        self.whole = self.files()

    def files(self) -> dict[str, str]:
        """Every path below the bundle, the bind's source and the directory for layers, with what it is."""
        found = {}
        for top in self._tops:
            for directory, directories, files in os.walk(top):
                for name in (*directories, *files):
                    path = os.path.join(directory, name)
                    status = os.lstat(path)
                    found[path] = f"{status.st_mode:o} {status.st_uid} {status.st_size if name in files else ''}"
        return found

    def take_saved(self, *expected: str) -> list[str]:
        """Remove the file of a save: it is whole, or not there at all. What a process wrote that was killed depends."""
        file = self.layers / "saved.tar"
        if not file.exists():
            return ["nothing was saved"] if expected and "--save" in self.variant.options else []
        try:
            with tarfile.open(file) as tar:
                names = {os.path.normpath(name) for name in tar.getnames()}
        except (tarfile.TarError, EOFError) as error:
            return [f"the saved file is broken: {error}"]
        finally:
            file.unlink()
        return [f"the saved file has no {name}" for name in expected if name not in names]

    def work(self, err: str = os.devnull) -> int:
        """The command, in the process that calls this: it belongs to the command alone."""
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        streams = [null, null, os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)]
        if self.variant.terminal:
            import pty

            streams[0] = pty.openpty()[1]
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        sys.stdout, sys.stderr = (open(number, "w", closefd=False) for number in (1, 2))  # noqa: SIM115
        if self.variant.rootless:
            drop_root()
        if self.variant.oldest:
            os.environ["DEVPROXY_KERNEL"] = "oldest"
        options = [word.replace("DIR", str(self.layers)) for word in self.variant.options]
        code = main([self.variant.verb, self.bundle, *options])
        sys.stderr.flush()
        return code


def start(work: Callable[[], int]) -> int:
    """A child that does it."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = work()
        finally:
            os._exit(code)
    return pid


def descendants(pid: int) -> list[int]:
    """Every process below one, as far as they are seen now."""
    found = []
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            children = [int(word) for word in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    for child in children:
        found += [child, *descendants(child)]
    return found


def strike(pid: int, who: str) -> None:
    """Kill devproxy's own process, one that it made, both, or all there are."""
    below = descendants(pid)
    victims = {"devproxy": [pid], "builder": below[:1] or [pid], "both": [pid, *below[:1]], "everybody": [pid, *below]}[
        who
    ]
    for victim in victims:
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            continue


def wait_for_all(reap: Callable[[int, int], None] = lambda pid, status: None, patience: float = 20) -> list[str]:
    """Wait until no process is left of those that were started, and of their orphans. Returns those that do not end within
    `patience` seconds, and ends them.
    """
    end = time.monotonic() + patience
    while time.monotonic() < end:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | 0x40000000)
        except ChildProcessError:
            return []
        if pid:
            reap(pid, status)
        else:
            time.sleep(0.002)
    remain = [f"process {pid} remains: {_command(pid)}" for pid in descendants(os.getpid())]
    for pid in descendants(os.getpid()):
        os.kill(pid, signal.SIGKILL)
    return remain


def _command(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().replace(b"\0", b" ").decode(errors="replace")


def _mounts() -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        # Peer groups are numbered as they come; which mount is where has to stay.
        return sorted(line.split(" - ")[0].split()[3] + " " + line.split()[4] for line in lines)


class OwnCgroup:
    """A context in a cgroup of this process alone, where cgroups can be made: what a container's process is in is below it."""

    def __init__(self) -> None:
        tops = [top for top in ("/sys/fs/cgroup/pids", "/sys/fs/cgroup") if os.access(f"{top}/cgroup.procs", os.W_OK)]
        self._top = tops[0] if tops else ""
        self._own = f"{self._top}/devproxy-kills-{os.getpid()}" if tops else ""

    def __enter__(self) -> Self:
        if self._own:
            os.mkdir(self._own)
            Path(self._own, "cgroup.procs").write_text(str(os.getpid()))
        return self

    def found(self) -> list[str]:
        """The cgroups in it, and the processes, this one left out."""
        if not self._own:
            return []
        processes = set(Path(self._own, "cgroup.procs").read_text().split()) - {str(os.getpid())}
        return sorted({directory for directory, _, _ in os.walk(self._own)} | processes)

    def __exit__(self, *_: object) -> None:
        if self._own:
            Path(self._top, "cgroup.procs").write_text(str(os.getpid()))
            os.rmdir(self._own)


class Host:
    """What the host has that a command could leave something in. `differences` says what is new."""

    def __init__(self, cgroup: OwnCgroup) -> None:
        self._cgroup = cgroup
        self._before = self._state()

    def _state(self) -> dict[str, list[str]]:
        return {"mounts": _mounts(), "cgroups": self._cgroup.found()}

    def differences(self) -> list[str]:
        """Mounts and cgroups that were not there before, or are there no more."""
        now = self._state()
        return [f"{what}: {self._before[what]} became {now[what]}" for what in now if now[what] != self._before[what]]


def after_a_kill(place: Place, host: Host, most: dict[str, str]) -> tuple[list[str], bool]:
    """What is wrong now, and whether something was left that the next command had to remove. `most` are the files that an
    undisturbed run leaves.
    """
    wrong = host.differences() + place.take_saved()
    left = {path: what for path, what in place.files().items() if most.get(path) != what}
    strange = [path for path in left if "/.devproxy.overlay" not in path and not path.startswith("/run/devproxy")]
    wrong += [f"{path} was left or changed: {left[path]}" for path in strange]
    wrong += [f"{path} is gone" for path in place.whole if path not in place.files()]
    if left:
        err = f"{place.layers.parent}/err"
        os.waitpid(start(lambda: place.work(err)), 0)
        wrong += wait_for_all() + place.take_saved()
        if place.files() != most:
            wrong.append(f"the next command leaves {sorted(set(place.files()) ^ set(most))}")
        told = Path(err).read_text()
        # An empty directory for layers has nothing in it worth a word.
        empty = (".devproxy.overlay", "devproxy", "pods", "kills")
        if any(path.rpartition("/")[2] not in empty for path in left) and "killed" not in told:
            wrong.append(f"the next command removes {sorted(left)} and says nothing of it: {told!r}")
    return wrong, bool(left)


def kill_many(directory: Path, variant: Variant, kills: Callable[[int], Iterator[Kill]]) -> Any:
    """Run a variant undisturbed, then once for each of `kills`, which is given the number of borders of system calls of a
    traced run. Returns what was wrong, kill by kill, and how many left something.
    """

    def child() -> list[Any]:
        apart()
        with OwnCgroup() as cgroup:
            return work(cgroup)

    def work(cgroup: OwnCgroup) -> list[Any]:
        place = Place(directory, variant)
        begin = time.monotonic()
        code = os.waitstatus_to_exitcode(os.waitpid(start(place.work), 0)[1])
        took = time.monotonic() - begin
        assert place.take_saved("bound/new", "made/here/zeros") == []
        assert code == 0, f"undisturbed it ends with {code}"
        most = place.files()
        host = Host(cgroup)
        traced = Traced(place.work)
        assert not traced.run_until(-1, lambda pid: None)
        assert place.take_saved("bound/new", "made/here/zeros") == []
        wrong, left = [], 0
        for kill in kills(traced.stops):
            problems = _one(place, kill, took)
            more, anything = after_a_kill(place, host, most)
            left += anything
            wrong += [f"{variant.name} {kill}: {problem}" for problem in problems + more]
        return [wrong, left, traced.stops]

    return in_child(child)


def _one(place: Place, kill: Kill, took: float) -> list[str]:
    if kill.border:
        traced = Traced(place.work)
        main_pid = traced.pid
        who = kill.who

        def there(pid: int) -> None:
            strike(main_pid, who) if who != "here" else os.kill(pid, signal.SIGKILL)

        traced.run_until(kill.border, there)
        return wait_for_all(traced.reap)
    pid = start(place.work)
    time.sleep(kill.part * took)
    strike(pid, kill.who)
    return wait_for_all()


def seed() -> int:
    """The seed of this run: given, or a new one."""
    return int(os.environ.get("DEVPROXY_SEED") or random.SystemRandom().randrange(1 << 32))
