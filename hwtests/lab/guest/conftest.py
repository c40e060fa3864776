"""The guest: its drivers asked directly, its nodes as nvidia-modprobe makes them, containers that `devproxy run` starts."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

# Loaded here, once: every command is a fork of this process.
import devproxy
import devproxy.check.verify
import devproxy.launch
import devproxy.targets.kernel.builder
import devproxy.targets.memory
from devproxy.cli import main
from devproxy.cli.verbs import VERBS
from devproxy.host.facts import Host
from devproxy.process import Completed, run
from tests.bundles import runc_spec_like, write_bundle

IN_GUEST: Final = os.environ.get("DEVPROXY_LAB_GUEST") == "1"
collect_ignore_glob = [] if IN_GUEST else ["test_*.py"]

LAB: Final = Path("/lab")
# What `ask` says of a driver that answered: hwtests/lab/stub/lab.h.
NVIDIA, UVM, CAPS, TPU, VFIO = "10de", "0055", "00ca", "1ae0", "0f10"
GPUS: Final = ("0001:00:01.0", "0001:00:02.0", "0001:00:03.0")


def majors() -> dict[str, int]:
    """/proc/devices, by name, read without devproxy."""
    text = Path("/proc/devices").read_text(encoding="ascii").partition("\n\n")[0]
    return {name: int(number) for number, name in (line.split() for line in text.splitlines()[1:])}


def make_node(path: str, major: int, minor: int, mode: int = 0o666) -> None:
    """A character device, in the place of what is there."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.lexists(path):
        os.unlink(path)
    os.mknod(path, stat.S_IFCHR | mode, os.makedev(major, minor))
    os.chmod(path, mode)


def insmod(name: str, *options: str) -> None:
    """Load one of the lab's modules."""
    run(["/lab/busybox", "insmod", f"/lab/{name}.ko", *options])


def rmmod(name: str) -> None:
    """Unload it."""
    run(["/lab/busybox", "rmmod", name])


def make_nodes() -> None:
    """What nvidia-modprobe makes, from what the driver says."""
    found = majors()
    for path in Path("/proc/driver/nvidia/gpus").glob("*/information"):
        fields = dict(line.split(":", 1) for line in path.read_text().splitlines())
        minor = int(fields["Device Minor"])
        make_node(f"/dev/nvidia{minor}", found["nvidia"], minor)
    make_node("/dev/nvidiactl", found["nvidiactl"], 255)
    make_node("/dev/nvidia-modeset", found["nvidia-modeset"], 254)
    make_node("/dev/nvidia-uvm", found["nvidia-uvm"], 0)
    make_node("/dev/nvidia-uvm-tools", found["nvidia-uvm"], 1)
    for capability in (p for p in Path("/proc/driver/nvidia/capabilities").rglob("*") if p.is_file()):
        fields = dict(line.split(": ") for line in capability.read_text().splitlines())
        minor, mode = int(fields["DeviceFileMinor"]), int(fields["DeviceFileMode"])
        make_node(f"/dev/nvidia-caps/nvidia-cap{minor}", found["nvidia-caps"], minor, mode)


@pytest.fixture(scope="session", autouse=True)
def nodes() -> None:
    make_nodes()


@pytest.fixture
def host() -> Host:
    """The guest as devproxy sees it, anew for each test."""
    return devproxy.probe()


Cli = Callable[..., Completed]


@pytest.fixture(scope="session")
def cli() -> Cli:
    """`devproxy WORDS`, which must end with `code`."""
    for verb in VERBS:
        verb.load()

    def call(*words: str, code: int | None = 0) -> Completed:
        done = in_child(lambda: main.main(words))
        assert code is None or done.code == code, (words, done)
        return done

    return call


def in_child(work: Callable[[], int]) -> Completed:
    """What a command does that a fork of this process carries out: under emulation a fresh Python takes seconds."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                for descriptor, target in ((os.open(os.devnull, os.O_RDONLY), 0), (out.fileno(), 1), (err.fileno(), 2)):
                    os.dup2(descriptor, target)
                sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
                code = work()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        texts = [(file.seek(0), file.read().decode())[1] for file in (out, err)]
    return Completed(code, *texts)


def bundle(directory: Path, *env: str, devices: list[dict[str, Any]] | None = None) -> str:
    """A bundle whose image has busybox and `ask`."""
    process = {"env": ["PATH=/bin", *env]}
    linux: dict[str, Any] = {"devices": devices} if devices is not None else {}
    made = write_bundle(directory / "bundle", runc_spec_like(process=process, linux=linux))
    shutil.copy(LAB / "ask", Path(made) / "rootfs" / "bin")
    return made


def answers(text: str) -> dict[str, str]:
    """What `ask` printed, by node."""
    return dict(line.split(" ", 1) for line in text.splitlines())


def inside(cli: Cli, made: str, *nodes: str, bad: int = 0) -> dict[str, str]:
    """What nodes answer to a process in the container of a bundle; `bad` of them must not."""
    done = cli("run", made, "--", "ask", *nodes, code=bad)
    assert not done.err, done
    return answers(done.out)


def ask(*paths: str) -> dict[str, str]:
    """What the host's nodes answer, without any container."""
    return answers(run(["/lab/ask", *paths], check=False).out)
