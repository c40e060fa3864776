"""What setup would do: on every recorded host, and on each of them with something wrong. After it the doctor has nothing to say of what
setup covers, or setup said itself what it leaves; and there is nothing more to do.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.check.doctor.case import Case
from devproxy.check.doctor.examine import examine
from devproxy.host.accelerator_nodes import accelerator_nodes
from devproxy.host.device_facts import CharLink
from devproxy.host.facts import Host, Stray
from devproxy.host.probe import probe, probe_reader
from devproxy.jobs.setup.action import LinkChange, ModuleChange, NodeChange, Standing
from devproxy.jobs.setup.prepare import look, prepare
from devproxy.node import DeviceNumber, NodeKind, OfDriver
from tests.devproxy.jobs.setup.model import after, everything, ready, relinked
from tests.hosts.device_facts import with_device_facts
from tests.hosts.machine import Machine
from tests.hosts.make import before_550, hgx_h100, partitioned, without_uvm

TREE = Path(__file__).parents[4]
HOSTS = sorted([*(TREE / "tests" / "hosts").glob("*.tar"), TREE / "example" / "host-8gpu.tar"])
PARAMS = "/proc/driver/nvidia/params"
# What setup is there for. Those about a node are told of its path, dev-char-link-missing of /dev/char.
COVERED = (
    "uvm-not-loaded", "node-missing", "node-major-mismatch", "node-major-zero", "node-minor-wrong", "node-mode-malformed",
    "node-kind-wrong", "mig-caps-missing", "dev-char-link-missing",
)  # fmt: skip


def h100() -> Machine:
    """Eight GPUs, and all is well."""
    return with_device_facts(hgx_h100())


def facts(machine: Machine) -> Host:
    return probe_reader(machine, name="machine", simulated=True, deep=True)


def complaints(host: Host) -> set[tuple[str, str]]:
    return {(found.code, found.path) for found in examine(Case(host), only=COVERED).findings}


def unexplained(host: Host) -> set[tuple[str, str]]:
    """What the doctor says of a host that setup neither did nor told of."""
    told = {obstacle.path for obstacle in look(host).obstacles}
    about_links = any(path.startswith("/dev/char") for path in told)
    return {
        (code, path)
        for code, path in complaints(host)
        if path not in told and not (code == "dev-char-link-missing" and about_links) and is_ours(host, path)
    }


def is_ours(host: Host, path: str) -> bool:
    """The doctor judges nodes of DRM's, of kfd's and of others in vfio too: they are no business of setup's."""
    chips = {node for chip in READ[host.name].tpus for node in chip.nodes} if host.name in READ else set()
    return path.startswith(("/dev/nvidia", "/dev/char", "nvidia-uvm")) or path in chips


@pytest.mark.parametrize("path", HOSTS, ids=lambda path: path.stem)
def test_every_recorded_host_is_ready_after_it(path: Path) -> None:
    host = ready(READ[path.stem])
    assert prepare(host) == ()
    assert not unexplained(host)


def test_a_host_that_is_ready_is_left_alone() -> None:
    host = READ["host-8gpu"]
    assert look(host) == ((), ())


def test_a_bare_driver_gets_everything() -> None:
    """Nothing in /dev but what every kernel has: what nvidia-modprobe, run for each, makes of it."""
    machine = with_device_facts(partitioned())
    bare = [node.path for node in facts(machine).nodes if node.path.startswith("/dev/nvidia")]
    links = [f"/dev/char/{node.number}" for node in facts(machine).nodes if node.path.startswith("/dev/nvidia")]
    full = {node.path: node for node in facts(machine).nodes}
    channels = [path for path in bare if "imex" in path]
    host = facts(machine.remove(*bare, *links))
    made = {node.path: node for node in ready(host).nodes}
    # IMEX channels are made one by one, by who wants them.
    assert {path: node for path, node in full.items() if path not in channels} == made
    assert not unexplained(ready(host))


def test_modules_come_first_and_the_rest_waits_for_their_majors() -> None:
    actions = prepare(facts(with_device_facts(without_uvm())))
    assert isinstance(actions[0], ModuleChange)
    assert actions[0].command == "modprobe nvidia-uvm"
    made = {action.path: action for action in actions if isinstance(action, NodeChange)}
    after_it = made["/dev/nvidia-uvm"].after
    assert after_it is not None
    assert after_it.number == OfDriver("nvidia-uvm", 0)
    assert "$(awk" in made["/dev/nvidia-uvm"].command


def test_exact_names_alone_tell_a_major() -> None:
    """nvidia-caps is also how nvidia-caps-imex-channels begins (dra-driver#304)."""
    host = facts(with_device_facts(partitioned()))
    wrong = host.major_of("nvidia-caps-imex-channels")
    right = host.major_of("nvidia-caps")
    assert wrong is not None
    assert right is not None
    node = host.node("/dev/nvidia-caps/nvidia-cap1")
    assert node is not None
    host = replaced(host, node.path, number=DeviceNumber(wrong, 1))
    [change] = [action for action in prepare(host) if isinstance(action, NodeChange)]
    assert change.after is not None
    assert change.after.number == DeviceNumber(right, 1)


# modes: the driver's, in decimal


def params(*lines: str) -> Machine:
    return h100().file(PARAMS, "".join(f"{line}\n" for line in lines))


def modes(host: Host) -> dict[str, str]:
    changes = (action for action in prepare(host) if isinstance(action, NodeChange) and action.after is not None)
    return {
        change.path: f"{change.after.mode:04o} {change.after.uid}:{change.after.gid}"
        for change in changes
        if change.after
    }


def test_modes_and_owners_are_those_of_the_driver() -> None:
    found = modes(facts(params("ModifyDeviceFiles: 1", "DeviceFileMode: 432", "DeviceFileUID: 0", "DeviceFileGID: 44")))
    assert found["/dev/nvidia0"] == found["/dev/nvidiactl"] == "0660 0:44"
    # nvidia-modprobe asks no file for these: they are 0666 whatever params says (nvidia-modprobe#7), and so they are here.
    assert not {"/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"} & found.keys()
    # Capabilities have files of their own, switches too.
    assert not [path for path in found if "caps" in path or "nvswitch" in path]


@pytest.mark.parametrize(
    ("value", "meant"), [(666, 0o666), (660, 0o660), (600, 0o600), (0o777, 0o666), (0o4666, 0o666)]
)
def test_a_mode_that_cannot_be_meant(value: int, meant: int) -> None:
    """666 in decimal is 01232: nodes get what was meant, and the parameter is told, since nvidia-modprobe goes by it again."""
    machine = params("ModifyDeviceFiles: 1", f"DeviceFileMode: {value}")
    for node in facts(machine).nodes:
        if node.path.startswith("/dev/nvidia") and node.number.major == 195:
            machine.node(node.path, (node.number.major, node.number.minor), value)
    host = facts(machine)
    assert {text.split()[0] for text in modes(host).values()} == {f"{meant:04o}"}
    [told] = look(host).obstacles
    assert told.path == PARAMS
    assert f"DeviceFileMode is {value}" in told.why
    assert not [code for code, _ in complaints(ready(host)) if code == "node-mode-malformed"]


@pytest.mark.parametrize(
    "line", ["DeviceFileMode: rw", "DeviceFileUID: -1", "DeviceFileGID: 4294967295", "DeviceFileMode: 99999"]
)
def test_a_parameter_that_is_no_number_is_told_and_the_drivers_default_stands(line: str) -> None:
    found = look(facts(params("ModifyDeviceFiles: 1", line)))
    assert not found.actions
    assert [obstacle.path for obstacle in found.obstacles] == [PARAMS]
    assert line.split(": ")[1] in found.obstacles[0].why


def test_nodes_that_nobody_is_to_touch_are_not_touched() -> None:
    """ModifyDeviceFiles: 0: links alone are made, as nvidia-modprobe does."""
    machine = params("ModifyDeviceFiles: 0").remove("/dev/nvidia3", "/dev/char/195:0").node("/dev/nvidia-uvm", (511, 0))
    found = look(facts(machine))
    assert [action.path for action in found.actions if not isinstance(action, LinkChange)] == []
    assert "/dev/char/195:0" in {action.path for action in found.actions}
    assert {obstacle.path for obstacle in found.obstacles} == {"/dev/nvidia3", "/dev/nvidia-uvm"}


def test_modes_of_nodes_that_nobody_is_to_touch_are_somebodys() -> None:
    """udev gave them to a group; only what no node can have is told."""
    machine = (
        params("ModifyDeviceFiles: 0").node("/dev/nvidia1", (195, 1), 0o660, 44).node("/dev/nvidia2", (195, 2), 0o1232)
    )
    found = look(facts(machine))
    assert (found.actions, [each.path for each in found.obstacles]) == ((), ["/dev/nvidia2"])


def test_parameters_that_cannot_be_read_make_no_node() -> None:
    machine = h100().refuse(PARAMS).remove("/dev/nvidia3")
    found = look(facts(machine))
    assert not [action for action in found.actions if isinstance(action, NodeChange)]
    assert [(each.path, each.unseen) for each in found.obstacles] == [("/dev/nvidia3", True)]


def test_a_capability_that_is_not_to_be_made_is_told() -> None:
    path = "/proc/driver/nvidia/capabilities/mig/monitor"
    machine = h100().file(path, "DeviceFileMinor: 2\nDeviceFileMode: 292\nDeviceFileModify: 0\n")
    found = look(facts(machine.remove("/dev/nvidia-caps/nvidia-cap2")))
    assert [each.path for each in found.obstacles] == ["/dev/nvidia-caps/nvidia-cap2"]


def test_a_capability_that_is_only_listed_does_not_exist() -> None:
    host = facts(with_device_facts(partitioned()))
    assert host.nvidia is not None
    listed = [each for each in host.nvidia.capabilities if not each.source.endswith(each.name)]
    assert listed
    assert not [action for action in prepare(host) if action.path in {each.node for each in listed}]


# what is in a node's place


@pytest.mark.parametrize("kind", ["a directory", "a regular file", "a symbolic link", "a fifo"])
def test_what_may_be_somebodys_is_told_and_left(kind: str) -> None:
    host = facts(h100().remove("/dev/nvidia2"))
    host = host._replace(strays=(Stray("/dev/nvidia2", kind),))
    found = look(host)
    assert not [action for action in found.actions if action.path == "/dev/nvidia2"]
    assert [(each.path, kind in each.why) for each in found.obstacles] == [("/dev/nvidia2", True)]


def test_a_block_device_is_a_node_like_any_other_and_is_replaced() -> None:
    host = facts(h100().node("/dev/nvidia2", (8, 0), kind=stat.S_IFBLK))
    [change] = [action for action in prepare(host) if isinstance(action, NodeChange)]
    assert change.before is not None
    assert (change.before.kind, change.after) == ("b", Standing("c", DeviceNumber(195, 2), 0o666))


def test_who_holds_the_old_device_is_told() -> None:
    machine = h100().node("/dev/nvidia-uvm", (511, 0))
    holder = {
        "pid": 4711,
        "name": "python",
        "uid": 1000,
        "started": 12,
        "numbers": [[511, 0]],
        "paths": ["/dev/nvidia-uvm"],
    }
    host = facts(machine.fact("holders", {"holders": [holder], "complete": True, "unread": 0, "why": ""}))
    assert host.details is not None
    if host.details.devices.holders is None or not host.details.devices.holders.of("/dev/nvidia-uvm"):
        pytest.fail("the fact has another form by now")
    [change] = [action for action in prepare(host) if isinstance(action, NodeChange)]
    assert "open in python (pid 4711): there the old device stays" in change.reason


# links


def test_stale_links_of_a_node_that_moved_go() -> None:
    host = facts(h100())
    major = host.major_of("nvidia-uvm")
    machine = (
        h100().remove(f"/dev/char/{major}:0").node("/dev/nvidia-uvm", (511, 0)).link("/dev/char/511:0", "../nvidia-uvm")
    )
    actions = prepare(facts(machine))
    links = {action.path: (action.before, action.after) for action in actions if isinstance(action, LinkChange)}
    assert links == {"/dev/char/511:0": ("/dev/nvidia-uvm", None), f"/dev/char/{major}:0": (None, "../nvidia-uvm")}


def test_a_link_that_leads_to_another_device_is_turned() -> None:
    host = facts(h100().link("/dev/char/195:0", "../nvidia1"))
    [change] = prepare(host)
    assert change.command == "ln -sfn ../nvidia0 /dev/char/195:0"
    assert change.inverse.command == "ln -sfn /dev/nvidia1 /dev/char/195:0"


def test_a_link_in_other_words_is_as_good() -> None:
    """nvidia-ctk writes absolute ones."""
    assert prepare(facts(h100().link("/dev/char/195:0", "/dev/nvidia0"))) == ()


def test_the_directory_of_links_is_made_where_there_is_none() -> None:
    machine = h100()
    machine.remove(*(f"/dev/char/{name}" for name in machine.listdir("/dev/char")), "/dev/char")
    actions = prepare(facts(machine))
    assert actions[0].describe() == "make /dev/char: d 0755 0:0"
    assert not unexplained(ready(facts(machine)))


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o711])
def test_a_directory_that_not_everybody_may_enter_is_opened(mode: int) -> None:
    machine = h100()
    machine._entries["/dev/nvidia-caps"] = machine._entries["/dev/nvidia-caps"]._replace(mode=stat.S_IFDIR | mode)
    [change] = prepare(facts(machine))
    assert change.command == "chmod 0755 /dev/nvidia-caps"
    assert change.inverse.command == f"chmod {mode:04o} /dev/nvidia-caps"


# everything, wrong in every way


def replaced(host: Host, path: str, **changes: Any) -> Host:
    return host._replace(nodes=tuple(n._replace(**changes) if n.path == path else n for n in host.nodes))


Break = Callable[[Host, str], Host]


def _missing(host: Host, path: str) -> Host:
    return host._replace(nodes=tuple(node for node in host.nodes if node.path != path))


def _unlinked(host: Host, path: str) -> Host:
    node = host.node(path)
    details = host.details
    if node is None or details is None or details.devices.links is None:
        return host
    links = tuple(each for each in details.devices.links if each.path != f"/dev/char/{node.number}")
    return host._replace(details=details._replace(devices=details.devices._replace(links=links)))


def _numbered(major: int | None, minor: int | None) -> Break:
    def change(host: Host, path: str) -> Host:
        node = host.node(path)
        if node is None:
            return host
        number = DeviceNumber(
            node.number.major if major is None else major, node.number.minor if minor is None else minor
        )
        return replaced(host, path, number=number)

    return change


BREAKS: dict[str, Break] = {
    "missing": _missing,
    "another major": _numbered(510, None),
    "major 0": _numbered(0, None),
    "another minor": _numbered(None, 200),
    "another driver's major": _numbered(1, 3),
    "a block device": lambda host, path: replaced(host, path, kind=NodeKind.BLOCK),
    "a mode taken for decimal": lambda host, path: replaced(host, path, mode=0o1232),
    "nobody's": lambda host, path: replaced(host, path, mode=0),
    "somebody's": lambda host, path: replaced(host, path, uid=1000, gid=44, mode=0o660),
    "set-user-ID": lambda host, path: replaced(host, path, mode=0o4755),
    "without a link": _unlinked,
    "a directory": lambda host, path: _missing(host, path)._replace(strays=(*host.strays, Stray(path, "a directory"))),
}
READ = {path.stem: probe(str(path), deep=True)._replace(name=path.stem) for path in HOSTS}


@pytest.mark.property
@given(st.data())
def test_whatever_is_wrong_is_repaired_or_told(data: st.DataObject) -> None:
    host = READ[data.draw(st.sampled_from(sorted(READ)), label="host")]
    paths = sorted(node.path for node in accelerator_nodes(host.nodes))
    for _ in range(data.draw(st.integers(0, 6), label="how many")) if paths else ():
        path = data.draw(st.sampled_from(paths), label="node")
        host = BREAKS[data.draw(st.sampled_from(sorted(BREAKS)), label="how")](host, path)
    done = ready(host)
    assert prepare(done) == ()
    assert not unexplained(done)


@pytest.mark.parametrize("path", HOSTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("how", sorted(BREAKS))
def test_each_node_wrong_in_each_way(path: Path, how: str) -> None:
    """What is undone afterwards is what was there before, to the last bit."""
    whole = READ[path.stem]
    for node in accelerator_nodes(whole.nodes):
        if not node.path.startswith("/dev/nvidia"):
            continue
        host = BREAKS[how](whole, node.path)
        actions = everything(host)
        done = after(host, actions)
        assert prepare(done) == (), node.path
        assert not unexplained(done), node.path
        undone = after(done, [action.inverse for action in reversed(actions)])
        assert sorted(undone.nodes) == sorted(host.nodes)
        assert links(undone) == links(host)


def links(host: Host) -> list[CharLink]:
    details = relinked(host).details
    assert details is not None
    return sorted(details.devices.links or ())


# commands: what is printed does what is done


@pytest.mark.parametrize(
    ("change", "command", "undo"),
    [
        (
            NodeChange("/dev/nvidia0", None, Standing("c", DeviceNumber(195, 0), 0o660, 0, 44), "", ""),
            "mknod -m 0660 /dev/nvidia0 c 195 0 && chown 0:44 /dev/nvidia0",
            "rm /dev/nvidia0",
        ),
        (
            NodeChange("/dev/x", Standing("c", DeviceNumber(1, 3), 0o666), Standing("c", DeviceNumber(1, 5), 0o600), "", ""),
            "rm /dev/x && mknod -m 0600 /dev/x c 1 5",
            "rm /dev/x && mknod -m 0666 /dev/x c 1 3",
        ),
        (NodeChange("/dev/nvidia-caps", None, Standing("d", None, 0o755), "", ""), "install -d -m 0755 /dev/nvidia-caps", "rmdir /dev/nvidia-caps"),
    ],
    ids=["make", "replace", "directory"],
)  # fmt: skip
def test_commands(change: NodeChange, command: str, undo: str) -> None:
    assert change.command == command
    assert change.inverse.command == undo


def test_old_drivers_are_set_up_by_their_own_name() -> None:
    """Before 550.40 major 195 is nvidia-frontend's."""
    host = facts(with_device_facts(before_550()))
    path = next(node.path for node in host.nodes if node.path.startswith("/dev/nvidia0"))
    [made] = [action for action in prepare(_missing(host, path)) if isinstance(action, NodeChange)]
    assert made.after == Standing("c", DeviceNumber(195, 0), 0o666)


def test_a_gpu_without_a_driver_is_told() -> None:
    found = look(READ["without-driver"])
    assert [each.hint for each in found.obstacles] == ["modprobe nvidia; or, for a virtual machine, vfio-pci"]
    assert os.path.exists(HOSTS[0])
