"""devproxy's own configuration: runsc's key names where one exists, and ours (docs/configuration in README)."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Medium(enum.Enum):
    """Where writes to an overlaid mount go."""

    NONE = "none"
    MEMORY = "memory"


class Configuration(NamedTuple):
    """What the user set with --config and --set.

    `overlay2` says where writes to the root go (S40); `None` in a proxy switch is `auto`: on when the bundle asks
    (S76); `tun` registers the tun driver; `mount_order` is `depth` or `listed`; `product_name` overrides the host's;
    `strict` turns warnings into errors.
    """

    overlay2: Medium = Medium.MEMORY
    nvproxy: bool | None = None
    nvproxy_docker: bool | None = None
    tun: bool = True
    mount_order: str = "depth"
    product_name: str = ""
    strict: bool = False
