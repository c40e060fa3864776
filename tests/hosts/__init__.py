"""Hosts to plan for, without reading any machine."""

from __future__ import annotations

from devproxy.host.facts import Host, MajorLine, MiscLine, Nvidia, NvidiaGpu

GPU_ADDRESSES = tuple(f"0000:{bus:02x}:00.0" for bus in (0x18, 0x2A, 0x3A, 0x5D, 0x9A, 0xAB, 0xBA, 0xDB))


def host_with_gpus(count: int = 2, *, uvm: int | None = 462, simulated: bool = True) -> Host:
    """A host with `count` GPUs, whose minors run against their ranks, and nvidia-uvm on the major `uvm` (None: not loaded)."""
    gpus = tuple(
        NvidiaGpu(
            rank,
            address,
            count - 1 - rank,
            f"GPU-0000000{rank}-1111-2222-3333-444444444444",
            "NVIDIA H100 80GB HBM3",
            f"/proc/driver/nvidia/gpus/{address}/information",
        )
        for rank, address in enumerate(GPU_ADDRESSES[:count])
    )
    character = [MajorLine(1, "mem"), MajorLine(5, "/dev/tty"), MajorLine(10, "misc"), MajorLine(195, "nvidia")]
    if uvm is not None:
        character.append(MajorLine(uvm, "nvidia-uvm"))
    return Host(
        name="test",
        simulated=simulated,
        kernel="6.1.0",
        product_name="",
        character=tuple(character),
        block=(),
        misc=(MiscLine(200, "tun"), MiscLine(229, "fuse")),
        nodes=(),
        pci=(),
        nvidia=Nvidia("550.163.01", (), gpus),
        unseen=(),
    )
