"""Actions carried out on facts: what a host would say after them. Each must find what it says it changes."""

from __future__ import annotations

import os

from devproxy.host.details import Details, DeviceDetails
from devproxy.host.device_facts import CharLink, NodeDirectory
from devproxy.host.facts import Host, HostNode, MajorLine
from devproxy.jobs.setup.action import Action, LinkChange, ModuleChange, NodeChange, Standing
from devproxy.jobs.setup.prepare import prepare
from devproxy.node import DeviceNumber, NodeKind


def ready(host: Host, *, group: int | None = None) -> Host:
    """The host after everything that setup does."""
    return after(host, everything(host, group=group))


def everything(host: Host, *, group: int | None = None) -> list[Action]:
    """What setup does: modules first, then, by what is known after them, the rest."""
    modules: list[Action] = [each for each in prepare(host, group=group) if isinstance(each, ModuleChange)]
    return [*modules, *prepare(after(host, modules), group=group)]


def after(host: Host, actions: list[Action]) -> Host:
    for action in actions:
        match action:
            case ModuleChange():
                host = _load(host, action)
            case NodeChange(after=Standing(kind="d")) | NodeChange(before=Standing(kind="d")):
                host = _directory(host, action)
            case NodeChange():
                host = _node(host, action)
            case LinkChange():
                host = _link(host, action)
            case _:
                raise AssertionError(action)
    return host


def _load(host: Host, action: ModuleChange) -> Host:
    if not action.load:
        return host._replace(character=tuple(line for line in host.character if line.name != action.driver))
    free = next(major for major in range(254, 0, -1) if host.driver_of(major) is None)
    return host._replace(character=(*host.character, MajorLine(free, action.driver)))


def _node(host: Host, action: NodeChange) -> Host:
    found = host.node(action.path)
    standing = None if found is None else Standing(found.kind.value, found.number, found.mode, found.uid, found.gid)
    assert standing == action.before, action
    assert not any(stray.path == action.path for stray in host.strays), action
    nodes = tuple(node for node in host.nodes if node.path != action.path)
    new = action.after
    if new is not None:
        assert isinstance(new.number, DeviceNumber), action
        nodes += (HostNode(action.path, NodeKind(new.kind), new.number, new.mode, new.uid, new.gid),)
    return relinked(host._replace(nodes=tuple(sorted(nodes))))


def _directory(host: Host, action: NodeChange) -> Host:
    devices = _devices(host)
    rest = tuple(each for each in devices.directories if each.path != action.path)
    new = () if action.after is None else (NodeDirectory(action.path, action.after.mode, 0, 0),)
    return _with(host, devices._replace(directories=(*rest, *new)))


def _link(host: Host, action: LinkChange) -> Host:
    devices = _devices(host)
    assert devices.links is not None, action
    before = {link.path: link.target for link in devices.links}.get(action.path)
    assert _absolute(action.path, action.before) == before, action
    links = tuple(link for link in devices.links if link.path != action.path)
    if action.after is not None:
        links += (CharLink(action.path, _absolute(action.path, action.after) or ""),)
    return relinked(_with(host, devices._replace(links=links)))


def _absolute(path: str, target: str | None) -> str | None:
    return None if target is None else os.path.normpath(os.path.join(os.path.dirname(path), target))


def relinked(host: Host) -> Host:
    """Links dangle or not by what is there now."""
    devices = _devices(host)
    links = tuple(each._replace(dangling=host.node(each.target) is None) for each in devices.links or ())
    return host if devices.links is None else _with(host, devices._replace(links=links))


def _devices(host: Host) -> DeviceDetails:
    assert host.details is not None
    return host.details.devices


def _with(host: Host, devices: DeviceDetails) -> Host:
    details = host.details or Details()
    return host._replace(details=details._replace(devices=devices))
