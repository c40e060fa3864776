"""`devproxy probe` shows all of a deep probe, wherever it runs: never a traceback, never `fine` for what it did not see."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.cli.context import Context
from devproxy.cli.main import main
from devproxy.cli.probe import print_host
from devproxy.host.details import Details, SystemDetails
from devproxy.host.facts import Host
from devproxy.host.nvml_facts import Nvml, NvmlError, NvmlState
from devproxy.host.probe import probe, probe_reader
from devproxy.host.system_facts import (
    CdiFile,
    Container,
    KernelModule,
    Library,
    LogEvent,
    Runtime,
    ServiceSocket,
)
from devproxy.linux.mounts import (
    MS_PRIVATE,
    fsconfig_create,
    fsconfig_string,
    fsmount,
    fsopen,
    move_mount,
    set_propagation_of_everything,
)
from devproxy.linux.namespaces import CLONE, unshare
from devproxy.oci.configuration import Configuration
from tests.hosts.machine import Machine
from tests.hosts.make import RECORDINGS, hgx_h100, tpu_v5p
from tests.unprivileged import as_user


def shown(host: Host) -> str:
    out = io.StringIO()
    print_host(host, Context(Configuration(), out=out))
    return out.getvalue()


def deep(machine: Machine) -> Host:
    return probe_reader(machine, name="machine", simulated=True, deep=True)


def held(machine: Machine, *paths: str, complete: bool = True) -> Machine:
    holder = {"name": "python3", "paths": list(paths), "pid": 4242, "started": 5, "uid": 1000}
    return machine.fact("holders", {"complete": complete, "holders": [holder], "unread": 2, "why": "2 may not be read"})


def line_of(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


def test_who_holds_a_device_stands_beside_it() -> None:
    text = shown(deep(held(tpu_v5p(), "/dev/vfio/1")))
    assert "python3 (4242)" in line_of(text, "1    0000:00:05.0")
    assert "4242" not in line_of(text, "0    0000:00:04.0")
    assert "NOT SEEN" not in text


def test_who_was_not_seen_is_a_question_and_not_nobody() -> None:
    text = shown(deep(held(tpu_v5p(), complete=False)))
    assert line_of(text, "0    0000:00:04.0").split()[4] == "?"
    assert text.splitlines()[-1].split(maxsplit=3) == ["who", "holds", "devices", "2 may not be read"]


def test_a_gpus_numa_node_is_the_pci_functions() -> None:
    text = shown(deep(hgx_h100()))
    assert line_of(text, "3    0000:5d:00.0").split()[2] == "0"
    assert line_of(text, "4    0000:9a:00.0").split()[2] == "1"


SYSTEM = SystemDetails(
    modules=(KernelModule("nvidia", "550.163.01", 3, "live", "/sys/module/nvidia", ("nvidia_uvm",)),),
    libraries=(
        Library("libnvidia-cfg", "550.163.01", "/usr/lib/libnvidia-cfg.so.550.163.01"),
        Library("libcuda", "550.163.01", "/usr/lib/libcuda.so.550.163.01"),
        Library("libcuda", "545.1", "/opt/old/libcuda.so.545.1"),
    ),
    sockets=(ServiceSocket("nvidia-persistenced", "/run/nvidia-persistenced/socket", False, "ECONNREFUSED"),),
    log=(
        LogEvent("xid", "NVRM: Xid (PCI:0000:18:00): 79, GPU has fallen off the bus.", 5.0, 79),
        LogEvent("oom", "oom"),
        LogEvent("sxid", "nvidia-nvswitch0: SXid (PCI:0000:87:00.0): 20034, Fatal, Link 48", 5.1, 20034),
        LogEvent("xid", "NVRM: Xid (PCI:0000:18:00): 79, again", 9.0, 79),
    ),
    runtimes=(Runtime("runc", "/usr/bin/runc", "1.1.5"),),
    cdi=(CdiFile("/etc/cdi/nvidia.yaml", "", 0o600, 0, 0, 0, "EACCES: Permission denied"),),
    containers=(Container("docker", "/.dockerenv", "/.dockerenv"),),
)


def test_every_part_of_the_system_has_its_table() -> None:
    nvml = Nvml(NvmlState.FAILED, errors=(NvmlError("nvmlInit", 18, "LIB_RM_VERSION_MISMATCH"),))
    text = shown(deep(hgx_h100())._replace(details=Details(nvml=nvml, system=SYSTEM)))
    for words in (
        "probed inside a container (docker)", "NVML: failed: nvmlInit: LIB_RM_VERSION_MISMATCH",
        "nvidia  550.163.01  live   3 (nvidia_uvm)", "550.163.01  libcuda, libnvidia-cfg  /usr/lib", "545.1       libcuda",
        "nobody listens: ECONNREFUSED", "runc     1.1.5    /usr/bin/runc", "EACCES: Permission denied",
        "kernel log: 2 x Xid 79, 1 x oom, 1 x SXid 20034", "last: NVRM: Xid (PCI:0000:18:00): 79, again",
    ):  # fmt: skip
        assert words in text, text


@pytest.mark.parametrize(
    ("nvml", "words"),
    [
        (Nvml(NvmlState.ANSWERED, driver="550.1", cuda="12.4"), "NVML: driver 550.1, CUDA 12.4"),
        (Nvml(NvmlState.TIMEOUT, during="nvmlDeviceGetCount_v2"), "NVML: no answer in nvmlDeviceGetCount_v2"),
        (Nvml(NvmlState.NO_LIBRARY), "NVML: no library"),
    ],
)
def test_how_asking_nvml_ended(nvml: Nvml, words: str) -> None:
    assert words in shown(deep(hgx_h100())._replace(details=Details(nvml=nvml)))


def test_opens_are_of_this_machine_alone(capsys: pytest.CaptureFixture[str]) -> None:
    path = next(iter(RECORDINGS))
    assert [main(["probe", word, "--host", path]) for word in ("--open", "--opens")] == [2, 2]
    assert "a recording has none" in capsys.readouterr().err


@pytest.mark.property
@given(st.text(max_size=20), st.booleans() | st.none())
def test_no_text_of_a_host_moves_the_cursor(text: str, listening: bool | None) -> None:
    system = SystemDetails(
        modules=(KernelModule(text, text, None, text, text),),
        sockets=(ServiceSocket(text, text, listening, text),),
        log=(LogEvent(text, text),),
        runtimes=(Runtime(text, text),),
        containers=(Container(text, text, text),),
    )
    lines = shown(deep(hgx_h100())._replace(details=Details(system=system)))
    assert all(character.isprintable() or character == "\n" for character in lines)


# wherever it runs

PROGRAM = "from devproxy.cli.main import main; import sys; sys.exit(main(['probe', '--text']))"


def probed(*wrapper: str, setup: str = "true") -> str:
    command = f'{setup} && exec "$0" -c "$1"'
    argv = [*wrapper, "sh", "-c", command, sys.executable, PROGRAM]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[3], check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "healthy" not in done.stdout.lower()
    return done.stdout


UNSHARE = ("unshare", "--mount", "--propagation", "private")


def as_nobody(prepare: Callable[[], object] = lambda: None) -> str:
    probe(deep=True)  # what a child that gave up root may not import any more
    text: str = as_user(lambda _: shown(probe(deep=True)), prepare)
    return text


def hide_sys() -> None:
    unshare(CLONE["mount"])
    set_propagation_of_everything(MS_PRIVATE)
    context = fsopen("tmpfs")
    fsconfig_string(context, "mode", "0700")
    fsconfig_create(context)
    move_mount(fsmount(context, 0), os.open("/sys", os.O_PATH))


@pytest.mark.root
def test_without_sys_nothing_is_said_to_be_absent() -> None:
    text = as_nobody(hide_sys)
    assert "no NVIDIA GPU was seen" in text
    assert "/sys/bus/pci/devices" in text[text.index("NOT SEEN") :]


@pytest.mark.root
def test_as_an_ordinary_user_holders_are_unknown() -> None:
    text = as_nobody()
    assert "who holds devices" in text[text.index("NOT SEEN") :]


@pytest.mark.root
def test_in_another_pid_namespace_holders_are_unknown() -> None:
    text = probed("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--propagation", "private")
    assert "processes of other pid namespaces" in text[text.index("NOT SEEN") :]


@pytest.mark.root
def test_without_udev_or_dev() -> None:
    text = probed(*UNSHARE, setup="mount -t tmpfs none /dev && mount -t tmpfs none /run")
    assert text.startswith("host live: Linux ")


@pytest.mark.root
def test_without_proc() -> None:
    text = probed(*UNSHARE, setup="mount -t tmpfs none /proc")
    assert "no NVIDIA GPU" in text
    assert "who holds devices" in text[text.index("NOT SEEN") :]


@pytest.mark.programs
def test_here() -> None:
    assert probed().startswith(f"host live: Linux {os.uname().release}")


def test_json_has_the_details(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    path = next(iter(RECORDINGS))
    assert main(["probe", "--host", path]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["details"]["devices"]["holders"]["complete"] is True
