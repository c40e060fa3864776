"""The devices that engines find in a host's specs: later directories win, and of two in one directory neither counts."""

from __future__ import annotations

from devproxy.cdi.spec import CdiError, CdiSpec, parse_spec
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.system_facts import CdiFile


class CdiConflict(Record):
    """A device that several specs of one priority have: the engine drops it."""

    name: str
    files: tuple[str, ...]


class CdiRegistry(Record):
    """What is in the specs: the qualified names with their file, what is wrong, conflicts, and the specs themselves."""

    devices: tuple[tuple[str, str], ...]
    errors: tuple[CdiError, ...]
    conflicts: tuple[CdiConflict, ...]
    specs: tuple[CdiSpec, ...]


def load_cdi(files: tuple[CdiFile, ...]) -> CdiRegistry:
    """The registry as engines build it from these files. One that could not be read is passed over."""
    specs: list[CdiSpec] = []
    errors: list[CdiError] = []
    offers: dict[str, dict[int, list[str]]] = {}
    for file in files:
        if file.why:
            continue
        spec, wrong = parse_spec(file.path, file.text)
        errors += wrong
        if spec is not None:
            specs.append(spec)
            for device in spec.devices:
                offers.setdefault(f"{spec.kind}={device.name}", {}).setdefault(file.priority, []).append(file.path)
    devices, conflicts = [], []
    for name, by_priority in offers.items():
        highest = by_priority[max(by_priority)]
        if len(highest) > 1:
            conflicts.append(CdiConflict(name, tuple(highest)))
        else:
            devices.append((name, highest[0]))
    return CdiRegistry(tuple(devices), tuple(errors), tuple(conflicts), tuple(specs))
