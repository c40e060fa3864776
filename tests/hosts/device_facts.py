"""What a deep probe finds on made-up machines beside their nodes: links, NUMA, holders, udev, as their nodes have it."""

from __future__ import annotations

import os
import stat
from typing import Final

from devproxy.host.accelerator_nodes import accelerator_nodes
from devproxy.host.facts import Host, PciDevice
from devproxy.host.probe import probe_reader
from tests.hosts.machine import Machine

_CPUS_A_NODE: Final = 32
_NVIDIA: Final = 0x10DE


def with_device_facts(machine: Machine) -> Machine:
    """The machine as it is when all is well: every link in place, nobody holding anything, everything looked into."""
    host = probe_reader(machine, name="machine", simulated=True)
    for node in accelerator_nodes(host.nodes):
        if stat.S_ISCHR(machine.lstat(node.path).mode):
            machine.link(f"/dev/char/{node.number}", os.path.relpath(node.path, "/dev/char"))
    nodes = max([0, *(device.numa_node for device in host.pci)]) + 1
    for number in range(nodes):
        directory, first = f"/sys/devices/system/node/node{number}", number * _CPUS_A_NODE
        machine.file(f"{directory}/cpulist", f"{first}-{first + _CPUS_A_NODE - 1}\n")
        machine.file(f"{directory}/meminfo", f"Node {number} MemTotal:       1056000000 kB\n")
    machine.fact("affinity", {"cpus": list(range(nodes * _CPUS_A_NODE))})
    machine.fact("holders", {"complete": True, "holders": [], "unread": 0, "why": ""})
    machine.fact("locks", {"locks": []})
    machine.fact("udev", {"devices": sorted(_udev(host), key=lambda device: str(device["path"]))})
    return machine


def _udev(host: Host) -> list[dict[str, object]]:
    """PCI functions, and the nodes of classes; NVIDIA's driver has no class."""
    found: list[dict[str, object]] = [
        {
            "driver": device.driver, "initialized": True, "node": "", "path": device.source.removeprefix("/sys"),
            "properties": _properties(device), "subsystem": "pci",
        }
        for device in host.pci
        if device.class_code >> 16 in (0x03, 0x12, 0xFF) or device.vendor == _NVIDIA
    ]  # fmt: skip
    classes = [("accel", each.nodes, each.source) for each in host.tpus if each.driver != "vfio-pci"]
    classes += [
        (each.subsystem, (each.path,), each.source) for each in host.accelerators if each.subsystem in ("accel", "drm")
    ]
    for subsystem, paths, source in classes:
        for path in paths:
            node = host.node(path)
            assert node is not None
            directory = source.removeprefix("/sys")
            if not directory.endswith(os.path.basename(path)):
                directory = f"{directory}/{subsystem}/{os.path.basename(path)}"
            properties = {"MAJOR": str(node.number.major), "MINOR": str(node.number.minor)}
            found.append({
                "driver": "", "initialized": True, "node": path, "path": directory,
                "properties": properties, "subsystem": subsystem,
            })  # fmt: skip
    return found


def _properties(device: PciDevice) -> dict[str, str]:
    found = {
        "PCI_CLASS": f"{device.class_code:X}",
        "PCI_ID": f"{device.vendor:04X}:{device.device:04X}",
        "PCI_SLOT_NAME": device.address,
    }
    if device.subsystem_device is not None:
        found["PCI_SUBSYS_ID"] = f"{device.vendor:04X}:{device.subsystem_device:04X}"
    return found
