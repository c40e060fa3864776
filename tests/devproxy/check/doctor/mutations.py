"""Mechanical mutations of sound recordings. Each rule says by itself which codes its mutations must have, and which may follow;
nobody asks the doctor.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from devproxy.host.recorded import Kept
from devproxy.host.root import Entry
from tests.devproxy.check.doctor.edits import Edited
from tests.devproxy.check.doctor.nvml_answers import changed, failing, healthy

_ROOT: Final = Path(__file__).parents[4]
SOUND: Final = {
    "hgx": str(_ROOT / "example" / "host-8gpu.tar"),
    **{name: str(_ROOT / "tests" / "hosts" / f"{name}.tar") for name in ("mig", "before-550", "tpu-v4", "tpu-v5p")},
}
GPUS: Final = ("hgx", "mig", "before-550")
TPUS: Final = ("tpu-v4", "tpu-v5p")
_DEVICES: Final = "/proc/devices"


class Mutation(NamedTuple):
    """One edit: of which recording, what it does in words, the codes that it must have, those that may follow from it."""

    base: str
    what: str
    edit: Callable[[Edited], Edited]
    codes: frozenset[str]
    allowed: frozenset[str] = frozenset()


Rule = Callable[[str, Edited, random.Random], Iterator[Mutation]]


def mutation(
    base: str, what: str, edit: Callable[[Edited], Edited], *codes: str, allowed: tuple[str, ...] = ()
) -> Mutation:
    return Mutation(base, what, edit, frozenset(codes), frozenset(allowed))


# what nodes are there


def _gpu_nodes(edited: Edited) -> list[str]:
    return [path for path in edited.paths("/dev/nvidia") if path.removeprefix("/dev/nvidia").isdigit()]


def node_removed(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    paths = chance.sample(_gpu_nodes(edited), min(5, len(_gpu_nodes(edited))))
    for path in (*paths, "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"):
        yield mutation(base, f"{path} removed", partial(_remove, path), "node-missing")


def switch_removed(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    nodes = [path for path in edited.paths("/dev/nvidia-nvswitch") if path[-1].isdigit()]
    for path in chance.sample(nodes, min(2, len(nodes))):
        yield mutation(base, f"{path} removed", partial(_remove, path), "node-missing")


def major_moved(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    for path in ("/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"):
        major = chance.randrange(470, 512)
        yield mutation(
            base, f"{path} has major {major}", partial(_renumber, path, major=major), "node-major-mismatch",
            allowed=("dev-char-link-missing",),
        )  # fmt: skip
    for path in edited.paths("/dev/nvidia-caps/nvidia-cap")[:2]:
        yield mutation(
            base, f"{path} has another major", partial(_renumber, path, major=411), "node-major-mismatch",
            allowed=("dev-char-link-missing",),
        )  # fmt: skip


def driver_reloaded(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    for _ in range(3):
        major = chance.randrange(470, 512)
        yield mutation(
            base, f"nvidia-uvm got major {major}",
            partial(_reload, "nvidia-uvm", major),
            "node-major-mismatch",
        )  # fmt: skip


def uvm_unloaded(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    def unload(e: Edited) -> Edited:
        lines = e.text(
            _DEVICES, lambda text: "".join(x for x in text.splitlines(True) if not x.endswith(" nvidia-uvm\n"))
        )
        return lines.text("/proc/modules", _without_uvm) if "/proc/modules" in lines.recording.files else lines

    yield mutation(base, "nvidia-uvm unloaded, nodes left", unload, "uvm-not-loaded", allowed=("open-no-driver",))


def minor_swapped(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    nodes = _gpu_nodes(edited)
    for path in chance.sample(nodes, min(3, len(nodes))):
        other = chance.choice([each for each in nodes if each != path] or [path])
        minor = int(other.removeprefix("/dev/nvidia")) if other != path else 7
        codes = ("node-minor-wrong", "node-duplicate") if other != path else ("node-minor-wrong",)
        yield mutation(
            base,
            f"{path} has minor {minor}",
            partial(_renumber, path, minor=minor),
            *codes,
            allowed=("dev-char-link-missing",),
        )


def major_zero(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    path = chance.choice(("/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"))
    yield mutation(
        base,
        f"{path} has major 0",
        partial(_renumber, path, major=0),
        "node-major-zero",
        allowed=("dev-char-link-missing",),
    )


def mode_changed(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    paths = (*_gpu_nodes(edited), "/dev/nvidiactl", "/dev/nvidia-uvm")
    for mode, code in ((0o1232, "node-mode-malformed"), (0o1224, "node-mode-malformed"), (0o777, "node-mode-malformed"),
                       (0o660, "node-mode-restrictive"), (0o600, "node-mode-restrictive")):  # fmt: skip
        path = chance.choice(paths)
        yield mutation(base, f"{path} has mode {mode:04o}", partial(_renumber, path, mode=mode), code)


def kind_changed(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    for kind, bits in (("a directory", 0o040755), ("a regular file", 0o100644)):
        path = chance.choice((*_gpu_nodes(edited), "/dev/nvidia-uvm"))
        yield mutation(
            base, f"{path} is {kind}", partial(_turned, path, bits),
            "node-kind-wrong", allowed=("dev-char-link-missing",),
        )  # fmt: skip


# MIG


def capability_removed(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    host = edited.host()
    assert host.nvidia is not None
    needed = {name for device in host.nvidia.mig for name in device.capabilities}
    nodes = [capability.node for capability in host.nvidia.capabilities if capability.name in needed]
    for path in nodes:
        yield mutation(base, f"{path} removed", partial(_remove, path), "mig-caps-missing")


# links


def link_removed(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    links = [path for path in edited.paths("/dev/char/195:") if path != "/dev/char/195:254"]
    for path in chance.sample(links, 2):
        yield mutation(base, f"{path} removed", partial(_remove, path), "dev-char-link-missing")


# drivers


def gpu_unbound(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    host = edited.host()
    assert host.nvidia is not None
    for gpu in chance.sample(host.nvidia.gpus, min(3, len(host.nvidia.gpus))):
        yield mutation(
            base, f"{gpu.address} has no driver", partial(_unbound, gpu.address), "driver-not-loaded",
            allowed=("sources-disagree",),
        )  # fmt: skip


def tpu_unbound(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    for chip in edited.host().tpus:
        yield mutation(
            base, f"{chip.address} has no driver", partial(_unbound, chip.address), "driver-not-loaded",
            allowed=("vfio-group-not-viable", "tpu-chip-unusable"),
        )  # fmt: skip


def tpu_node_removed(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    for chip in edited.host().tpus:
        yield mutation(base, f"{chip.nodes[0]} removed", partial(_remove, chip.nodes[0]), "tpu-chip-unusable")


def vfio_control_closed(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    if "/dev/vfio/vfio" in edited.recording.files:
        user = {"uid": 1000, "gid": 1000, "gids": [1000], "capabilities": []}
        yield mutation(
            base, "/dev/vfio/vfio is root's, and a user asks",
            lambda e: e.node("/dev/vfio/vfio", mode=0o600).fact("caller", lambda d: d.update(user)), "vfio-control-mode",
            allowed=("memlock-too-low",),
        )  # fmt: skip


def lock_left(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    lock = {"held": False, "kind": "file", "mode": 0o644, "path": "/tmp/libtpu_lockfile", "pid": None, "uid": 1001}
    yield mutation(
        base,
        "libtpu's lock file left",
        partial(_fact, "locks", {"locks": [lock]}),
        "tpu-lockfile-stale",
    )


# who holds, what opening says


def held(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    nodes = _gpu_nodes(edited) or [chip.nodes[0] for chip in edited.host().tpus]
    for path in chance.sample(nodes, min(2, len(nodes))):
        paths = [path, "/dev/nvidia-uvm"] if path.startswith("/dev/nvidia") else [path]
        holder = {"name": "python3", "paths": paths, "pid": 4242, "started": 5, "uid": 1000}
        yield mutation(
            base,
            f"{path} held",
            partial(_fact, "holders", {"holders": [holder]}),
            "device-busy",
        )


def opened(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    nodes = _gpu_nodes(edited) or [chip.nodes[0] for chip in edited.host().tpus]
    for errno, code in (("ENXIO", "open-no-driver"), ("EPERM", "open-denied-by-cgroup"), ("EACCES", "open-denied-by-mode"),
                        ("EIO", "device-lost"), ("ENODEV", "device-lost"), ("EBUSY", "device-busy")):  # fmt: skip
        said = {"left_out": 0, "opens": [{"errno": errno, "number": "", "path": chance.choice(nodes)}]}
        yield mutation(base, f"opening says {errno}", partial(_fact, "opens", said), code)


# NVML


def nvml_tells(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    """NVML answers, of the machine it is on; each answer has one thing wrong."""
    rank = chance.randrange(8)
    wrong: list[tuple[str, dict[str, Any], tuple[str, ...], tuple[str, ...]]] = [
        (
            "another UUID",
            changed(rank=rank, uuid="GPU-00000000-1111-2222-3333-444444444444"),
            ("sources-disagree",),
            (),
        ),
        ("another minor", changed(rank=rank, minor=99), ("sources-disagree",), ("minor-differs-from-index",)),
        ("another driver", healthy() | {"driver": "535.161.08"}, ("sources-disagree",), ("driver-library-mismatch",)),
        ("one GPU less", _without_gpu(rank), ("sources-disagree",), ("device-lost",)),
        ("ECC errors", changed(rank=rank, ecc_uncorrected=3), ("ecc-uncorrected",), ()),
        ("rows to remap", changed(rank=rank, remap_pending=True), ("row-remap-pending",), ()),
        ("rows not remapped", changed(rank=rank, remap_failed=True), ("row-remap-failed",), ()),
        ("eight lanes", changed(rank=rank, pcie_width=8), ("pcie-width-degraded",), ()),
        ("a dead link", changed(rank=rank, nvlinks=[True] * 17 + [False]), ("nvlink-down",), ("sources-disagree",)),
        ("heat", changed(rank=rank, temperature=90), ("temperature-high",), ("throttled",)),
    ]
    errors = (("UNKNOWN", 999), ("DRIVER_NOT_LOADED", 9), ("LIB_RM_VERSION_MISMATCH", 18), ("NO_PERMISSION", 4))
    for name, code in errors:
        follow = ("driver-library-mismatch", "driver-not-loaded")
        wrong.append((f"{name} at the start", failing(name, code), ("nvml-error",), follow))
    lost = failing("GPU_IS_LOST", 15, "nvmlDeviceGetUUID", rank)
    wrong.append(("a lost GPU", lost, ("device-lost",), ("nvml-error", "sources-disagree")))
    timeout = {"state": "timeout", "errors": [], "gpus": [], "waiting_for": "nvmlInitWithFlags"}
    wrong.append(("no answer", timeout, ("nvml-timeout",), ("nvml-error",)))
    for what, document, codes, allowed in wrong:
        yield mutation(base, f"NVML tells {what}", partial(_fact, "nvml", document), *codes, allowed=allowed)


def _without_gpu(rank: int) -> dict[str, Any]:
    document = healthy()
    gpus = [gpu for gpu in document["gpus"] if gpu["rank"] != rank]
    return document | {"device_count": 7, "gpus": [gpu | {"rank": n} for n, gpu in enumerate(gpus)]}


# the system


def library_swapped(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    directory = "/usr/lib/x86_64-linux-gnu"
    names = edited.recording.others.get(directory, [])
    version = edited.host().nvidia.version  # type: ignore[union-attr]
    for library in ("libcuda.so.", "libnvidia-ml.so."):
        assert f"{library}{version}" in names
        swapped = [f"{library}999.1" if name == f"{library}{version}" else name for name in names]
        yield mutation(
            base,
            f"{library}* of 999.1",
            partial(_listed, directory, swapped),
            "driver-library-mismatch",
        )


def socket_dead(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    def die(service: str, document: dict[str, Any]) -> None:
        for socket in document["sockets"]:
            if socket["service"] == service:
                socket["listening"] = False

    services = [socket.service for socket in edited.host().details.system.sockets or ()]  # type: ignore[union-attr]
    codes = {"nvidia-persistenced": "persistenced-socket-dead", "nvidia-fabricmanager": "fabric-manager-missing"}
    for service in services:
        if service in codes:
            yield mutation(
                base,
                f"{service} is dead",
                partial(_changed, "sockets", partial(die, service)),
                codes[service],
            )


def log_tells(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    for number in chance.sample((13, 31, 48, 63, 74, 79, 94, 95), 3):
        line = f"[ 5123.5] NVRM: Xid (PCI:0000:18:00): {number}, pid='<unknown>', name=<unknown>, something"
        yield mutation(
            base, f"Xid {number} in the log", partial(_changed, "kernel_log", partial(_logged, line)), "xid-since",
            allowed=("device-lost",),
        )  # fmt: skip


def switch_tells(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    for number, said in chance.sample(((20034, "Fatal"), (24007, "Fatal"), (23001, "Fatal"), (20001, "Non-fatal")), 3):
        line = f"[ 5123.5] nvidia-nvswitch0: SXid (PCI:0000:87:00.0): {number}, {said}, Link {chance.randrange(64):02} something"
        yield mutation(
            base, f"SXid {number} in the log", partial(_changed, "kernel_log", partial(_logged, line)), "sxid-since"
        )


def memory_scarce(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    small = [{"free": 60 << 20, "path": "/dev/shm", "size": 64 << 20}]
    if base == "hgx":
        yield mutation(
            base,
            "/dev/shm of 64 MiB",
            partial(_fact, "file_systems", {"file_systems": small}),
            "shm-too-small",
        )


# CDI


def cdi_spec(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    """A spec as nvidia-ctk writes it, of the machine it is on; and with one thing wrong."""
    host = edited.host()
    paths = [*_gpu_nodes(edited), "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"]
    numbers: dict[str, tuple[int, ...] | None] = {
        path: tuple(node.number) for path in paths if (node := host.node(path)) is not None
    }
    version = host.nvidia.version if host.nvidia is not None else ""
    stale = chance.randrange(470, 512)
    without = {path: number for path, number in numbers.items() if "uvm" not in path}
    wrong: list[tuple[str, str, tuple[str, ...], tuple[str, ...]]] = [
        ("nothing", _cdi(numbers, version), (), ()),
        ("a stale major", _cdi(numbers | {"/dev/nvidia-uvm": (stale, 0)}, version), ("cdi-spec-stale",), ()),
        ("another driver's library", _cdi(numbers, "999.10"), ("cdi-driver-stale",), ("cdi-host-path-missing",)),
        ("a node that is gone", _cdi(numbers | {"/dev/dri/renderD200": None}, version), ("cdi-host-path-missing",), ()),
        ("no uvm", _cdi(without, version), ("cdi-incomplete",), ()),
        ("a broken line", _cdi(numbers, version) + "kind: [\n", ("cdi-spec-invalid",), ()),
    ]  # fmt: skip
    for what, text, codes, allowed in wrong:
        yield mutation(base, f"a CDI spec with {what}", partial(_with_cdi, text), *codes, allowed=allowed)


def _cdi(numbers: dict[str, tuple[int, ...] | None], version: str) -> str:
    def node(path: str) -> str:
        number = numbers[path]
        return f"    - path: {path}\n" + (f"      major: {number[0]}\n      minor: {number[1]}\n" if number else "")

    library = f"/usr/lib/x86_64-linux-gnu/libcuda.so.{version}"
    gpus = [path for path in numbers if path.removeprefix("/dev/nvidia").isdigit()]
    devices = "".join(
        f'- name: "{n}"\n  containerEdits:\n    deviceNodes:\n{node(path)}' for n, path in enumerate(gpus)
    )
    common = "".join(node(path)[2:].replace("\n  ", "\n") for path in numbers if path not in gpus)
    mounts = (
        f"  mounts:\n  - hostPath: {library}\n    containerPath: {library}\n    options: [ro, nosuid, nodev, bind]\n"
    )
    edits = f"containerEdits:\n  deviceNodes:\n{common}{mounts}"
    return f"cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n{devices}{edits}"


def _with_cdi(text: str, edited: Edited) -> Edited:
    listed = edited.put("/etc/cdi", Kept(Entry(0o040755, 0, 0, 0)))
    return listed.file("/etc/cdi/nvidia.yaml", text)


RULES: Final[tuple[tuple[Rule, tuple[str, ...]], ...]] = (
    (node_removed, GPUS), (switch_removed, ("hgx",)), (major_moved, GPUS), (driver_reloaded, GPUS), (uvm_unloaded, GPUS),
    (minor_swapped, GPUS), (major_zero, GPUS), (mode_changed, GPUS), (kind_changed, GPUS), (capability_removed, ("mig",)),
    (link_removed, GPUS), (gpu_unbound, GPUS), (tpu_unbound, TPUS), (tpu_node_removed, TPUS),
    (vfio_control_closed, ("tpu-v5p",)), (lock_left, TPUS), (held, (*GPUS, *TPUS)), (opened, (*GPUS, *TPUS)),
    (nvml_tells, ("hgx",)), (nvml_tells, ("hgx",)), (library_swapped, GPUS), (socket_dead, GPUS), (log_tells, GPUS), (switch_tells, ("hgx",)), (memory_scarce, ("hgx",)), (cdi_spec, GPUS),
)  # fmt: skip


def mutations(seed: int = 6) -> list[Mutation]:
    """All of them, the same for the same seed."""
    chance = random.Random(seed)
    bases = {name: Edited.of(path) for name, path in SOUND.items()}
    return [each for rule, names in RULES for name in names for each in rule(name, bases[name], chance)]


def _remove(path: str, edited: Edited) -> Edited:
    return edited.remove(path)


def _reload(driver: str, major: int, edited: Edited) -> Edited:
    return edited.text(_DEVICES, lambda text: _with_major(text, driver, major))


def _changed(name: str, change: Callable[[dict[str, Any]], object], edited: Edited) -> Edited:
    return edited.fact(name, change)


def _fact(name: str, values: dict[str, Any], edited: Edited) -> Edited:
    return edited.fact(name, lambda document: document.update(values))


def _listed(directory: str, names: list[str], edited: Edited) -> Edited:
    return edited.listed(directory, names)


def _turned(path: str, bits: int, edited: Edited) -> Edited:
    return edited.put(path, Kept(Entry(bits, 0, 0, 0)))


def _logged(line: str, document: dict[str, Any]) -> None:
    document["lines"].append(line)


def _renumber(path: str, edited: Edited, **changes: int) -> Edited:
    return edited.node(path, **changes)


def _unbound(address: str, edited: Edited) -> Edited:
    (path,) = [p for p in edited.paths("/sys/devices/") if p.endswith(f"/{address}/uevent")]
    return edited.text(
        path, lambda text: "".join(line for line in text.splitlines(True) if not line.startswith("DRIVER="))
    )


def _with_major(text: str, name: str, major: int) -> str:
    return "".join(f"{major} {name}\n" if line.endswith(f" {name}\n") else line for line in text.splitlines(True))


def _without_uvm(text: str) -> str:
    return "".join(line for line in text.splitlines(True) if not line.startswith("nvidia_uvm "))
