"""What NVML says, as facts: the document of `host.live.nvml`, or one that a recording or a report brings.

Any part of it may be missing, or be something else than it should: that is noted, and taken for not told. Units are
NVML's own in the document (milliwatts, a word of bits for the reasons to throttle) and the field's in the facts.
"""

from __future__ import annotations

from devproxy.host.nvml_facts import Nvml, NvmlBounds, NvmlError, NvmlGpu, NvmlHealth, NvmlMig, NvmlState
from devproxy.host.pci import parse_address
from devproxy.host.root import HostRoot, fact_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.facts import Host

_TEXT: Final = 512
_ROWS: Final = 4096
_LARGEST: Final = 1 << 63
# NVML's number for what it cannot tell (NVML_VALUE_NOT_AVAILABLE), in both sizes.
_NOT_TOLD: Final = (0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
_STATES: Final = tuple(state.value for state in NvmlState)

COMPUTE_MODES: Final = ("default", "exclusive thread", "prohibited", "exclusive process")
"""By NVML's numbers (nvmlComputeMode_t)."""
# nvmlClocksEventReasons, bit by bit.
_THROTTLE: Final = (
    "gpu-idle", "application-clocks", "sw-power-cap", "hw-slowdown", "sync-boost", "sw-thermal", "hw-thermal",
    "power-brake", "display-clocks", "board-limit", "reliability",
)  # fmt: skip
# nvmlGpuFabricState_t
_FABRIC: Final = ("", "not started", "in progress", "completed")


def read_nvml(root: HostRoot, host: Host) -> Nvml:
    """NVML's answer."""
    del host
    document = root.read_fact("nvml")
    if not document:
        return Nvml(NvmlState.UNASKED)
    table = _Table(root, document, "")
    state = table.text("state")
    if state not in _STATES:
        table.complain("state", state)
        return Nvml(NvmlState.UNASKED)
    if document.get("garbage"):
        root.note(fact_path("nvml"), f"{table.number('garbage')} lines of NVML's answer are no JSON")
    cuda = table.number("cuda")
    return Nvml(
        state=NvmlState(state),
        driver=table.text("driver"),
        cuda="" if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
        library=table.text("library"),
        device_count=table.number("device_count"),
        gpus=tuple(_gpu(row, rank) for row in table.rows("gpus") if (rank := row.number("rank")) is not None),
        errors=tuple(_error(row) for row in table.rows("errors")),
        seconds=table.amount("seconds") or 0.0,
        why=table.text("why"),
        during=table.text("during"),
        during_gpu=table.number("during_gpu"),
    )


def _error(row: _Table) -> NvmlError:
    code = row.number("code", least=-1)
    return NvmlError(row.text("call"), -1 if code is None else code, row.text("name"), row.number("gpu"))


def _gpu(row: _Table, rank: int) -> NvmlGpu:
    nodes, fabric = row.numbers("numa_nodes"), row.anything("fabric")
    return NvmlGpu(
        rank=rank,
        address=_address(row),
        uuid=row.text("uuid") or None,
        minor=row.number("minor"),
        model=row.text("name"),
        serial=row.text("serial"),
        mig_mode=row.flag("mig_mode"),
        mig=tuple(_mig(each, number) for each in row.rows("mig") if (number := each.number("rank")) is not None),
        pids=row.numbers("pids"),
        # Several nodes are no place: the firmware does not say.
        numa_node=nodes[0] if nodes is not None and len(nodes) == 1 else None,
        health=_health(row),
        fabric=_fabric(row, fabric),
        memory_node=row.number("memory_node"),
        mig_pending=row.flag("mig_pending"),
    )


def _address(row: _Table) -> str:
    """In sysfs's form: NVML has eight digits for the domain, and capitals."""
    text = row.text("address")
    position = parse_address(text)
    if position is None:
        if text:
            row.complain("address", text)
        return ""
    return "{:04x}:{:02x}:{:02x}.{:x}".format(*position)


def _mig(row: _Table, rank: int) -> NvmlMig:
    # The name is the GPU's own, then ` MIG 1g.10gb`.
    profile = row.text("name").rpartition(" MIG ")[2] if " MIG " in row.text("name") else ""
    instances = row.number("gpu_instance"), row.number("compute_instance")
    return NvmlMig(rank, row.text("uuid"), *instances, profile)


def _fabric(row: _Table, told: object) -> str:
    match told:
        case None:
            return ""
        case [int() as state, str() as status] if 0 <= state < len(_FABRIC) and status.isprintable():
            return f"{_FABRIC[state]}: {status[:_TEXT]}" if status and _FABRIC[state] else _FABRIC[state]
    row.complain("fabric", told)
    return ""


def _health(row: _Table) -> NvmlHealth:
    mode, reasons = row.number("compute_mode"), row.number("throttle") or 0
    named = [name for bit, name in enumerate(_THROTTLE) if reasons >> bit & 1]
    rest = reasons >> len(_THROTTLE) << len(_THROTTLE)
    return NvmlHealth(
        memory_total=row.number("memory_total"),
        memory_used=row.number("memory_used"),
        temperature=row.number("temperature", least=-273),
        power=_watts(row, "power"),
        power_limit=_watts(row, "power_limit"),
        ecc_uncorrected=row.number("ecc_uncorrected"),
        remap_pending=row.flag("remap_pending"),
        remap_failed=row.flag("remap_failed"),
        pcie_generation=row.number("pcie_generation"),
        pcie_generation_most=row.number("pcie_generation_most"),
        pcie_width=row.number("pcie_width"),
        pcie_width_most=row.number("pcie_width_most"),
        clock_sm=row.number("clock_sm"),
        clock_sm_locked=row.number("clock_sm_locked"),
        compute_mode="" if mode is None else COMPUTE_MODES[mode] if mode < len(COMPUTE_MODES) else f"mode {mode}",
        persistence=row.flag("persistence"),
        throttle=(*named, hex(rest)) if rest else tuple(named),
        nvlinks=row.flags("nvlinks"),
        load=row.number("load"),
        bounds=_bounds(row),
    )


def _bounds(row: _Table) -> NvmlBounds:
    return NvmlBounds(
        power_limit_default=_watts(row, "power_limit_default"),
        temperature_slowdown=row.number("temperature_slowdown", least=-273),
        temperature_shutdown=row.number("temperature_shutdown", least=-273),
        clock_sm_most=row.number("clock_sm_most"),
        ecc=row.flag("ecc"),
        ecc_uncorrected_ever=row.number("ecc_uncorrected_ever"),
        clock_memory_locked=row.number("clock_memory_locked"),
        ecc_pending=row.flag("ecc_pending"),
    )


def _watts(row: _Table, name: str) -> float | None:
    milliwatts = row.number(name)
    return None if milliwatts is None else milliwatts / 1000


class _Table:
    """An object of the document. What is missing or None is not told; what is of another kind is noted, and not told."""

    def __init__(self, root: HostRoot, values: dict[str, object], where: str) -> None:
        self._root = root
        self._values = values
        self._where = where

    def complain(self, name: str, value: object) -> None:
        """Note that a value is not what it should be."""
        kind = type(value).__name__
        shown = f"a {kind} of {len(value)}" if isinstance(value, dict | list) else repr(value)[:80]
        self._root.note(fact_path("nvml"), f"{self._where}{name} is {shown}")

    def anything(self, name: str) -> object:
        """A value as it is."""
        return self._values.get(name)

    def text(self, name: str) -> str:
        """A text, cut to what is readable, escaped where it is none; empty if there is none."""
        value = self._values.get(name)
        if isinstance(value, str):
            shown = value[:_TEXT]
            return shown if shown.isprintable() else shown.encode("unicode_escape").decode()
        if value is not None:
            self.complain(name, value)
        return ""

    def number(self, name: str, *, least: int = 0) -> int | None:
        """A whole number."""
        return self._number(name, self._values.get(name), least)

    def amount(self, name: str) -> float | None:
        """A number that may have a fraction; NaN and infinities are none."""
        value = self._values.get(name)
        if isinstance(value, float) and 0 <= value < _LARGEST:
            return value
        return self._number(name, value, 0)

    def flag(self, name: str) -> bool | None:
        """Yes or no, which NVML has as 1 and 0."""
        value = self._values.get(name)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int) and value in (0, 1):
            return value == 1
        self.complain(name, value)
        return None

    def numbers(self, name: str) -> tuple[int, ...] | None:
        """A list of numbers."""
        values = self._list(name)
        if values is None:
            return None
        return tuple(number for value in values if (number := self._number(name, value, 0)) is not None)

    def flags(self, name: str) -> tuple[bool, ...]:
        """A list of yes and no; empty if anything in it is neither."""
        values = self._list(name) or []
        if all(isinstance(value, bool) for value in values):
            return tuple(value is True for value in values)
        self.complain(name, values)
        return ()

    def rows(self, name: str) -> list[_Table]:
        """A list of objects."""
        rows = []
        for place, value in enumerate(self._list(name) or []):
            if isinstance(value, dict):
                rows.append(_Table(self._root, value, f"{self._where}{name}[{place}]."))
            else:
                self.complain(f"{name}[{place}]", value)
        return rows

    def _list(self, name: str) -> list[object] | None:
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) > _ROWS:
            self.complain(name, value)
            return None
        return value

    def _number(self, name: str, value: object, least: int) -> int | None:
        if value is None or value in _NOT_TOLD:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and least <= value < _LARGEST:
            return value
        self.complain(name, value)
        return None
