"""Documents that somebody made: whatever they hold, there are facts and notes, never a traceback, and never a wrong type."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.host.details_json import details_document
from devproxy.host.facts import Host
from devproxy.host.nvml_facts import Nvml, NvmlError, NvmlState
from devproxy.record import Record
from tests.hosts.machine import Machine
from tests.nvml.fake import host_of, nvml_of

GPU: Final[dict[str, Any]] = {
    "rank": 0, "address": "00000000:18:00.0", "uuid": "GPU-1", "minor": 0, "name": "H100", "serial": "1", "power": 71250,
    "mig_mode": True, "mig": [{"rank": 3, "uuid": "MIG-1", "name": "H100 MIG 1g.10gb", "gpu_instance": 7}],
    "pids": [1, 2], "numa_nodes": [0], "fabric": [3, ""], "nvlinks": [True, False], "compute_mode": 3, "throttle": 4,
}  # fmt: skip
DOCUMENT: Final[dict[str, Any]] = {
    "state": "timeout", "why": "no answer in time", "during": "nvmlDeviceGetUUID", "during_gpu": 1, "seconds": 2.0,
    "driver": "550.163.01", "library": "12.550.163.01", "cuda": 12040, "device_count": 2, "gpus": [GPU],
    "errors": [{"call": "nvmlDeviceGetUUID", "code": 15, "name": "GPU_IS_LOST", "gpu": 1}],
}  # fmt: skip


def notes_of(host: Host) -> list[str]:
    return [unseen.why for unseen in host.unseen if unseen.path == "facts/nvml.json"]


def test_a_good_document_has_no_notes() -> None:
    host = host_of(DOCUMENT)
    assert notes_of(host) == []
    told = nvml_of(DOCUMENT)
    assert (told.state, told.during, told.during_gpu, told.seconds) == (NvmlState.TIMEOUT, "nvmlDeviceGetUUID", 1, 2.0)
    assert told.errors == (NvmlError("nvmlDeviceGetUUID", 15, "GPU_IS_LOST", 1),)
    only = told.gpus[0]
    assert (only.address, only.pids, only.fabric, only.mig[0].profile) == (
        "0000:18:00.0",
        (1, 2),
        "completed",
        "1g.10gb",
    )
    assert (only.health.power, only.health.throttle, only.health.compute_mode) == (
        71.25,
        ("sw-power-cap",),
        "exclusive process",
    )


def test_no_document_means_not_asked() -> None:
    assert nvml_of({}).state is NvmlState.UNASKED


@pytest.mark.parametrize("state", ["", "fine", 3, None, ["answered"], "ANSWERED"])
def test_a_state_that_is_none_makes_the_whole_not_asked(state: object) -> None:
    host = host_of(DOCUMENT | {"state": state})
    assert nvml_of(DOCUMENT | {"state": state}) == Nvml(NvmlState.UNASKED)
    assert notes_of(host)


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"minor": "0"}, "gpus[0].minor is '0'"),
        ({"minor": -1}, "gpus[0].minor is -1"),
        ({"minor": True}, "gpus[0].minor is True"),
        ({"minor": 1.5}, "gpus[0].minor is 1.5"),
        ({"uuid": 7}, "gpus[0].uuid is 7"),
        ({"pids": {"1": 2}}, "gpus[0].pids is a dict of 1"),
        ({"pids": [1, "x"]}, "gpus[0].pids is 'x'"),
        ({"mig": [3]}, "gpus[0].mig[0] is 3"),
        ({"mig": [{"rank": []}]}, "gpus[0].mig[0].rank is a list of 0"),
        ({"fabric": [9, ""]}, "gpus[0].fabric is a list of 2"),
        ({"nvlinks": [1, 0]}, "gpus[0].nvlinks is a list of 2"),
        ({"address": "18"}, "gpus[0].address is '18'"),
        ({"power": "71 W"}, "gpus[0].power is '71 W'"),
        ({"remap_failed": 2}, "gpus[0].remap_failed is 2"),
        ({"temperature": 1e300}, "gpus[0].temperature is 1e+300"),
    ],
)
def test_what_is_of_another_kind_is_noted_and_not_told(change: dict[str, object], note: str) -> None:
    document = DOCUMENT | {"gpus": [GPU | change]}
    assert notes_of(host_of(document)) == [note]
    assert nvml_of(document).gpus[0].rank == 0


def test_numbers_that_nvml_has_for_not_told_are_not_told() -> None:
    told = nvml_of(DOCUMENT | {"gpus": [GPU | {"memory_total": 0xFFFFFFFFFFFFFFFF, "memory_node": 0xFFFFFFFF}]})
    assert (told.gpus[0].health.memory_total, told.gpus[0].memory_node) == (None, None)


def test_reasons_to_throttle_that_are_not_known_are_kept() -> None:
    told = nvml_of(DOCUMENT | {"gpus": [GPU | {"throttle": 0x1840}]})
    assert told.gpus[0].health.throttle == ("hw-thermal", "0x1800")


def test_texts_are_escaped_where_a_terminal_would_obey_them() -> None:
    told = nvml_of(DOCUMENT | {"driver": "5\x1b[31m\n", "gpus": [GPU | {"name": "\ud800é" + "x" * 9999}]})
    assert told.driver == "5\\x1b[31m\\n"
    assert told.gpus[0].model.startswith("\\ud800\\xe9x")
    assert len(told.gpus[0].model) < 600


def test_several_numa_nodes_are_no_place() -> None:
    assert nvml_of(DOCUMENT | {"gpus": [GPU | {"numa_nodes": [0, 1]}]}).gpus[0].numa_node is None


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([-1, 1 << 64, "0", "answered"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def spoiled(document: dict[str, Any], inner: dict[str, st.SearchStrategy[Any]] | None = None) -> st.SearchStrategy[Any]:
    """The document with some of its values replaced by others, or left out."""
    inner = inner or {}
    keys = {key: st.just(value) | inner.get(key, JSON) | JSON for key, value in document.items()}
    return st.fixed_dictionaries({}, optional=keys)


MIG: Final = st.lists(
    spoiled({"rank": 3, "uuid": "MIG-1", "name": "x MIG y", "gpu_instance": 1, "compute_instance": 0}), max_size=2
)
GPUS: Final = st.lists(spoiled(GPU, {"mig": MIG}), max_size=3)
ERRORS: Final = st.lists(spoiled(DOCUMENT["errors"][0]), max_size=2)


@pytest.mark.property
@given(spoiled(DOCUMENT, {"gpus": GPUS, "errors": ERRORS, "state": st.just("answered")}))
def test_any_document_makes_facts_of_the_right_types(document: dict[str, Any]) -> None:
    host = host_of(document)
    assert host.details is not None
    check_types(host.details.nvml)
    json.dumps(details_document(host.details), allow_nan=False).encode()
    for note in notes_of(host):
        assert note.isprintable()
        assert len(note) < 200


@pytest.mark.property
@given(JSON | st.binary(max_size=30))
def test_anything_at_all_is_borne(document: object) -> None:
    machine = Machine().file("/proc/devices", "Character devices:\n  1 mem\n")
    if isinstance(document, bytes):
        machine._facts["nvml"] = document
        assert nvml_of_machine(machine).state is NvmlState.UNASKED
    else:
        check_types(nvml_of(document))


def nvml_of_machine(machine: Machine) -> Nvml:
    from devproxy.host.probe import probe_reader

    details = probe_reader(machine, name="live", simulated=True, deep=True).details
    assert details is not None
    return details.nvml


def check_types(record: Record) -> None:
    """Each field is of the type that its annotation says (annotations here are texts)."""
    for name, kind in type(record).__new__.__annotations__.items():
        value = getattr(record, name)
        if value is None:
            assert kind.endswith("None"), (name, kind)
        elif kind.startswith("tuple["):
            assert isinstance(value, tuple), (name, value)
            for each in value:
                check_value(name, kind.removeprefix("tuple[").partition(",")[0], each)
        else:
            check_value(name, kind.partition(" ")[0], value)


def check_value(name: str, kind: str, value: object) -> None:
    if hasattr(value, "_fields"):
        assert type(value).__name__ == kind
        check_types(value)  # type: ignore[arg-type]
    elif kind == "float":
        assert type(value) in (int, float), (name, value)
    else:
        assert type(value).__name__ == kind, (name, value)
