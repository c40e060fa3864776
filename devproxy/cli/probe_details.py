"""The tables of a deep probe: drivers and libraries, NVML, services, container runtimes, the kernel's log. Each is left out
when there is nothing in it; what was not seen is in a table of its own (`probe`).
"""

from __future__ import annotations

from devproxy.cli.context import Context
from devproxy.host.nvml_facts import Nvml, NvmlState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from devproxy.host.details import Details, SystemDetails
    from devproxy.host.facts import Host
    from devproxy.host.system_facts import Library

_SHOWN: Final = 4
_GIB: Final = 1 << 30


def print_details(details: Details, context: Context) -> None:
    """Everything but what the tables of devices have already."""
    system = details.system
    _table(context, _module_rows(system), ("MODULE", "VERSION", "STATE", "USES"))
    _table(context, _library_rows(system.libraries), ("VERSION", "LIBRARIES", "IN"))
    _table(context, _numa_rows(details), ("NUMA NODE", "CPUS", "MEMORY"))
    sockets = ((each.service, each.path, _listening(each.listening, each.why)) for each in system.sockets or ())
    _table(context, sockets, ("SERVICE", "SOCKET", "STATE"))
    runtimes = ((each.name, each.version or "-", each.path) for each in system.runtimes)
    _table(context, runtimes, ("RUNTIME", "VERSION", "PATH"))
    cdi = ((each.path, f"{each.mode:04o}", each.why or f"{len(each.text)} characters") for each in system.cdi)
    _table(context, cdi, ("CDI SPEC", "MODE", "CONTENTS"))
    _table(context, _opening_rows(details), ("OPENED", "SAYS"))
    _print_log(system, context)


def nvml_line(details: Details) -> str:
    """How asking NVML ended, in a line; empty when it was not asked or there is no library to ask."""
    nvml = details.nvml
    if nvml.state is NvmlState.ANSWERED:
        cuda = f", CUDA {nvml.cuda}" if nvml.cuda else ""
        failed = f", {_plural(len(nvml.errors), 'call')} failed: {_errors(nvml)}" if nvml.errors else ""
        return f"NVML: driver {nvml.driver or 'of unknown version'}{cuda}{failed}"
    if nvml.state is NvmlState.FAILED:
        return f"NVML: failed: {_errors(nvml) or nvml.why or 'it does not say why'}"
    if nvml.state is NvmlState.TIMEOUT:
        during = f" in {nvml.during}" if nvml.during else ""
        return f"NVML: no answer{during}; it may hang in the driver"
    return "NVML: no library" if nvml.state is NvmlState.NO_LIBRARY else ""


def where_it_ran(details: Details) -> str:
    """Inside which container it was probed, or empty."""
    kinds = ", ".join(dict.fromkeys(container.kind for container in details.system.containers))
    return f"probed inside a container ({kinds}): the host may have more than is seen from here" if kinds else ""


def held_by(host: Host, paths: Iterable[str]) -> str:
    """Who holds any of these nodes: `python3 (4242)`; `-` for nobody, `?` where that is not known."""
    holders = host.details.devices.holders if host.details is not None else None
    if holders is None:
        return "?"
    wanted = set(paths)
    found = [f"{each.name} ({each.pid})" for each in holders.holders if not wanted.isdisjoint(each.paths)]
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more or ("-" if holders.complete else "?")


def _table(context: Context, rows: Iterable[tuple[str, ...]], header: tuple[str, ...]) -> None:
    lines = list(rows)
    if lines:
        context.print()
        context.table(lines, header)


def _module_rows(system: SystemDetails) -> Iterable[tuple[str, ...]]:
    for module in system.modules or ():
        uses = "-" if module.uses is None else str(module.uses)
        used_by = f" ({', '.join(module.used_by)})" if module.used_by else ""
        yield module.name, module.version or "-", module.state or "-", uses + used_by


def _library_rows(libraries: tuple[Library, ...]) -> Iterable[tuple[str, ...]]:
    """Libraries of one version in one directory share a line: a driver has two dozen of them."""
    groups: dict[tuple[str, str], list[str]] = {}
    for library in libraries:
        directory = library.path.rpartition("/")[0]
        groups.setdefault((library.version, directory), []).append(library.name)
    for (version, directory), names in groups.items():
        first = sorted(dict.fromkeys(names), key=lambda name: (name not in _FIRST, name))
        more = f" and {len(first) - _SHOWN} more" if len(first) > _SHOWN else ""
        yield version or "-", ", ".join(first[:_SHOWN]) + more, directory


# What people look for.
_FIRST: Final = ("libcuda", "libnvidia-ml", "libtpu")


def _numa_rows(details: Details) -> Iterable[tuple[str, ...]]:
    for node in details.devices.numa if len(details.devices.numa) > 1 else ():
        memory = "-" if node.memory is None else f"{node.memory / _GIB:.0f} GiB"
        yield str(node.number), node.cpus or "-", memory


def _opening_rows(details: Details) -> Iterable[tuple[str, ...]]:
    for opening in details.devices.opens or ():
        yield opening.path, opening.errno or f"opens ({opening.number or 'no device'})"


def _print_log(system: SystemDetails, context: Context) -> None:
    counts: dict[str, int] = {}
    for event in system.log or ():
        name = {"xid": "Xid", "sxid": "SXid"}.get(event.kind, event.kind)
        kind = name if event.number is None else f"{name} {event.number}"
        counts[kind] = counts.get(kind, 0) + 1
    if counts and system.log:
        context.print()
        context.print(f"kernel log: {', '.join(f'{count} x {kind}' for kind, count in counts.items())}")
        context.print(f"  last: {system.log[-1].text}")


def _listening(listening: bool | None, why: str) -> str:  # noqa: FBT001 (a field of a record)
    if listening is None:
        return f"unknown: {why}" if why else "unknown"
    return "listening" if listening else f"nobody listens{f': {why}' if why else ''}"


def _errors(nvml: Nvml) -> str:
    names = dict.fromkeys(f"{error.call}: {error.name}" for error in nvml.errors)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(list(names)[:_SHOWN]) + more


def _plural(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
