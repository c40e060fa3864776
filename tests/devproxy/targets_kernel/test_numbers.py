"""Which number a device has: the Host's majors win, others are reserved as Linux would."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.node import DeviceNumber, Fixed, OfDriver
from devproxy.targets.numbers import DYNAMIC_MAJORS, Numbers
from devproxy.targets.target import NumberFound
from tests.devproxy.targets_kernel.rig import a_host

DRIVERS = st.sampled_from(["nvidia-uvm", "nvidia-caps", "nvidia-nvswitch", "accel", "vfio"])
MAJORS = st.dictionaries(DRIVERS, st.integers(1, 511))


def test_a_fixed_number_passes() -> None:
    numbers = Numbers(a_host({"mem": 1}, simulated=True), {1: "mem"})
    assert numbers.number_of(Fixed(DeviceNumber(1, 3))) == NumberFound(DeviceNumber(1, 3), reserved=False)


@pytest.mark.rows("S72", "S80", "H11", oracle="specification")
@given(host=MAJORS, asked=st.lists(st.tuples(DRIVERS, st.integers(0, 255)), max_size=10))
def test_the_hosts_majors_win_and_the_others_differ(host: dict[str, int], asked: list[tuple[str, int]]) -> None:
    numbers, reserved = Numbers(a_host(host), {}), dict[str, int]()
    for driver, minor in asked:
        found = numbers.number_of(OfDriver(driver, minor))
        assert found.number.minor == minor
        assert found.reserved is (driver not in host)
        if driver in host:
            assert found.number.major == host[driver]
        else:
            assert reserved.setdefault(driver, found.number.major) == found.number.major
            assert found.number.major not in host.values()
    assert len(set(reserved.values())) == len(reserved)


@pytest.mark.rows("S80", oracle="specification")
def test_majors_are_reserved_in_the_kernels_order_until_none_is_left() -> None:
    numbers = Numbers(a_host({"taken": 253}), {252: "live"})
    found = [numbers.number_of(OfDriver(f"driver{index}", 0)).number.major for index in range(147)]
    assert found == [major for major in (*range(254, 233, -1), *range(511, 383, -1)) if major not in (252, 253)]
    assert len(DYNAMIC_MAJORS) == 149
    with pytest.raises(OSError) as caught:
        numbers.number_of(OfDriver("one more", 0))
    assert caught.value.errno == errno.EBUSY
    assert numbers.number_of(OfDriver("driver0", 1)).number == DeviceNumber(254, 1)


@pytest.mark.rows("S78", "H11", oracle="specification")
def test_the_driver_has_two_names() -> None:
    numbers = Numbers(a_host({"nvidia-frontend": 195}), {})
    assert numbers.number_of(OfDriver("nvidia", 0)) == NumberFound(DeviceNumber(195, 0), reserved=False)


@pytest.mark.rows("S78", "H11", oracle="specification")
def test_nvidias_major_is_its_own_where_the_host_has_no_driver() -> None:
    asked = OfDriver("nvidia", 3)
    assert Numbers(a_host({}), {}).number_of(asked) == NumberFound(DeviceNumber(195, 3), reserved=True)
    with pytest.raises(OSError, match="195 is nvidia on a-host and nvidia on this machine"):
        Numbers(a_host({}, simulated=True), {195: "nvidia"}).number_of(asked)


def test_a_number_of_the_spec_must_not_reach_a_live_driver_either() -> None:
    """Of those that differ from machine to machine; 1:3 is the same device everywhere."""
    with pytest.raises(OSError, match="240 is whatever it is on a-host and hidraw on this machine"):
        Numbers(a_host({}, simulated=True), {240: "hidraw"}).number_of(Fixed(DeviceNumber(240, 0)))
    live = Numbers(a_host({}), {240: "hidraw"})
    assert live.number_of(Fixed(DeviceNumber(240, 0))) == NumberFound(DeviceNumber(240, 0), reserved=False)


def test_a_recorded_number_must_not_reach_a_live_driver() -> None:
    recorded = a_host({"nvidia-uvm": 240, "nvidia": 195}, simulated=True)
    with pytest.raises(OSError, match=r"240 is nvidia-uvm on a-host and hidraw on this machine") as caught:
        Numbers(recorded, {240: "hidraw"}).number_of(OfDriver("nvidia-uvm", 0))
    assert caught.value.errno == errno.EADDRINUSE
    assert Numbers(recorded, {240: "hidraw"}).number_of(OfDriver("nvidia", 1)).number == DeviceNumber(195, 1)
    live = recorded._replace(simulated=False)
    assert Numbers(live, {240: "hidraw"}).number_of(OfDriver("nvidia-uvm", 0)).number == DeviceNumber(240, 0)
