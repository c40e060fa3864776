"""Devices of a bed, in the form of umockdev's records (umockdev-record(1))."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]


def pci(address: str, ids: str, class_code: str, driver: str) -> str:
    vendor, _, device = ids.lower().partition(":")
    bound = f"E: DRIVER={driver}\nL: driver=../../../bus/pci/drivers/{driver}\n" if driver else ""
    uevent = [*([f"DRIVER={driver}"] if driver else []), f"PCI_CLASS={class_code}", f"PCI_ID={ids}"]
    texts = {"vendor": f"0x{vendor}", "device": f"0x{device}", "class": f"0x{class_code:0>6}", "numa_node": "0"}
    texts["uevent"] = "\\n".join([*uevent, f"PCI_SLOT_NAME={address}"])
    attributes = "".join(f"A: {name}={text}\\n\n" for name, text in texts.items())
    return (
        f"P: /devices/pci0000:00/{address}\nE: SUBSYSTEM=pci\nE: PCI_ID={ids}\nE: PCI_CLASS={class_code}\n"
        f"E: PCI_SLOT_NAME={address}\n{bound}{attributes}\n"
    )


def node(parent: str, subsystem: str, name: str, number: tuple[int, int], directory: str = "") -> str:
    """A class device with a node. Its contents (`=00`) keep it from being a terminal, whose reads hang for ever."""
    path = f"{directory}{name}"
    return (
        f"P: {parent}/{subsystem}/{name}\nN: {path}=00\nE: SUBSYSTEM={subsystem}\nE: DEVNAME=/dev/{path}\n"
        f"E: MAJOR={number[0]}\nE: MINOR={number[1]}\nA: dev={number[0]}:{number[1]}\\n\n"
        f"L: device=../../../{os.path.basename(parent)}\n\n"
    )


TPU, NPU, GPU = "0000:00:05.0", "0000:00:0b.0", "0000:00:18.0"
MACHINE: Final = (
    pci(TPU, "1AE0:005E", "FF0000", "tpu_common")
    + node(f"/devices/pci0000:00/{TPU}", "accel", "accel0", (121, 0))
    + pci(NPU, "8086:7D1D", "120000", "intel_vpu")
    + node(f"/devices/pci0000:00/{NPU}", "accel", "accel1", (261, 1), "accel/")
    + pci(GPU, "10DE:2330", "30200", "nvidia")
    + node(f"/devices/pci0000:00/{GPU}", "drm", "renderD128", (226, 128), "dri/")
    + pci("0000:00:02.0", "1AF4:1041", "20000", "virtio-pci")
    + node("/devices/virtual", "misc", "vfio", (10, 196), "vfio/")
    + node("/devices/virtual", "misc", "fuse", (10, 229))
    # umockdev wants a device for every node. The real driver has none: it must not be found.
    + node("/devices/virtual", "nvidia_fake", "nvidia0", (195, 0))
)


def in_bed(record: str, program: str, directory: Path) -> Any:
    """What a Python program printed as JSON inside a bed."""
    path = directory / "machine.umockdev"
    path.write_text(record, encoding="utf-8")
    argv = ["umockdev-run", f"--device={path}", "--", sys.executable, "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
