"""The device table. One test a sentence of its contract."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vfs.world import raises
from vfs.device import (
    DYNAMIC_MAJORS,
    AnonymousDevices,
    DeviceKind,
    DeviceNumber,
    DeviceTable,
    OpenDevice,
    Registration,
)

NVIDIA0 = DeviceNumber(195, 0)


class Recorder:
    """A driver that remembers what was opened."""

    def __init__(self) -> None:
        self.opened: list[DeviceNumber] = []

    def open(self, number: DeviceNumber, flags: int) -> OpenDevice:
        self.opened.append(number)
        return OpenDevice()


def gpu(driver: Recorder) -> Registration:
    return Registration(DeviceKind.CHARACTER, NVIDIA0, driver, group="nvidia", path="nvidia0")


def test_open_reaches_the_registered_driver() -> None:
    table, driver = DeviceTable(), Recorder()
    table.register(gpu(driver))
    table.open(DeviceKind.CHARACTER, NVIDIA0, os.O_RDWR)
    assert driver.opened == [NVIDIA0]


@pytest.mark.parametrize(
    ("kind", "number"), [(DeviceKind.BLOCK, NVIDIA0), (DeviceKind.CHARACTER, DeviceNumber(195, 1))]
)
@pytest.mark.rows("S9", oracle="specification")
def test_open_of_a_number_nobody_registered_is_enxio(kind: DeviceKind, number: DeviceNumber) -> None:
    table = DeviceTable()
    table.register(gpu(Recorder()))
    with pytest.raises(OSError, match=str(number)) as caught:
        table.open(kind, number, os.O_RDWR)
    assert caught.value.errno == errno.ENXIO


@pytest.mark.rows("S9", oracle="specification")
def test_a_taken_number_is_refused_and_its_holder_named() -> None:
    table = DeviceTable()
    table.register(gpu(Recorder()))
    with pytest.raises(FileExistsError, match="195:0 already belongs to 'nvidia'"):
        table.register(gpu(Recorder()))


@pytest.mark.rows("S80", oracle="specification")
def test_majors_come_in_the_kernels_order_until_none_is_left() -> None:
    table = DeviceTable()
    assert [table.reserve_major(f"d{n}") for n in range(149)] == [*range(254, 233, -1), *range(511, 383, -1)]
    with raises(errno.EBUSY):
        table.reserve_major("one more")


@pytest.mark.rows("S80", oracle="specification")
def test_a_major_that_a_driver_already_has_is_passed_over() -> None:
    table = DeviceTable()
    table.register(Registration(DeviceKind.CHARACTER, DeviceNumber(254, 0), Recorder(), group="nvidia-caps"))
    table.register(Registration(DeviceKind.BLOCK, DeviceNumber(253, 0), Recorder(), group="blkext"))
    assert table.reserve_major("nvidia-uvm") == 253


@pytest.mark.rows("S80", oracle="specification")
def test_a_major_in_use_elsewhere_is_passed_over() -> None:
    table = DeviceTable()
    table.exclude_majors({254, 252})
    assert [table.reserve_major(f"d{n}") for n in range(2)] == [253, 251]


@pytest.mark.rows("H27", oracle="specification")
def test_a_shared_major_stays_what_it_is_and_is_never_handed_out() -> None:
    table = DeviceTable()
    major = table.shared_major("vfio")
    assert {table.shared_major("vfio") for _ in range(1000)} == {major}
    others = {table.reserve_major(f"d{n}") for n in range(147)} | {table.shared_major("accel")}
    assert len(others) == 148
    assert major not in others


@pytest.mark.rows("S80", oracle="specification")
@given(st.lists(st.integers(min_value=0, max_value=148), unique=True))
def test_a_released_major_is_the_next_one_given_out(indices: list[int]) -> None:
    table = DeviceTable()
    majors = [table.reserve_major("d") for _ in DYNAMIC_MAJORS]
    for index in indices:
        table.release_major(majors[index])
    assert [table.reserve_major("again") for _ in indices] == [majors[index] for index in sorted(indices)]


def test_groups_name_each_major_once() -> None:
    table = DeviceTable()
    major = table.reserve_major("nvidia-uvm")
    table.register(gpu(Recorder()))
    table.register(Registration(DeviceKind.CHARACTER, DeviceNumber(195, 255), Recorder(), group="nvidia-frontend"))
    assert table.groups() == {
        (DeviceKind.CHARACTER, major): "nvidia-uvm",
        (DeviceKind.CHARACTER, 195): "nvidia",
    }


@pytest.mark.parametrize(("major", "minor"), [(-1, 0), (4096, 0), (0, -1), (0, 1 << 20)])
def test_numbers_outside_linuxs_range_are_refused(major: int, minor: int) -> None:
    with pytest.raises(ValueError, match="is not in"):
        DeviceNumber(major, minor)


def test_rdev_is_what_stat_reports() -> None:
    assert DeviceNumber(1, 3).rdev == os.stat("/dev/null").st_rdev
    assert DeviceNumber.of_rdev(os.makedev(195, 255)) == DeviceNumber(195, 255)


def test_a_device_does_nothing_that_its_driver_does_not_say() -> None:
    device = OpenDevice()
    calls: list[tuple[int, Callable[[], object]]] = [
        (errno.EINVAL, lambda: device.read(1, 0)),
        (errno.EINVAL, lambda: device.write(b"x", 0)),
        (errno.ENOTTY, lambda: device.ioctl(1, None)),
        (errno.ESPIPE, lambda: device.seek(0, os.SEEK_SET, 0)),
    ]
    for number, call in calls:
        with raises(number):
            call()


@pytest.mark.rows("S80", oracle="specification")
@given(st.lists(st.integers(0, 30), max_size=60))
def test_anonymous_minors_are_unique_and_the_lowest_released_comes_back(releases: list[int]) -> None:
    devices, held = AnonymousDevices(), set[int]()
    for release in releases:
        if release in held:
            held.remove(release)
            devices.release(release)
        else:
            minor = devices.allocate()
            assert minor not in held
            assert minor == min(set(range(1, 100)) - held)
            held.add(minor)


@pytest.mark.rows("S80", oracle="specification")
def test_when_every_anonymous_minor_is_held_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnonymousDevices, "LIMIT", 4)
    devices = AnonymousDevices()
    assert [devices.allocate() for _ in range(3)] == [1, 2, 3]
    with raises(errno.EMFILE):
        devices.allocate()
    devices.release(2)
    assert devices.allocate() == 2
