"""A Host as JSON: what `devproxy probe` prints, and outsiders may rely on.

One object; every list keeps the order of the Host. Numbers are written as people know them: a mode as `"0666"`, PCI ids
as `"0x10de"`, as in sysfs. What is not known is null. `source` is the file that said so.

    {
      "name": "live", "simulated": false, "kernel": "6.8.0", "product_name": "...",
      "nvidia": null or {
        "version": "550.163.01", "params": {"DeviceFileMode": "438", ...},
        "gpus": [{"rank": 0, "address": "0000:18:00.0", "minor": 0, "uuid": "GPU-...", "model": "...", "source": "..."}],
        "capabilities": [{"name": "mig/config", "minor": 1, "mode": "0400", "source": "..."}],
        "mig": [{"gpu": 0 (the GPU's minor), "rank": 0, "gpu_instance": 1, "compute_instance": 0, "source": "..."}],
        "switches": ["0000:07:00.0"]
      },
      "character": [{"major": 195, "name": "nvidia", "source": "/proc/devices"}], "block": [the same],
      "misc": [{"minor": 229, "name": "fuse", "source": "/proc/misc"}],
      "nodes": [{"path": "/dev/nvidia0", "kind": "c", "major": 195, "minor": 0, "mode": "0666", "uid": 0, "gid": 0,
                 "source": "/dev/nvidia0"}],
      "pci": [{"address": "0000:18:00.0", "vendor": "0x10de", "device": "0x2330", "class_code": "0x030200",
               "driver": "nvidia" or "", "numa_node": -1, "source": "...", "subsystem_device": "0x1626" or null}],
      "tpus": [{"rank": 0, "address": "0000:00:04.0", "generation": "v4", "driver": "tpu", "nodes": ["/dev/accel0"],
                "problem": "" or "no driver is bound", "source": "..."}],
      "accelerators": [{"path": "/dev/accel/accel0", "subsystem": "accel", "addresses": ["0000:00:0b.0"], "source": "..."}],
      "iommu_groups": [{"number": 96, "members": ["0000:01:00.2"], "source": "..."}],
      "sysfs": [{"path": "/sys/...", "text": "...", "link": "" or the target of a link}],
      "limits": [{"name": "RLIMIT_MEMLOCK", "soft": null (unlimited), "hard": null, "source": "facts/limits.json"}],
      "unseen": [{"path": "...", "why": "EACCES: Permission denied"}],
      "details": null or {"nvml": {...}, "devices": {...}, "system": {...}}: the records of `host.details`, by their fields,
      "strays": [{"path": "/dev/nvidia0", "kind": "a directory"}],
      "coverage": null or [patterns of the paths that a bug report tells of]
    }
"""

from __future__ import annotations

from devproxy.host.details_json import details_document
from devproxy.host.facts import Host, HostNode, Nvidia, PciDevice


def to_json(host: Host) -> dict[str, object]:
    """The document of this module's description, of values that json.dumps takes."""
    return {
        "name": host.name,
        "simulated": host.simulated,
        "kernel": host.kernel,
        "product_name": host.product_name,
        "nvidia": None if host.nvidia is None else _nvidia(host.nvidia),
        "character": [line._asdict() for line in host.character],
        "block": [line._asdict() for line in host.block],
        "misc": [line._asdict() for line in host.misc],
        "nodes": [_node(node) for node in host.nodes],
        "pci": [_pci(device) for device in host.pci],
        "tpus": [chip._asdict() | {"nodes": list(chip.nodes)} for chip in host.tpus],
        "accelerators": [found._asdict() | {"addresses": list(found.addresses)} for found in host.accelerators],
        "iommu_groups": [group._asdict() | {"members": list(group.members)} for group in host.iommu_groups],
        "sysfs": [entry._asdict() for entry in host.sysfs],
        "limits": [limit._asdict() for limit in host.limits],
        "unseen": [unseen._asdict() for unseen in host.unseen],
        "details": details_document(host.details),
        "strays": [stray._asdict() for stray in host.strays],
        "coverage": None if host.coverage is None else list(host.coverage),
    }


def _nvidia(nvidia: Nvidia) -> dict[str, object]:
    return {
        "version": nvidia.version,
        "params": dict(nvidia.params),
        "gpus": [gpu._asdict() for gpu in nvidia.gpus],
        "capabilities": [
            capability._asdict() | {"mode": f"{capability.mode:04o}"} for capability in nvidia.capabilities
        ],
        "mig": [device._asdict() for device in nvidia.mig],
        "switches": list(nvidia.switches),
    }


def _node(node: HostNode) -> dict[str, object]:
    return {
        "path": node.path,
        "kind": node.kind.value,
        "major": node.number.major,
        "minor": node.number.minor,
        "mode": f"{node.mode:04o}",
        "uid": node.uid,
        "gid": node.gid,
        "source": node.source,
    }


def _pci(device: PciDevice) -> dict[str, object]:
    numbers = {
        "vendor": f"0x{device.vendor:04x}",
        "device": f"0x{device.device:04x}",
        "class_code": f"0x{device.class_code:06x}",
        "subsystem_device": None if device.subsystem_device is None else f"0x{device.subsystem_device:04x}",
    }
    return device._asdict() | numbers
