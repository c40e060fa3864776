"""The layers of an overlay that a spec mounts: directories of the host, opened before anything is mounted."""

from __future__ import annotations

import os

from devproxy.carry.words import told
from devproxy.errors import InputError
from devproxy.mount_options import Attribute
from devproxy.overlay import Layers
from devproxy.plan.steps import MountFilesystem
from devproxy.targets.target import Layers as OpenLayers
from devproxy.targets.target import Source, Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_BESIDE: Final = "workdir= names an empty directory beside the upperdir, on the same file system"


def open_layers(target: Target, step: MountFilesystem, layers: Layers) -> OpenLayers:
    """Open the layers of a step.

    Errors: InputError, naming the option and the entry of the spec, for what is missing or no directory, and for layers that
    do not go together (ovl_get_workdir, ovl_check_overlapping_layers and ovl_get_upper of Linux): a kernel only says EINVAL
    or ELOOP.
    """
    opened = [_open(target, step, option, path) for option, path in layers.named]
    _check_overlap(step, layers)
    lowers = tuple(opened[: len(layers.lowers)])
    if not layers.upper:
        return OpenLayers(lowers, None, None)
    upper, work = opened[len(lowers) :]
    if upper.attributes & Attribute.RDONLY:
        raise _wrong(
            step, "upperdir", layers.upper, "on a read-only mount", "without an upperdir it needs no place to write"
        )
    if os.stat(layers.upper).st_dev != os.stat(layers.work).st_dev:
        raise _wrong(step, "workdir", layers.work, f"not on the file system of {layers.upper}", _BESIDE)
    return OpenLayers(lowers, upper, work)


def _open(target: Target, step: MountFilesystem, option: str, path: str) -> Source:
    try:
        source = target.open_source(path)
    except OSError as error:
        raise _wrong(step, option, path, told(error, name=False), "create it, or correct the option") from error
    if not source.is_directory:
        raise _wrong(step, option, path, "not a directory", "layers of an overlay are directories")
    return source


def _check_overlap(step: MountFilesystem, layers: Layers) -> None:
    """No layer is another, no lower one lies in another, and of the upper and the work directory none lies in the other."""
    real = [(option, path, os.path.realpath(path)) for option, path in layers.named]
    seen: dict[str, str] = {}
    for option, path, place in real:
        if place in seen:
            raise _wrong(step, option, path, f"the {seen[place]} already", "each layer is a directory of its own")
        seen[place] = option
    for option, path, place in real:
        for other, where, _ in _around(place, real):
            if option == "lowerdir" or "lowerdir" not in (option, other):
                raise _wrong(step, option, path, f"inside the {other} {where}", "layers must not overlap")


def _around(place: str, real: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    return [each for each in real if place != each[2] and place.startswith(each[2].rstrip("/") + "/")]


def _wrong(step: MountFilesystem, option: str, path: str, what: str, hint: str) -> InputError:
    return InputError(f"the overlay at {step.path}, {option} {path}: {what} ({step.reason})", hint=hint)
