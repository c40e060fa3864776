"""What SELinux labels accelerators' nodes with: the attribute security.selinux of each (xattr(7))."""

from __future__ import annotations

import errno
import os

from devproxy.host.live.accelerators import live_nodes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

_ATTRIBUTE: Final = "security.selinux"
_MOST: Final = 512
_NONE: Final = (errno.ENODATA, errno.ENOTSUP, errno.ENOENT)


def read() -> dict[str, object]:
    """`{"labels": [{"path", "label"}]}`."""
    return {"labels": labels(node.path for node in live_nodes()[:_MOST])}


def labels(paths: Iterable[str]) -> list[object]:
    """Those that have one.

    Errors: OSError where attributes may not be read.
    """
    found: list[object] = []
    for path in paths:
        try:
            label = os.getxattr(path, _ATTRIBUTE, follow_symlinks=False)
        except OSError as error:
            if error.errno in _NONE:
                continue
            raise
        found.append({"label": label.rstrip(b"\0").decode("utf-8", "backslashreplace"), "path": path})
    return found
