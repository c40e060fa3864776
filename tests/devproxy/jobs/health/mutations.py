"""Mechanical changes between two recordings of one sound host, before and after a job: each says by itself which codes it must have,
and which may follow from it; nobody asks what is tested.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.devproxy.check.doctor.edits import Edited

_ROOT: Final = Path(__file__).parents[4]
SOUND: Final = {
    "hgx": str(_ROOT / "example" / "host-8gpu.tar"),
    **{name: str(_ROOT / "tests" / "hosts" / f"{name}.tar") for name in ("mig", "before-550", "tpu-v4", "tpu-v5p")},
}
GPUS: Final = ("hgx", "mig", "before-550")
TPUS: Final = ("tpu-v4", "tpu-v5p")
EVERY: Final = (*GPUS, *TPUS)
JOB: Final = 3600.0

Change = Callable[[Edited], Edited]


class Mutation(NamedTuple):
    """One change of the host of a name: what it is in words, what is otherwise before and after, the codes that it must have, those
    that may follow.
    """

    base: str
    what: str
    after: Change
    codes: frozenset[str]
    allowed: frozenset[str] = frozenset()
    before: Change = lambda edited: edited


Rule = Callable[[str, Edited, random.Random], Iterator[Mutation]]


def later(edited: Edited) -> Edited:
    """The same host after an hour in which nothing happened."""

    def tick(document: dict[str, Any]) -> None:
        for name in ("realtime", "monotonic", "boottime"):
            document[name] += JOB

    return edited.fact("clock", tick)


def both(base: str, what: str, change: Change, *allowed: str) -> Mutation:
    """What was so before the job is none of its doing; what is wrong with it all the time may be told."""
    return Mutation(base, f"{what}, before too", change, frozenset(), frozenset(allowed), change)


def only(base: str, what: str, change: Change, *codes: str, allowed: tuple[str, ...] = ()) -> Mutation:
    return Mutation(base, what, change, frozenset(codes), frozenset(allowed))


# GPUs as NVML tells them


def told(rank: int, **facts: object) -> Change:
    return lambda edited: edited.fact("nvml", lambda document: document["gpus"][rank].update(facts))


def health(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    gpus = len(edited.host().nvidia.gpus)  # type: ignore[union-attr]

    def rank() -> int:
        return chance.randrange(gpus)

    yield only(base, "ECC errors", told(rank(), ecc_uncorrected=3), "ecc-uncorrected")
    yield only(base, "a row to remap", told(rank(), remap_pending=True), "row-remap-pending")
    yield only(base, "a row not remapped", told(rank(), remap_failed=True), "row-remap-failed")
    yield only(base, "eight lanes", told(rank(), pcie_width=8), "pcie-width-degraded")
    yield only(base, "a slow link", told(rank(), pcie_generation=1, load=90, throttle=0), "pcie-speed-degraded")
    yield only(base, "heat", told(rank(), temperature=90), "temperature-high")
    yield only(base, "the brake", told(rank(), throttle=0x80), "throttled")
    yield only(base, "memory that nobody has", told(rank(), memory_used=20 << 30), "memory-in-use-while-idle")
    if base == "hgx":
        links = [True] * 17 + [False]
        yield only(base, "a dead link", told(rank(), nvlinks=links), "nvlink-down")


def settings(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    document = edited.host().details.nvml  # type: ignore[union-attr]
    for rank in chance.sample(range(len(document.gpus)), min(2, len(document.gpus))):
        gpu = document.gpus[rank]
        for mode in (2, 3):
            yield only(base, f"compute mode {mode}", told(rank, compute_mode=mode), "compute-mode-changed")
        yield only(base, "other clocks", told(rank, clock_sm_locked=1005), "clocks-changed")
        yield only(base, "ECC off", told(rank, ecc=False), "ecc-mode-changed")
        yield only(base, "persistence off", told(rank, persistence=0), "persistence-changed")
        least = {"power_limit": 70_000}
        yield only(base, "less power", told(rank, **least), "power-limit-changed", allowed=("power-capped",))
        yield both(base, "less power", told(rank, **least), "power-capped")
        if gpu.mig_mode is not None and not gpu.mig:
            yield only(base, "MIG on", told(rank, mig_mode=True), "mig-mode-changed")
            yield both(base, "MIG on", told(rank, mig_mode=True))
        yield both(base, "other clocks", told(rank, clock_sm_locked=1005))
        yield both(base, "compute mode 3", told(rank, compute_mode=3))
    for gpu in document.gpus:
        if gpu.mig:
            fewer = edited.recording.facts["nvml"]
            assert fewer
            yield only(base, "an instance less", _fewer_instances(gpu.rank), "mig-instances-changed")


def _fewer_instances(rank: int) -> Change:
    return lambda edited: edited.fact("nvml", lambda document: document["gpus"][rank]["mig"].pop())


def silent_nvml(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    timeout = {"state": "timeout", "why": "no end within 2 s", "during": "nvmlInitWithFlags", "gpus": [], "errors": []}
    yield only(
        base, "NVML does not answer", lambda e: e.fact("nvml", lambda document: document.update(timeout)), "nvml-timeout",
        allowed=("nvml-error", "sources-disagree"),
    )  # fmt: skip
    lost = [{"call": "nvmlDeviceGetTemperature", "code": 15, "name": "GPU_IS_LOST", "gpu": 0}]
    yield only(
        base, "a lost GPU", lambda e: e.fact("nvml", lambda document: document.update(errors=lost)), "device-lost"
    )


# the kernel's log


def logged(*lines: str, after: int = 0) -> Change:
    """Lines at the end of the log, `after` others that are about nothing of ours."""

    def change(document: dict[str, Any]) -> None:
        following = document["span"][1] + after
        document["lines"] += lines
        document["sequences"] += range(following, following + len(lines))
        document["span"] = [document["span"][0], following + len(lines)]

    return lambda edited: edited.fact("kernel_log", change)


def xid(number: int, bus: str = "18", seconds: float = 86500.0) -> str:
    return f"[{seconds:12.6f}] NVRM: Xid (PCI:0000:{bus}:00): {number}, pid=4242, name=python3, and so on"


def sxid(number: int, said: str = "Fatal, Link 12 something") -> str:
    return f"[86500.000000] nvidia-nvswitch2: SXid (PCI:0000:89:00.0): {number}, {said}"


def log(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    for number in (13, 31, 43, 48, 63, 74, 79, 94, 95, 9999):
        yield only(base, f"Xid {number}", logged(xid(number), after=chance.randrange(50)), "xid-since")
    # The log's own times are another clock's: only the numbers count.
    early = xid(79, seconds=100.0)
    yield only(base, "an Xid whose time is before the job's", logged(early), "xid-since")
    yield both(base, "an Xid", logged(xid(79)))
    yield both(base, "an Xid whose time is after the job's start", logged(xid(79, seconds=86399.0 + JOB)))
    failed = "[86500.000000] NVRM: GPU 0000:18:00.0: RmInitAdapter failed! (0x62:0x40:1860)"
    yield only(base, "a GPU that did not start", logged(failed), "gpu-init-failed")
    killed = "[86500.000000] Out of memory: Killed process 4242 (python3) total-vm:1kB"
    yield only(base, "a process killed for memory", logged(killed), "oom-since")
    yield both(base, "a process killed for memory", logged(killed))
    for number, said in ((20034, "Fatal, Link 48 LTSSM Fault Up"), (22013, "Non-fatal, Link 44"), (10003, "Fatal")):
        yield only(base, f"SXid {number}", logged(sxid(number, said)), "sxid-since")
        yield both(base, f"SXid {number}", logged(sxid(number, said)))
    yield only(base, "a log that was overwritten", _overwritten, *_of_the_log(base))
    yield only(base, "a log not read to its end", _cut, *_of_the_log(base))


def _of_the_log(base: str) -> tuple[str, ...]:
    """What cannot be told without the log: nothing where it would tell of nobody."""
    switches = ("sxid-since",) if base in ("hgx", "mig") else ()
    return ("xid-since", "gpu-init-failed", *switches) if base in GPUS else ()


def _overwritten(edited: Edited) -> Edited:
    return edited.fact("kernel_log", lambda document: document.update(lines=[], sequences=[], span=[9000, 9900]))


def _cut(edited: Edited) -> Edited:
    return edited.fact("kernel_log", lambda document: document.update(complete=False))


def rebooted(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    def change(e: Edited) -> Edited:
        clock = {"boot": "0d9f1c5e-2b7a-4f36-9c48-8e51a7d02b64", "monotonic": 300.0, "boottime": 300.0}
        other = e.fact("clock", lambda document: document.update(clock))
        return other.fact("kernel_log", lambda document: document.update(span=[0, document["span"][1]]))

    yield only(base, "a reboot", change, "rebooted-since", *_of_the_log(base))


# what is left behind

HOLDER: Final = {"name": "python3", "pid": 4242, "started": 8_640_123, "uid": 1000, "lease": ""}
ENTRY: Final = {
    "path": "/dev/shm/torch_4242_1", "kind": "file", "uid": 1000, "mode": 0o600, "size": 64 << 20, "device": 27,
    "inode": 77, "born": 1764549000.5, "changed": 1764549001.0, "users": 0,
}  # fmt: skip
SEGMENT: Final = {
    "ident": 5, "key": 0, "uid": 1000, "creator_uid": 1000, "mode": 0o600, "size": 1 << 20, "attached": 0, "creator": 4242,
    "last": 4242, "changed": 1764549000,
}  # fmt: skip
MPS: Final = {
    "path": "/tmp/nvidia-mps", "role": "pipe", "kind": "directory", "uid": 1000, "mode": 0o755, "device": 28, "inode": 9,
    "born": 1764549000.5, "daemon": 4300, "alive": True,
}  # fmt: skip


def listed(fact: str, key: str, each: dict[str, Any], **other: object) -> Change:
    return lambda edited: edited.fact(fact, lambda document: document[key].append({**each, **other}))


def nodes_of(edited: Edited) -> list[str]:
    host = edited.host()
    gpus = [f"/dev/nvidia{gpu.minor}" for gpu in (host.nvidia.gpus if host.nvidia else ())]
    return gpus or [chip.nodes[0] for chip in host.tpus]


def left(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    node = chance.choice(nodes_of(edited))
    paths = [node, "/dev/nvidia-uvm"] if base in GPUS else [node]
    holds = listed("holders", "holders", HOLDER, paths=paths)
    yield only(base, "a process holds it", holds, "holder-left-behind", allowed=("device-busy",))
    yield both(base, "a process holds it", holds, "device-busy")
    again = listed("holders", "holders", HOLDER, paths=paths, started=9_000_000)
    was = listed("holders", "holders", HOLDER, paths=paths)
    yield Mutation(
        base, "a process with the number of one of before holds it", again, frozenset(("holder-left-behind",)),
        frozenset(("device-busy",)), was,
    )  # fmt: skip
    yield only(base, "a file", listed("shared_memory", "entries", ENTRY), "shm-left-behind")
    yield only(
        base, "a file of a doubtful use", listed("shared_memory", "entries", ENTRY, users=None), "shm-left-behind"
    )
    yield only(base, "a file that is in use", listed("shared_memory", "entries", ENTRY, users=2))
    yield both(base, "a file", listed("shared_memory", "entries", ENTRY))
    yield only(base, "a segment", listed("shared_memory", "segments", SEGMENT), "shm-left-behind")
    yield only(base, "a segment that is attached", listed("shared_memory", "segments", SEGMENT, attached=1))
    yield both(base, "a segment", listed("shared_memory", "segments", SEGMENT))
    yield only(base, "MPS", listed("shared_memory", "mps", MPS), "mps-left-behind")
    yield only(
        base, "the directory of MPS", listed("shared_memory", "mps", MPS, daemon=None, alive=False), "mps-left-behind"
    )
    yield both(base, "MPS", listed("shared_memory", "mps", MPS))
    yield only(base, "a directory of logs", listed("shared_memory", "mps", MPS, role="log", daemon=None, alive=None))


# devices and drivers


def gone(address: str, node: str) -> Change:
    def change(edited: Edited) -> Edited:
        parts = [f"{path}/".partition(f"/{address}/") for path in edited.recording.files]
        tops = {f"{above}/{address}" for above, found, _ in parts if found}
        without = edited.remove(*tops, *((node,) if node in edited.recording.files else ()))
        return without.fact("nvml", partial(_unlisted, address)) if "nvml" in without.recording.facts else without

    return change


def _unlisted(address: str, document: dict[str, Any]) -> None:
    gpus = [gpu for gpu in document["gpus"] if not gpu["address"].lower().endswith(address[4:])]
    assert len(gpus) == len(document["gpus"]) - 1, address
    document.update(gpus=[gpu | {"rank": rank} for rank, gpu in enumerate(gpus)], device_count=len(gpus))


def lost(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    host = edited.host()
    units = [(gpu.address, f"/dev/nvidia{gpu.minor}") for gpu in (host.nvidia.gpus if host.nvidia else ())]
    units = units or [(chip.address, chip.nodes[0]) for chip in host.tpus]
    for address, node in chance.sample(units, min(3, len(units))):
        # That of a GPU with MIG had capabilities, whose nodes are there still.
        follow = ("node-missing", "sources-disagree", "tpu-chips-mixed", "tpu-chip-unusable")
        yield only(base, f"{address} is gone", gone(address, node), "device-lost-since", allowed=follow)
        whole = Mutation(
            base, f"{address} came", lambda e: e, frozenset(("device-appeared-since",)), before=gone(address, node)
        )
        yield whole


def _moved(path: str) -> Change:
    return lambda edited: edited.node(path, major=499)


def driver(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    version = edited.host().nvidia.version  # type: ignore[union-attr]

    def other(e: Edited) -> Edited:
        return e.text("/proc/driver/nvidia/version", lambda text: text.replace(version, "590.10.01"))

    follow = ("module-version-mixed", "driver-library-mismatch", "sources-disagree")
    yield only(base, "another driver", other, "driver-changed-since", allowed=follow)
    for path in ("/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"):
        yield only(
            base, f"{path} has another major", _moved(path), "node-major-moved-since",
            allowed=("node-major-mismatch",),
        )  # fmt: skip


def unbound(base: str, edited: Edited, chance: random.Random) -> Iterator[Mutation]:
    host = edited.host()
    addresses = [gpu.address for gpu in (host.nvidia.gpus if host.nvidia else ())] or [
        chip.address for chip in host.tpus
    ]
    address = chance.choice(addresses)
    (uevent,) = [path for path in edited.recording.files if path.endswith(f"/{address}/uevent")]

    def let_go(e: Edited) -> Edited:
        return e.text(uevent, lambda text: "".join(x for x in text.splitlines(True) if not x.startswith("DRIVER=")))

    follow = ("driver-not-loaded", "sources-disagree", "tpu-chip-unusable", "node-missing")
    yield only(base, f"{address} has no driver", let_go, "driver-changed-since", allowed=follow)


RULES: Final[tuple[tuple[Rule, tuple[str, ...]], ...]] = (
    (health, GPUS), (settings, GPUS), (silent_nvml, GPUS), (log, GPUS), (rebooted, EVERY), (left, EVERY), (lost, EVERY),
    (driver, GPUS), (unbound, EVERY),
)  # fmt: skip


def mutations(seed: int = 7) -> list[Mutation]:
    """All of them, the same for the same seed."""
    chance = random.Random(seed)
    bases = {name: Edited.of(path) for name, path in SOUND.items()}
    return [each for rule, names in RULES for name in names for each in rule(name, bases[name], chance)]
