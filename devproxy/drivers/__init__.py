"""Device drivers registered in a VFS: what answers when a node is opened in memory.

Each driver's module registers its devices; the list below is all there are, in the order of /dev (S3, S6).
"""

from __future__ import annotations

from devproxy.drivers import fuse, memory, nvidia, tpu, tty, tun
from devproxy.host.facts import Host
from vfs.device import DeviceTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

DRIVERS: Final[tuple[Callable[[DeviceTable, Host], None], ...]] = (
    memory.register,
    tty.register,
    tun.register,
    fuse.register,
    nvidia.register,
    tpu.register,
)


def register_drivers(table: DeviceTable, host: Host) -> None:
    """Register every driver's devices, with the numbers that `host` has for them.

    Errors: EEXIST when a number is taken.
    """
    for register in DRIVERS:
        register(table, host)
