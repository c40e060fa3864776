"""What setup would do to TPUs: the kernel makes their nodes; whose they are, somebody has to say."""

from __future__ import annotations

import pytest

from devproxy.jobs.setup.action import NodeChange
from devproxy.jobs.setup.prepare import look, prepare
from tests.devproxy.jobs.setup.model import ready
from tests.devproxy.jobs.setup.test_prepare import BREAKS, READ, replaced


def test_tpus_keep_their_owners_where_nobody_says_otherwise() -> None:
    assert prepare(READ["tpu-v4"]) == prepare(READ["tpu-v5p"]) == ()


@pytest.mark.parametrize("name", ["tpu-v4", "tpu-v5p", "lab"])
def test_tpus_are_given_to_a_group(name: str) -> None:
    host = READ[name]
    chips = {path for chip in host.tpus for path in chip.nodes}
    assert chips
    changed = {action.path: action for action in prepare(host, group=1234) if isinstance(action, NodeChange)}
    nodes = {path: host.node(path) for path in chips}
    assert changed.keys() == {path for path, node in nodes.items() if node and (node.mode, node.gid) != (0o660, 1234)}
    for change in changed.values():
        assert change.after is not None
        assert change.before is not None
        assert change.after == change.before._replace(mode=0o660, uid=0, gid=1234)
    assert prepare(ready(host, group=1234), group=1234) == ()


def test_a_group_of_others_is_not_given_away() -> None:
    """BlueField's management interface at /dev/vfio/96 was counted as a TPU (ray#65034)."""
    host = READ["without-driver"]
    assert [action for action in prepare(host, group=1234) if "/dev/vfio" in action.path] == []


def test_a_missing_node_of_a_tpu_is_made_by_the_number_of_sysfs() -> None:
    host = READ["tpu-v4"]
    [found] = [action for action in prepare(BREAKS["missing"](host, "/dev/accel2")) if isinstance(action, NodeChange)]
    node = host.node("/dev/accel2")
    assert node is not None
    assert found.after is not None
    assert found.after.number == node.number


def test_the_control_node_of_vfio_is_everybodys_where_a_tpu_needs_it() -> None:
    host = replaced(READ["tpu-v5p"], "/dev/vfio/vfio", mode=0o600)
    assert [action.command for action in prepare(host)] == ["chmod 0666 /dev/vfio/vfio"]
    # On a host where vfio serves others, whoever closed it may have meant it.
    other = replaced(READ["without-driver"], "/dev/vfio/vfio", mode=0o600)
    assert prepare(other) == ()


def test_a_chip_without_a_driver_is_told_with_what_to_type() -> None:
    found = look(READ["tpu-without-driver"])
    assert found.actions == ()
    assert len(found.obstacles) == 8
    assert all(each.hint for each in found.obstacles)
