"""Unmodified FUSE servers, built from libfuse's examples or as the distribution has them, at the end of a socket."""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

EXAMPLES = "/usr/share/doc/libfuse3-dev/examples"


class Build:
    """Programs built in a directory that goes with this process."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="fuse-examples-")

    @functools.cache  # noqa: B019 (one for the process)
    def program(self, name: str) -> str:
        source, program = f"{EXAMPLES}/{name}.c", f"{self._directory.name}/{name}"
        if not os.path.exists(source) or shutil.which("gcc") is None or shutil.which("pkg-config") is None:
            pytest.skip("needs gcc, pkg-config and libfuse3-dev")
        flags = subprocess.run(
            ["pkg-config", "fuse3", "--cflags", "--libs"], capture_output=True, text=True, check=True
        )
        subprocess.run(["gcc", "-w", "-O1", "-o", program, source, *flags.stdout.split()], check=True)
        return program


@functools.cache
def _build() -> Build:
    return Build()


def example(name: str) -> str:
    """The path of one of libfuse's examples, built."""
    return _build().program(name)


@contextmanager
def served(*command: str, room: int = 0) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A server that takes one end of a socket for /dev/fuse: the other end, and the process, which is gone afterwards."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            if room:
                theirs.setsockopt(socket.SOL_SOCKET, 32, room)
            arguments = [*command, "-f", f"/dev/fd/{theirs.fileno()}"]
            process = subprocess.Popen(arguments, pass_fds=[theirs.fileno()], stderr=subprocess.DEVNULL)
        try:
            yield ours.fileno(), process
        finally:
            # A server ends when nobody can ask it any more.
            ours.close()
            if process.poll() is None:
                try:
                    process.wait(2)
                except subprocess.TimeoutExpired:
                    process.kill()
            process.wait()
