"""Programs whose second half runs in a namespace of an owner with less privileges: a new user namespace on the kernel."""

from __future__ import annotations

import os
import tempfile

from tests.differential.vfs import kernel, namespaces
from tests.differential.vfs import recipes as st
from tests.differential.vfs.explore import Comparison
from tests.differential.vfs.kernel import CLONE_NEWNS, check, libc
from tests.differential.vfs.namespaces import DETACHED, MOUNTING, NAMING
from tests.differential.vfs.programs import Call
from tests.differential.vfs.propagation import OTHERS, START
from vfs import MountFlags

CLONE_NEWUSER = 0x10000000


class KernelWorld(namespaces.KernelWorld):
    """One process a program: there is no way back."""

    def drop(self) -> None:
        # Who stands below a mount on "/" counts as changed its root, and makes no user namespace.
        self.visit(0)
        check(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS))
        for name, text in (("setgroups", b"deny"), ("uid_map", b"0 0 1"), ("gid_map", b"0 0 1")):
            descriptor = os.open(name, os.O_WRONLY, dir_fd=self.process)
            os.write(descriptor, text)
            os.close(descriptor)
        self.namespaces = {0: self.descriptor_of_namespace()}


class SimulatedWorld(namespaces.SimulatedWorld):
    """The same on ours."""

    def drop(self) -> None:
        self.visit(0)
        copy = self.vfs.copy_mount_namespace(self.creds, self.namespaces[0], "less privileged")
        self.namespaces = {0: copy.namespace}
        self.stand(copy.moved(self.root), copy.moved(self.cwd))


def run_kernel(programs: list[list[Call]]) -> list[list[object]]:
    """See `kernel.run_all`."""
    with tempfile.TemporaryDirectory() as place:
        return [kernel.in_child(place, program, KernelWorld) for program in programs]


def run_simulated(program: list[Call]) -> list[object]:
    """See `simulated.run`."""
    return SimulatedWorld(MountFlags.RELATIME).run(program)


def _program(before: list[Call], after: list[Call]) -> list[Call]:
    return [*START, *before, Call("drop", ()), *after]


CALLS = st.one_of(
    MOUNTING, MOUNTING, OTHERS, DETACHED, NAMING, st.builds(Call, st.just("unshare"), st.tuples(st.just(1)))
)
PROGRAMS = st.builds(
    _program,
    st.lists(st.one_of(MOUNTING, MOUNTING, OTHERS), max_size=12),
    st.lists(CALLS, min_size=5, max_size=40),
)
COMPARISON = Comparison(PROGRAMS, run_simulated, run_kernel)
