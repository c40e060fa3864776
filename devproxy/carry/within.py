"""Which sources of binds an image has had its hands on."""

from __future__ import annotations

import posixpath

from devproxy.plan.steps import Bind, MountRoot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from devproxy.plan.plan import Plan


def within(step: Bind | MountRoot, plan: Plan) -> str:
    """The rootfs, if the source of a bind is named below it: a link on the way is the image's, and must not lead out of it
    (CVE-2024-1753 of buildah). "" for every other source, which is the operator's word.
    """
    root, source = plan.steps[0], step.source
    if not isinstance(root, MountRoot) or not source.startswith(root.source) or not isinstance(step, Bind):
        return ""
    inside = root.source.rstrip("/") + "/"
    return root.source if inside != "/" and posixpath.normpath(source).startswith(inside) else ""
