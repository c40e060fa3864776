"""What killed runs left on the host: the layers of overlays that were kept there (S42)."""

from __future__ import annotations

import os
import shlex

from devproxy.check.doctor.case import Case, Check, seen, unknown
from devproxy.check.finding import Finding, Severity
from devproxy.overlay import LAYERS
from devproxy.targets.kernel.layers import left_behind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

_CODE: Final = "layers-left-behind"


def layers_left_behind(case: Case) -> Iterator[Finding]:
    """Layers that no devproxy holds, in the places where those of this bundle would be. Looking changes nothing."""
    for place in dict.fromkeys(_places(case)):
        folder = os.path.join(place, LAYERS)
        try:
            names = left_behind(place)
        except OSError as error:
            yield unknown(_CODE, folder, (error.strerror or "").lower())
            continue
        if names:
            paths = [os.path.join(folder, name) for name in names]
            yield Finding(
                _CODE, Severity.WARNING, folder, "no layer that nobody holds", f"{len(names)} of killed runs",
                why="what their processes wrote is still there, and takes room; none of it is seen in a root",
                hint=f"rm -r {shlex.join(paths)} (or the next run that keeps layers there removes them)",
                evidence=tuple(seen(path, "no devproxy has its lock") for path in paths),
            )  # fmt: skip


def _places(case: Case) -> Iterator[str]:
    """The directories that have layers under overlay2 = self or dir=, by the configuration or by hints."""
    if case.layers_in:
        yield case.layers_in
    spec = case.spec
    if spec is None:
        return
    yield spec.rootfs
    hint = spec.rootfs_hint
    if hint is not None and hint.overlay2 is not None and hint.overlay2.overlay.directory:
        yield hint.overlay2.overlay.directory
    yield from (mount.source for mount in spec.mounts if mount.type == "bind")


LEFTOVER_CHECKS: Final[tuple[Check, ...]] = (
    Check(_CODE, Severity.WARNING, "layers of killed runs on the disk", layers_left_behind),
)
