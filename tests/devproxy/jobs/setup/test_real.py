"""Setup on the kernel: real nodes, links and files, in a namespace of the test's own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devproxy.check.doctor.case import Case
from devproxy.check.doctor.examine import examine
from devproxy.host.facts import Host
from devproxy.jobs.devices import Wanted, leasable
from devproxy.jobs.lease import Asking, acquire
from devproxy.jobs.setup.journal import PLACE
from devproxy.jobs.setup.survey import survey
from devproxy.jobs.state import State
from devproxy.process import run
from tests.devproxy.jobs.setup.rig import bare, identities, on, setup, tree
from tests.devproxy.jobs.setup.test_prepare import COVERED, facts
from tests.hosts.device_facts import with_device_facts
from tests.hosts.machine import Machine
from tests.hosts.make import hgx_h100, partitioned, without_uvm

pytestmark = pytest.mark.root


def new_driver(made: Callable[[], Machine]) -> Machine:
    machine = with_device_facts(made())
    return bare(machine, facts(machine))


def broken() -> Machine:
    """A host after a reboot with stale nodes, a mistake in modprobe.d, and a script that made nodes by hand."""
    machine = with_device_facts(partitioned())
    machine.remove("/dev/nvidia4", "/dev/char/195:3")
    machine.node("/dev/nvidia-uvm", (511, 0)).link("/dev/char/511:0", "../nvidia-uvm")
    machine.node("/dev/nvidia2", (195, 2), 0o1232).node("/dev/nvidiactl", (0, 255)).node("/dev/nvidia5", (195, 6))
    machine.node("/dev/nvidia-caps/nvidia-cap1", (462, 1), 0o444).link("/dev/char/195:0", "/dev/nvidia1")
    machine._entries["/dev/nvidia6"] = machine._entries["/dev/nvidia6"]._replace(mode=0o020600, uid=1000, gid=44)
    return machine.link("/dev/char/511:1", "../nvidia-uvm-tools")


HOSTS: dict[str, Callable[[], Machine]] = {
    "bare": lambda: new_driver(partitioned),
    "broken": broken,
    "without uvm": lambda: with_device_facts(without_uvm()),
}


def complaints(host: Host) -> list[str]:
    return sorted({finding.code for finding in examine(Case(host), only=COVERED).findings})


@pytest.mark.parametrize("name", sorted(HOSTS))
def test_done_done_again_and_taken_back(name: str) -> None:
    def work() -> Any:
        told = {"before": tree(), "complaints before": complaints(survey()), "first": setup()}
        told |= {"complaints": complaints(survey()), "after": tree(), "identities": identities()}
        told |= {"second": setup(), "same": identities(), "undo": setup("--undo"), "undone": tree()}
        return told | {
            "undo again": setup("--undo"),
            "record": os.path.exists(PLACE),
            "lists": Path("/proc/devices").read_text(),
        }

    machine = HOSTS[name]()
    told = on(machine, work)
    assert told["complaints before"]
    code, said = told["first"]
    assert (code, said.splitlines()[-1].partition(":")[0]) == (0, "ready"), said
    assert told["complaints"] == []
    # What is there already is not touched: the same inodes, not changed since.
    assert told["second"] == [0, "ready: nothing was to be done\n"]
    assert told["same"] == told["identities"]
    assert told["undo"][0] == 0, told["undo"]
    assert told["undone"] == told["before"]
    assert told["undo again"] == [0, "there is nothing to take back\n"]
    assert not told["record"]
    assert told["lists"].split() == machine.read_bytes("/proc/devices", 1 << 20).decode().split()


def test_what_is_made_is_what_nvidia_modprobe_makes() -> None:
    """The nodes of the machine that all is well with, less those that nobody asks it for."""
    machine = with_device_facts(partitioned())
    whole = {
        node.path: f"{node.number} {node.mode:04o} {node.uid}:{node.gid}"
        for node in facts(machine).nodes
        if node.path.startswith("/dev/nvidia") and "imex" not in node.path
    }

    def work() -> Any:
        setup()
        nodes = [node for node in survey().nodes if node.path.startswith("/dev/nvidia")]
        return {node.path: f"{node.number} {node.mode:04o} {node.uid}:{node.gid}" for node in nodes}

    assert on(new_driver(partitioned), work) == whole


@pytest.mark.parametrize("name", sorted(HOSTS))
def test_the_commands_that_are_printed_do_the_same(name: str) -> None:
    """mknod, ln, chmod and modprobe, typed as a dry run says, against setup; and what it says for taking it back."""

    def typed() -> Any:
        before = tree()
        told: list[str] = []
        while steps := json.loads(setup("--dry-run", "--json")[1])["steps"]:
            assert len(told) < 200, steps
            for step in steps:
                run(["sh", "-ec", step["command"]])
                told.append(step["undo"])
        after = tree()
        for undo in reversed(told):
            run(["sh", "-ec", undo])
        return {"before": before, "after": after, "undone": tree()}

    def done() -> Any:
        code, said = setup()
        assert code == 0, said
        return tree()

    told = on(HOSTS[name](), typed)
    assert told["after"] == on(HOSTS[name](), done)
    assert _absolute(told["undone"]) == _absolute(told["before"])


def _absolute(found: dict[str, str]) -> dict[str, str]:
    """Where links lead, not in which words: facts tell that."""
    return {
        path: f"-> {os.path.normpath(os.path.join(os.path.dirname(path), told[3:]))}" if told[:3] == "-> " else told
        for path, told in found.items()
    }


def test_a_dry_run_touches_nothing() -> None:
    def work() -> Any:
        before = tree("/dev", "/etc", "/var/lib", "/run"), identities()
        code, said = setup("--dry-run", "--persist")
        return code, said, before == (tree("/dev", "/etc", "/var/lib", "/run"), identities())

    code, said, same = on(broken(), work)
    assert (code, same) == (0, True), said
    assert "rm /dev/nvidia-uvm && mknod -m 0666 /dev/nvidia-uvm c 462 0" in said
    assert "would write /etc/modules-load.d/devproxy.conf" in said


# undoing what somebody changed


def test_undo_leaves_what_somebody_changed() -> None:
    def work() -> Any:
        setup()
        os.chmod("/dev/nvidia0", 0o600)
        os.unlink("/dev/nvidia1")
        os.mknod("/dev/nvidia1", 0o020600, os.makedev(1, 3))
        os.unlink("/dev/char/195:2")
        Path("/dev/nvidia-caps/mine").touch()
        code, said = setup("--undo")
        return code, said, tree()

    code, said, found = on(new_driver(hgx_h100), work)
    assert code == 0
    left = {path: told for path, told in found.items() if "nvidia" in path}
    assert left == {
        "/dev/nvidia0": "crw------- 0:0 195:0",
        "/dev/nvidia1": "crw------- 0:0 1:3",
        "/dev/nvidia-caps": "drwxr-xr-x 0:0",
        "/dev/nvidia-caps/mine": "-rw-r--r-- 0:0 ''",
    }
    assert said.count("passed over: ") == 4


def test_a_module_in_use_stays_and_stays_written_down() -> None:
    def work() -> Any:
        setup()
        Path("/mnt/lib-modules/busy").touch()
        busy = setup("--undo")
        os.unlink("/mnt/lib-modules/busy")
        return busy, setup("--undo"), os.path.exists(PLACE)

    busy, free, record = on(with_device_facts(without_uvm()), work)
    assert busy[0] == 3
    assert "nvidia-uvm cannot be unloaded: modprobe: FATAL: Module nvidia_uvm is in use." in busy[1]
    assert (free[0], record) == (0, False), free


# what cannot be done is told


def test_a_module_that_is_not_there_is_told() -> None:
    code, said = on(with_device_facts(without_uvm()), setup, module=False)
    assert code == 3
    assert "left: load nvidia-uvm" in said
    assert "Module nvidia-uvm not found" in said
    assert "modprobe nvidia-uvm" in said


def test_a_module_on_a_blacklist_stays_out() -> None:
    def work() -> Any:
        Path("/mnt/lib-modules/blacklist").touch()
        return setup()

    code, said = on(with_device_facts(without_uvm()), work)
    assert code == 3
    assert "kept from being loaded by the setting 'blacklist nvidia_uvm'" in said


def test_what_was_not_done_is_not_undone() -> None:
    """The module that could not be loaded is somebody else's when it is there later."""

    def work() -> Any:
        Path("/mnt/lib-modules/blacklist").touch()
        setup()
        os.unlink("/mnt/lib-modules/blacklist")
        run(["modprobe", "nvidia-uvm"])
        return setup("--undo"), "nvidia-uvm" in Path("/proc/devices").read_text()

    (code, said), loaded = on(with_device_facts(without_uvm()), work)
    assert (code, loaded) == (0, True), said


def test_without_modprobe_that_is_told() -> None:
    def work() -> Any:
        os.unlink("/mnt/bin/modprobe")
        os.environ["PATH"] = "/mnt/bin"
        from devproxy.jobs.setup import modules

        modules.find_program = lambda _: None  # type: ignore[assignment,attr-defined]
        return setup()

    code, said = on(with_device_facts(without_uvm()), work)
    assert (code, "there is no modprobe here" in said) == (3, True)


def test_data_in_a_nodes_place_is_told_and_kept() -> None:
    """An engine makes a directory where the source of a volume is missing; somebody may have put a file there."""

    def work() -> Any:
        os.mkdir("/dev/nvidia0")
        Path("/dev/nvidia1").write_text("mine")
        os.symlink("null", "/dev/nvidia2")
        code, said = setup()
        return code, said, {path: told for path, told in tree().items() if path[:-1] == "/dev/nvidia"}

    code, said, found = on(new_driver(hgx_h100), work)
    assert code == 3
    assert found["/dev/nvidia0"].startswith("d")
    assert found["/dev/nvidia1"].endswith("'mine'")
    assert found["/dev/nvidia2"] == "-> null"
    assert [found[f"/dev/nvidia{n}"].rsplit(" ", 1)[1] for n in range(3, 8)] == [f"195:{n}" for n in range(3, 8)]
    assert said.count("is in the place of a device node") == 3


@pytest.mark.parametrize("what", ["a link", "somebody else's", "everybody's"])
def test_a_directory_that_is_not_roots_alone_is_refused(what: str) -> None:
    """Whoever can write in it could put anything in the place of what is made there."""

    def work() -> Any:
        if what == "a link":
            os.mkdir("/run/elsewhere")
            os.symlink("/run/elsewhere", "/dev/nvidia-caps")
        else:
            os.mkdir("/dev/nvidia-caps", 0o755)
            if what == "everybody's":
                os.chmod("/dev/nvidia-caps", 0o777)
            else:
                os.chown("/dev/nvidia-caps", 1000, 1000)
        code, said = setup()
        return code, said, os.listdir("/dev/nvidia-caps"), os.path.exists("/dev/nvidia0")

    code, said, found, others = on(new_driver(hgx_h100), work)
    assert code == 1, said
    assert (found, others) == ([], True)
    assert "/dev/nvidia-caps is" in said


def test_tpus_are_given_to_a_group_and_back() -> None:
    from tests.hosts.make import tpu_v4

    def work() -> Any:
        before = tree()
        given = setup("--group", "tpu")
        after = tree()
        return before, given, after, setup("--undo"), tree(), setup("--group", "nobody-has-this")

    before, given, after, undone, again, unknown = on(with_device_facts(tpu_v4()), work)
    assert (given[0], undone[0], again) == (0, 0, before)
    assert {told for path, told in after.items() if path.startswith("/dev/accel")} == {
        f"crw-rw---- 0:1234 121:{number}" for number in range(sum(path.startswith("/dev/accel") for path in after))
    }
    assert unknown[0] == 2
    assert "groupadd --system nobody-has-this" in unknown[1]


# refusals


def test_without_root_it_says_what_to_type() -> None:
    def work() -> Any:
        setup("--dry-run")  # what root alone can read is imported by now
        os.setresuid(12345, 12345, 12345)
        return setup(), setup("--dry-run"), setup("--undo")

    refused, dry, undo = on(new_driver(hgx_h100), work)
    assert (refused[0], "sudo devproxy setup" in refused[1]) == (2, True), refused
    assert (dry[0], "mknod -m 0666 /dev/nvidia0 c 195 0" in dry[1]) == (0, True), dry
    assert undo[0] == 2


def test_in_a_container_it_refuses() -> None:
    def work() -> Any:
        from devproxy.host.sources.containers import read_containers
        from devproxy.jobs.setup import survey as module

        module.read_containers = read_containers  # type: ignore[attr-defined]
        Path("/run/systemd").mkdir()
        Path("/run/systemd/container").write_text("podman\n")
        return setup(), tree()

    (code, said), found = on(new_driver(hgx_h100), work)
    assert (code, "inside a container" in said) == (2, True)
    assert not [path for path in found if "nvidia" in path]


def test_without_majors_it_refuses() -> None:
    def work() -> Any:
        Path("/proc/devices").write_text("")
        return setup()

    code, said = on(new_driver(hgx_h100), work)
    assert (code, "/proc/devices" in said) == (2, True)


def test_parameters_that_cannot_be_read_are_not_guessed() -> None:
    def work() -> Any:
        os.unlink("/proc/driver/nvidia/params")
        os.mkdir("/proc/driver/nvidia/params")
        code, said = setup()
        return code, said, [path for path in tree() if path[:-1] == "/dev/nvidia"]

    code, said, found = on(new_driver(hgx_h100), work)
    assert (code, found) == (4, [])
    assert "inconclusive" in said


def test_where_leases_cannot_be_kept_that_is_told_beside_the_rest() -> None:
    def work() -> Any:
        Path("/run/devproxy-leases").touch()
        return setup()

    code, said = on(new_driver(hgx_h100), work)
    assert code == 3
    assert "not ready /run/devproxy-leases: users other than root can lease nothing" in said
    assert "done: make /dev/nvidia0" in said


def test_every_user_can_lease_what_is_ready() -> None:
    def work() -> Any:
        setup()
        with State() as state:
            known = state.devices()
        os.setresuid(12345, 12345, 12345)
        with State() as state:
            asking = Asking(leasable(survey()), Wanted(8), ("job",), lambda _: "")
            return known, sorted(
                device.name for device in acquire(state, asking, wait=0, progress=lambda _: None).devices
            )

    known, leased = on(new_driver(partitioned), work)
    assert len(known) == 8
    assert leased == known
