"""Hosts whose GPUs are cut in any way, for Hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from devproxy.host.details import Details
from devproxy.host.facts import Capability, MajorLine, MigDevice, Nvidia, NvidiaGpu
from devproxy.host.nvml_facts import Nvml, NvmlGpu, NvmlMig, NvmlState
from tests.devproxy.plan.planning import NVIDIA_MAJORS, machine
from tests.hosts.make import mig_minor

Place = tuple[int, int, int]
"""Where a MIG device is: the rank of its GPU, its GPU instance and its compute instance."""


class Partitioned:
    """A host whose GPUs are cut, and what NVML tells of it. `minors` are the GPUs' by rank, `cuts` the place and the UUID of each
    MIG device, in NVML's order.
    """

    def __init__(self, minors: list[int], cuts: list[tuple[Place, str]]) -> None:
        self.minors = minors
        self.uuids = dict(cuts)
        gpus = tuple(
            NvidiaGpu(
                rank, f"0000:{rank + 1:02x}:00.0", minor, f"GPU-{rank:08x}-aaaa-4bbb-8ccc-dddddddddddd", "", "proc"
            )
            for rank, minor in enumerate(minors)
        )
        mig = []
        for rank, minor in enumerate(minors):
            places = sorted(place for place in self.uuids if place[0] == rank)
            mig += [MigDevice(minor, n, gi, ci, "proc") for n, (_, gi, ci) in enumerate(places)]
        found = {name: self._minor(device, name) for device in mig for name in device.capabilities}
        capabilities = tuple(Capability(name, minor, 0o444, "proc") for name, minor in found.items())
        bare_host = machine(gpus, (*NVIDIA_MAJORS, MajorLine(511, "nvidia-caps")))
        told = [
            NvmlGpu(gpu.rank, gpu.address, gpu.uuid, gpu.minor, "", mig_mode=True, mig=self._told(gpu.rank, cuts))
            for gpu in gpus
        ]
        nvml = Nvml(NvmlState.ANSWERED, gpus=tuple(reversed(told)))
        nvidia = Nvidia("550.163.01", (), gpus, capabilities, tuple(mig))
        self.host = bare_host._replace(nvidia=nvidia, details=Details(nvml=nvml))

    @staticmethod
    def _minor(device: MigDevice, name: str) -> int:
        """By the driver's layout, which two captures of real machines show."""
        first = mig_minor(device.gpu, device.gpu_instance)
        return first + 1 + device.compute_instance if "/ci" in name else first

    @staticmethod
    def _told(rank: int, cuts: list[tuple[Place, str]]) -> tuple[NvmlMig, ...]:
        own = [(place, uuid) for place, uuid in cuts if place[0] == rank]
        return tuple(NvmlMig(2 * n, uuid, gi, ci) for n, ((_, gi, ci), uuid) in enumerate(own))

    def forms(self, place: Place) -> tuple[str, str, str]:
        """The three ids of a MIG device."""
        rank, gi, ci = place
        index = sorted(each for each in self.uuids if each[0] == rank).index(place)
        return f"{rank}:{index}", f"MIG-GPU-{rank:08x}-aaaa-4bbb-8ccc-dddddddddddd/{gi}/{ci}", self.uuids[place]

    def expected(self, places: list[Place]) -> set[str]:
        """The nodes of these MIG devices by the driver's layout of minors."""
        paths = set()
        for rank, gi, ci in places:
            first = mig_minor(self.minors[rank], gi)
            paths |= {
                f"/dev/nvidia{self.minors[rank]}",
                *(f"/dev/nvidia-caps/nvidia-cap{n}" for n in (first, first + 1 + ci)),
            }
        return paths


@st.composite
def partitioned(draw: st.DrawFn) -> tuple[Partitioned, list[Place]]:
    """A host, and some of its MIG devices."""
    minors = draw(st.lists(st.integers(0, 31), min_size=1, max_size=4, unique=True))
    place = st.tuples(st.integers(0, len(minors) - 1), st.integers(0, 14), st.integers(0, 7))
    places = draw(st.lists(place, min_size=1, max_size=8, unique=True))
    uuids = draw(st.lists(st.uuids(), min_size=len(places), max_size=len(places), unique=True))
    host = Partitioned(minors, [(each, f"MIG-{uuid}") for each, uuid in zip(places, uuids, strict=True)])
    return host, draw(st.lists(st.sampled_from(places), min_size=1, max_size=4))
