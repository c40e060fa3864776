"""The bundles that are compared with the peers. Each is a change to what `runc spec` writes, and what to look at."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from _pytest.mark import ParameterSet

from tests.bundles import runc_spec_like, write_bundle
from tests.differential.decisions import Decision
from tests.differential.view import observer

ALL = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_SETUID"]
DEFAULT_MOUNTS: list[dict[str, Any]] = runc_spec_like()["mounts"]


@dataclass(frozen=True, eq=False)
class Case:
    """A bundle: its config, what its rootfs holds, which paths to look at, and what else its process prints.

    With `args` it is that process that runs, not the observer: then its output and exit code are what is compared. A bundle
    that is `refused` is one that nobody should start, and devproxy's message has what it `says`. `rows` are those that the
    case covers beside a peer.
    """

    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    mounts: list[dict[str, Any]] = field(default_factory=list)
    prepare: Callable[[str], None] = lambda _: None
    paths: tuple[str, ...] = ()
    then: str = ""
    args: tuple[str, ...] = ()
    refused: bool = False
    says: str = ""
    rows: tuple[str, ...] = ()

    def write(self, directory: str) -> str:
        """Write the bundle and return its path. `@HOST@` in a mount's source or options is a directory made beside
        it."""
        host = os.path.join(directory, "host")
        os.makedirs(os.path.join(host, "dir", "sub"))
        with open(os.path.join(host, "file"), "w", encoding="utf-8") as file:
            file.write("of the host\n")
        mounts = [
            {
                **mount,
                "source": str(mount["source"]).replace("@HOST@", host),
                "options": [option.replace("@HOST@", host) for option in mount.get("options", [])],
            }
            for mount in [*self.changes.get("mounts", DEFAULT_MOUNTS), *self.mounts]
        ]
        config = runc_spec_like(**{**self.changes, "mounts": mounts})
        config["process"]["args"] = list(self.args) or observer(list(self.paths), self.then)
        bundle = write_bundle(directory, config)
        self.prepare(os.path.join(bundle, "rootfs"))
        return bundle


def beside(
    peer: str, cases: Iterable[Case], decisions: Iterable[Decision], unseen: Iterable[str] = ()
) -> list[ParameterSet]:
    """Cases as parameters that name the rows they cover, but for those `unseen` here or that a decision lets differ."""
    excused = {row for decision in decisions for row in re.findall(r"\b[SH]\d+\b", decision.name)} | set(unseen)
    return [_traced(peer, case, [row for row in case.rows if row not in excused]) for case in cases]


def _traced(peer: str, case: Case, rows: list[str]) -> ParameterSet:
    return pytest.param(case, id=case.name, marks=[pytest.mark.rows(*rows, oracle=peer)] if rows else [])


def tmpfs(destination: str, *options: str) -> dict[str, Any]:
    """A tmpfs mount."""
    return {"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": list(options)}


def bind(destination: str, source: str, *options: str) -> dict[str, Any]:
    """A bind mount."""
    return {"destination": destination, "type": "bind", "source": f"@HOST@/{source}", "options": ["bind", *options]}


def device(path: str, kind: str, major: int, minor: int, **more: int) -> dict[str, Any]:
    """An entry of linux.devices."""
    return {"path": path, "type": kind, "major": major, "minor": minor, **more}


def devices(*entries: dict[str, Any]) -> dict[str, Any]:
    """A `linux` member with these devices, and the right to make and open them."""
    return {"linux": {"devices": list(entries), "resources": {"devices": [{"allow": True, "access": "rwm"}]}}}


def writable(**more: Any) -> dict[str, Any]:
    return {"root": {"readonly": False}, **more}


def put(*paths: str) -> Callable[[str], None]:
    """Files and, with a trailing slash, directories in the rootfs."""

    def prepare(rootfs: str) -> None:
        for path in paths:
            whole = os.path.join(rootfs, path)
            if path.endswith("/"):
                os.makedirs(whole, exist_ok=True)
            else:
                with open(whole, "w", encoding="utf-8") as file:
                    file.write("of the image\n")

    return prepare


def links(**links: str) -> Callable[[str], None]:
    def prepare(rootfs: str) -> None:
        for name, target in links.items():
            path = os.path.join(rootfs, name)
            if os.path.isdir(path):
                os.rmdir(path)
            os.symlink(target, path)

    return prepare


def no_tmp(rootfs: str) -> None:
    os.rmdir(os.path.join(rootfs, "tmp"))


def both(*steps: Callable[[str], None]) -> Callable[[str], None]:
    def prepare(rootfs: str) -> None:
        for step in steps:
            step(rootfs)

    return prepare


CASES = (
    Case(
        "runc-spec",
        paths=("/", "/tmp", "/proc/kcore", "/sys/firmware"),
        then="hostname; id; pwd; exit 7",
        rows=("S4", "S5", "S6", "S8"),
    ),
    Case("writable root", writable(), then="touch /made && echo made; ls /"),
    Case(
        "tmpfs options",
        mounts=[tmpfs("/t", "size=64k", "mode=0711", "uid=5", "gid=6", "noexec", "nosuid", "nodev")],
        prepare=put("t/"),
        paths=("/t",),
        then="df -k /t | tail -1 | tr -s ' ' | cut -d' ' -f2; echo '#!/bin/sh' > /t/x; chmod 755 /t/x; /t/x; echo $?",
        rows=("S54",),
    ),
    Case(
        "read-only tmpfs",
        mounts=[tmpfs("/t", "ro"), tmpfs("/t/in", "rw")],
        prepare=put("t/"),
        paths=("/t", "/t/in"),
        then="touch /t/x; echo $?; touch /t/in/x; echo $?",
        rows=("S36",),
    ),
    Case(
        "binds of directories and files",
        mounts=[bind("/d", "dir"), bind("/f", "file"), bind("/ro", "dir", "ro"), bind("/etc/file", "file", "ro")],
        prepare=put("d/", "f", "ro/"),
        changes=writable(),
        paths=("/d/sub", "/f", "/ro/sub", "/etc/file"),
        then="cat /f /etc/file; touch /ro/x; echo $?; touch /d/x; echo $?; rm /d/x",
    ),
    Case(
        "mount points that are missing",
        changes=writable(),
        mounts=[tmpfs("/a/b/c", "mode=0700"), bind("/x/y/file", "file"), bind("/x/z", "dir")],
        paths=("/a", "/a/b", "/a/b/c", "/x", "/x/y", "/x/y/file", "/x/z/sub"),
        then="cat /x/y/file",
        rows=("S50",),
    ),
    Case(
        "parents before children in the spec",
        mounts=[tmpfs("/p", "mode=0755"), tmpfs("/p/q", "mode=0711"), bind("/p/q/r", "dir"), tmpfs("/p/q/r/sub")],
        prepare=put("p/"),
        paths=("/p/q", "/p/q/r", "/p/q/r/sub"),
        rows=("S20", "S33"),
    ),
    Case(
        "two mounts at one place",
        mounts=[tmpfs("/s", "mode=0700"), tmpfs("/s", "mode=0711")],
        prepare=put("s/"),
        paths=("/s",),
        rows=("S33",),
    ),
    Case(
        "destinations through symbolic links",
        changes=writable(),
        prepare=both(put("real/", "up/"), links(absolute="/real", dotted="../../../up", chain="absolute")),
        mounts=[tmpfs("/chain/in", "mode=0700"), bind("/dotted/d", "dir")],
        paths=("/absolute", "/real/in", "/up/d/sub", "/chain"),
        rows=("S52", "H23"),
    ),
    Case(
        "destinations with dots",
        changes=writable(),
        mounts=[tmpfs("/one/./two", "mode=0700"), tmpfs("/one/../three", "mode=0711"), tmpfs("/../four")],
        paths=("/one/two", "/three", "/four"),
        rows=("S51",),
    ),
    Case(
        "devices of every kind",
        changes=devices(
            device("/dev/loop0", "b", 7, 0, fileMode=0o640, uid=3, gid=4),
            device("/dev/nought", "c", 1, 5, fileMode=0o604),
            device("/dev/unbuffered", "u", 1, 3, gid=9),
            {"path": "/dev/pipe", "type": "p", "fileMode": 0o622, "uid": 1},
            device("/dev/sub/dir/null", "c", 1, 3, fileMode=0o666),
        )
        | {"process": {"capabilities": dict.fromkeys(("bounding", "effective", "permitted"), ALL)}},
        paths=("/dev/sub", "/dev/sub/dir"),
        then="echo x > /dev/sub/dir/null && echo written; head -c 3 /dev/nought | od -An -tx1",
        rows=("S7", "H2", "S66", "S70"),
    ),
    Case(
        "a device outside /dev",
        changes={**writable(), **devices(device("/outside/null", "c", 1, 3, fileMode=0o600))},
        paths=("/outside", "/outside/null"),
        rows=("S68", "S71"),
    ),
    Case(
        "a device that exists already",
        changes=devices(device("/dev/null", "c", 1, 3, fileMode=0o600, uid=7)),
        paths=("/dev/null",),
        rows=("S69",),
    ),
    Case(
        "an ordinary user",
        changes={
            "process": {
                "user": {"uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 0o27},
                "cwd": "/home",
                "capabilities": {},
                "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}],
            }
        },
        prepare=put("home/"),
        mounts=[tmpfs("/t", "mode=0777")],
        then="id; pwd; umask; ulimit -n; ulimit -Hn; touch /t/f; stat -c '%a %u %g' /t/f; grep -E '^(Cap|NoNew)' /proc/self/status",
        rows=("S11", "S13"),
    ),
    Case(
        "capabilities and environment",
        changes={
            "process": {
                "env": ["PATH=/bin", "A=1", "EMPTY=", "A=2"],
                "capabilities": {
                    "bounding": [*ALL, "CAP_SYS_CHROOT"],
                    "permitted": ALL,
                    "effective": ALL[:3],
                    "inheritable": ["CAP_KILL"],
                    "ambient": ["CAP_KILL"],
                },
                "noNewPrivileges": False,
            }
        },
        then="env | grep -v -E '^(HOME|PWD|SHLVL|OLDPWD|_)=' ; grep -E '^(Cap|NoNew)' /proc/self/status",
    ),
    # Without a pid namespace, whose first process is safe from its own signals.
    Case("the process is killed", {"linux": {"namespaces": [{"type": "mount"}]}, "hostname": None}, then="kill -9 $$"),
    Case(
        "masked and read-only paths of the image",
        changes={
            "linux": {"maskedPaths": ["/secret", "/hidden", "/absent"], "readonlyPaths": ["/fixed"]},
            **writable(),
        },
        prepare=put("secret", "hidden/", "fixed/"),
        paths=("/hidden", "/fixed"),
        then="cat /secret; ls /hidden; touch /hidden/x; echo $?; touch /fixed/x; echo $?",
    ),
    Case("no /tmp in the image", prepare=no_tmp, changes=writable(), paths=("/tmp",), rows=("S58",)),
    Case("a /tmp with something in it", prepare=put("tmp/kept"), paths=("/tmp", "/tmp/kept"), rows=("S58",)),
    Case("a /tmp of the spec", mounts=[tmpfs("/tmp", "mode=0700")], paths=("/tmp",), rows=("S57",)),
)
