"""How an overlay of a plan is made on a target, and what is told about it."""

from __future__ import annotations

import errno
import os

from devproxy.errors import DevproxyError, InputError
from devproxy.mount_options import NO_ATTRIBUTES, Attribute, Change
from devproxy.overlay import LAYERS, Medium, Overlay
from devproxy.plan.steps import Bind, MountRoot
from devproxy.record import Record
from devproxy.targets.target import Detached, Source, Target, Upper

# What a bind takes over from its source's mount; read-only is what an overlay is there to undo.
_INHERITED = Attribute.NOSUID | Attribute.NODEV | Attribute.NOEXEC | Attribute.NOSYMFOLLOW


class Overlaid(Record):
    """The mount of an overlay, what was found, and whether that is not what was asked for. `aside` is true of this
    target alone.
    """

    mount: Detached
    found: str
    warning: bool = False
    aside: str = ""


def check_directory(overlay: Overlay) -> None:
    """Errors: InputError for a `dir=` that is missing or no directory (S42)."""
    if overlay.medium is not Medium.DIRECTORY:
        return
    try:
        os.close(os.open(overlay.directory, os.O_PATH | os.O_DIRECTORY))
    except OSError as error:
        text = (error.strerror or "").lower()
        hint = "dir= names an existing directory, on a file system that can hold an upper layer"
        raise InputError(f"overlay2, the directory {overlay.directory}: {text}", hint=hint) from None


def make_overlay(target: Target, step: MountRoot | Bind, source: Source, name: str, *, keep: bool = False) -> Overlaid:
    """The overlay of a step over its source. `name` is that of its layer, should it be on the host. With `keep` a save wants it.

    Errors: InputError for a size that nothing can hold a directory to, and for a `dir=` inside the source; OSError.
    """
    overlay = step.overlay
    assert overlay is not None, "the step has no overlay"
    on_host = overlay.on_host and source.is_directory
    if on_host:
        _check_size(overlay)
        _check_outside(overlay, step.source)
        upper = Upper("", name, overlay.directory, keep)
    else:
        upper = Upper(overlay.size, keep=keep)
    # The flags that a bind would have begun with; the source is let go when it is used.
    inherited = source.attributes & _INHERITED if isinstance(step, Bind) else NO_ATTRIBUTES
    mount = _make(target, source, upper)
    if inherited:
        target.change(mount, Change(inherited), recursive=False)
    if not source.is_directory:
        found = "a file, its copy is in memory" if overlay.on_host else "a file, copied"
        return Overlaid(mount, found, overlay.on_host)
    below = isinstance(step, Bind) and step.options.recursive_bind
    found = "a directory, without what is mounted below it" if below else "a directory"
    return Overlaid(mount, found, aside=_where(target, overlay, step.source, name) if on_host else "")


def _where(target: Target, overlay: Overlay, source: str, name: str) -> str:
    if not target.changes_host:
        return "the layer is in memory here"
    return f"the layer is {os.path.join(overlay.directory or source, LAYERS, name)}"


def _make(target: Target, source: Source, upper: Upper) -> Detached:
    try:
        return target.overlay(source, upper)
    except OSError as error:
        if not upper.name or error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
        raise no_layer(upper.directory or source.path, error) from None


def no_layer(volume: str, error: OSError) -> DevproxyError:
    """What is told when a volume cannot hold an upper layer."""
    return DevproxyError(
        f"{os.path.join(volume, LAYERS)} cannot hold the upper layer of an overlay: {(error.strerror or '').lower()}",
        hint="an upper layer needs a file system that is writable, and neither an overlay nor of a network: take dir= on "
        "another one, or memory",
    )


def _check_size(overlay: Overlay) -> None:
    if overlay.size:
        raise InputError(
            f"overlay2, size={overlay.size}: nothing holds a directory of the host to a size",
            hint="a size goes with memory; for a directory, set a quota on its file system",
        )


def _check_outside(overlay: Overlay, source: str) -> None:
    """Layers inside the source would be seen, and changed, through the overlay; beside its own names they are
    hidden.
    """
    below, above = os.path.realpath(overlay.directory), os.path.realpath(source)
    if overlay.directory and below != above and below.startswith(above.rstrip("/") + "/"):
        raise InputError(
            f"overlay2, the directory {overlay.directory} lies inside {source}, which it is to overlay",
            hint="take a directory outside, or self",
        )
