"""Variables of this process that say which accelerators to use and how. No other is looked at: they may be secret."""

from __future__ import annotations

import os
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

_NAMES: Final = re.compile(
    r"NVIDIA_(?:VISIBLE_DEVICES|DRIVER_CAPABILITIES|REQUIRE_[A-Z_]{1,40}|DISABLE_REQUIRE|IMEX_CHANNELS|MIG_[A-Z_]{1,40}|CTK_[A-Z_]{1,40})"
    r"|NVCT_[A-Z_]{1,40}|CUDA_(?:VISIBLE_DEVICES|DEVICE_ORDER|VERSION|MPS_[A-Z_]{1,40}|COMPAT_PATH|HOME)"
    r"|TPU_(?:VISIBLE_[A-Z_]{1,40}|CHIPS_PER_[A-Z_]{1,40}|HOST_BOUNDS|PROCESS_BOUNDS|PROCESS_PORT|ACCELERATOR_TYPE|SKIP_MDS_QUERY"
    r"|WORKER_ID|TOPOLOGY(?:_WRAP|_ALT)?|LIBRARY_PATH|LOAD_LIBRARY|MEGACORE|RUNTIME_METRICS_PORTS|PREMAPPED_BUFFER_SIZE|LOG_DIR)"
    r"|ALLOW_MULTIPLE_LIBTPU_LOAD|LIBTPU_INIT_ARGS|PJRT_DEVICE|JAX_PLATFORMS"
    r"|HABANA_VISIBLE_(?:DEVICES|MODULES)|ROCR_VISIBLE_DEVICES|HIP_VISIBLE_DEVICES|ZE_AFFINITY_MASK"
    r"|LD_LIBRARY_PATH|DOCKER_RESOURCE_[A-Z_]{1,40}|KUBERNETES_SERVICE_HOST"
)
_LONGEST: Final = 4096
# That it is set tells that this is a pod; its value is an address.
_SET: Final = "KUBERNETES_SERVICE_HOST"


def read() -> dict[str, object]:
    """`{"variables": {name: value}}`."""
    return {"variables": allowed(os.environ)}


def allowed(environment: Mapping[str, str]) -> dict[str, str]:
    """Those of an environment that are told. What is no UTF-8 is shown escaped."""
    found = {}
    for name, value in sorted(environment.items()):
        if _NAMES.fullmatch(name):
            shown = os.fsencode(value).decode("utf-8", "backslashreplace")[:_LONGEST]
            found[name] = "set" if name == _SET else shown
    return found
