"""Sets one thing on one GPU through NVML, in a process that can be left behind (`nvml_set`): a call into a driver cannot be cancelled."""

from __future__ import annotations

import os
import sys

from devproxy.errors import DevproxyError
from devproxy.host.live.nvml import child_environment, find_binding
from devproxy.json_text import loads
from devproxy.process import listen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

_CHILD: Final = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nvml_set.py")
# To turn persistence or MIG off takes the driver seconds on a large machine.
_SECONDS: Final = 30.0
_LIMIT: Final = 1 << 16


def put(uuid: str, order: Sequence[str]) -> str:
    """Carry out an order of `nvml_set` and see that it took effect. Returns why it did not; empty when it did."""
    binding = find_binding()
    if binding is None:
        return "nvidia-ml-py, which asks NVML, is not installed: pip install nvidia-ml-py"
    command = [sys.executable, "-I", _CHILD, str(_SECONDS), binding, uuid, *order]
    try:
        heard = listen(command, seconds=_SECONDS, limit=_LIMIT, env=child_environment())
    except DevproxyError as error:
        return error.message
    try:
        told = loads(heard.out.decode().strip().rpartition("\n")[2])
    except ValueError:
        return f"NVML did not say: {heard.ending}"
    why = told.get("why") if isinstance(told, dict) else None
    return why if isinstance(why, str) else f"NVML did not say: {heard.ending}"
