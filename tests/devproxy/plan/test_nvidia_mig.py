"""Docker mode on MIG devices that are named by their own UUIDs, which NVML alone knows."""

from __future__ import annotations

import os
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.errors import InputError, NvmlUnasked
from devproxy.host.details import Details
from devproxy.host.facts import Host, Unseen
from devproxy.host.nvml_facts import Nvml, NvmlError, NvmlMig, NvmlState
from devproxy.host.probe import probe
from devproxy.jobs.restrict import restricted
from devproxy.node import OfDriver
from devproxy.oci.hints import Hints, parse_hints
from devproxy.oci.nvidia_env import GpuId, VisibleDevices, parse_visible
from devproxy.plan.nvidia_select import select
from devproxy.plan.offered import offered
from devproxy.plan.plan import Plan
from devproxy.plan.planner import plan_in_pod
from devproxy.plan.steps import MakeNode, Step
from tests import hosts
from tests.devproxy.plan.partitioned import Partitioned, Place, partitioned
from tests.devproxy.plan.planning import DEFAULTS, bare, steps_of

RECORDING: Final = os.path.join(os.path.dirname(hosts.__file__), "mig.tar")
PLAIN: Final = probe(RECORDING)
DEEP: Final = probe(RECORDING, deep=True)
# The two MIG devices of the recording: 3:0 and 3:1, by `partition` of tests.hosts.nvml_answers.
FIRST: Final = "MIG-00000000-d5f3-17b6-20ce-7f9183b4e65a"
SECOND: Final = "MIG-00000001-d5f3-17b6-20ce-7f9183b4e65a"
FOREIGN: Final = "MIG-0929581a-2be6-5dec-bf34-0954c6c529a6"
THOSE_HERE: Final = f"expected a MIG device of this host: 3:0 ({FIRST}), 3:1 ({SECOND})"


def selecting(value: str, host: Host = DEEP) -> Plan:
    return bare(host, process={"env": [f"NVIDIA_VISIBLE_DEVICES={value}"]})


def nodes(value: str, host: Host = DEEP) -> list[str]:
    made = steps_of(selecting(value, host), MakeNode)
    return [step.describe() for step in made if isinstance(step.identity, OfDriver)]


def refused(value: str, host: Host) -> InputError:
    with pytest.raises(InputError) as error:
        selecting(value, host)
    assert error.value.message.isprintable()
    return error.value


def saying(state: NvmlState, **told: Any) -> Host:
    """The recorded machine, with another answer of NVML."""
    return DEEP._replace(details=Details(nvml=Nvml(state)._replace(**told)))


# by UUID


@pytest.mark.rows("S77", "H9", oracle="specification")
@pytest.mark.parametrize(
    ("value", "same"),
    [
        (FIRST, "3:0"),
        (SECOND, "3:1"),
        (SECOND.lower(), "3:1"),
        (f"mig-{FIRST[4:].upper()}", "3:0"),
        (f"{SECOND},{FIRST}", "3:1,3:0"),
        (f"{FIRST},{FIRST.upper()},3:0", "3:0"),
        (f"3,{FIRST}", "3,3:0"),
        (f"0,{SECOND},3:0", "0,3:1,3:0"),
    ],
)
def test_s77_a_uuid_selects_what_the_indices_select(value: str, same: str) -> None:
    assert nodes(value) == nodes(same)


@pytest.mark.rows("S77", oracle="specification")
def test_s77_the_reason_says_who_told_which_device_it_is() -> None:
    def reasons(value: str) -> set[str]:
        return {str(step.reason) for step in selecting(value).steps if "nvidia-caps" in step.path}

    told = f"process.env NVIDIA_VISIBLE_DEVICES: MIG device 3:1, which has {SECOND} by facts/nvml.json"
    assert reasons(SECOND.lower()) == {told}
    assert reasons(f"3:1,{SECOND}") == {"process.env NVIDIA_VISIBLE_DEVICES: MIG device 3:1"}


@pytest.mark.rows("S77", oracle="specification")
def test_s77_what_is_named_twice_is_selected_once_as_it_was_first_named() -> None:
    (chosen,) = select(
        VisibleDevices("", all=False, ids=(GpuId(FIRST, 1), GpuId("3:0", 2), GpuId(FIRST.lower(), 3))), DEEP
    )
    assert [(device.rank, told) for device, told in chosen.mig] == [(0, f", which has {FIRST} by facts/nvml.json")]


def test_nvml_is_not_needed_for_any_other_id() -> None:
    for value in ("all", "none", "3", "3:1", f"MIG-{DEEP.nvidia.gpus[3].uuid}/1/0" if DEEP.nvidia else ""):
        assert nodes(value, PLAIN) == nodes(value)


def test_a_new_bundle_is_offered_it_too() -> None:
    by_uuid, by_index = (offered(DEEP, parse_visible(ids, "--gpus"), DEFAULTS) for ids in (SECOND, "3:1"))
    assert by_uuid == by_index
    assert "/dev/nvidia-caps/nvidia-cap291" in [device.path for device in by_uuid.devices]


def test_a_plan_that_is_made_anew_in_a_pod_knows_it_still() -> None:
    made = selecting(FIRST)
    others = parse_hints(
        (("dev.gvisor.spec.mount.a.source", "/a"), ("dev.gvisor.spec.mount.a.type", "tmpfs"), ("dev.gvisor.spec.mount.a.share", "pod"))
    )  # fmt: skip
    assert isinstance(others, Hints)
    assert others.by_source
    assert plan_in_pod(made, others).steps == made.steps


def test_under_a_lease_one_of_another_gpu_is_refused_and_said_where_it_is() -> None:
    assert DEEP.nvidia is not None
    uuids = [gpu.uuid for gpu in DEEP.nvidia.gpus]
    assert nodes(FIRST, restricted(DEEP, frozenset(uuids[3:4]))[0]) == nodes(FIRST)
    error = refused(FIRST, restricted(DEEP, frozenset(uuids[:3]))[0])
    where = "GPU instance 1, compute instance 0 of GPU 3 (0000:5d:00.0) by facts/nvml.json"
    assert error.message.endswith(f"which is {where}, expected a MIG device of this host: it has none")
    assert "leased" in error.hint


# errors


@pytest.mark.rows("S77", "H9", oracle="specification")
@pytest.mark.parametrize("value", [FOREIGN, FIRST[:-1], FIRST[:12], f"{FIRST}0", "MIG-", "MIG-GPU-x", "3:2", "0:0"])
def test_s77_an_unknown_one_is_refused_with_the_uuids_that_there_are(value: str) -> None:
    """Also the beginning of a UUID, which older releases of libnvidia-container took."""
    error = refused(f"0,{value}", DEEP)
    assert error.message == f'NVIDIA_VISIBLE_DEVICES names "{value}" at position 2, {THOSE_HERE}'
    assert "nvidia-smi -L" in error.hint
    assert not isinstance(error, NvmlUnasked)


@pytest.mark.rows("S77", oracle="specification")
def test_s77_a_plan_asks_nobody_and_says_that_nvml_was_not_asked() -> None:
    error = refused(f"0,{FIRST}", PLAIN)
    assert isinstance(error, NvmlUnasked)
    assert error.message == (
        f'NVIDIA_VISIBLE_DEVICES names "{FIRST}" at position 2, expected a MIG device of this host: 3:0, 3:1; '
        "only NVML knows which of them has this UUID, and it was not asked"
    )
    assert error.hint == (
        "name it by its indices, as 3:0: 'nvidia-smi -L' shows them with the UUIDs; devproxy.probe(deep=True) asks NVML"
    )


def test_where_no_mig_device_is_nvml_need_not_be_asked() -> None:
    host = probe(os.path.join(os.path.dirname(hosts.__file__), "before-550.tar"))
    error = refused(FOREIGN, host)
    assert not isinstance(error, NvmlUnasked)
    assert error.message.endswith("expected a MIG device of this host: it has none")


@pytest.mark.parametrize(
    ("state", "told", "why", "live", "recorded"),
    [
        (NvmlState.UNASKED, {}, "was not asked", "", "'devproxy record'"),
        (NvmlState.NO_LIBRARY, {"why": "no driver"}, "has no library here: no driver", "LD_LIBRARY_PATH", "'devproxy record'"),
        (
            NvmlState.TIMEOUT,
            {"why": "no answer in time", "during": "nvmlDeviceGetUUID", "during_gpu": 3, "seconds": 2.04},
            "did not answer: no answer in time from nvmlDeviceGetUUID about GPU 3 within 2.0 s",
            "DEVPROXY_NVML_SECONDS=60",
            "'devproxy record'",
        ),
        (NvmlState.FAILED, {"why": "Driver Not Loaded"}, "failed: Driver Not Loaded", "'devproxy doctor'", "'devproxy record'"),
        (
            NvmlState.FAILED,
            {"why": "the process that asked ended with signal 11", "during": "nvmlInitWithFlags"},
            "failed: the process that asked ended with signal 11 in nvmlInitWithFlags",
            "'devproxy doctor'",
            "'devproxy record'",
        ),
        (
            NvmlState.ANSWERED,
            {"errors": (NvmlError("nvmlDeviceGetEccMode", 999, "UNKNOWN", 3), NvmlError("nvmlDeviceGetMigMode", 4, "NO_PERMISSION", 3))},
            "did not tell it of all of them: nvmlDeviceGetMigMode says NO_PERMISSION (4)",
            "'devproxy doctor'",
            "'devproxy record'",
        ),
        (NvmlState.ANSWERED, {}, "did not tell it of all of them", "'devproxy doctor'", "'devproxy record'"),
    ],
)  # fmt: skip
def test_where_nvml_could_not_tell_the_error_says_why_and_what_to_type(
    state: NvmlState, told: dict[str, Any], why: str, live: str, recorded: str
) -> None:
    host = saying(state, **told)
    for where, remedy in ((host, recorded), (host._replace(simulated=False, name="live"), live)):
        error = refused(FIRST, where)
        assert error.message.endswith(
            f"expected a MIG device of this host: 3:0, 3:1; only NVML knows which of them has this UUID, and it {why}"
        )
        assert error.hint.startswith("name it by its indices, as 3:0: 'nvidia-smi -L' shows them with the UUIDs")
        assert remedy in error.hint
        assert isinstance(error, NvmlUnasked) == (state is NvmlState.UNASKED)


def test_a_recording_without_an_answer_of_nvml_says_so() -> None:
    host = saying(NvmlState.UNASKED)._replace(
        unseen=(Unseen("facts/nvml.json", "ENODATA: the recording does not say"),)
    )
    assert "is not heard here (facts/nvml.json: ENODATA: the recording does not say)" in refused(FIRST, host).message


@pytest.mark.parametrize("state", [NvmlState.TIMEOUT, NvmlState.FAILED])
def test_what_nvml_told_before_it_hung_or_crashed_counts(state: NvmlState) -> None:
    assert DEEP.details is not None
    told = DEEP.details.nvml.gpus
    assert nodes(SECOND, saying(state, gpus=told)) == nodes("3:1")
    half = tuple(gpu._replace(mig=gpu.mig[1:]) for gpu in told)
    assert nodes(SECOND, saying(state, gpus=half)) == nodes("3:1")
    error = refused(FIRST, saying(state, gpus=half))
    assert f"expected a MIG device of this host: 3:0, 3:1 ({SECOND}); only NVML knows" in error.message
    assert "as 3:0: " in error.hint


def test_a_device_that_nvml_has_and_the_drivers_files_have_not_is_refused() -> None:
    """A GPU was partitioned anew in between, or this is a container with another's /proc."""
    gpus = tuple(
        gpu._replace(mig=(NvmlMig(0, FOREIGN, 9, 2, "1g.10gb"),) if gpu.mig else ()) for gpu in DEEP.details.nvml.gpus
    ) if DEEP.details is not None else ()  # fmt: skip
    error = refused(FOREIGN, saying(NvmlState.ANSWERED, gpus=gpus))
    assert error.message.endswith(
        "which is GPU instance 9, compute instance 2 of GPU 3 (0000:5d:00.0) by facts/nvml.json, "
        "expected a MIG device of this host: 3:0, 3:1"
    )
    assert "'devproxy probe'" in error.hint


def test_one_whose_instances_nvml_does_not_tell_may_be_any_of_those_without_a_uuid() -> None:
    assert DEEP.details is not None
    failed = (NvmlError("nvmlDeviceGetComputeInstanceId", 4, "NO_PERMISSION", 3),)
    gpus = tuple(
        gpu._replace(mig=tuple(part._replace(compute_instance=None) for part in gpu.mig[:1]) + gpu.mig[1:])
        for gpu in DEEP.details.nvml.gpus
    )
    error = refused(FIRST, saying(NvmlState.ANSWERED, gpus=gpus, errors=failed))
    assert error.message.endswith(
        f"expected a MIG device of this host: 3:0, 3:1 ({SECOND}); only NVML knows which of them has this UUID, and it "
        "did not tell it of all of them: nvmlDeviceGetComputeInstanceId says NO_PERMISSION (4)"
    )


def test_a_gpu_whose_address_nvml_does_not_tell_is_known_by_its_uuid() -> None:
    assert DEEP.details is not None
    told = tuple(gpu._replace(address="") for gpu in DEEP.details.nvml.gpus)
    assert nodes(FIRST, saying(NvmlState.ANSWERED, gpus=told)) == nodes("3:0")
    neither = tuple(gpu._replace(address="", uuid=None) for gpu in told)
    assert "which is GPU instance 1" in refused(FIRST, saying(NvmlState.ANSWERED, gpus=neither)).message


# any host


def recased(text: str, mask: int) -> str:
    """Some of the letters in the other case; indices have none."""
    return "".join(letter.swapcase() if mask >> n & 1 else letter for n, letter in enumerate(text))


@pytest.mark.rows("S77", "H11", oracle="specification")
@pytest.mark.property
@given(partitioned(), st.data())
def test_s77_the_three_forms_of_any_device_select_the_same_nodes(
    found: tuple[Partitioned, list[Place]], data: st.DataObject
) -> None:
    cut, chosen = found
    indices = ",".join(cut.forms(place)[0] for place in chosen)
    mixed = [
        recased(data.draw(st.sampled_from(cut.forms(place))), data.draw(st.integers(0, 1 << 40))) for place in chosen
    ]
    wanted = nodes(indices, cut.host)
    assert nodes(",".join(cut.forms(place)[1] for place in chosen), cut.host) == wanted
    assert nodes(",".join(cut.forms(place)[2] for place in chosen), cut.host) == wanted
    assert nodes(",".join(mixed), cut.host) == wanted
    made: list[Step] = [*steps_of(selecting(",".join(mixed), cut.host), MakeNode)]
    paths = [step.path for step in made if step.path.startswith("/dev/nvidia") and step.path[11:12].isdigit()]
    paths += [step.path for step in made if step.path.startswith("/dev/nvidia-caps/")]
    assert len(paths) == len(set(paths))
    assert set(paths) == cut.expected(chosen)


@pytest.mark.property
@given(partitioned(), st.uuids(), st.sampled_from(tuple(NvmlState)), st.data())
def test_an_answer_with_holes_selects_the_right_device_or_none(
    found: tuple[Partitioned, list[Place]], foreign: object, state: NvmlState, data: st.DataObject
) -> None:
    """Whatever of NVML's answer is missing: a UUID is never taken for another device's."""
    cut, chosen = found
    assert cut.host.details is not None
    gpus = []
    for gpu in cut.host.details.nvml.gpus:
        mig = [part if data.draw(st.booleans()) else part._replace(uuid="", gpu_instance=None) for part in gpu.mig]
        gpus.append(gpu._replace(mig=tuple(part for part in mig if data.draw(st.booleans()))))
    host = cut.host._replace(details=Details(nvml=Nvml(state, gpus=tuple(gpus))))
    place = chosen[0]
    told = any(part.uuid == cut.uuids[place] for gpu in gpus for part in gpu.mig)
    if told:
        assert nodes(cut.uuids[place], host) == nodes(cut.forms(place)[0], host)
    else:
        whole = all(any(part.uuid == uuid for gpu in gpus for part in gpu.mig) for uuid in cut.uuids.values())
        error = refused(cut.uuids[place], host)
        assert "only NVML knows which" in error.message
        assert not whole
    if f"MIG-{foreign}" not in cut.uuids.values():
        refused(f"MIG-{foreign}", host)
