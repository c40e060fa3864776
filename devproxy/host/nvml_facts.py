"""What NVML says: the driver's own library, asked in a child process that can be killed (`host.live.nvml`)."""

from __future__ import annotations

from devproxy.choice import Choice
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.facts import MigDevice, NvidiaGpu


class NvmlState(Choice):
    """How asking NVML ended. Only after `ANSWERED` was everything told; after `FAILED` and `TIMEOUT` there is what was told
    before.
    """

    ANSWERED = "answered"
    NO_LIBRARY = "no library"
    FAILED = "failed"
    TIMEOUT = "timeout"
    UNASKED = "not asked"


class NvmlError(Record):
    """A call that failed: the call's name (`nvmlDeviceGetUUID`), NVML's code and name (15, `GPU_IS_LOST`), and the index
    of the GPU it was about, or None.
    """

    call: str
    code: int
    name: str
    gpu: int | None = None


class NvmlMig(Record):
    """A MIG device: its rank, the index that NVML gives it (sparse), UUID, instances, and the name of its profile."""

    rank: int
    uuid: str
    gpu_instance: int | None
    compute_instance: int | None
    profile: str = ""


class NvmlBounds(Record):
    """What a GPU's readings are judged by, in their units: the power limit that the board came with, the temperatures at
    which it slows down and turns itself off, its highest SM clock, whether it counts memory errors at all (ECC), and the
    uncorrectable ones in its life. `clock_memory_locked` is the memory's clock for applications, beside that of the SMs;
    `ecc_pending` what ECC will be after the next reset.
    """

    power_limit_default: float | None = None
    temperature_slowdown: int | None = None
    temperature_shutdown: int | None = None
    clock_sm_most: int | None = None
    ecc: bool | None = None
    ecc_uncorrected_ever: int | None = None
    clock_memory_locked: int | None = None
    ecc_pending: bool | None = None


class NvmlHealth(Record):
    """What NVML says of a GPU's state; None is not told. Memory in bytes, temperature in degrees Celsius, power in
    watts, clocks in MHz; `throttle` are the reasons that are active now, by name; `nvlinks` the state of each link.

    `ecc_uncorrected` counts since the driver was loaded; `clock_sm_locked` is the application clock that is set; `load` is
    the share of the last moment in which the GPU had work, in percent.
    """

    memory_total: int | None = None
    memory_used: int | None = None
    temperature: int | None = None
    power: float | None = None
    power_limit: float | None = None
    ecc_uncorrected: int | None = None
    remap_pending: bool | None = None
    remap_failed: bool | None = None
    pcie_generation: int | None = None
    pcie_generation_most: int | None = None
    pcie_width: int | None = None
    pcie_width_most: int | None = None
    clock_sm: int | None = None
    clock_sm_locked: int | None = None
    compute_mode: str = ""
    persistence: bool | None = None
    throttle: tuple[str, ...] = ()
    nvlinks: tuple[bool, ...] = ()
    load: int | None = None
    bounds: NvmlBounds = NvmlBounds()


class NvmlGpu(Record):
    """A GPU as NVML counts them: by index, the rank by PCI address. `address` is in sysfs's form. `pids` are
    processes that use it, as far as NVML tells; None if it does not. `numa_node` is the node that it is next to,
    `memory_node` the one that its own memory is, where the CPUs see that (Grace Hopper). `fabric` is how far it came in
    joining its NVLink fabric: `not started`, `in progress`, `completed`, with NVML's word for what went wrong behind a
    colon; empty without one. `mig_pending` is what the MIG mode will be after the next reset.
    """

    rank: int
    address: str
    uuid: str | None
    minor: int | None
    model: str
    serial: str = ""
    mig_mode: bool | None = None
    mig: tuple[NvmlMig, ...] = ()
    pids: tuple[int, ...] | None = None
    numa_node: int | None = None
    health: NvmlHealth = NvmlHealth()
    fabric: str = ""
    memory_node: int | None = None
    mig_pending: bool | None = None


class Nvml(Record):
    """NVML's answer. `device_count` is what it says the number of GPUs is, None when it did not get there. Where it did not
    end well, `why` says why, `during` which call it was that did not return, and `during_gpu` about which GPU.
    """

    state: NvmlState
    driver: str = ""
    cuda: str = ""
    library: str = ""
    device_count: int | None = None
    gpus: tuple[NvmlGpu, ...] = ()
    errors: tuple[NvmlError, ...] = ()
    seconds: float = 0.0
    source: str = "facts/nvml.json"
    why: str = ""
    during: str = ""
    during_gpu: int | None = None

    def part(self, gpu: NvidiaGpu, mig: MigDevice) -> NvmlMig | None:
        """What it says of a MIG device that the driver's files tell, where it says its UUID. The GPU is known by its address, or, where
        that was not told, by its UUID.
        """
        instances = (mig.gpu_instance, mig.compute_instance)
        for each in self.gpus:
            if each.address == gpu.address or (not each.address and each.uuid is not None and each.uuid == gpu.uuid):
                for part in each.mig:
                    if part.uuid and (part.gpu_instance, part.compute_instance) == instances:
                        return part
        return None
