"""The mount options of the OCI runtime spec, parsed (config.md, "Linux mount options").

Every option has one meaning for all file systems; what is left is data for the file system itself. Of two options that
contradict each other the last one wins (S24, S27). A file system's values (`size=`, `mode=`) are its own to check (S54),
its keys are checked here, so that a misspelt option is named before anything is mounted.
"""

from __future__ import annotations

from devproxy.errors import InputError
from devproxy.mount_options import NO_ATTRIBUTES, Attribute, Change, MountOptions, Propagation
from devproxy.oci.json_path import JsonValue, quote
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_SETS = {
    "ro": Attribute.RDONLY,
    "nosuid": Attribute.NOSUID,
    "nodev": Attribute.NODEV,
    "noexec": Attribute.NOEXEC,
    "nodiratime": Attribute.NODIRATIME,
    "nosymfollow": Attribute.NOSYMFOLLOW,
}
_CLEARS = {
    "rw": Attribute.RDONLY,
    "suid": Attribute.NOSUID,
    "dev": Attribute.NODEV,
    "exec": Attribute.NOEXEC,
    "diratime": Attribute.NODIRATIME,
    "symfollow": Attribute.NOSYMFOLLOW,
}
# What each option adds to the atime field and what it drops from it; relatime is the field's zero.
_ATIME_BOTH = Attribute.NOATIME | Attribute.STRICTATIME
_ATIMES = {
    "noatime": (Attribute.NOATIME, _ATIME_BOTH),
    "strictatime": (Attribute.STRICTATIME, _ATIME_BOTH),
    "relatime": (NO_ATTRIBUTES, _ATIME_BOTH),
    "atime": (NO_ATTRIBUTES, Attribute.NOATIME),
    "nostrictatime": (NO_ATTRIBUTES, Attribute.STRICTATIME),
    "norelatime": (NO_ATTRIBUTES, NO_ATTRIBUTES),
}
_OPPOSITES = {"async": "sync", "nomand": "mand", "noiversion": "iversion", "nolazytime": "lazytime"}
_SUPERBLOCK = {*_OPPOSITES.values(), "dirsync"}
# What the kernel logs meanwhile is nothing that a container could see.
_WITHOUT_EFFECT = {"defaults", "silent", "loud"}
_PROPAGATIONS = {kind.value: kind for kind in Propagation}

_TMPFS = frozenset(
    ("gid", "huge", "inode32", "inode64", "mode", "mpol", "noswap", "nr_blocks", "nr_inodes", "size", "uid")
)
_CGROUP1 = (
    "all none name xattr noprefix clone_children release_agent blkio cpu cpuacct cpuset devices freezer hugetlb job "
    "memory misc net_cls net_prio perf_event pids rdma"
)
_CGROUP2 = "nsdelegate favordynmods memory_localevents memory_recursiveprot memory_hugetlb_accounting pids_localevents"
# What an overlay takes apart from its layers, with the values that go; of metacopy and verity, which say that a layer has
# the data of another's files, `off` alone.
_SWITCH = ("on", "off")
_OVERLAY: dict[str, tuple[str, ...]] = {
    "default_permissions": (),
    "index": _SWITCH,
    "metacopy": ("off",),
    "nfs_export": _SWITCH,
    "redirect_dir": ("on", "off", "follow", "nofollow"),
    "userxattr": (),
    "uuid": ("auto", "null", *_SWITCH),
    "verity": ("off",),
    "volatile": (),
    "xino": ("auto", *_SWITCH),
}
_DATA: dict[str, frozenset[str]] = {
    "bind": frozenset(),
    "tmpfs": _TMPFS,
    "devtmpfs": _TMPFS,
    "devpts": frozenset(("newinstance", "ptmxmode", "mode", "gid", "uid", "max")),
    "proc": frozenset(("hidepid", "gid", "subset")),
    "sysfs": frozenset(),
    "none": frozenset(),  # without bind it is a sysfs (S49)
    "mqueue": frozenset(),
    "overlay": frozenset(_OVERLAY),
    "cgroup": frozenset(_CGROUP1.split()),
    "cgroup2": frozenset(_CGROUP2.split()),
}


MET_ANYWAY = frozenset(("overlayfs_stale_read", "disable_file_handle_sharing"))
"""What a bind may ask of a gofer (H21) and has here unasked: an open file is one descriptor of the host's, closed when it is
closed, and an overlay of the host's shows in it what was written since.
"""


class ParsedOptions(Record):
    """Options, and those among them that a runtime may lack (`tmpcopyup`) or that are a gofer's (H21)."""

    options: MountOptions
    unsupported: tuple[str, ...]


def parse_options(words: Iterable[JsonValue], fstype: str) -> ParsedOptions:
    """The options of one mount whose `type` is `fstype`; `bind` and `rbind` make it a bind (S31).

    Errors: InputError for an option that neither the spec nor the file system knows, and for those that must not be
    left out (idmap, remount).
    """
    parser = _Parser()
    data = [word for word in words if not parser.take(word)]
    kind = "bind" if parser.bind else fstype
    if kind == "bind":
        data = [word for word in data if not _is_of_a_gofer(word, parser.unsupported)]
    for word in data:
        _check_data(word, kind)
    return ParsedOptions(parser.finish(tuple(word.text() for word in data), kind), tuple(parser.unsupported))


class _Parser:
    """Collects options one by one; `take` says whether the word was one of the spec's."""

    def __init__(self) -> None:
        self.bind = False
        self.recursive_bind = False
        self.change = Change()
        self.recursive = Change()
        self.superblock: dict[str, None] = {}
        self.propagation: list[tuple[Propagation, bool]] = []
        self.unsupported: list[str] = []

    def take(self, word: JsonValue) -> bool:
        name = word.text()
        if name in ("idmap", "ridmap"):
            raise word.wrong("no id-mapped mount", hint="id-mapped mounts are not supported yet; leave the option out")
        if name == "remount":
            raise word.wrong("an option of a new mount", hint="set the options on the first mount instead")
        return self._take_change(name) or self._take_superblock(name) or self._take_kind(name)

    def finish(self, data: tuple[str, ...], kind: str) -> MountOptions:
        """The options. A bind cannot change its file system's flags, and none can be asked to count versions (fsconfig(2))."""
        left_out = [name for name in self.superblock if kind == "bind" or name == "iversion"]
        self.unsupported += left_out
        return MountOptions(
            bind=kind == "bind",
            recursive_bind=self.recursive_bind,
            change=self.change,
            recursive=self.recursive,
            superblock=tuple(name for name in self.superblock if name not in left_out),
            propagation=tuple(self.propagation),
            data=data,
        )

    def _take_change(self, name: str) -> bool:
        change = _changed(self.change, name)
        if change is not None:
            self.change = change
            return True
        recursive = _changed(self.recursive, name[1:]) if name.startswith("r") else None
        if recursive is not None:
            self.recursive = recursive
        return recursive is not None

    def _take_superblock(self, name: str) -> bool:
        if name in _SUPERBLOCK:
            self.superblock[name] = None
        elif name in _OPPOSITES:
            self.superblock.pop(_OPPOSITES[name], None)
        else:
            return name in _WITHOUT_EFFECT
        return True

    def _take_kind(self, name: str) -> bool:
        recursive = name.startswith("r")
        kind = _PROPAGATIONS.get(name[1:] if recursive else name)
        if kind is not None:
            self.propagation.append((kind, recursive))
        elif name in ("bind", "rbind"):
            self.bind = True
            self.recursive_bind = self.recursive_bind or recursive
        elif name == "tmpcopyup":
            self.unsupported.append(name)
        else:
            return False
        return True


def _changed(change: Change, name: str) -> Change | None:
    """`change` after the option `name`, or None if it is no option about attributes."""
    if name in _SETS:
        bit = _SETS[name]
        return change._replace(set=change.set | bit, clear=change.clear & ~bit)
    if name in _CLEARS:
        bit = _CLEARS[name]
        return change._replace(set=change.set & ~bit, clear=change.clear | bit)
    if name in _ATIMES:
        adds, drops = _ATIMES[name]
        return change._replace(set=(change.set & ~drops) | adds, atime=True)
    return None


def _is_of_a_gofer(word: JsonValue, unsupported: list[str]) -> bool:
    """Whether an option of a bind is about the process that gVisor puts before the host's files (H21). Errors: InputError."""
    name, equals, number = word.text().partition("=")
    if name == "dcache" and equals:
        if not (number.isascii() and number.isdecimal()):
            raise word.wrong("dcache=N with the number of names to keep")
    elif word.text() not in MET_ANYWAY:
        return False
    unsupported.append(word.text())
    return True


def _check_data(word: JsonValue, kind: str) -> None:
    option = word.text()
    known = _DATA.get(kind)
    if known is None:  # a type that is not mounted: the planner says so (S48)
        return
    key, *values = option.split("=")
    # A NUMA policy has signs of its own.
    if key != "mpol" and "," in option:
        raise word.wrong("one option; options are separate strings")
    if key not in known:
        taken = f"; {kind} takes {', '.join(sorted(known))}" if known else ""
        raise InputError(f"{word.path} is {quote(option)}, which is no mount option of {kind}{taken}")
    if key != "mpol" and len(values) > 1:
        raise word.wrong(f"{key}=VALUE with one =")
    if kind == "overlay" and (values[0] if values else "") not in (_OVERLAY[key] or ("",)):
        raise word.wrong(f"{key}={' or '.join(_OVERLAY[key])}" if _OVERLAY[key] else f"{key} without a value")
