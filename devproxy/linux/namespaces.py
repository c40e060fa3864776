"""Namespaces of this process (namespaces(7))."""

from __future__ import annotations

import os
import struct

from devproxy.linux.capabilities import NUMBERS, capget
from devproxy.linux.syscalls import check, libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Self

# CLONE_NEW* by the OCI spec's word for the namespace (config-linux.md, "Namespaces").
CLONE: Final = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "network": 0x40000000,
    "time": 0x00000080,
}
# What only the children of the caller are in (pid_namespaces(7), time_namespaces(7)).
FOR_CHILDREN: Final = CLONE["pid"] | CLONE["time"]


def unshare(flags: int) -> None:
    """Move this process into new namespaces (unshare(2)). Errors: EPERM without CAP_SYS_ADMIN."""
    check(libc.unshare(flags))


def map_one(proc: int, uid: tuple[int, int], gid: tuple[int, int]) -> None:
    """Map one user and one group in this process's new user namespace, each as (inside, outside), and nobody else
    (user_namespaces(7)). `proc` is procfs: a root may have none. setgroups(2) is given up, as the kernel demands.

    Errors: EPERM; EACCES where the process is not dumpable.
    """
    _write(proc, "setgroups", "deny")
    _write(proc, "uid_map", f"{uid[0]} {uid[1]} 1")
    _write(proc, "gid_map", f"{gid[0]} {gid[1]} 1")


def _write(proc: int, name: str, text: str) -> None:
    descriptor = os.open(f"self/{name}", os.O_WRONLY, dir_fd=proc)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def in_first_user_namespace() -> bool:
    """Whether this process's users are the machine's own: all of them are mapped, each to itself."""
    try:
        descriptor = os.open("/proc/self/uid_map", os.O_RDONLY)
    except FileNotFoundError:
        return True  # no procfs, or a kernel without user namespaces
    try:
        return os.read(descriptor, 4096).split() == [b"0", b"0", b"4294967295"]
    finally:
        os.close(descriptor)


class ChildrenInNewPidNamespace:
    """A context in which this thread's next child is the first process of a new pid namespace (pid_namespaces(7)); others are
    as ever. `entered` is false where that cannot be had: then nothing is different.

    The thread itself stays where it is, and so do the process's other threads, which may go on forking: what changes is where
    this thread's children go.
    """

    def __init__(self) -> None:
        self.entered = False
        self._own = -1

    def __enter__(self) -> Self:
        try:
            self._own = os.open("/proc/thread-self/ns/pid", os.O_RDONLY)
            # To come back has to be possible, before there is a need for it.
            setns(self._own, CLONE["pid"])
            unshare(CLONE["pid"])
        except OSError:
            return self
        self.entered = True
        return self

    def __exit__(self, *_: object) -> None:
        if self.entered:
            setns(self._own, CLONE["pid"])
        if self._own >= 0:
            os.close(self._own)


def is_privileged() -> bool:
    """Whether this process may mount and make nodes as the machine's root; otherwise it does that in a user namespace of its
    own.
    """
    return bool(capget().effective >> NUMBERS["CAP_SYS_ADMIN"] & 1) and in_first_user_namespace()


def setns(descriptor: int, flag: int) -> None:
    """Move this process into the namespace of a descriptor (setns(2)). Errors: EINVAL if it is of another type."""
    check(libc.setns(descriptor, flag))


def sethostname(name: str) -> None:
    """Set the host name of the UTS namespace (sethostname(2)). Errors: EINVAL if longer than 64 bytes."""
    encoded = os.fsencode(name)
    check(libc.sethostname(encoded, len(encoded)), name)


def setdomainname(name: str) -> None:
    """Set the NIS domain name of the UTS namespace (setdomainname(2)). Errors: EINVAL if longer than 64 bytes."""
    encoded = os.fsencode(name)
    check(libc.setdomainname(encoded, len(encoded)), name)


_AF_UNIX, _SOCK_DGRAM_CLOEXEC = 1, 0o2000002
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_IFREQ = struct.Struct("=16sh22x")


def bring_up_loopback() -> None:
    """Set `lo` of a new network namespace up (netdevice(7), SIOCSIFFLAGS), so that 127.0.0.1 answers."""
    import fcntl

    descriptor = check(libc.socket(_AF_UNIX, _SOCK_DGRAM_CLOEXEC, 0))
    try:
        answer = fcntl.ioctl(descriptor, _SIOCGIFFLAGS, _IFREQ.pack(b"lo", 0))
        flags = _IFREQ.unpack(answer)[1]
        fcntl.ioctl(descriptor, _SIOCSIFFLAGS, _IFREQ.pack(b"lo", flags | _IFF_UP))
    finally:
        os.close(descriptor)
