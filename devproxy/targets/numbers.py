"""Which number a device has here: one rule for every dynamic driver, on every target.

The plan's Host decides majors, by the driver's exact name in /proc/devices. A driver that it does not list is given a
dynamic major, as register_chrdev(9) would: from 254 down to 234, then from 511 down to 384 (S80; Linux,
Documentation/admin-guide/devices.txt).
"""

from __future__ import annotations

import errno

from devproxy.host.facts import Host
from devproxy.node import DeviceNumber, Fixed, Identity, LikeHost, NodeKind
from devproxy.targets.target import NumberFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

DYNAMIC_MAJORS: Final = (*range(254, 233, -1), *range(511, 383, -1))

FIXED_MAJORS: Final[Mapping[str, int]] = {"nvidia": 195}
"""Of drivers that a Host may not list, and that have the same major everywhere (NV_MAJOR_DEVICE_NUMBER of NVIDIA's)."""


class Numbers:
    """The numbers of one root. `live` maps the character majors of the running kernel to their drivers, where opening a
    node would reach them; it is empty for a target in memory.

    Invariant: a driver keeps its major; a major that the Host or the live kernel uses is never reserved.
    """

    def __init__(self, host: Host, live: Mapping[int, str]) -> None:
        self._host = host
        self._live = live
        self._used = {line.major for line in host.character} | live.keys()
        self._reserved: dict[str, int] = {}

    def number_of(self, identity: Identity) -> NumberFound:
        """The number of a device here.

        A node that the host lacks keeps the spec's number, as one that is reserved.

        Errors: EBUSY when no dynamic major is left; ENOENT when the host lacks a node that no spec gave a number;
        EADDRINUSE when the host is simulated and the number would reach a live driver.
        """
        if isinstance(identity, Fixed):
            if identity.number.major in DYNAMIC_MAJORS:
                self._refuse_live(identity.number.major, "whatever it is")
            return NumberFound(identity.number, reserved=False)
        if isinstance(identity, LikeHost):
            return self._like_host(identity)
        major = self._host.major_of(identity.driver)
        if major is None:
            major = FIXED_MAJORS.get(identity.driver) or self._reserve(identity.driver)
            self._refuse_live(major, identity.driver)
            return NumberFound(DeviceNumber(major, identity.minor), reserved=True)
        self._refuse_live(major, identity.driver)
        return NumberFound(DeviceNumber(major, identity.minor), reserved=False)

    def _like_host(self, identity: LikeHost) -> NumberFound:
        node = self._host.node(identity.path)
        if node is not None and node.kind is NodeKind.CHARACTER:
            self._refuse_live(node.number.major, identity.path)
            return NumberFound(node.number, reserved=False)
        if identity.asked is None:
            raise FileNotFoundError(errno.ENOENT, "the host has no such character device", identity.path)
        return NumberFound(identity.asked, reserved=True)

    def _refuse_live(self, major: int, what: str) -> None:
        if self._host.simulated and major in self._live:
            raise OSError(
                errno.EADDRINUSE,
                f"major {major} is {what} on {self._host.name} and {self._live[major]} on this machine: "
                "the node would open a live device",
            )

    def _reserve(self, driver: str) -> int:
        if driver not in self._reserved:
            major = next((major for major in DYNAMIC_MAJORS if major not in self._used), None)
            if major is None:
                raise OSError(errno.EBUSY, f"no dynamic major is left for {driver}")
            self._used.add(major)
            self._reserved[driver] = major
        return self._reserved[driver]
