"""Shared memory that outlives the processes that made it, and what the CUDA Multi-Process Service leaves in directories."""

from __future__ import annotations

from devproxy.record import Record


class SharedEntry(Record):
    """What is at a name in /dev/shm, as lstat(2) shows it: `kind` is `file`, `directory`, `link`, `socket`, `fifo` or `other`;
    `device` and `inode` name it for good. `born` and `changed` are seconds since the epoch (`born` None: the file system does
    not keep it). `users` is how many processes were seen to have it open or mapped; None where none was seen and not every
    process could be looked into.
    """

    path: str
    kind: str
    uid: int
    mode: int
    size: int
    device: int
    inode: int
    born: float | None
    changed: float
    users: int | None = None
    source: str = "facts/shared_memory.json"


class SharedSegment(Record):
    """A System V shared memory segment (shmctl(2)): its identifier and key (0: private), owner and creator, bytes, how many
    processes are attached, the process that made it and the one that used it last, and when it was made or changed (seconds since
    the epoch).
    """

    ident: int
    key: int
    uid: int
    creator_uid: int
    mode: int
    size: int
    attached: int
    creator: int
    last: int
    changed: float
    source: str = "/proc/sysvipc/shm"


class MpsDirectory(Record):
    """A directory of the CUDA Multi-Process Service: `role` is `pipe` or `log`; `kind` as in `SharedEntry`. `daemon` is the
    process that its control daemon wrote down there; `alive` whether that is one (None: it could not be told).
    """

    path: str
    role: str
    kind: str
    uid: int
    mode: int
    device: int
    inode: int
    born: float | None
    daemon: int | None
    alive: bool | None
    source: str = "facts/shared_memory.json"


class SharedMemory(Record):
    """All of it. `left_out` is how many older entries of /dev/shm are not listed, being too many; `segments` is None where they
    could not be read; `segments_left_out` as for entries.
    """

    entries: tuple[SharedEntry, ...]
    segments: tuple[SharedSegment, ...] | None
    mps: tuple[MpsDirectory, ...] = ()
    left_out: int = 0
    segments_left_out: int = 0


class Clock(Record):
    """When the facts were gathered: the boot's number (/proc/sys/kernel/random/boot_id), seconds since the epoch, and seconds
    since boot without those of suspends (CLOCK_MONOTONIC, near to what the kernel's log has) and with them.
    """

    boot: str
    realtime: float
    monotonic: float
    boottime: float
    source: str = "facts/clock.json"


class LogSpan(Record):
    """Which part of the kernel's log was read, by the numbers that the kernel gives its records: from `first` to before
    `following`, the number that the next one gets (Documentation/ABI/testing/dev-kmsg). Of the lines about accelerators
    `left_out` older ones are not among the facts. It was read to its end if `complete`.
    """

    first: int
    following: int
    left_out: int = 0
    complete: bool = True
    source: str = "facts/kernel_log.json"
