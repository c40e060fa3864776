"""What else the environment says about the GPUs it asks for: driver capabilities, MIG management, IMEX channels.

The rules are those of NVIDIA's container toolkit (H10; docs/decisions.md).
"""

from __future__ import annotations

from devproxy.errors import InputError
from devproxy.oci.json_path import quote
from devproxy.oci.nvidia_env import (
    VISIBLE_DEVICES,
    VisibleDevices,
    is_legacy_image,
    value_of,
    words_of,
)
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

DRIVER_CAPABILITIES = "NVIDIA_DRIVER_CAPABILITIES"
MIG_CONFIG = "NVIDIA_MIG_CONFIG_DEVICES"
MIG_MONITOR = "NVIDIA_MIG_MONITOR_DEVICES"
IMEX_CHANNELS = "NVIDIA_IMEX_CHANNELS"

_DEFAULT_CAPABILITIES = frozenset(("utility", "compute"))
# The minors that a device node can have (MINORBITS of include/linux/kdev_t.h).
_CHANNELS = 1 << 20


class ImexChannels(Record):
    """The IMEX channels that are asked for: every one that the host has made, or those of `numbers`, each once."""

    value: str
    all: bool
    numbers: tuple[int, ...]


class Request(Record):
    """All that the environment asks of the NVIDIA driver. `capabilities` are sorted; `mig_config` and `mig_monitor` ask
    for the right to manage every MIG device; `imex` is None when no channel is asked for.
    """

    visible: VisibleDevices
    capabilities: tuple[str, ...]
    mig_config: bool = False
    mig_monitor: bool = False
    imex: ImexChannels | None = None


def parse_request(
    env: Iterable[str], visible: VisibleDevices, *, allowed: Collection[str], privileged: bool
) -> Request:
    """The request of an environment that asks for the GPUs `visible`. `allowed` are the capabilities that the
    configuration lets containers have; `privileged` is CAP_SYS_ADMIN in the process's bounding set.

    Errors: InputError for a capability that is not allowed, a channel that is no number, and for managing MIG devices
    without privilege or with some of them selected.
    """
    entries = tuple(env)
    return Request(
        visible,
        driver_capabilities(
            value_of(entries, DRIVER_CAPABILITIES), legacy=is_legacy_image(entries), allowed=frozenset(allowed)
        ),
        _asks_for_mig(entries, MIG_CONFIG, visible, privileged=privileged),
        _asks_for_mig(entries, MIG_MONITOR, visible, privileged=privileged),
        imex_channels(value_of(entries, IMEX_CHANNELS) or ""),
    )


def driver_capabilities(value: str | None, *, legacy: bool, allowed: frozenset[str]) -> tuple[str, ...]:
    """The capabilities that NVIDIA_DRIVER_CAPABILITIES comes to, sorted: `utility` and `compute` unless it says more; in
    a legacy image that leaves it unset, all that are allowed.

    Errors: InputError for one that is not allowed.
    """
    if value is None and legacy:
        return tuple(sorted(allowed))
    words = words_of(value or "")
    if "all" in words:
        return tuple(sorted(allowed))
    if not words:
        return tuple(sorted(allowed & _DEFAULT_CAPABILITIES))
    refused = [word for word in words if word not in allowed]
    if refused:
        raise InputError(
            f"{DRIVER_CAPABILITIES} names {', '.join(map(quote, refused[:4]))}, "
            f"expected some of {', '.join(sorted(allowed)) or 'none'}",
            hint="nvproxy-allowed-driver-capabilities of the configuration says which are allowed",
        )
    return tuple(sorted(set(words)))


def imex_channels(value: str) -> ImexChannels | None:
    """What NVIDIA_IMEX_CHANNELS asks for: numbers, each as `3` or `channel3`, or `all`; None when it is empty, `void` or
    `none`.

    Errors: InputError for anything else.
    """
    words = words_of(value)
    decisive = "void" if "void" in words else next((word for word in words if word in ("all", "none")), None)
    if not words or decisive in ("void", "none"):
        return None
    if decisive == "all":
        return ImexChannels(value, all=True, numbers=())
    numbers = dict.fromkeys(_channel(word, position) for position, word in enumerate(words, 1))
    return ImexChannels(value, all=False, numbers=tuple(numbers))


def _channel(word: str, position: int) -> int:
    digits = word.removeprefix("channel")
    significant = digits.lstrip("0") or "0"
    # Seven digits hold every channel, and are short enough for int().
    is_number = digits.isascii() and digits.isdigit() and len(significant) <= 7
    number = int(significant) if is_number else _CHANNELS
    if number >= _CHANNELS:
        raise InputError(
            f"{IMEX_CHANNELS} names {quote(word)} at position {position}, "
            f"expected the number of a channel, from 0 to {_CHANNELS - 1}",
            hint="a channel is written 3 or channel3; all are those that the host has made",
        )
    return number


def _asks_for_mig(env: Collection[str], name: str, visible: VisibleDevices, *, privileged: bool) -> bool:
    value = (value_of(env, name) or "").strip()
    if not value:
        return False
    if not privileged:
        raise InputError(
            f"{name} is {quote(value)}, which needs CAP_SYS_ADMIN in the bounding set",
            hint="add it to process.capabilities.bounding, or take the variable out of process.env",
        )
    if value != "all":
        raise InputError(f"{name} is {quote(value)}, expected all", hint="MIG devices are managed all or none")
    if any(wanted.is_mig for wanted in visible.ids):
        raise InputError(
            f"{name} is all, but {VISIBLE_DEVICES} selects MIG devices, expected whole GPUs",
            hint="a container that manages MIG devices gets the GPUs that are cut into them",
        )
    return True
