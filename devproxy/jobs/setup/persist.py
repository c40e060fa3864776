"""Settings that make the next boot ready too: a list of modules to load, a udev rule, and a unit that runs setup.

A file is devproxy's if its first line says so and the rest is what that line's checksum is of: one that somebody wrote, or changed, is
left alone. Nothing is reloaded here: a daemon-reload takes GPUs from containers that run (dev-char-link-missing), systemd and udevd
find new files by themselves, and what has to be done for this boot is done.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys

from devproxy.errors import DevproxyError, InputError
from devproxy.jobs.setup.action import FileChange, LinkChange, NodeChange, Obstacle, Standing
from devproxy.jobs.setup.apply import read_file
from devproxy.jobs.setup.place import directory
from devproxy.process import run
from devproxy.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Final

    from devproxy.host.facts import Host
    from devproxy.jobs.setup.action import Action

UNIT: Final = "devproxy-setup.service"
_UNITS: Final = "/etc/systemd/system"
UNIT_FILE: Final = f"{_UNITS}/{UNIT}"
ENABLED: Final = f"{_UNITS}/multi-user.target.wants/{UNIT}"
RULE_FILE: Final = "/etc/udev/rules.d/70-devproxy.rules"
MODULES_FILE: Final = "/etc/modules-load.d/devproxy.conf"
_MARK: Final = (
    "# written by 'devproxy setup --persist', which replaces or removes it as long as nobody else changes it: sha256 "
)
_START: Final = f'TAG+="systemd", ENV{{SYSTEMD_WANTS}}+="{UNIT}"'

_RULE: Final = """\
# NVIDIA's driver has no device class: that its modules come is all that udev can see. A major may be another one then.
ACTION=="add", SUBSYSTEM=="module", KERNEL=="nvidia|nvidia_uvm|nvidia_modeset", {start}
"""
_TPU_RULE: Final = """\
# TPUs: a chip with Google's driver, and groups of vfio, which setup looks at to see whose they are.
ACTION=="add", SUBSYSTEM=="accel", KERNEL=="accel[0-9]*", ATTRS{{vendor}}=="0x1ae0", {start}
ACTION=="add", SUBSYSTEM=="vfio", KERNEL=="[0-9]*", {start}
"""
_UNIT: Final = """\
[Unit]
Description=Device nodes, links and modules of GPUs and TPUs (devproxy setup)
After=systemd-modules-load.service systemd-udevd.service
Before=docker.service containerd.service crio.service kubelet.service slurmd.service

[Service]
Type=oneshot
ExecStart={command}
# Exit code 3 is a host that is not ready, and says why in the journal.
TimeoutStartSec=2min
StateDirectory=devproxy
StateDirectoryMode=0755
# Where leases are kept, for every user: it stays when this is done.
RuntimeDirectory=devproxy-leases
RuntimeDirectoryMode=0755
RuntimeDirectoryPreserve=yes
UMask=0022
# What it needs: to make nodes and give them away, to load modules, to see who holds devices.
CapabilityBoundingSet=CAP_MKNOD CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE CAP_SYS_MODULE CAP_SYS_PTRACE
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectHostname=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_NETLINK
SystemCallArchitectures=native
# Not PrivateDevices=, ProtectClock= or DeviceAllow=: each of them forbids to make device nodes.

[Install]
WantedBy=multi-user.target
"""


class Program(Record):
    """How the unit starts devproxy: its words, and what root will execute then, which must be nobody else's to change."""

    words: tuple[str, ...]
    files: tuple[str, ...]


def this_program(*arguments: str) -> Program:
    """The devproxy that runs, started without anything of the environment (`-I`)."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    files = [os.path.join(place, name) for place, _, names in os.walk(package) for name in names]
    return Program((sys.executable, "-I", "-m", "devproxy", "setup", "--text", *arguments), (sys.executable, *files))


def texts(host: Host, program: Program) -> dict[str, str]:
    """The files that a host like this needs, by path: the text with devproxy's mark."""
    rules, modules = "", ""
    if host.nvidia is not None:
        rules += _RULE.format(start=_START)
        modules = "nvidia-uvm\n"
    if host.tpus:
        rules += _TPU_RULE.format(start=_START)
    found = {MODULES_FILE: modules, RULE_FILE: rules, UNIT_FILE: _UNIT.format(command=_command(program.words))}
    return {path: marked(text) for path, text in found.items() if text} if rules else {}


def marked(text: str) -> str:
    """A text behind the line by which it is known again."""
    return f"{_MARK}{hashlib.sha256(text.encode()).hexdigest()}\n{text}"


def is_ours(text: str) -> bool:
    """Whether a file's text was written by `marked`, and not changed since."""
    first, _, rest = text.partition("\n")
    return first.startswith(_MARK) and text == marked(rest)


def persist_changes(wanted: dict[str, str], *, live: bool) -> tuple[tuple[Action, ...], tuple[Obstacle, ...]]:
    """What is to be done in /etc; for a recorded host, of which that is not known, as if nothing were there."""
    found: list[FileChange | LinkChange | Obstacle | None]
    found = [_file_change(path, text, live=live) for path, text in wanted.items()]
    obstacles = [each for each in found if isinstance(each, Obstacle)]
    if UNIT_FILE in wanted and not any(each.path == UNIT_FILE for each in obstacles):
        found.append(_enabled(live=live))
    actions: list[Action] = [each for each in found if each is not None and not isinstance(each, Obstacle)]
    obstacles = [each for each in found if isinstance(each, Obstacle)]
    return (*(_directories([each.path for each in actions]) if live else ()), *actions), tuple(obstacles)


def _directories(paths: Sequence[str]) -> Iterator[NodeChange]:
    """Those that are missing, outermost first."""
    seen: set[str] = set()
    for path in paths:
        parts = path.split("/")[1:-1]
        for length in range(1, len(parts) + 1):
            place = "/" + "/".join(parts[:length])
            if place not in seen and not os.path.lexists(place):
                yield NodeChange(place, None, Standing("d", None, 0o755), "settings belong there", place)
            seen.add(place)


def _file_change(path: str, text: str, *, live: bool) -> FileChange | Obstacle | None:
    before = None
    if live:
        try:
            before = _read(path)
        except DevproxyError as error:
            return Obstacle(path, error.message, error.hint or f"ls -l {path}")
    if before == text:
        return None
    if before is not None and not is_ours(before):
        return Obstacle(
            path, "is not devproxy's, or was changed since, and is not written over", f"mv {path} {path}.old"
        )
    return FileChange(path, before, text, "so that the next boot is ready too", path)


def _read(path: str) -> str | None:
    parent, name = os.path.split(path)
    try:
        with directory(parent) as folder:
            return read_file(folder, name)
    except FileNotFoundError:
        return None


def _enabled(*, live: bool) -> LinkChange | Obstacle | None:
    """The link that `systemctl enable` makes."""
    wanted = LinkChange(ENABLED, None, UNIT_FILE, "the unit is started at boot ('systemctl enable')", UNIT_FILE)
    if not live or not os.path.lexists(ENABLED):
        return wanted
    if os.path.realpath(ENABLED) == UNIT_FILE:
        return None
    return Obstacle(ENABLED, "is there, and is no link to devproxy's unit", f"ls -l {ENABLED}")


def require_trustworthy(program: Program) -> None:
    """What root starts at every boot must start, and be nobody else's to change.

    Errors: InputError for a file or a directory above it that somebody else than root owns or can write; DevproxyError where
    devproxy is not installed for the interpreter that the unit starts.
    """
    known: set[str] = set()
    for path in program.files:
        place = os.path.realpath(path)
        while place not in known:
            known.add(place)
            found = os.stat(place)
            sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
            if found.st_uid or (found.st_mode & 0o022 and not sticky):
                told = f"{place} is of uid {found.st_uid} with mode {stat.S_IMODE(found.st_mode):04o}"
                hint = "install devproxy where only root can write, as in /opt/devproxy"
                raise InputError(
                    f"{told}: a unit of root's that runs {path} would be whoever can write there", hint=hint
                )
            place = os.path.dirname(place)
    run([*program.words[:4], "--version"])


def _command(words: Sequence[str]) -> str:
    """A command line as systemd reads it (systemd.service(5), "Command lines"): % and $ doubled, each word quoted if need be."""
    return " ".join(_word(word) for word in words)


def _word(word: str) -> str:
    if not word.isprintable():
        raise DevproxyError(f"{word!r} cannot stand in a unit: it has characters that cannot be printed")
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    plain = all(each.isalnum() or each in "/._-=+:,@" for each in word)
    return escaped if plain else f'"{escaped}"'
