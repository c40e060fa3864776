"""The `mounts` of a spec (config.md, "Mounts")."""

from __future__ import annotations

import os

from devproxy.errors import InputError
from devproxy.oci.json_path import JsonValue, is_plain_path
from devproxy.oci.mount_options import MET_ANYWAY, parse_options
from devproxy.oci.spec import Mount, Unsupported
from devproxy.overlay import Layers

Seen = dict[tuple[str | None, ...], Mount]
"""Mounts by their type and options, one of each."""


def parse_mounts(document: JsonValue, bundle: str) -> tuple[tuple[Mount, ...], tuple[Unsupported, ...]]:
    """The mounts in the spec's order, and the options among them that are left out.

    Errors: InputError for a relative destination (S26), a bind without a source (S32), an unknown option, layers of an
    overlay that do not go together.
    """
    mounts: list[Mount] = []
    unsupported: list[Unsupported] = []
    seen: Seen = {}
    for entry in document.optional_elements("mounts"):
        mount = _plain_mount(entry, seen)
        if mount is not None:
            mounts.append(mount)
            continue
        mount, left_out = _parse_mount(entry, bundle)
        mounts.append(mount)
        if not left_out:
            _see(entry.value, mount, seen)
        where = f"{entry.path}.options"
        unsupported += [
            Unsupported(where, f"the mount option {name}", harmless=name in MET_ANYWAY) for name in left_out
        ]
    return tuple(mounts), tuple(unsupported)


def _plain_mount(entry: JsonValue, seen: Seen) -> Mount | None:
    """A mount like one before it but for its paths, for a tenth of what looking closely costs; None for any other."""
    value = entry.value
    if type(value) is not dict or "uidMappings" in value or "gidMappings" in value:
        return None
    destination, source = value.get("destination"), value.get("source")
    if not is_plain_path(destination) or not is_plain_path(source):
        return None
    options = value.get("options")
    if type(options) is not list:
        return None
    try:
        before = seen.get((value.get("type"), *options))  # what is there are strings, to which nothing else is equal
    except TypeError:
        return None  # an option that is an array or an object
    return None if before is None else Mount(destination, before.type, source, before.options, entry.path)


def _see(value: object, mount: Mount, seen: Seen) -> None:
    """Remember the form of a mount that has been looked at, if it depends on its type and options alone."""
    key = _form(value) if isinstance(value, dict) else None
    if key is not None and mount.layers is None:
        seen[key] = mount


def _form(value: dict[str, object]) -> tuple[str | None, ...] | None:
    """The type and the options of an entry; None where they are not what they should be."""
    fstype, options = value.get("type"), value.get("options")
    if type(options) is not list or not (fstype is None or type(fstype) is str) or fstype == "overlay":
        return None
    return (fstype, *options) if all(type(option) is str for option in options) else None


def _parse_mount(entry: JsonValue, bundle: str) -> tuple[Mount, tuple[str, ...]]:
    destination = entry.required("destination").container_path()
    for key in ("uidMappings", "gidMappings"):
        mappings = entry.member(key)
        if mappings is not None and any(True for _ in mappings.elements()):
            raise mappings.wrong("no mapping", hint="id-mapped mounts are not supported yet")
    fstype = entry.optional_text("type")
    words = list(entry.optional_elements("options"))
    layers: Layers | None = None
    useless: tuple[str, ...] = ()
    if fstype == "overlay" and not any(word.text() in ("bind", "rbind") for word in words):
        from devproxy.oci.overlay_layers import parse_layers

        layers, words, useless = parse_layers(entry, words, bundle)
    options, left_out = parse_options(words, fstype)
    if options.bind:
        return Mount(destination, "bind", _bind_source(entry, bundle), options, entry.path), left_out
    if not fstype:
        raise InputError(f"{entry.path}.type is missing", hint='name a file system type, or add the option "bind"')
    source = entry.optional_text("source")
    return Mount(destination, fstype, source, options, entry.path, layers), (*left_out, *useless)


def _bind_source(entry: JsonValue, bundle: str) -> str:
    """A bind's source; a relative one is of the bundle (S28). Its links and `..` are the host's to resolve."""
    return os.path.join(bundle, entry.required("source").host_path())
