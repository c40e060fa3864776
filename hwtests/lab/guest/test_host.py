"""The probe on a real kernel: it says what /proc, /sys, /dev and the drivers themselves say, and a recording the same."""

from __future__ import annotations

import os
from pathlib import Path

import devproxy
from devproxy.host.facts import Host
from devproxy.host.probe import probe_reader
from devproxy.host.recorded import RecordedReader, Recorder
from devproxy.host.recording_file import encode, load_recording, save
from devproxy.host.root import LiveReader
from devproxy.process import run
from hwtests.lab.guest.conftest import CAPS, GPUS, NVIDIA, TPU, UVM, VFIO, Cli, ask, majors

RESULTS = Path("/results")


def test_the_gpus_are_what_the_driver_says(host: Host) -> None:
    assert host.nvidia is not None
    assert host.nvidia.version == Path("/sys/module/nvidia/version").read_text().strip() == "550.163.01"
    assert tuple(gpu.address for gpu in host.nvidia.gpus) == GPUS
    assert [gpu.minor for gpu in host.nvidia.gpus] == [0, 1, 2]
    for gpu in host.nvidia.gpus:
        assert os.path.basename(os.readlink(f"/sys/bus/pci/devices/{gpu.address}/driver")) == "nvidia"


def test_majors_are_the_kernels(host: Host) -> None:
    for name, number in majors().items():
        assert number in {line.major for line in host.character if line.name == name}
    assert host.major_of("nvidia-uvm") == majors()["nvidia-uvm"]


def test_modules_are_those_of_lsmod() -> None:
    details = devproxy.probe(deep=True).details
    lines = run(["/lab/busybox", "lsmod"]).out.splitlines()[1:]
    listed = {words[0]: words[2] for words in (line.split() for line in lines)}
    assert details is not None
    found = {module.name: str(module.uses) for module in details.system.modules or () if module.state != "builtin"}
    assert found.items() <= listed.items()
    assert {"nvidia", "nvidia_uvm"} <= found.keys()


def test_pci_functions_are_those_of_sysfs(host: Host) -> None:
    listed = set(os.listdir("/sys/bus/pci/devices"))
    assert {device.address for device in host.pci} == listed
    for device in host.pci:
        vendor = Path(f"/sys/bus/pci/devices/{device.address}/vendor").read_text()
        assert device.vendor == int(vendor, 16)


def test_slices_are_the_capabilities_of_the_driver(host: Host) -> None:
    assert host.nvidia is not None
    assert [(mig.gpu, mig.rank, mig.gpu_instance) for mig in host.nvidia.mig] == [(1, 0, 1), (1, 1, 2)]


def test_tpus_are_googles_functions(host: Host) -> None:
    found = [(chip.generation, chip.address, chip.nodes) for chip in host.tpus]
    assert sorted(found) == [
        ("v4", "0001:00:05.0", ("/dev/accel0",)),
        ("v4", "0001:00:06.0", ("/dev/accel1",)),
        ("v5e", "0001:00:07.0", ("/dev/vfio/0",)),
        ("v5e", "0001:00:08.0", ("/dev/vfio/1",)),
    ]
    for chip in host.tpus:
        assert Path(f"/sys/bus/pci/devices/{chip.address}/vendor").read_text() == "0x1ae0\n"


def test_every_node_reaches_the_driver_that_the_probe_names(host: Host) -> None:
    """The number says which driver; the driver's own answer says whether that is so."""
    drivers = {
        "nvidia": NVIDIA,
        "nvidiactl": NVIDIA,
        "nvidia-uvm": UVM,
        "nvidia-caps": CAPS,
        "accel": TPU,
        "vfio": VFIO,
    }
    asked = {}
    for node in host.nodes:
        driver = host.driver_of(node.number.major)
        if driver in drivers:
            asked[node.path] = f"{drivers[driver]} {node.number.minor}"
    assert len(asked) >= 5 + 2 + 2 + 4  # nvidia, uvm, TPUs, caps
    assert ask(*asked) == asked


def test_live_recording_and_replay_agree(tmp_path: Path) -> None:
    """One look, kept as it passes, and the file that it became."""
    with LiveReader() as reader:
        recorder = Recorder(reader)
        live = probe_reader(recorder, name="x", simulated=True, deep=True)
    recording = recorder.recording()
    assert probe_reader(RecordedReader(recording), name="x", simulated=True, deep=True) == live
    path = str(tmp_path / "x")
    save(encode(recording, recorded_at=0), path)
    assert load_recording(path) == recording
    assert devproxy.probe(path, deep=True) == live


def test_two_looks_agree() -> None:
    assert devproxy.probe() == devproxy.probe()


def test_the_recording_of_the_command_is_exported(cli: Cli) -> None:
    """tests/hosts/lab.tar is this file: `python -m hwtests.lab --export`."""
    path = RESULTS / "lab.tar"
    said = cli("record", str(path)).err
    assert "3 NVIDIA GPUs" in said
    assert "NVIDIA H100" in cli("probe", "--host", str(path), "--text").out


def test_udevd_runs_and_knows_the_chips() -> None:
    import pyudev

    context = pyudev.Context()
    chips = list(context.list_devices(subsystem="accel"))
    assert [chip.device_node for chip in chips] == ["/dev/accel0", "/dev/accel1"]
    assert all(chip.is_initialized for chip in chips)
    assert [chip.parent.properties["PCI_ID"] for chip in chips] == ["1AE0:005E"] * 2
    # The driver has no device class: that nodes appear, and which, is nothing that udev could say.
    assert not [device for device in context.list_devices() if (device.device_node or "").startswith("/dev/nvidia")]
