"""From a draft to a host: a recording made of what the report shows, probed like any other."""

from __future__ import annotations

import os
import stat

from devproxy.bugreport.draft import Draft, SeenNode, SeenPci, Smi
from devproxy.bugreport.smi import succeeded
from devproxy.bugreport.system import subject_of
from devproxy.host.device_facts import Opening
from devproxy.host.facts import Host
from devproxy.host.nvml_facts import Nvml, NvmlState
from devproxy.host.probe import probe_reader
from devproxy.host.recorded import Kept, RecordedReader, Recording
from devproxy.host.root import Entry
from devproxy.host.system_facts import (
    Caller,
    CdiFile,
    CgroupRules,
    Cgroups,
    Container,
    FileSystemSize,
    Request,
    Runtime,
    Selinux,
    Symptom,
)
from devproxy.json_text import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from devproxy.host.details import SystemDetails

_FILE: Final = Entry(stat.S_IFREG | 0o444, 0, 0, 0)
_DIRECTORY: Final = Entry(stat.S_IFDIR | 0o755, 0, 0, 0)
# Ids of groups as distributions give them. A name that is not among them gets one of its own: what counts is whether
# the caller is in the group, and `id` names groups too.
_IDS: Final = {"root": 0, "video": 44, "render": 105, "nobody": 65534, "nogroup": 65534, "users": 100, "kvm": 104}
_UNNAMED: Final = 61_000


def to_host(draft: Draft, name: str) -> Host:
    """The machine that the report tells of."""
    recording = _recording(draft)
    coverage = (*draft.coverage, *_drivers(draft))
    host = probe_reader(RecordedReader(recording), name=name, simulated=True, deep=True, coverage=coverage)
    details = host.details
    assert details is not None
    nvml = _nvml(draft)
    opens = _openings(draft)
    devices = details.devices._replace(opens=opens) if opens else details.devices
    details = details._replace(system=_system(draft, details.system), nvml=nvml or details.nvml, devices=devices)
    return host._replace(details=details)


def _drivers(draft: Draft) -> tuple[str, ...]:
    """Where it is known which driver a function has, or that it has none."""
    known = [seen.address for seen in draft.pci.values() if seen.driver is not None]
    return tuple(f"/sys/bus/pci/devices/{address}/driver" for address in known)


def _recording(draft: Draft) -> Recording:
    files: dict[str, Kept] = {path: Kept(_FILE, data=text.encode()) for path, text in draft.files.items()}
    ids = _group_ids(draft)
    for node in draft.nodes.values():
        files[node.path] = Kept(_entry(node, ids))
    for path in [*draft.nodes, *draft.present]:
        _add_parents(files, path)
    if draft.majors:
        files["/proc/devices"] = Kept(_FILE, data=_proc_devices(draft).encode())
    if draft.modules:
        files["/proc/modules"] = Kept(_FILE, data=_proc_modules(draft).encode())
    for seen in draft.pci.values():
        _add_pci(files, seen)
    for path in draft.files:
        if path.startswith("/proc/driver/"):
            _add_parents(files, path)
    if draft.pci:
        files["/sys/bus/pci/devices"] = Kept(_DIRECTORY)
    unread = {path: "ENODATA" for path in draft.present if path not in files}
    return Recording(files, _facts(draft), frozenset(draft.absent), unread, {}, {})


def _facts(draft: Draft) -> dict[str, bytes]:
    facts = {}
    if "release" in draft.facts:
        facts["uname"] = dumps({"release": draft.facts["release"], "sysname": "Linux"}).encode()
    if "memlock" in draft.facts:
        facts["limits"] = dumps({"RLIMIT_MEMLOCK": [draft.facts["memlock"], draft.facts["memlock"]]}).encode()
    return facts


def _add_parents(files: dict[str, Kept], path: str) -> None:
    while path := path.rpartition("/")[0]:
        if path in files and not stat.S_ISDIR(files[path].entry.mode):
            del files[path]  # the report calls it a file and a directory: it has something in it
        files.setdefault(path, Kept(_DIRECTORY))


def _entry(node: SeenNode, ids: dict[str, int]) -> Entry:
    kind = {"c": stat.S_IFCHR, "b": stat.S_IFBLK, "d": stat.S_IFDIR}.get(node.kind, stat.S_IFREG)
    rdev = os.makedev(node.major or 0, node.minor or 0) if node.kind in "cb" else 0
    return Entry(kind | node.mode, _id(node.owner, _IDS), _id(node.group or "root", ids), rdev)


def _id(name: str, ids: dict[str, int]) -> int:
    if name.isascii() and name.isdigit() and len(name) < 10:
        return int(name)
    return ids.get(name, _UNNAMED)


def _group_ids(draft: Draft) -> dict[str, int]:
    """The id of each group: as `id` and `stat` show it, as distributions have it, or one made up."""
    ids = {**_IDS, **draft.groups}
    for node in draft.nodes.values():
        if node.group and not node.group.isdigit():
            ids.setdefault(node.group, _UNNAMED + 1 + len(ids))
    return ids


def _proc_devices(draft: Draft) -> str:
    def lines(kind: str) -> str:
        found = sorted((major, name) for (k, name), majors in draft.majors.items() if k == kind for major in majors)
        return "".join(f"{major:3} {name}\n" for major, name in found if major < 4096)

    return f"Character devices:\n{lines('Character')}\nBlock devices:\n{lines('Block')}"


def _proc_modules(draft: Draft) -> str:
    def by(names: str) -> str:
        return f"{names}," if names else "-"

    return "".join(f"{name} 0 {uses} {by(names)} Live 0x0\n" for name, (uses, names) in draft.modules.items())


def _add_pci(files: dict[str, Kept], seen: SeenPci) -> None:
    source = f"/sys/bus/pci/devices/{seen.address}"
    text = f"PCI_CLASS={seen.class_code:X}\nPCI_ID={seen.vendor:04X}:{seen.device:04X}\nPCI_SLOT_NAME={seen.address}\n"
    files[f"{source}/uevent"] = Kept(_FILE, data=(f"DRIVER={seen.driver}\n{text}" if seen.driver else text).encode())
    files[source] = Kept(_DIRECTORY)
    if seen.group is not None:
        link = Entry(stat.S_IFLNK | 0o777, 0, 0, 0)
        group = f"/sys/kernel/iommu_groups/{seen.group}/devices"
        files[f"{source}/iommu_group"] = Kept(link, link=group.removesuffix("/devices"))
        files[group] = Kept(_DIRECTORY)
        files[f"{group}/{seen.address}"] = Kept(link, link=source)


def _nvml(draft: Draft) -> Nvml | None:
    """What NVML said last. That it fails in a container is what the report is about, however well it does outside."""
    inside, outside = (_last(draft, inside=inside) for inside in (True, False))
    if inside is not None and (inside.state is NvmlState.FAILED or outside is None):
        return inside
    return outside


def _last(draft: Draft, *, inside: bool) -> Nvml | None:
    found: Nvml | None = None
    for smi in draft.smi:
        if smi.inside != inside or smi.windows:
            continue
        source = f"line {smi.line}"
        if smi.error is not None:
            found = Nvml(NvmlState.FAILED, library=smi.library, errors=(smi.error,), source=source)
        elif succeeded(smi):
            found = _merged(found, smi, source)
    return found


def _merged(before: Nvml | None, smi: Smi, source: str) -> Nvml:
    """Several runs say more than one: the table has addresses, the list has UUIDs."""
    known = {gpu.rank: gpu for gpu in before.gpus} if before is not None and before.state is NvmlState.ANSWERED else {}
    for gpu in smi.gpus:
        old = known.get(gpu.rank, gpu)
        known[gpu.rank] = gpu._replace(
            address=gpu.address or old.address,
            uuid=gpu.uuid or old.uuid,
            minor=old.minor if gpu.minor is None else gpu.minor,
            mig=gpu.mig or old.mig,
        )
    gpus = tuple(known[rank] for rank in sorted(known))
    driver = smi.driver or (before.driver if before is not None else "")
    return Nvml(NvmlState.ANSWERED, driver, smi.cuda, device_count=0 if smi.none else None, gpus=gpus, source=source)


def _system(draft: Draft, system: SystemDetails) -> SystemDetails:
    """What the report says of the system; what it does not say stays unseen."""
    groups = _group_ids(draft)
    caller = draft.caller
    if "uid" in caller:
        uid, gid, gids = caller["uid"], caller["gid"], caller["gids"]
        assert isinstance(uid, int)
        assert isinstance(gid, int)
        assert isinstance(gids, list)
        system = system._replace(caller=Caller(uid, gid, tuple(gids), groups=tuple(groups.items()), source="id"))
    if "enforcing" in draft.facts:
        booleans = draft.facts.get("booleans")
        told = tuple(booleans.items()) if isinstance(booleans, dict) else ()
        labels = tuple(draft.labels.items())
        system = system._replace(selinux=Selinux(bool(draft.facts["enforcing"]), labels, told, "report"))
    if draft.rules:
        system = system._replace(cgroups=Cgroups("v1", rules=_rules(draft), source="report"))
    if draft.log:
        system = system._replace(log=tuple(draft.log))
    runtimes = tuple(Runtime(name, "", "", tuple(s.items()), (), "report") for name, s in draft.runtimes.items())
    sizes = tuple(FileSystemSize(path, size, free, "df") for path, (size, free) in draft.sizes.items())
    cdi = tuple(CdiFile(path, text, 0o644, 0, 0, _priority(path)) for path, text in draft.cdi.items())
    return system._replace(
        runtimes=runtimes or system.runtimes,
        file_systems=sizes or system.file_systems,
        cdi=cdi or system.cdi,
        containers=tuple(Container(kind, f"line {line}", f"line {line}") for kind, line in draft.containers.items()),
        requests=tuple(Request(key, value, f"line {line}") for (key, value), line in draft.requests.items()),
        environment=tuple(draft.environment.items()),
        symptoms=tuple(_symptom(*message) for message in draft.messages),
    )


_ERRNOS: Final = {
    "open-denied-cgroup": "EPERM",
    "open-denied-mode": "EACCES",
    "open-busy": "EBUSY",
    "open-nothing": "ENXIO",
    "open-invalid": "EINVAL",
    "open-no-memory": "ENOMEM",
}


def _openings(draft: Draft) -> tuple[Opening, ...]:
    """What programs said of opening nodes: the same facts as opening them here would give."""
    found = {}
    for name, text, line in draft.messages:
        path = text.partition("\0")[0]
        if name in _ERRNOS and path.startswith("/dev/"):
            found[path] = Opening(path, _ERRNOS[name], "", f"line {line}")
    return tuple(found.values())


def _symptom(name: str, text: str, line: int) -> Symptom:
    subject, _, words = text.rpartition("\0")
    return Symptom(words, f"line {line}", name, subject)


def _priority(path: str) -> int:
    return 0 if path.startswith("/etc/") else 1


def _rules(draft: Draft) -> tuple[CgroupRules, ...]:
    """The lists of control groups: of one with a state before and after, the state after."""
    last: dict[str, str] = {}
    for key in draft.rules:
        subject, state = subject_of(key.partition("\0")[2])
        if not (subject in last and state == "before"):
            last[subject] = key
    return tuple(
        CgroupRules(key.partition("\0")[2] or "the container", tuple(draft.rules[key]), "report")
        for key in last.values()
    )
