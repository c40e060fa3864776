"""Bundles about setting up a container as the seed does it: what is mounted where, from what, in which order, by whom."""

from __future__ import annotations

import os
import shutil
from typing import Any

from tests.differential.cases import DEFAULT_MOUNTS, Case, bind, device, devices, put, tmpfs, writable
from tests.differential.process_cases import process, program, user


def written(destination: str) -> str:
    """A path that means the same, written in another way."""
    return f"/.//{destination.strip('/').replace('/', '/./')}/./"


def numbered(rootfs: str) -> None:
    """Files beside the rootfs, each with its own name in it."""
    for number in range(20):
        with open(os.path.join(os.path.dirname(rootfs), "host", f"n{number}"), "w", encoding="utf-8") as file:
            file.write(f"file {number}\n")


def nodes(rootfs: str) -> None:
    """A directory beside the rootfs that can be a /dev."""
    directory = os.path.join(os.path.dirname(rootfs), "host", "dev")
    os.makedirs(f"{directory}/pts")
    os.makedirs(f"{directory}/shm")
    os.makedirs(f"{directory}/mqueue")
    os.mknod(f"{directory}/null", 0o20640, os.makedev(1, 3))


def tool(rootfs: str) -> None:
    """A program beside the rootfs."""
    program("host/dir/tool", "#!/bin/sh\necho of a mount, as $(id -u)\n")(os.path.dirname(rootfs))


def closed(rootfs: str) -> None:
    """A directory of root's alone, with a program that is in /bin as well."""
    program("closed/echo", "#!/bin/sh\necho of root alone\n")(rootfs)
    os.chmod(os.path.join(rootfs, "closed"), 0o700)


PTS = [mount for mount in DEFAULT_MOUNTS if mount["destination"] == "/dev/pts"]
NO_DEV: list[dict[str, Any]] = [mount for mount in DEFAULT_MOUNTS if not mount["destination"].startswith("/dev")]

SEED = (
    Case(
        "mounts of every container, written in other ways",
        {"mounts": [{**mount, "destination": written(mount["destination"])} for mount in DEFAULT_MOUNTS]},
        paths=("/proc/self/exe", "/sys/class"),
        rows=("S17",),
    ),
    Case(
        "a bind on /dev",
        {"mounts": [*NO_DEV, bind("/dev", "dev", "ro"), *PTS], "linux": {"maskedPaths": []}},
        prepare=nodes,
        paths=("/dev/null", "/dev/zero", "/dev/fd"),
        rows=("S18",),
    ),
    Case(
        "sources of the bundle",
        writable(),
        [{**bind("/d", ""), "source": "host/dir"}, {**bind("/f", ""), "source": "./host/../host/file"}],
        paths=("/d/sub",),
        then="cat /f",
        rows=("S28",),
    ),
    Case(
        "twenty binds of files",
        writable(),
        [bind(f"/{'deep/' * (number % 3)}f{number}", f"n{number}") for number in range(20)],
        prepare=numbered,
        then="cat /f* /deep/f* /deep/deep/f*; ls /proc/self/fd | wc -l",
        rows=("S29", "S30"),
    ),
    Case(
        "binds of every type",
        writable(),
        [
            {**bind("/tmpfs", "dir"), "type": "tmpfs"},
            {**bind("/none", "dir"), "type": "none", "options": ["rbind", "ro"]},
            {**bind("/proc-like", "dir"), "type": "proc"},
        ],
        paths=("/tmpfs/sub", "/none/sub", "/proc-like/sub"),
        rows=("S31",),
    ),
    Case(
        "devices in read-only places",
        {
            **devices(device("/dev/sealed", "c", 1, 3, fileMode=0o600), device("/sealed/null", "c", 1, 5, uid=7, gid=8)),
            "mounts": [
                {**mount, "options": [*mount.get("options", []), "ro"]} if mount["destination"] == "/dev" else mount
                for mount in DEFAULT_MOUNTS
            ],
        },
        paths=("/sealed", "/sealed/null", "/dev/sealed"),
        then="touch /dev/x; echo $?; touch /sealed/x; echo $?",
        rows=("S36", "S37"),
    ),
    Case(
        "mount points of an ordinary user's container",
        user(1000, 1000, cwd="/") | process(user={"uid": 1000, "gid": 1000, "umask": 0o77}, capabilities={}) | writable(),
        [tmpfs("/a/b", "mode=0750"), bind("/x/file", "file"), bind("/y/dir", "dir")],
        paths=("/a", "/a/b", "/x", "/x/file", "/y", "/y/dir/sub"),
        then="umask; cat /x/file",
        rows=("S11",),
    ),
    Case(
        "a program that comes with a mount",
        process(env=["PATH=/tools:/bin"]) | writable(),
        [bind("/tools", "dir")],
        prepare=tool,
        args=("tool",),
        rows=("S13", "S14"),
    ),
    Case(
        "a program that its user cannot reach",
        user(1000, 1000, env=["PATH=/closed:/bin"]),
        prepare=closed,
        args=("echo", "of everybody"),
        rows=("S13", "S14"),
    ),
    Case(
        "an option with two signs of equality",
        writable(),
        [tmpfs("/x", "size=1=2")],
        refused=True,
        says="size=1=2",
        rows=("S22", "S23"),
    ),
    Case(
        "an unknown option with two signs of equality",
        writable(),
        [tmpfs("/x", "a=b=c")],
        refused=True,
        says="a=b=c",
        rows=("S22", "S23"),
    ),
    Case(
        "an option with a space before its sign of equality",
        writable(),
        [tmpfs("/x", "size =1m")],
        refused=True,
        says="size ",
        rows=("S25",),
    ),
    Case(
        "variables with several signs of equality",
        process(env=["PATH=/bin", "A=b=c", "B==", "C= d "]),
        then="env | grep '^[ABC]=' | sort | od -c",
        rows=("S25",),
    ),
    Case(
        "a root of an unknown propagation",
        {"linux": {"rootfsPropagation": "foo"}},
        refused=True,
        says="foo",
        rows=("S26",),
    ),
    Case("a root that is missing", prepare=shutil.rmtree, refused=True, says="rootfs", rows=("S12", "S35")),
    Case(
        "a mount below a file",
        writable(),
        [tmpfs("/first"), tmpfs("/file/below")],
        prepare=put("file"),
        refused=True,
        says="/file/below",
        rows=("S12", "S35"),
    ),
)  # fmt: skip

# What runsc alone does.
RUNSC_ALONE = (
    Case("no mounts", {"mounts": []}, paths=("/", "/proc/self", "/sys/class", "/tmp"), rows=("S5", "S8", "S19", "S20")),
    Case(
        "other types at /dev and /dev/pts",
        {"mounts": [*NO_DEV, {**tmpfs("/dev"), "type": "proc"}, tmpfs("/dev/pts", "ro")]},
        rows=("S17",),
    ),
    Case(
        "a tmpfs in the place of sysfs",
        {"mounts": [tmpfs("/sys/", "mode=0711"), *(each for each in DEFAULT_MOUNTS if each["destination"] != "/sys")]},
        paths=("/sys", "/sys/class"),
        rows=("S17",),
    ),
)
RUNSC_REFUSES = (
    Case("a relative destination", mounts=[tmpfs("relative")], refused=True, says="relative", rows=("S26",)),
    Case(
        "a bind with an option nobody knows", mounts=[bind("/x", "dir", "foo")], refused=True, says="foo", rows=("S26",)
    ),
    Case(
        "a bind without a source",
        mounts=[{"destination": "/x", "type": "bind", "source": "", "options": ["bind"]}],
        refused=True,
        says="source",
        rows=("S32",),
    ),
)
