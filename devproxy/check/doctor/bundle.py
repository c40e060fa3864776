"""What a bundle (or a report's request) asks of the host, and what its image brings that is in the way."""

from __future__ import annotations

import errno
import os
import stat

from devproxy.check.doctor.case import Case, Check, seen, unknown
from devproxy.check.doctor.identities import identity_of
from devproxy.check.doctor.surroundings import accelerators_unseen
from devproxy.check.finding import Finding, Severity
from devproxy.host.nvml_facts import NvmlState
from devproxy.linux.paths import open_in_root

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

_DIRECTORIES: Final = ("/dev/vfio", "/dev/dri", "/dev/accel", "/dev/nvidia-caps", "/dev/infiniband", "/dev")
_LIBRARIES: Final = ("libcuda.so.", "libnvidia-ml.so.", "libnvidia-ptxjitcompiler.so.")
_PLACES: Final = (
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/lib64",
    "usr/lib",
    "usr/local/nvidia/lib64",
)
_LIST: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_GROUPS: Final = ("render", "video")
_MOST: Final = 1 << 16
_NVIDIA: Final = 0x10DE


def bundle_device_stale(case: Case) -> Iterator[Finding]:
    """A bundle that was written when a driver had another major."""
    for device in (case.spec.devices or ()) if case.spec is not None else ():
        identity = identity_of(device.path)
        if identity is None or device.number is None:
            continue
        major = case.host.major_of(identity.driver)
        if major is not None and (major, identity.minor) != tuple(device.number):
            yield Finding(
                "bundle-device-stale", Severity.ERROR, device.path, f"{major}:{identity.minor}", str(device.number),
                why="a runtime makes the node as the bundle says: CUDA then says 'unknown error'",
                hint="devproxy run gives it this host's number; devproxy spec DIR writes a new bundle",
                evidence=(seen(device.where, device.number), seen("/proc/devices", f"{major} {identity.driver}")),
            )  # fmt: skip


def directory_as_device(case: Case) -> Iterator[Finding]:
    """A directory where a device is to be named: `--device /dev/vfio` gives nothing that works."""
    devices = (case.spec.devices or ()) if case.spec is not None else ()
    listed = [(device.path, device.where, Severity.ERROR) for device in devices]
    # Docker and Podman put every node below a directory into the container: /dev/dri is what ROCm's manual asks for.
    asked = [(request.value.partition(":")[0].rstrip("/"), f"{request.key} ({request.source})", Severity.INFO)
             for request in case.details.system.requests]  # fmt: skip
    strays = {stray.path for stray in case.host.strays if stray.kind == "a directory"}
    for path, where, severity in (*listed, *asked):
        if path in _DIRECTORIES or path in strays:
            yield Finding(
                "directory-as-device", Severity.ERROR if path in strays else severity, path, "a device node", "a directory",
                why="engines take nodes one by one; what is made of a directory depends on the engine",
                hint=f"name each node: ls -l {path}", evidence=(seen(where, path),),
            )  # fmt: skip


def device_id_unknown(case: Case) -> Iterator[Finding]:
    """An id of NVIDIA_VISIBLE_DEVICES that names nothing here."""
    from devproxy.oci.nvidia_env import VISIBLE_DEVICES, value_of

    asked = [(request.value, f"{request.key} ({request.source})") for request in case.details.system.requests
             if request.key in (VISIBLE_DEVICES, "--device", "--gpus")]  # fmt: skip
    process = case.spec.process if case.spec is not None else None
    value = value_of(process.env, VISIBLE_DEVICES) if process is not None else None
    if value is not None:
        asked.append((value, f"process.env {VISIBLE_DEVICES}"))
    known = _known_ids(case)
    if (not known and not _has_none(case)) or (case.host.coverage is not None and not case.details.nvml.gpus):
        return
    for text, where in asked:
        for word in _ids(text):
            if word.lower() not in known:
                yield _unknown_id(case, word)._replace(evidence=(seen(where, text),))


def _has_none(case: Case) -> bool:
    """Whether a host without ids has no GPU, rather than one without a driver, or one that was not seen."""
    return (
        case.host.nvidia is None
        and not any(each.vendor == _NVIDIA for each in case.host.pci)
        and not any(accelerators_unseen(case))
    )


def _unknown_id(case: Case, word: str) -> Finding:
    if not _would_be_told(case, word):
        nvml = case.details.nvml
        why = f"NVML alone knows the UUIDs of MIG devices: {nvml.why or nvml.state.value}"
        return unknown("device-id-unknown", word, why)._replace(hint="nvidia-smi -L")
    return Finding(
        "device-id-unknown", Severity.ERROR, word, "an index or UUID of a device of this host", "none has it",
        why="indices go by PCI address; a UUID changes with the card, a MIG UUID with each partitioning",
        hint="nvidia-smi -L; devproxy probe",
    )  # fmt: skip


def _known_ids(case: Case) -> set[str]:
    nvidia = case.host.nvidia
    known: set[str] = set()
    for gpu in nvidia.gpus if nvidia is not None else ():
        known |= {str(gpu.rank), (gpu.uuid or "").lower(), gpu.address.lower()}
        known |= (
            {f"{gpu.rank}:{mig.rank}" for mig in nvidia.mig if mig.gpu == gpu.minor} if nvidia is not None else set()
        )
    for each in case.details.nvml.gpus:
        known |= {str(each.rank), (each.uuid or "").lower()}
        for slice_ in each.mig:
            known |= {slice_.uuid.lower(), f"{each.rank}:{slice_.rank}"}
    return known - {""}


def _would_be_told(case: Case, word: str) -> bool:
    """Whether an id that nobody told of is nobody's: UUIDs of MIG devices come from NVML, or from nvidia-smi -L in a report."""
    nvml, nvidia = case.details.nvml, case.host.nvidia
    if not word.upper().startswith("MIG-"):
        return True
    named = sum(bool(part.uuid) for gpu in nvml.gpus for part in gpu.mig)
    if named < len(nvidia.mig if nvidia is not None else ()):
        return False
    if case.host.coverage is not None:
        return nvml.state is NvmlState.ANSWERED and all(gpu.uuid for gpu in nvml.gpus)
    return nvml.state is NvmlState.ANSWERED or case.host.knows("/proc/driver/nvidia/capabilities")


def _ids(text: str) -> list[str]:
    """The words of a value that are ids of GPUs: indices and UUIDs. Paths, CDI names and `all` are others' business."""
    import re

    words = [word.strip().removeprefix("device=").strip('"') for word in text.split(",")]
    legacy = [word for word in words if word.upper().startswith("MIG-GPU-")]
    return [
        w for w in words if w not in legacy and re.fullmatch(r"\d{1,3}(:\d{1,2})?|(?i:GPU|MIG)-[0-9a-fA-F-]{36}", w)
    ]


def image_has_driver_libraries(case: Case) -> Iterator[Finding]:
    """The driver's libraries as files of the image: the host's cannot be mounted over them, or are not found."""
    if case.spec is None:
        return
    try:
        root = os.open(case.spec.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        yield unknown("image-has-driver-libraries", case.spec.rootfs, (error.strerror or "").lower())
        return
    try:
        for place in _PLACES:
            for name in _libraries_in(root, place):
                yield Finding(
                    "image-has-driver-libraries", Severity.ERROR, f"/{place}/{name}", "no driver library in the image",
                    "a regular file", why="the host's own library of another version is mounted beside it, or cannot be",
                    hint=f"build the image without the driver: rm /{place}/{name}",
                    evidence=(seen(f"{case.spec.rootfs}/{place}/{name}", "regular file"),),
                )  # fmt: skip
    finally:
        os.close(root)


def _libraries_in(root: int, place: str) -> list[str]:
    """The driver's libraries that are regular files with contents. Links and the empty files that runtimes leave as mount
    points are none.
    """
    try:
        folder = open_in_root(root, place, _LIST)
    except OSError:
        return []
    try:
        names = [name for name in os.listdir(folder) if name.startswith(_LIBRARIES)]
        found = [(name, os.stat(name, dir_fd=folder, follow_symlinks=False)) for name in sorted(names)]
    except FileNotFoundError:
        return []
    finally:
        os.close(folder)
    return [name for name, status in found if stat.S_ISREG(status.st_mode) and status.st_size]


def group_id_mismatch(case: Case) -> Iterator[Finding]:
    """Groups that own nodes on the host have other numbers in the image: membership by name does not help there."""
    caller, spec = case.details.system.caller, case.spec
    process = spec.process if spec is not None else None
    if caller is None or spec is None or process is None or process.user.uid == 0:
        return
    image = _image_groups(spec.rootfs)
    owners = {node.gid for node in case.host.nodes if node.mode & 0o066 == 0o060 and node.path.startswith(("/dev/dri/", "/dev/kfd", "/dev/nvidia", "/dev/accel"))}  # fmt: skip
    ours = {process.user.gid, *process.user.groups}
    for name, gid in caller.groups:
        if name in _GROUPS and gid in owners and gid not in ours and name in image and image[name] != gid:
            yield Finding(
                "group-id-mismatch", Severity.ERROR, name, f"gid {gid}, as on the host", f"gid {image[name]} in the image",
                why="nodes keep the host's number, under which the image's user is in no group",
                hint=f"add {gid} to process.user.additionalGids (docker run --group-add {gid})",
                evidence=(seen("/etc/group", f"{name}:{gid}"), seen(f"{spec.rootfs}/etc/group", f"{name}:{image[name]}")),
            )  # fmt: skip


def _image_groups(rootfs: str) -> dict[str, int]:
    """The numbers of groups in the image's /etc/group (group(5)); empty if it has none that can be read."""
    try:
        root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        lines = _read_regular(root, "etc/group").decode(errors="replace").splitlines()
    except OSError:
        return {}
    finally:
        os.close(root)
    fields = [line.split(":") for line in lines]
    return {f[0]: int(f[2]) for f in fields if len(f) >= 3 and f[2].isascii() and f[2].isdigit() and len(f[2]) < 10}


def _read_regular(root: int, path: str) -> bytes:
    """A regular file of the image. It is looked at before it is opened for reading: opening a device may do something.

    Errors: OSError; EINVAL for anything else.
    """
    looked = open_in_root(root, path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(looked).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        file = os.open(f"/proc/self/fd/{looked}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    finally:
        os.close(looked)
    try:
        return os.read(file, _MOST)
    finally:
        os.close(file)


BUNDLE_CHECKS: Final[tuple[Check, ...]] = (
    Check("bundle-device-stale", Severity.ERROR, "a bundle with another boot's major", bundle_device_stale),
    Check("directory-as-device", Severity.ERROR, "a directory where a device is to be named", directory_as_device),
    Check("device-id-unknown", Severity.ERROR, "an id that names no device", device_id_unknown),
    Check("image-has-driver-libraries", Severity.ERROR, "an image with driver libraries", image_has_driver_libraries),
    Check("group-id-mismatch", Severity.ERROR, "a group with another number in the image", group_id_mismatch),
)
