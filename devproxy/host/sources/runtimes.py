"""Container engines and runtimes, from the fact `runtimes` (devproxy.host.live.runtimes)."""

from __future__ import annotations

from devproxy.host.root import fact_path
from devproxy.host.sources.document import each_object, table, text, texts
from devproxy.host.system_facts import Runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.host.root import HostRoot

# A program, and the engine whose configuration is its own.
_ENGINES = {"crio": "cri-o"}


def read_runtimes(root: HostRoot) -> tuple[Runtime, ...]:
    """Programs first, then configurations of what has no program on PATH. Of two files of one engine the later one counts,
    setting by setting.
    """
    document = root.read_fact("runtimes")
    found: dict[str, Runtime] = {}
    for program, why in each_object(root, "runtimes", document, "programs", _program):
        found.setdefault(program.name, program)
        if why:
            root.note(program.path, f"did not tell its version: {why}")
    for configuration, why in each_object(root, "runtimes", document, "configurations", _configuration):
        if why:
            root.note(configuration.source, why)
        known = found.get(configuration.name, configuration)
        settings = {**dict(known.settings), **dict(configuration.settings)}
        source = configuration.source if known.source == fact_path("runtimes") else known.source
        found[configuration.name] = known._replace(settings=tuple(sorted(settings.items())), source=source)
    return tuple(found.values())


def _program(each: dict[str, object]) -> tuple[Runtime, str]:
    name = text(each.get("name"))
    version, drivers = text(each.get("version")), texts(each.get("drivers"))
    runtime = Runtime(
        _ENGINES.get(name, name), text(each.get("path")), version, drivers=drivers, source=fact_path("runtimes")
    )
    return runtime, text(each.get("why"))


def _configuration(each: dict[str, object]) -> tuple[Runtime, str]:
    pairs = tuple((key, text(value)) for key, value in table(each.get("settings")).items())
    return Runtime(text(each.get("name")), "", settings=pairs, source=text(each.get("path"))), text(each.get("why"))
