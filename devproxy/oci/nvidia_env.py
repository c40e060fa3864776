"""NVIDIA_VISIBLE_DEVICES: which GPUs the environment asks for (S76, S77).

The words are those of NVIDIA's own container tools: unset, empty or `void` asks for nothing, `none` for the driver
without a GPU, `all` for every GPU, anything else is a list of ids. Which GPU an id names is for whoever knows the host.

An image from before these variables (CUDA_VERSION without NVIDIA_REQUIRE_CUDA) that leaves it unset asks for every GPU.
"""

from __future__ import annotations

from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

VISIBLE_DEVICES = "NVIDIA_VISIBLE_DEVICES"
# The words of NVIDIA_DRIVER_CAPABILITIES.
KNOWN_CAPABILITIES = ("compat32", "compute", "display", "graphics", "ngx", "utility", "video")
_CUDA_VERSION = "CUDA_VERSION"
_REQUIRE_CUDA = "NVIDIA_REQUIRE_CUDA"


class GpuId(Record):
    """One id of the list, as it was written, and its place in it, counted from 1."""

    text: str
    position: int

    @property
    def is_mig(self) -> bool:
        """Whether it names a MIG device: `MIG-UUID`, `MIG-GPU-UUID/3/0` or `0:1`."""
        gpu, colon, instance = self.text.partition(":")
        return self.text.upper().startswith("MIG-") or (colon == ":" and gpu.isdecimal() and instance.isdecimal())


class VisibleDevices(Record):
    """What is asked for: every GPU, or those of `ids`; no ids ask for the driver alone. `value` is the value of the
    variable `source`.
    """

    value: str
    all: bool
    ids: tuple[GpuId, ...]
    source: str = VISIBLE_DEVICES


def visible_devices(env: Iterable[str], *, cdi_hook: bool = False) -> VisibleDevices | None:
    """What the environment asks for; None when it asks for no accelerator. With `cdi_hook`, NVIDIA's CDI spec has put `void` at
    its end: then the one before it counts (H7).
    """
    entries = tuple(env)
    value = value_of(entries, VISIBLE_DEVICES)
    if cdi_hook:
        values = [entry.partition("=")[2] for entry in entries if entry.startswith(f"{VISIBLE_DEVICES}=")]
        value = values[-2] if len(values) > 1 and values[-1] == "void" else value
    if value is None:
        version = value_of(entries, _CUDA_VERSION) or ""
        return VisibleDevices(version, all=True, ids=(), source=_CUDA_VERSION) if is_legacy_image(entries) else None
    return parse_visible(value)


def parse_visible(value: str, source: str = VISIBLE_DEVICES) -> VisibleDevices | None:
    """What a value asks for; `source` is where it stands. None when it asks for no accelerator."""
    words = words_of(value)
    if not words or "void" in words:
        return None
    decisive = next((word for word in words if word in ("all", "none")), None)
    if decisive is not None:
        return VisibleDevices(value, all=decisive == "all", ids=(), source=source)
    return VisibleDevices(value, all=False, ids=tuple(GpuId(word, n) for n, word in enumerate(words, 1)), source=source)


def is_legacy_image(env: Iterable[str]) -> bool:
    """Whether the image is older than the variables that say what it needs (H10)."""
    entries = tuple(env)
    return bool(value_of(entries, _CUDA_VERSION)) and not value_of(entries, _REQUIRE_CUDA)


def value_of(env: Iterable[str], name: str) -> str | None:
    """The value of a variable; None if it is not set. The first of that name counts, as for the process itself
    (getenv(3)).
    """
    return next((entry[len(name) + 1 :] for entry in env if entry.startswith(f"{name}=")), None)


def words_of(value: str) -> list[str]:
    """The words of a list. Empty ones are dropped, as by NVIDIA's tools, so that positions are those of the others."""
    return [word for word in (part.strip() for part in value.split(",")) if word]
