"""Makes the recordings in this repository: `python -m tests.hosts.make`. A test holds the files to this script.

The machines are made up, but each fact has the form that such a machine gives it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from devproxy.host.recording_file import encode, save
from tests.hosts.device_facts import with_device_facts
from tests.hosts.machine import Machine
from tests.hosts.nvml_answers import H100, L4, L40S, V100, answer, idle, partition
from tests.hosts.system_facts import with_system_facts

_HERE: Final = os.path.dirname(__file__)
_EXAMPLE: Final = os.path.join(os.path.dirname(os.path.dirname(_HERE)), "example")
_RECORDED_AT: Final = 1764547200  # 2025-12-01

_VIDEO: Final = 44
_RENDER: Final = 109


class Gpu(NamedTuple):
    """A GPU: the function's bus, the minor, the part of the UUID that differs."""

    bus: str
    minor: int
    uuid: str


# The driver numbers devices as it finds them, nvidia-smi by address: 3a and 5d were found in the other order.
_GPUS: Final = (
    Gpu("18", 0, "5d0bb1a7-8f2c-4c1e-9a35-1e7720f6c4b1"),
    Gpu("2a", 1, "c1b7f0e2-41d9-0d53-7e6f-92a4b85d3017"),
    Gpu("3a", 3, "0f93de54-6a7b-b2c8-f1d0-3b5c6e8a9d42"),
    Gpu("5d", 2, "a84e2c19-d5f3-17b6-20ce-7f9183b4e65a"),
    Gpu("9a", 4, "e7265f8d-0b3a-94c7-5e18-d6a0c2f17b93"),
    Gpu("ab", 5, "3c9ad1f6-b7e4-6205-8d4f-a15e09c37b28"),
    Gpu("ba", 6, "92f4078b-5ce1-ad36-b90a-e47d16f82c50"),
    Gpu("db", 7, "7b1de635-f82a-c94f-03d7-58b6a9e0c41f"),
)

_PLAIN_MAJORS: Final = (
    (1, "mem"), (4, "/dev/vc/0"), (4, "tty"), (4, "ttyS"), (5, "/dev/tty"), (5, "/dev/console"), (5, "/dev/ptmx"),
    (7, "vcs"), (10, "misc"), (13, "input"), (128, "ptm"), (136, "pts"), (189, "usb_device"), (203, "cpu/cpuid"),
)  # fmt: skip
_BLOCK_MAJORS: Final = ((7, "loop"), (8, "sd"), (259, "blkext"))
_MISC: Final = ((200, "tun"), (229, "fuse"), (232, "kvm"), (183, "hw_random"), (237, "loop-control"))

_PLAIN_NODES: Final = (
    ("/dev/null", (1, 3), 0o666), ("/dev/zero", (1, 5), 0o666), ("/dev/full", (1, 7), 0o666),
    ("/dev/random", (1, 8), 0o666), ("/dev/urandom", (1, 9), 0o666), ("/dev/tty", (5, 0), 0o666),
    ("/dev/console", (5, 1), 0o600), ("/dev/ptmx", (5, 2), 0o666), ("/dev/fuse", (10, 229), 0o666),
    ("/dev/kvm", (10, 232), 0o660), ("/dev/net/tun", (10, 200), 0o666),
)  # fmt: skip


def hgx_h100() -> Machine:
    """Eight H100 with NVSwitches, as `make run` uses it. Its dynamic majors are ones that few live drivers hold."""
    machine = _plain_machine("SYS-821GE-TNHR", "6.8.0-60-generic")
    dynamic = {"nvidia-caps-imex-channels": 461, "nvidia-uvm": 462, "nvidia-caps": 463, "nvidia-nvswitch": 464}
    nvidia = [(195, "nvidia"), (195, "nvidia-modeset"), (195, "nvidiactl")]
    others = [(226, "drm"), (231, "infiniband_verbs"), *((major, name) for name, major in dynamic.items())]
    _proc_devices(machine, [*_PLAIN_MAJORS, *nvidia, *others])
    _driver(machine, "550.163.01", module="Open Kernel Module for x86_64")
    for number, gpu in enumerate(_GPUS):
        _gpu(machine, gpu, H100.name, "10DE:2330", numa_node=number // 4)
        machine.node(f"/dev/dri/card{number + 1}", (226, number + 1), 0o660, _VIDEO)
        machine.node(f"/dev/dri/renderD{number + 128}", (226, number + 128), 0o660, _RENDER)
    for number, bus in enumerate(("07", "08", "09", "0a")):
        _pci(machine, f"0000:{bus}:00.0", "10DE:22A3", "68000", "nvidia-nvswitch", numa_node=0)
        machine.node(f"/dev/nvidia-nvswitch{number}", (464, number))
        machine.directory(f"/proc/driver/nvidia-nvswitch/devices/0000:{bus}:00.0")
    machine.node("/dev/nvidia-nvswitchctl", (464, 255))
    for number, bus in enumerate(("29", "bb")):
        _pci(machine, f"0000:{bus}:00.0", "15B3:1021", "20700", "mlx5_core", numa_node=number)
        machine.node(f"/dev/infiniband/uverbs{number}", (231, 192 + number))
    _uvm(machine, 462)
    _caps(machine, 463)
    machine.node("/dev/nvidia-modeset", (195, 254))
    return machine.fact("nvml", _hgx_answer())


def _hgx_answer() -> dict[str, object]:
    gpus = [idle(H100, f"0000:{gpu.bus}:00.0", gpu.minor, gpu.uuid, number // 4) for number, gpu in enumerate(_GPUS)]
    return answer("550.163.01", 12040, gpus)


def partitioned() -> Machine:
    """The machine of `hgx_h100`, with its GPU of minor 2 cut in two and IMEX channels made."""
    machine = hgx_h100()
    lines = ["config 1", "monitor 2"]
    for gpu in range(len(_GPUS)):
        for instance in range(15):
            name, first = f"gpu{gpu}/gi{instance}", mig_minor(gpu, instance)
            lines += [f"{name}/access {first}", *(f"{name}/ci{n}/access {first + 1 + n}" for n in range(8))]
    machine.file("/proc/driver/nvidia-caps/mig-minors", "".join(f"{line}\n" for line in lines))
    machine.file("/proc/driver/nvidia-caps/sys-minors", "fabric-imex-mgmt 4323\n")
    machine.file("/proc/driver/nvidia-caps/nvlink-minors", "fabric-mgmt 0\n")
    for instance in (2, 1):
        first = mig_minor(2, instance)
        below = f"/proc/driver/nvidia/capabilities/gpu2/mig/gi{instance}"
        for path, minor in ((f"{below}/access", first), (f"{below}/ci0/access", first + 1)):
            _capability(machine, path, minor, 0o444)
            machine.node(f"/dev/nvidia-caps/nvidia-cap{minor}", (463, minor), 0o444)
    _capability(machine, "/proc/driver/nvidia/capabilities/fabric-imex-mgmt", 4323, 0o400)
    machine.node("/dev/nvidia-caps/nvidia-cap4323", (463, 4323), 0o400)
    for channel in (0, 1, 2047):
        machine.node(f"/dev/nvidia-caps-imex-channels/channel{channel}", (461, channel))
    return machine.fact("nvml", partition(_hgx_answer(), 2, [(1, 0, "4g.40gb"), (2, 0, "3g.40gb")]))


def mig_minor(gpu: int, gpu_instance: int) -> int:
    """The minor of a GPU instance's capability; those of its compute instances follow it."""
    return 3 + (gpu * 15 + gpu_instance) * 9


def before_550() -> Machine:
    """Two V100 with a driver that still calls its major `nvidia-frontend`."""
    machine = _plain_machine("PowerEdge C4140", "5.15.0-139-generic")
    majors = [(195, "nvidia-frontend"), (234, "nvidia-nvlink"), (235, "nvidia-caps"), (467, "nvidia-uvm")]
    _proc_devices(machine, [*_PLAIN_MAJORS, *majors])
    _driver(machine, "535.183.01", module="x86_64 Kernel Module")
    gpus = (
        Gpu("1a", 0, "6f3cbe10-27d5-8c9a-41b2-f05ad7e8136c"),
        Gpu("1c", 1, "d82e9a47-ce06-53f1-b7d8-1094c6ab5e3f"),
    )
    for gpu in gpus:
        _gpu(machine, gpu, V100.name, "10DE:1DB5", numa_node=0)
    _uvm(machine, 467)
    _caps(machine, 235)
    told = [idle(V100, f"0000:{gpu.bus}:00.0", gpu.minor, gpu.uuid, 0) for gpu in gpus]
    return machine.fact("nvml", answer("535.183.01", 12020, told))


def without_uvm() -> Machine:
    """An L4 whose nvidia-uvm module is not loaded: nvidia-smi works there, CUDA does not."""
    machine = _plain_machine("Google Compute Engine", "6.1.0-35-cloud-amd64")
    majors = [(195, "nvidia"), (195, "nvidiactl"), (238, "nvidia-caps")]
    _proc_devices(machine, [*_PLAIN_MAJORS, *majors])
    _driver(machine, "570.133.20", module="Open Kernel Module for x86_64")
    gpu = Gpu("00", 0, "b40c7d92-1e58-f6a3-92d7-c3e5804fa16b")
    _gpu(machine, gpu, L4.name, "10DE:27B8", slot="03", numa_node=-1)
    _caps(machine, 238)
    return machine.fact("nvml", answer("570.133.20", 12080, [idle(L4, "0000:00:03.0", 0, gpu.uuid, -1)]))


def without_driver() -> Machine:
    """Two A100 on the PCI bus, one of them given to virtual machines, and no NVIDIA driver."""
    machine = _plain_machine("ProLiant XL675d", "6.8.0-60-generic")
    _proc_devices(machine, [*_PLAIN_MAJORS, (511, "vfio")])
    _pci(machine, "0000:07:00.0", "10DE:20B2", "30200", "", numa_node=0)
    _pci(machine, "0000:48:00.0", "10DE:20B2", "30200", "vfio-pci", numa_node=1)
    _vfio(machine, "0000:48:00.0", 32, (511, 0))
    return machine


def malformed() -> Machine:
    """A machine whose /proc/devices has lines that no kernel writes, around good ones."""
    machine = _plain_machine("", "6.8.0-60-generic")
    lines = [
        "not a heading", "Character devices:", "  1 mem", "notint nvidia-frontend", "195", "4096 beyond", "195 nvidia",
        "", "510 nvidia-uvm", "Block devices:", "  7 loop", "-1 negative",
    ]  # fmt: skip
    return machine.file("/proc/devices", "".join(f"{line}\n" for line in lines))


def cpu_only() -> Machine:
    """A machine without any accelerator."""
    machine = _plain_machine("Standard PC (Q35 + ICH9, 2009)", "6.1.0-35-amd64")
    _proc_devices(machine, _PLAIN_MAJORS)
    _pci(machine, "0000:00:00.0", "8086:29C0", "60000", "", numa_node=-1)
    return machine


def tpu_v4() -> Machine:
    """Four v4 chips held by the TPU's own driver: /dev/accel0 to 3 of major 121, and no DRM accelerator."""
    machine = _plain_machine("Google Compute Engine", "5.19.0-1027-gcp")
    _proc_devices(machine, [*_PLAIN_MAJORS, (121, "accel"), (226, "drm")])
    for number in range(4):
        directory = _tpu(machine, f"0000:00:{number + 4:02x}.0", "005E", "004E", "tpu_common")
        texts = {
            "dev": f"121:{number}",
            "pci_address": os.path.basename(directory),
            "chip_model": "v4",
            "status": "ALIVE",
        }
        texts |= {"is_device_owned": "0", "device_owner": "0", "reset_count": "1", "write_open_count": "0"}
        for name, text in texts.items():
            machine.file(f"{directory}/accel/accel{number}/{name}", f"{text}\n")
        machine.link(f"/sys/class/accel/accel{number}", f"../..{directory[4:]}/accel/accel{number}")
        machine.node(f"/dev/accel{number}", (121, number))
    return machine


def tpu_v5p() -> Machine:
    """Four v5p chips given to vfio: groups 0 to 3, whose nodes have the minors 2, 1, 3 and 0."""
    machine = _plain_machine("Google Compute Engine", "6.8.0-1015-gcp")
    _proc_devices(machine, [*_PLAIN_MAJORS, (465, "vfio"), (466, "vfio-dev")])
    for group, minor in enumerate((2, 1, 3, 0)):
        address = f"0000:00:{group + 4:02x}.0"
        directory = _tpu(machine, address, "0062", "0062", "vfio-pci")
        machine.file(f"{directory}/vfio-dev/vfio{minor}/dev", f"466:{minor}\n")
        machine.link(f"/sys/class/vfio-dev/vfio{minor}", f"../..{directory[4:]}/vfio-dev/vfio{minor}")
        machine.node(f"/dev/vfio/devices/vfio{minor}", (466, minor), 0o600).node("/dev/iommu", (10, 127), 0o660)
        _vfio(machine, address, group, (465, minor))
    return machine


def tpu_without_driver() -> Machine:
    """Eight v6e chips that no driver holds, as an image made for another generation leaves them."""
    machine = _plain_machine("Google Compute Engine", "5.19.0-1022-gcp")
    _proc_devices(machine, _PLAIN_MAJORS)
    for number in range(8):
        _tpu(machine, f"0000:00:{number + 4:02x}.0", "006F", "006F", "")
        machine.directory(f"/sys/kernel/iommu_groups/{number}")
    return machine


def mixed() -> Machine:
    """A GPU, an NPU that DRM calls accel0, and a network card's function in a vfio group: no TPU among them."""
    machine = _plain_machine("Precision 7960", "6.8.0-60-generic")
    majors = [(195, "nvidia"), (195, "nvidiactl"), (226, "drm"), (261, "accel"), (462, "nvidia-uvm"), (465, "vfio")]
    _proc_devices(machine, [*_PLAIN_MAJORS, *majors])
    _driver(machine, "570.133.20", module="Open Kernel Module for x86_64")
    gpu = Gpu("18", 0, "1f9d3c60-72be-4a85-90d1-e6b8a2570c43")
    _gpu(machine, gpu, L40S.name, "10DE:26B9", numa_node=0)
    machine.fact("nvml", answer("570.133.20", 12080, [idle(L40S, "0000:18:00.0", 0, gpu.uuid, 0)]))
    _uvm(machine, 462)
    _pci(machine, "0000:00:0b.0", "8086:7D1D", "120000", "intel_vpu", numa_node=-1)
    npu = "/sys/devices/pci0000:00/0000:00:0b.0/accel/accel0"
    machine.file(f"{npu}/dev", "261:0\n").link("/sys/class/accel/accel0", f"../..{npu[4:]}")
    machine.node("/dev/accel/accel0", (261, 0), 0o660, _RENDER)
    for number, (directory, owner) in enumerate(
        (("pci0000:18/0000:18:01.0/0000:18:00.0", _RENDER), ("pci0000:00/0000:00:02.0", _RENDER))
    ):
        machine.link(f"/sys/class/drm/renderD{128 + number}", f"../../devices/{directory}/drm/renderD{128 + number}")
        machine.node(f"/dev/dri/renderD{128 + number}", (226, 128 + number), 0o660, owner)
    _pci(machine, "0000:00:02.0", "8086:7D55", "30000", "i915", numa_node=-1)
    _pci(machine, "0000:03:00.2", "15B3:C2D5", "80101", "vfio-pci", numa_node=0)
    _vfio(machine, "0000:03:00.2", 96, (465, 0))
    return machine


RECORDINGS: Final[dict[str, Callable[[], Machine]]] = {
    os.path.join(_EXAMPLE, "host-8gpu.tar"): hgx_h100,
    os.path.join(_HERE, "mig.tar"): partitioned,
    os.path.join(_HERE, "before-550.tar"): before_550,
    os.path.join(_HERE, "without-uvm.tar"): without_uvm,
    os.path.join(_HERE, "without-driver.tar"): without_driver,
    os.path.join(_HERE, "malformed.tar"): malformed,
    os.path.join(_HERE, "cpu-only.tar"): cpu_only,
    os.path.join(_HERE, "tpu-v4.tar"): tpu_v4,
    os.path.join(_HERE, "tpu-v5p.tar"): tpu_v5p,
    os.path.join(_HERE, "tpu-without-driver.tar"): tpu_without_driver,
    os.path.join(_HERE, "mixed.tar"): mixed,
}


def recording_of(machine: Machine) -> bytes:
    """The bytes that belong into a recording's file."""
    return encode(
        with_system_facts(with_device_facts(machine)).record(), recorded_at=_RECORDED_AT, tool="tests/hosts/make.py"
    )


def main() -> None:
    """Write every recording."""
    for path, make in RECORDINGS.items():
        save(recording_of(make()), path)


# what such machines have


def _plain_machine(product_name: str, release: str) -> Machine:
    machine = Machine()
    machine.fact("uname", {"machine": "x86_64", "release": release, "sysname": "Linux", "version": "#1 SMP"})
    machine.fact("limits", {"RLIMIT_MEMLOCK": [None, None], "RLIMIT_NOFILE": [1048576, 1048576]})
    for path, number, mode in _PLAIN_NODES:
        machine.node(path, number, mode)
    machine.node("/dev/sda", (8, 0), 0o660, kind=stat.S_IFBLK)
    machine.link("/dev/fd", "/proc/self/fd")
    machine.directory("/dev/pts").directory("/dev/shm")
    machine.file("/proc/misc", "".join(f"{minor:3} {name}\n" for minor, name in _MISC))
    machine.directory("/sys/bus/pci/devices")
    for name in ("online", "possible", "present"):
        machine.file(f"/sys/devices/system/cpu/{name}", "0-3\n")
    if product_name:
        machine.file("/sys/devices/virtual/dmi/id/product_name", f"{product_name}\n")
    return machine


def _proc_devices(machine: Machine, majors: Sequence[tuple[int, str]]) -> None:
    def section(title: str, lines: Sequence[tuple[int, str]]) -> str:
        return f"{title} devices:\n" + "".join(
            f"{major:3} {name}\n" for major, name in sorted(lines, key=lambda x: x[0])
        )

    machine.file("/proc/devices", section("Character", majors) + "\n" + section("Block", _BLOCK_MAJORS))


def _driver(machine: Machine, version: str, *, module: str) -> None:
    built = "Tue Apr  8 12:41:17 UTC 2025"
    text = f"NVRM version: NVIDIA UNIX {module}  {version}  {built}\nGCC version:  gcc version 12.3.0\n"
    machine.file("/proc/driver/nvidia/version", text)
    numbers = {
        "ResmanDebugLevel": 4294967295, "RmLogonRC": 1, "ModifyDeviceFiles": 1, "DeviceFileUID": 0, "DeviceFileGID": 0,
        "DeviceFileMode": 0o666, "EnableMSI": 1, "NvLinkDisable": 0, "EnableGpuFirmware": 18, "ImexChannelCount": 2048,
    }  # fmt: skip
    texts = ("RegistryDwords", "RmMsg", "ExcludedGpus")
    params = [f"{name}: {value}" for name, value in numbers.items()] + [f'{name}: ""' for name in texts]
    machine.file("/proc/driver/nvidia/params", "".join(f"{line}\n" for line in params))
    machine.node("/dev/nvidiactl", (195, 255))


def _gpu(machine: Machine, gpu: Gpu, model: str, pci_id: str, *, numa_node: int, slot: str = "00") -> None:
    address = f"0000:{gpu.bus}:{slot}.0"
    _pci(machine, address, pci_id, "30200", "nvidia", numa_node=numa_node)
    information = {
        "Model": f"\t\t {model}", "IRQ": "  \t\t 16", "GPU UUID": f"\t GPU-{gpu.uuid}", "Bus Type": "\t PCIe",
        "Bus Location": f"\t {address}", "Device Minor": f"\t {gpu.minor}", "GPU Excluded": "\t No",
    }  # fmt: skip
    text = "".join(f"{name}: {value}\n" for name, value in information.items())
    machine.file(f"/proc/driver/nvidia/gpus/{address}/information", text)
    machine.node(f"/dev/nvidia{gpu.minor}", (195, gpu.minor))


def _pci(machine: Machine, address: str, pci_id: str, class_code: str, driver: str, *, numa_node: int) -> None:
    """A function one bridge below its root port, as sysfs shows it; the bridge itself is left out."""
    domain, bus, _ = address.split(":")
    root_port = f"pci{domain}:{bus}/{domain}:{bus}:01.0" if bus != "00" else f"pci{domain}:00"
    bound = f"DRIVER={driver}\n" if driver else ""
    machine.link(f"/sys/bus/pci/devices/{address}", f"../../../devices/{root_port}/{address}")
    uevent = f"{bound}PCI_CLASS={class_code}\nPCI_ID={pci_id}\nPCI_SLOT_NAME={address}\n"
    machine.file(f"/sys/devices/{root_port}/{address}/uevent", uevent, 0o644)
    machine.file(f"/sys/devices/{root_port}/{address}/numa_node", f"{numa_node}\n", 0o644)


def _tpu(machine: Machine, address: str, device: str, subsystem: str, driver: str) -> str:
    """A chip's function, and its directory."""
    _pci(machine, address, f"1AE0:{device}", "FF0000", driver, numa_node=0)
    directory = f"/sys/devices/pci0000:00/{address}"
    uevent = machine.read_bytes(f"{directory}/uevent", 4096).decode() + f"PCI_SUBSYS_ID=1AE0:{subsystem}\n"
    machine.file(f"{directory}/uevent", uevent, 0o644)
    texts = {"vendor": "0x1ae0", "device": f"0x{device.lower()}", "class": "0xff0000", "revision": "0x00"}
    texts |= {"subsystem_vendor": "0x1ae0", "subsystem_device": f"0x{subsystem.lower()}", "enable": "1"}
    for name, text in texts.items():
        machine.file(f"{directory}/{name}", f"{text}\n")
    return directory


def _vfio(machine: Machine, address: str, group: int, number: tuple[int, int]) -> None:
    """A function alone in its IOMMU group, whose node vfio made."""
    directory = os.path.normpath("/sys/bus/pci/devices/" + machine.readlink(f"/sys/bus/pci/devices/{address}"))
    members = f"/sys/kernel/iommu_groups/{group}/devices"
    machine.link(f"{directory}/iommu_group", os.path.relpath(os.path.dirname(members), directory))
    machine.link(f"{members}/{address}", os.path.relpath(directory, members))
    machine.node(f"/dev/vfio/{group}", number, 0o600).node("/dev/vfio/vfio", (10, 196))


def _uvm(machine: Machine, major: int) -> None:
    machine.node("/dev/nvidia-uvm", (major, 0)).node("/dev/nvidia-uvm-tools", (major, 1))


def _caps(machine: Machine, major: int) -> None:
    _capability(machine, "/proc/driver/nvidia/capabilities/mig/config", 1, 0o400)
    _capability(machine, "/proc/driver/nvidia/capabilities/mig/monitor", 2, 0o444)
    machine.node("/dev/nvidia-caps/nvidia-cap1", (major, 1), 0o400)
    machine.node("/dev/nvidia-caps/nvidia-cap2", (major, 2), 0o444)


def _capability(machine: Machine, path: str, minor: int, mode: int) -> None:
    machine.file(path, f"DeviceFileMinor: {minor}\nDeviceFileMode: {mode}\nDeviceFileModify: 1\n")


if __name__ == "__main__":
    main()
