"""NVIDIA's hooks in a spec: who else has had a hand in it (H7).

Hooks are not run here. What stands in a spec is read as it comes: what makes no sense to whoever runs hooks is theirs to
refuse.
"""

from __future__ import annotations

from devproxy.oci.json_path import JsonValue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_CDI = "/nvidia-cdi-hook"
_LEGACY = "/nvidia-container-runtime-hook"
_PARAMS = "disable-device-node-modification"


def has_cdi_hook(document: JsonValue) -> bool:
    """Whether NVIDIA's CDI specs have been applied to a spec."""
    hooks = document.member("hooks")
    entries = None if hooks is None else hooks.member("createContainer")
    return entries is not None and any(path.endswith(_CDI) for path, _ in _hooks(entries))


def told(kind: str, entries: JsonValue) -> str:
    """What is said of the hooks of one kind that are left out."""
    if kind == "prestart" and any(path.endswith(_LEGACY) for path, _ in _hooks(entries)):
        return "the prestart hooks, and with nvidia-container-runtime-hook the driver's libraries; its device nodes are made"
    return f"the {kind} hooks"


def are_done_here(entries: JsonValue) -> bool:
    """Whether all that hooks do is what is done anyway: ModifyDeviceFiles: 0 (H13)."""
    found = list(_hooks(entries))
    return found != [] and all(path.endswith(_CDI) and _PARAMS in args for path, args in found)


def _hooks(entries: JsonValue) -> Iterator[tuple[str, list[object]]]:
    """The path and the arguments of each; of one that is none, nothing."""
    for entry in entries.value if isinstance(entries.value, list) else ():
        member = entry.get if isinstance(entry, dict) else {}.get
        path, args = member("path"), member("args")
        yield path if isinstance(path, str) else "", args if isinstance(args, list) else []
