"""The host as a picture: a panel for each NUMA node, in it the PCI tree, in that the accelerators with their nodes, who
holds them, and what was found about them.

It is made of nested lists, which style.css draws as a tree: a screen reader, a text browser and a printer have it too.
"""

from __future__ import annotations

import stat

from devproxy.check.finding import Finding, Severity
from devproxy.check.html.markup import Html, anchor, element, join
from devproxy.check.html.shown import Device, devices
from devproxy.host.facts import Host, HostNode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

_DRIVERS: Final = ("/dev/nvidia", "/dev/vfio/vfio", "/dev/gdrdrv", "/dev/iommu")
# A GPU that is cut into MIG devices has a hundred capability nodes.
_MOST: Final = 24


def picture(host: Host, findings: Sequence[Finding]) -> Html:
    """The picture; a sentence where there is no accelerator."""
    shown = devices(host)
    if not shown:
        seen = host.knows("/sys/bus/pci/devices")
        return element("p", "No accelerator was found." if seen else "The PCI bus could not be seen.")
    numbers = sorted({_numa(device) for device in shown}, key=lambda number: (number < 0, number))
    panels = [_panel(host, number, [d for d in shown if _numa(d) == number], findings) for number in numbers]
    return element("div", join(panels), _shared(host, shown, findings), class_="host")


def _numa(device: Device) -> int:
    return -1 if device.numa is None else device.numa


def _shared(host: Host, shown: Sequence[Device], findings: Sequence[Finding]) -> Html | None:
    """The nodes that belong to a driver and to no device: /dev/nvidiactl, /dev/nvidia-uvm, /dev/vfio/vfio."""
    taken = {path for device in shown for path, _ in device.nodes}
    nodes = [node for node in host.nodes if node.path.startswith(_DRIVERS) and node.path not in taken]
    if not nodes:
        return None
    lines = [element("li", _node(node.path, node), _marks(findings, (node.path,))) for node in nodes[:_MOST]]
    if len(nodes) > _MOST:
        lines.append(element("li", f"and {len(nodes) - _MOST} more", class_="quiet"))
    return element("section", element("h3", "Nodes of the drivers"), element("ul", join(lines)), class_="numa shared")


def _panel(host: Host, number: int, shown: list[Device], findings: Sequence[Finding]) -> Html:
    heading = f"NUMA node {number}" if number >= 0 else "NUMA node not told"
    known = host.details.devices.numa if host.details else ()
    told = [
        f"CPUs {node.cpus}" + (f", {node.memory / (1 << 30):.0f} GiB" if node.memory else "")
        for node in known
        if node.number == number
    ]
    tree = _tree(shown, 0, findings)
    return element("section", element("h3", heading), element("p", *told, class_="quiet"), tree, class_="numa")


def _tree(shown: Sequence[Device], depth: int, findings: Sequence[Finding]) -> Html:
    """The devices below one bridge. A chain of bridges that leads to one place is one line."""
    here = [device for device in shown if len(device.chain) <= depth]
    below: dict[str, list[Device]] = {}
    for device in shown:
        if len(device.chain) > depth:
            below.setdefault(device.chain[depth], []).append(device)
    items = [element("li", _card(device, findings), class_="leaf") for device in here]
    for bridge, inner in below.items():
        names, deeper = [bridge], depth + 1
        while len({device.chain[deeper : deeper + 1] for device in inner}) == 1 and len(inner[0].chain) > deeper:
            names.append(inner[0].chain[deeper])
            deeper += 1
        label = element("span", " > ".join(_bridge(name) for name in names), class_="bridge")
        items.append(element("li", label, _tree(inner, deeper, findings)))
    return element("ul", join(items), class_="tree")


def _bridge(name: str) -> str:
    return f"root bus {name.removeprefix('pci')}" if name.startswith("pci") else name


def _card(device: Device, findings: Sequence[Finding]) -> Html:
    mine = [finding for finding in findings if finding.path in device.subjects]
    worst = next((severity for severity in Severity if any(f.severity is severity for f in mine)), None)
    lines = [_node(path, node) for path, node in device.nodes]
    return element(
        "div",
        element("strong", device.title),
        " ",
        element("code", device.address),
        element(
            "div", ", ".join(filter(None, (device.model, f"driver {device.driver}" if device.driver else ""))) or None
        ),
        join(lines),
        *(element("div", f"held by {who}", class_="holder") for who in device.holders),
        _marks(findings, device.subjects),
        class_=f"device {device.kind}" + (f" has-{worst.value}" if worst else ""),
    )


def _marks(findings: Sequence[Finding], subjects: Sequence[str]) -> Html | None:
    """Links to what was found about these."""
    links = [
        element("a", finding.code, href=f"#{anchor('finding', finding.describe())}", class_=finding.severity.value)
        for finding in findings
        if finding.path in subjects
    ]
    return element("div", join(links), class_="marks") if links else None


def _node(path: str, node: HostNode | None) -> Html:
    if node is None:
        return element("div", element("code", path), " missing", class_="node")
    mode = f"{node.kind.value}{stat.filemode(node.mode)[1:]}"
    return element("div", element("code", path), f" {node.number} {mode}", class_="node")
