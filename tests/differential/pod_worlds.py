"""Pods to try the same things in: on runsc, on the kernel with real processes, and in memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import devproxy
from devproxy.build import Root
from tests.bundles import runc_spec_like, write_bundle
from tests.differential.peers import PATH, TIMEOUT, require, run

END = "-- end --"


class Container(NamedTuple):
    """One container of a pod: its mounts as (where, type, options), all of the volume."""

    mounts: tuple[tuple[str, str, tuple[str, ...]], ...]


class Pod(NamedTuple):
    """Containers, and what the hint in the first one says of their volume."""

    containers: tuple[Container, ...]
    options: str = ""
    share: str = "pod"

    def write(self, directory: Path, sandbox: str) -> list[str]:
        """The bundles. The source of the volume is an empty directory beside them."""
        (directory / "volume").mkdir(parents=True)
        return [self._write(directory, number, sandbox) for number in range(len(self.containers))]

    def _write(self, directory: Path, number: int, sandbox: str) -> str:
        source = str(directory / "volume")
        kind = "container" if number else "sandbox"
        annotations = {"io.kubernetes.cri.container-type": kind, "io.kubernetes.cri.sandbox-id": sandbox}
        if not number:
            fields = {"source": source, "type": "tmpfs", "share": self.share, "options": self.options or "rw"}
            annotations |= {f"dev.gvisor.spec.mount.vol.{key}": value for key, value in fields.items()}
        document: dict[str, Any] = runc_spec_like(
            process={"args": ["sh"], "noNewPrivileges": True}, root={"readonly": False}, annotations=annotations
        )
        document["process"]["capabilities"].pop("ambient")
        document["linux"] = {"namespaces": document["linux"]["namespaces"]}
        document["mounts"] = document["mounts"][:3] + [
            {"destination": where, "type": kind, "source": source, "options": list(options)}
            for where, kind, options in self.containers[number].mounts
        ]
        return write_bundle(directory / str(number), document)


class Running(Protocol):
    """A pod that runs: what is said by a shell in one of its containers."""

    def look(self, container: int, script: str) -> str:
        """What a script prints, errors too."""


class _Runsc:
    def __init__(self, flags: Sequence[str], names: Sequence[str]) -> None:
        self._flags = flags
        self._names = names

    def look(self, container: int, script: str) -> str:
        """See `Running.look`."""
        _, out, err = run("runsc", *self._flags, "exec", self._names[container], "sh", "-c", f"{{ {script}; }} 2>&1")
        return out.strip() or err.strip()


@contextmanager
def on_runsc(pod: Pod, directory: Path) -> Iterator[Running | str]:
    """The pod in a sandbox of runsc's, or what it said when it refused the last container."""
    require("runsc")
    names = [f"devproxy-{uuid.uuid4().hex[:12]}" for _ in pod.containers]
    flags = ["--root", str(directory / "state"), "--network=none", "--ignore-cgroups", "--platform=ptrace"]
    with ExitStack() as stack:
        said = ""
        for name, bundle in zip(names, pod.write(directory, names[0]), strict=True):
            stack.callback(_end, flags, name)
            said = _start(stack, flags, name, bundle)
            if said:
                break
        yield said or _Runsc(flags, names)


def _start(stack: ExitStack, flags: Sequence[str], name: str, bundle: str) -> str:
    """Create and start one container, whose shell waits for input that never comes. What was said if that failed."""
    reader, writer = os.pipe()
    stack.callback(os.close, writer)
    stack.callback(os.close, reader)
    errors = stack.enter_context(open(f"{bundle}/said", "w+b"))  # noqa: SIM115 (the stack closes it)
    for verb in (["create", "--bundle", bundle], ["start"]):
        words = ["runsc", *flags, *verb, name]
        # Which of the two hands its streams on depends on whether the container is the first.
        done = subprocess.run(
            words,
            stdin=reader,
            stdout=errors,
            stderr=errors,
            env={**os.environ, "PATH": PATH},
            timeout=TIMEOUT,
            check=False,
        )
        if done.returncode:
            errors.seek(0)
            return errors.read().decode(errors="replace") or f"exit code {done.returncode}"
    return ""


def _end(flags: Sequence[str], name: str) -> None:
    run("runsc", *flags, "delete", "--force", name)


class _Runc:
    def __init__(self, bundles: Sequence[str]) -> None:
        self._bundles = bundles

    def look(self, container: int, script: str) -> str:
        """See `Running.look`. A container for each script: what they share is on the host."""
        config = Path(self._bundles[container], "config.json")
        document = json.loads(config.read_text())
        document["process"]["args"] = ["sh", "-c", f"{{ {script}; }} 2>&1"]
        config.write_text(json.dumps(document))
        _, out, err = run("runc", "run", "--bundle", self._bundles[container], f"devproxy-{uuid.uuid4().hex[:12]}")
        return out.strip() or err.strip()


@contextmanager
def on_runc(pod: Pod, directory: Path) -> Iterator[Running]:
    """What runc can express of the pod: binds of one tmpfs that the host has mounted."""
    require("runc")
    binds = [
        Container(tuple((where, "bind", (*options, "bind")) for where, _, options in each.mounts))
        for each in pod.containers
    ]
    bundles = pod._replace(containers=tuple(binds)).write(directory, "runc")
    volume = str(directory / "volume")
    done = run("mount", "-t", "tmpfs", "tmpfs", volume)
    assert done[0] == 0, done
    try:
        yield _Runc(bundles)
    finally:
        run("umount", volume)


class _Kernel:
    def __init__(self, shells: Sequence[subprocess.Popen[str]]) -> None:
        self._shells = shells

    def look(self, container: int, script: str) -> str:
        """See `Running.look`."""
        shell = self._shells[container]
        given, said = _streams(shell)
        given.write(f"{{ {script}; }} 2>&1; echo '{END}'\n")
        given.flush()
        lines = []
        while (line := said.readline()) != f"{END}\n":
            assert line, f"the shell has ended: {shell.stderr and shell.stderr.read()}"
            lines.append(line)
        return "".join(lines).strip()


def _streams(shell: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert shell.stdin is not None
    assert shell.stdout is not None
    return shell.stdin, shell.stdout


@contextmanager
def on_the_kernel(pod: Pod, directory: Path) -> Iterator[Running]:
    """The pod as processes of `devproxy run --pod`, each with a shell that reads commands."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    with ExitStack() as stack:
        shells = []
        for bundle in pod.write(directory, name):
            words = [sys.executable, "-m", "devproxy", "-q", "run", bundle, "--pod", name]
            shell = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            stack.callback(_end_shell, shell)
            shells.append(shell)
            _Kernel(shells).look(len(shells) - 1, "true")  # it is there, before the next one is started
        yield _Kernel(shells)


def _end_shell(shell: subprocess.Popen[str]) -> None:
    try:
        shell.communicate(timeout=TIMEOUT)
    finally:
        shell.kill()
        shell.wait()


class _Memory:
    """Nothing runs in memory: the few things that scripts do are done through the root."""

    def __init__(self, roots: Sequence[Root]) -> None:
        self.roots = roots


@contextmanager
def in_memory(pod: Pod, directory: Path) -> Iterator[_Memory]:
    """The pod in memory."""
    host = devproxy.probe()
    with ExitStack() as stack:
        own = stack.enter_context(devproxy.Pod("memory"))
        bundles = pod.write(directory, "memory")
        plans = [devproxy.plan(devproxy.load(bundle), host) for bundle in bundles]
        yield _Memory([stack.enter_context(own.build(plan)) for plan in plans])


World = Running | _Memory


def root_of(world: World, container: int) -> Root | None:
    """The root of a container, if it is in memory."""
    return world.roots[container] if isinstance(world, _Memory) else None


def shell_of(world: World) -> Running:
    """The shells of a world in which processes run."""
    assert not isinstance(world, _Memory)
    return world
