"""The variables and the kernel's parameters that decide about accelerators, from the facts `environment` and
`command_line`.
"""

from __future__ import annotations

from devproxy.host.root import fact_path
from devproxy.host.sources.document import table, text, texts
from devproxy.host.system_facts import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.root import HostRoot

# What asks for devices, and not only for how to use them.
_REQUESTS: Final = ("NVIDIA_VISIBLE_DEVICES", "NVIDIA_IMEX_CHANNELS", "TPU_VISIBLE_CHIPS", "HABANA_VISIBLE_DEVICES")


def read_environment(root: HostRoot) -> tuple[tuple[str, str], ...]:
    """Variables by name, as (name, value)."""
    try:
        variables = table(root.read_fact("environment").get("variables", {}))
        return tuple(sorted((name, text(value)) for name, value in variables.items()))
    except TypeError as error:
        root.note(fact_path("environment"), f"not understood: {error}")
        return ()


def requests_in(environment: tuple[tuple[str, str], ...]) -> tuple[Request, ...]:
    """What the variables ask for."""
    return tuple(Request(name, value, fact_path("environment")) for name, value in environment if name in _REQUESTS)


def read_command_line(root: HostRoot) -> str:
    """The kernel's parameters that are told, separated by blanks."""
    try:
        return " ".join(texts(root.read_fact("command_line").get("parameters", [])))
    except TypeError as error:
        root.note(fact_path("command_line"), f"not understood: {error}")
        return ""
