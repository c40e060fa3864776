"""Bundles for the tests of pods: containers with mounts of a volume, and the hints that make it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import devproxy
from devproxy.plan.plan import Plan
from tests.bundles import runc_spec_like, write_bundle

SOURCE = "/var/lib/volumes/vol"


def hints(options: str = "", *, share: str = "pod", kind: str = "tmpfs", source: str = SOURCE) -> dict[str, str]:
    """The annotations of one hint."""
    fields = {"source": source, "type": kind, "share": share, "options": options}
    return {f"dev.gvisor.spec.mount.vol.{key}": value for key, value in fields.items()}


def mounted(where: str, *options: str, kind: str = "bind", source: str = SOURCE) -> dict[str, Any]:
    """An entry of `mounts` that is of the volume."""
    return {"destination": where, "type": kind, "source": source, "options": list(options)}


def bundle(directory: Path, *mounts: dict[str, Any], args: tuple[str, ...] = ("true",), **changes: Any) -> str:
    """A bundle with these mounts beside the usual ones, on a root that can be written."""
    document = runc_spec_like(process={"args": list(args), "cwd": "/"}, root={"readonly": False}, **changes)
    document["mounts"] += mounts
    document["process"]["capabilities"].pop("ambient")
    if changes.get("rootless"):
        document.pop("rootless")
    return write_bundle(directory, document)


def planned(directory: Path, *mounts: dict[str, Any], args: tuple[str, ...] = ("true",), **changes: Any) -> Plan:
    """The plan for such a bundle."""
    return devproxy.plan(devproxy.load(bundle(directory, *mounts, args=args, **changes)), devproxy.probe())
