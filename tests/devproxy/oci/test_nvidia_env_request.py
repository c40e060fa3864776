"""NVIDIA_DRIVER_CAPABILITIES, NVIDIA_MIG_*_DEVICES and NVIDIA_IMEX_CHANNELS, as NVIDIA's container toolkit reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.errors import InputError
from devproxy.oci.nvidia_env import KNOWN_CAPABILITIES, visible_devices
from devproxy.oci.nvidia_env_request import ImexChannels, Request, driver_capabilities, imex_channels, parse_request

ALL = ",".join(KNOWN_CAPABILITIES)
SOME = "utility,compute,graphics"


def request(*env: str, visible: str = "0", privileged: bool = False) -> Request:
    entries = (f"NVIDIA_VISIBLE_DEVICES={visible}", *env)
    asked = visible_devices(entries)
    assert asked is not None
    return parse_request(entries, asked, allowed=KNOWN_CAPABILITIES, privileged=privileged)


# driver capabilities


@pytest.mark.rows("H10", oracle="specification")
@pytest.mark.parametrize(
    ("allowed", "value", "expected"),
    [
        ("compute,display,utility,video", "display,video", "display,video"),
        ("compute,display,utility,video", "video,display", "display,video"),
        ("compute,display,utility,video", "all", "compute,display,utility,video"),
        ("compute,display,utility,video", "display,all", "compute,display,utility,video"),
        ("compute,display,utility,video", "", "compute,utility"),
        ("compute,display,utility,video", None, "compute,utility"),
        ("compute", None, "compute"),
        ("compute", "", "compute"),
        ("graphics", "", ""),
        ("", "all", ""),
        ("", None, ""),
        (ALL, "all", ALL),
        (ALL, " ", "compute,utility"),
        (ALL, ",", "compute,utility"),
        (ALL, ",video", "video"),
        (ALL, "video,", "video"),
        (ALL, " video,, ngx ", "ngx,video"),
        (ALL, "video,video", "video"),
    ],
)
def test_h10_what_is_asked_for_of_what_is_allowed(allowed: str, value: str | None, expected: str) -> None:
    found = driver_capabilities(value, legacy=False, allowed=frozenset(filter(None, allowed.split(","))))
    assert ",".join(found) == expected


@pytest.mark.rows("H10", oracle="specification")
@pytest.mark.parametrize(
    ("allowed", "env", "expected"),
    [
        (SOME, [], "compute,utility"),
        (SOME, ["CUDA_VERSION=12"], "compute,graphics,utility"),
        (SOME, ["CUDA_VERSION=12", "NVIDIA_REQUIRE_CUDA=cuda>=9"], "compute,utility"),
        (SOME, ["NVIDIA_DRIVER_CAPABILITIES="], "compute,utility"),
        (SOME, ["NVIDIA_DRIVER_CAPABILITIES=compute"], "compute"),
        (SOME, ["NVIDIA_DRIVER_CAPABILITIES=utility,graphics"], "graphics,utility"),
        (SOME, ["NVIDIA_DRIVER_CAPABILITIES=all"], "compute,graphics,utility"),
        (ALL, ["NVIDIA_DRIVER_CAPABILITIES=all"], ALL),  # gVisor stops at four of them; NVIDIA's toolkit does not
    ],
)
def test_h10_an_environment_asks_and_the_configuration_allows(allowed: str, env: list[str], expected: str) -> None:
    entries = ("NVIDIA_VISIBLE_DEVICES=all", *env)
    asked = visible_devices(entries)
    assert asked is not None
    found = parse_request(entries, asked, allowed=allowed.split(","), privileged=False)
    assert ",".join(found.capabilities) == expected


@pytest.mark.rows("H10", oracle="specification")
@pytest.mark.parametrize(
    ("allowed", "value", "named"),
    [
        ("not-compute,not-utility", "compute,utility", '"compute", "utility"'),
        ("utility", "utility,compute", '"compute"'),
        (ALL, "none", '"none"'),
        (ALL, "void", '"void"'),
        (ALL, "Compute", '"Compute"'),
    ],
)
def test_h10_a_capability_that_is_not_allowed_is_refused_by_name(allowed: str, value: str, named: str) -> None:
    with pytest.raises(InputError) as error:
        driver_capabilities(value, legacy=False, allowed=frozenset(allowed.split(",")))
    assert error.value.message.startswith(f"NVIDIA_DRIVER_CAPABILITIES names {named}, expected some of ")


@pytest.mark.rows("H10", oracle="specification")
@pytest.mark.parametrize(("value", "expected"), [(None, ALL), ("", "compute,utility"), ("video", "video")])
def test_h10_a_legacy_image_that_says_nothing_gets_all(value: str | None, expected: str) -> None:
    assert ",".join(driver_capabilities(value, legacy=True, allowed=frozenset(KNOWN_CAPABILITIES))) == expected
    env = ("CUDA_VERSION=9.0", *([] if value is None else [f"NVIDIA_DRIVER_CAPABILITIES={value}"]))
    assert ",".join(request(*env).capabilities) == expected


# MIG management


@pytest.mark.parametrize("name", ["NVIDIA_MIG_CONFIG_DEVICES", "NVIDIA_MIG_MONITOR_DEVICES"])
def test_managing_mig_devices_takes_privilege_all_and_no_mig_device_selected(name: str) -> None:
    for value in ("all", "0"):
        with pytest.raises(InputError, match=f"{name} is .*CAP_SYS_ADMIN"):
            request(f"{name}={value}")
    with pytest.raises(InputError, match=f'{name} is "0", expected all'):
        request(f"{name}=0", privileged=True)
    for visible in ("0:1", "0,MIG-1"):
        with pytest.raises(InputError, match=f"{name} is all, but NVIDIA_VISIBLE_DEVICES selects MIG devices"):
            request(f"{name}=all", visible=visible, privileged=True)
    asked = request(f"{name}=all", privileged=True)
    assert (asked.mig_config, asked.mig_monitor) == ("CONFIG" in name, "MONITOR" in name)


def test_managing_mig_devices_is_not_asked_for_by_an_empty_variable() -> None:
    asked = request("NVIDIA_MIG_CONFIG_DEVICES=", "NVIDIA_MIG_MONITOR_DEVICES= ")
    assert not asked.mig_config
    assert not asked.mig_monitor


# IMEX channels


@pytest.mark.parametrize("value", ["", " ", ",", "void", "none", "3,void", "void,all", "none,3"])
def test_no_imex_channel_is_asked_for(value: str) -> None:
    assert imex_channels(value) is None
    assert request(f"NVIDIA_IMEX_CHANNELS={value}").imex is None


@pytest.mark.rows("H11", oracle="specification")
@pytest.mark.parametrize(
    ("value", "numbers"),
    [
        ("3,4", (3, 4)),
        ("4, 3", (4, 3)),
        ("channel3", (3,)),
        ("3,channel3,03", (3,)),
        ("0", (0,)),
        ("1048575", (1048575,)),
        ("0" * 5000 + "7", (7,)),
    ],
)
def test_imex_channels_are_numbers_each_once(value: str, numbers: tuple[int, ...]) -> None:
    assert imex_channels(value) == ImexChannels(value, all=False, numbers=numbers)


@pytest.mark.parametrize("value", ["all", "3,all", " all "])
def test_all_imex_channels(value: str) -> None:
    assert imex_channels(value) == ImexChannels(value, all=True, numbers=())


@pytest.mark.parametrize(
    "word", ["bogus", "-1", "1048576", "9" * 5000, "channel", "channelx", "Channel1", "1.0", "\u0661"]
)
def test_an_imex_channel_that_is_none_is_refused_with_the_range(word: str) -> None:
    with pytest.raises(
        InputError, match=r"at position 2, expected the number of a channel, from 0 to 1048575"
    ) as error:
        imex_channels(f"0,{word}")
    assert len(error.value.message) < 300


def test_an_imex_channel_is_not_asked_for_by_a_legacy_image() -> None:
    assert request("CUDA_VERSION=9.0").imex is None


@pytest.mark.property
@given(st.lists(st.text(alphabet="019:,-/alvoidnechMIGPU \u0661", max_size=12), min_size=4, max_size=4), st.booleans())
def test_any_text_is_a_request_or_an_input_error(values: list[str], privileged: bool) -> None:
    names = ("DRIVER_CAPABILITIES", "MIG_CONFIG_DEVICES", "MIG_MONITOR_DEVICES", "IMEX_CHANNELS")
    env = [f"NVIDIA_{name}={value}" for name, value in zip(names, values, strict=True)]
    try:
        asked = request(*env, privileged=privileged)
    except InputError:
        return
    assert set(asked.capabilities) <= set(KNOWN_CAPABILITIES)
    assert asked.imex is None or all(0 <= number < 1 << 20 for number in asked.imex.numbers)
