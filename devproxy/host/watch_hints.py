"""What hints at a change of a machine: the kernel's uevents, /proc/devices, the CDI directories.

The directories are looked at every few seconds rather than followed with inotify(7): often they are not there yet, so that
their parents would have to be followed too, and /proc/devices, which tells of no change, has to be looked at anyway.
"""

from __future__ import annotations

import contextlib
import os
from select import POLLIN, poll

from devproxy.host.sources.cdi_files import cdi_directories

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Final, Self

# Accelerators come with these; NVIDIA's come with `module` and `pci`.
_SUBSYSTEMS: Final = frozenset(
    (
        "pci", "module", "accel", "drm", "vfio", "vfio-dev", "iommufd", "misc", "kfd", "habanalabs", "infiniband",
        "infiniband_verbs", "iommu", "platform",
    )
)  # fmt: skip
# What else has device nodes, and comes and goes all day where containers do.
_BUSY: Final = frozenset(("block", "tty", "input", "sound", "usb", "net", "bdi", "vc", "mem", "hidraw"))
_MOST: Final = 64


class Hints:
    """A context in which hints are gathered. `without_events` says why there are no uevents, empty where there are;
    `closed` is true once the reader of the pipe is gone.
    """

    def __init__(self, until_closed: int | None = None) -> None:
        self.without_events = ""
        self.closed = False
        self._pipe = until_closed
        self._monitor: Any = None
        self._poll = poll()
        self._seen = _contents()

    def __enter__(self) -> Self:
        try:
            self._monitor = _new_monitor()
        except OSError as error:
            self.without_events = error.strerror or str(error)
        else:
            self._poll.register(self._monitor.fileno(), POLLIN)
        if self._pipe is not None:
            self._poll.register(self._pipe, 0)  # errors alone
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._monitor = None  # closes its socket

    def wait(self, seconds: float) -> tuple[str, ...]:
        """What hints at a change within this time: `uevent add pci 0000:18:00.0`, a path."""
        ready = {fd for fd, _ in self._poll.poll(seconds * 1000)}
        if self._pipe in ready:
            self.closed = True
            return ()
        return (*(self._events() if ready else ()), *self._changed())

    def _events(self) -> tuple[str, ...]:
        found: list[str] = []
        while True:
            try:
                device = self._monitor.poll(0)
            except OSError as error:
                # ENOBUFS: there were more than the socket's buffer holds (netlink(7)).
                return (*found[:_MOST], f"uevents were lost: {error.strerror}")
            if device is None:
                return tuple(found[:_MOST])
            if _matters(device):
                found.append(f"uevent {device.action} {device.subsystem} {device.sys_name}")

    def _changed(self) -> tuple[str, ...]:
        seen, self._seen = self._seen, _contents()
        return tuple(path for path in self._seen if self._seen[path] != seen[path])


def _new_monitor() -> Any:  # noqa: ANN401 (pyudev has no types)
    from devproxy.host.live.udev_library import new_context
    from devproxy.linux.namespaces import in_first_user_namespace

    if not in_first_user_namespace():
        raise OSError(0, "the kernel sends none to a user namespace")
    context = new_context()
    from pyudev import Monitor

    monitor = Monitor.from_netlink(context, source="kernel")
    monitor.start()
    return monitor


def _matters(device: Any) -> bool:  # noqa: ANN401 (the same)
    if device.subsystem in _SUBSYSTEMS:
        return True
    return device.subsystem not in _BUSY and device.device_node is not None


def _contents() -> dict[str, object]:
    """What is at each path that tells of no change itself: the text of /proc/devices, the files of the directories."""
    return {"/proc/devices": _text("/proc/devices"), **{path: _listing(path) for path in cdi_directories(())}}


def _text(path: str) -> bytes:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return file.read(1 << 16)
    return b""


def _listing(path: str) -> tuple[object, ...]:
    """A file that is replaced has another inode, one that is written in place another time or size."""
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        found = ((entry.name, entry.stat(follow_symlinks=False)) for entry in entries)
        return tuple(sorted((name, s.st_ino, s.st_mtime_ns, s.st_size, s.st_mode, s.st_uid) for name, s in found))
    return ()
