"""Sockets of the services around accelerators, and whether somebody listens there: connected to and let go at once."""

from __future__ import annotations

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

_SOCKETS: Final = (
    ("nvidia-persistenced", "/run/nvidia-persistenced/socket"),
    ("nvidia-fabricmanager", "/run/nvidia-fabricmanager/socket"),
    ("mps", "/tmp/nvidia-mps/control"),  # noqa: S108 (where CUDA_MPS_PIPE_DIRECTORY points by default)
    ("docker", "/run/docker.sock"),
    ("containerd", "/run/containerd/containerd.sock"),
    ("cri-o", "/run/crio/crio.sock"),
    ("podman", "/run/podman/podman.sock"),
)


def read() -> dict[str, object]:
    """`{"sockets": [{"service", "path", "listening", "why"}]}`, of those that are there."""
    return {"sockets": look_at(_SOCKETS)}


def look_at(sockets: Iterable[tuple[str, str]]) -> list[object]:
    """Each that is there, as the document has it."""
    found: list[object] = []
    for service, path in sockets:
        try:
            answer = _listens(path)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                continue
            answer = None, errno.errorcode.get(error.errno or 0, "error")
        listening, why = answer
        found.append({"listening": listening, "path": path, "service": service, "why": why})
    return found


def _listens(path: str) -> tuple[bool | None, str]:
    """unix(7): nobody listens where a connection is refused. It neither waits nor sends anything."""
    import socket

    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        return False, "no socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as ours:
        said = ours.connect_ex(path)
    if said in (0, errno.EAGAIN, errno.EPROTOTYPE):  # EAGAIN: many wait already; EPROTOTYPE: it wants datagrams
        return True, ""
    name = errno.errorcode.get(said, "error")
    return (False, name) if said in (errno.ECONNREFUSED, errno.ENOENT) else (None, name)
