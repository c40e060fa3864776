"""Steps of devices that are made field by field are those that are made one by one."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from devproxy.host.facts import Host
from devproxy.node import DeviceNumber, NodeKind
from devproxy.oci.spec import Device
from devproxy.plan.devices import device_step, device_steps
from devproxy.plan.nvidia import NvidiaDrivers
from devproxy.plan.steps import MakeNode, RequireNode
from devproxy.plan.visible_mounts import Mounted
from tests.contract.targets.rig import HOST
from tests.hosts import host_with_gpus

NUMBERS = st.builds(DeviceNumber, st.sampled_from([1, 195, 510]), st.integers(0, 3))
PLAIN = st.integers(0, 9).map("/dev/some/{}".format)
KNOWN = st.sampled_from(
    ["/dev/nvidia0", "/dev/gdrdrv", "/dev/vfio/vfio", "/dev/vfio/3", "/dev/accel1", "/dev/kfd", "/d"]
)
HOLDERS = st.none() | st.just(Mounted("/dev", is_users=False, seal=None))
IDS = st.none() | st.integers(0, 2)


def devices(paths: st.SearchStrategy[str], holders: st.SearchStrategy[Mounted | None]) -> Any:
    kinds = st.sampled_from([NodeKind.CHARACTER, NodeKind.BLOCK]).flatmap(
        lambda kind: st.tuples(st.just(kind), NUMBERS)
    )
    shapes = kinds | st.just((NodeKind.FIFO, None))
    device = st.builds(
        lambda path, shape, mode, uid, gid, where: Device(path, shape[0], shape[1], mode, uid, gid, f"linux.devices[{where}]"),
        paths, shapes, st.none() | st.just(0o600), IDS, IDS, st.integers(0, 99),
    )  # fmt: skip
    return st.lists(st.tuples(device, holders), max_size=6)


@given(
    asked=devices(PLAIN, HOLDERS)
    | devices(PLAIN | KNOWN, HOLDERS)
    | devices(PLAIN, HOLDERS | st.just(Mounted("/dev", is_users=True, seal=None))),
    host=st.sampled_from([None, HOST._replace(character=()), HOST, host_with_gpus()]),
    tpus=st.booleans(),
)
def test_at_once_is_one_by_one(asked: list[tuple[Device, Mounted | None]], host: Host | None, tpus: bool) -> None:
    nvidia = None if host is None else NvidiaDrivers(host)
    each = [device_step(device, nvidia, holder, tpus=tpus) for device, holder in asked]
    together = device_steps([device for device, _ in asked], nvidia, [holder for _, holder in asked], tpus=tpus)
    assert together == each
    # Records of different classes are equal when their values are.
    assert [type(step) for step in together] == [type(step) for step in each]
    assert {type(part) for step in together for part in (step, step.identity, step.reason)} == {
        type(part) for step in each for part in (step, step.identity, step.reason)
    }
    assert all(isinstance(step, MakeNode | RequireNode) for step in together)
