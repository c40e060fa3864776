"""NVIDIA GPUs: what the driver says under /proc/driver/nvidia, and what the PCI bus says without it."""

from __future__ import annotations

from devproxy.host.facts import Nvidia, NvidiaGpu, PciDevice
from devproxy.host.pci import PciAddress, parse_address
from devproxy.host.root import HostRoot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

_DRIVER: Final = "/proc/driver/nvidia"
_VENDOR: Final = 0x10DE
# Class and subclass of a VGA and of a 3D controller: graphics cards are the one, data-centre GPUs the other.
_GPU_CLASSES: Final = (0x0300, 0x0302)
# Device nodes use minors 0 to 247 for GPUs, but that is the driver's business; this only keeps nonsense out.
_MINORS: Final = 1 << 20


# Whether nvidia-smi shows the GPU, where it is, and the GPU itself, which has no rank yet.
_Found = tuple[bool, PciAddress, NvidiaGpu]


def read_nvidia(root: HostRoot, pci: tuple[PciDevice, ...]) -> Nvidia | None:
    """The driver and its GPUs, or None when there is neither a driver nor a GPU.

    GPUs that nvidia-smi does not show (bound to another driver, excluded) come after those that it does, so that its
    indices are the ranks.
    """
    version = root.read_text(f"{_DRIVER}/version")
    params = root.read_text(f"{_DRIVER}/params")
    driven = [found for name in root.listdir(f"{_DRIVER}/gpus") if (found := _read_gpu(root, name)) is not None]
    known = {position for _, position, _ in driven}
    others = [found for device in pci if (found := _undriven(device)) is not None and found[1] not in known]
    if version is None and params is None and not driven and not others:
        return None
    from devproxy.host.nvidia_caps import read_capabilities, read_switches

    ordered = sorted(driven + others, key=lambda found: (not found[0], found[1]))
    gpus = tuple(gpu._replace(rank=rank) for rank, (_, _, gpu) in enumerate(ordered))
    capabilities, mig = read_capabilities(root)
    return Nvidia(
        parse_version(version or ""), _read_params(root, params or ""), gpus, capabilities, mig, read_switches(root)
    )


def parse_version(text: str) -> str:
    """`550.163.01` of the first line of /proc/driver/nvidia/version; empty if there is none.

    The words around it differ between the proprietary and the open module.
    """
    for word in text.split("\n", 1)[0].split():
        numbers = word.split(".")
        if len(numbers) in (2, 3) and all(number.isascii() and number.isdigit() for number in numbers):
            return word
    return ""


def parse_fields(text: str) -> tuple[list[tuple[str, str]], list[str]]:
    """`Name: value` lines as (name, value), blanks and tabs around both taken off; and the lines that are not."""
    fields, bad = [], []
    for line in text.split("\n"):
        name, colon, value = line.partition(":")
        if colon and name.strip():
            fields.append((name.strip(), value.strip()))
        elif line.strip():
            bad.append(line)
    return fields, bad


def _read_params(root: HostRoot, text: str) -> tuple[tuple[str, str], ...]:
    fields = _fields(root, f"{_DRIVER}/params", text)
    return tuple((name, _unquoted(value)) for name, value in fields)


def _fields(root: HostRoot, path: str, text: str) -> list[tuple[str, str]]:
    fields, bad = parse_fields(text)
    for line in bad[:1]:
        root.note(path, f"{len(bad)} lines that are no `name: value`, the first: {line!r}")
    return fields


def params_text(params: Iterable[tuple[str, str]]) -> str:
    """The lines of /proc/driver/nvidia/params that say this. Numbers stand bare in the file, texts in quotes."""
    lines = [
        f"{name}: {value}" if value.isascii() and value.isdigit() else f'{name}: "{value}"' for name, value in params
    ]
    return "".join(f"{line}\n" for line in lines)


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] == '"' else value


def _read_gpu(root: HostRoot, name: str) -> _Found | None:
    path = f"{_DRIVER}/gpus/{name}/information"
    position = parse_address(name)
    if position is None:
        root.note(path, f"{name!r} is no PCI address")
        return None
    fields = dict(_fields(root, path, root.read_text(path) or ""))
    uuid = fields.get("GPU UUID", "")
    # Until a GPU is first used, the driver shows question marks for its UUID.
    known = uuid.startswith("GPU-") and "?" not in uuid
    usable = fields.get("GPU Excluded") != "Yes"
    minor = _minor(root, path, fields.get("Device Minor"))
    gpu = NvidiaGpu(0, name, minor, uuid if known else None, fields.get("Model", ""), path, excluded=not usable)
    return usable, position, gpu


def _minor(root: HostRoot, path: str, text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9) or int(text) >= _MINORS:
        root.note(path, f"Device Minor is {text!r}, expected a number")
        return None
    return int(text)


def _undriven(device: PciDevice) -> _Found | None:
    position = parse_address(device.address)
    if position is None or device.vendor != _VENDOR or device.class_code >> 8 not in _GPU_CLASSES:
        return None
    return False, position, NvidiaGpu(0, device.address, None, None, "", device.source)
