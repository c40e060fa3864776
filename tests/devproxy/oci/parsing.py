"""Short ways to parse a piece of a config.json."""

from __future__ import annotations

from typing import Any

from devproxy.mount_options import MountOptions
from devproxy.oci.load import parse_spec
from devproxy.oci.spec import Device, Mount, Spec
from tests.bundles import runc_spec_like

BUNDLE = "/the/bundle"


def parse(**changes: Any) -> Spec:
    """The spec of a runc-spec-like bundle with changes."""
    return parse_spec(runc_spec_like(**changes), BUNDLE)


def parse_mount(**entry: Any) -> Mount:
    """The one mount of a bundle."""
    return parse(mounts=[{"destination": "/m", **entry}]).mounts[0]


def parse_options(*options: str, fstype: str = "tmpfs") -> MountOptions:
    """The options of a mount of `fstype`."""
    return parse_mount(type=fstype, source="/source", options=list(options)).options


def parse_device(**entry: Any) -> Device:
    """The one device of a bundle."""
    device = {"path": "/dev/d", "type": "c", "major": 1, "minor": 3, **entry}
    devices = parse(linux={"devices": [{key: value for key, value in device.items() if value is not None}]}).devices
    assert devices is not None
    return devices[0]
