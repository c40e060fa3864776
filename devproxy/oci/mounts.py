"""The `mounts` of a spec (config.md, "Mounts")."""

from __future__ import annotations

import os

from devproxy.errors import InputError
from devproxy.oci.json_path import JsonValue
from devproxy.oci.mount_options import parse_options
from devproxy.oci.spec import Mount, Unsupported


def parse_mounts(document: JsonValue, bundle: str) -> tuple[tuple[Mount, ...], tuple[Unsupported, ...]]:
    """The mounts in the spec's order, and the options among them that are left out.

    Errors: InputError for a relative destination (S26), a bind without a source (S32), an unknown option.
    """
    mounts: list[Mount] = []
    unsupported: list[Unsupported] = []
    for entry in document.optional_elements("mounts"):
        mount, left_out = _parse_mount(entry, bundle)
        mounts.append(mount)
        unsupported.extend(Unsupported(f"{entry.path}.options", f"the mount option {name}") for name in left_out)
    return tuple(mounts), tuple(unsupported)


def _parse_mount(entry: JsonValue, bundle: str) -> tuple[Mount, tuple[str, ...]]:
    destination = entry.required("destination").container_path()
    for key in ("uidMappings", "gidMappings"):
        mappings = entry.member(key)
        if mappings is not None and any(True for _ in mappings.elements()):
            raise mappings.wrong("no mapping", hint="id-mapped mounts are not supported yet")
    fstype = entry.optional_text("type")
    options, left_out = parse_options(entry.optional_elements("options"), fstype)
    if options.bind:
        return Mount(destination, "bind", _bind_source(entry, bundle), options, entry.path), left_out
    if not fstype:
        raise InputError(f"{entry.path}.type is missing", hint='name a file system type, or add the option "bind"')
    return Mount(destination, fstype, entry.optional_text("source"), options, entry.path), left_out


def _bind_source(entry: JsonValue, bundle: str) -> str:
    """A bind's source; a relative one is of the bundle (S28). Its links and `..` are the host's to resolve."""
    return os.path.join(bundle, entry.required("source").host_path())
