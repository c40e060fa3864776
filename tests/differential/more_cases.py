"""The rest of the bundles that are compared with the peers, by what they are about."""

from __future__ import annotations

import os
from typing import Any

from tests.differential.cases import (
    Case,
    bind,
    both,
    device,
    devices,
    links,
    no_tmp,
    put,
    tmpfs,
    writable,
)
from tests.differential.link_cases import LINKS, NOWHERE
from tests.differential.process_cases import PROGRAMS, USERS


def image_device(rootfs: str) -> None:
    """A null device that the image brings."""
    os.mkdir(f"{rootfs}/img")
    os.mknod(f"{rootfs}/img/null", 0o20644, os.makedev(1, 3))


def host_root(destination: str, *options: str) -> dict[str, Any]:
    """The machine's own `/` as a source."""
    return {"destination": destination, "type": "bind", "source": "/", "options": list(options)}


# What is listed is text alone: runc's own mounts of the bundle are below the machine's `/` too.
MACHINES_ROOT = tuple(
    Case(
        name,
        mounts=mounts,
        prepare=put("aaa/", "hostroot/"),
        args=(
            "sh",
            "-c",
            "ls -a /hostroot; ls -ln /hostroot/proc/self/exe >/dev/null && echo proc; cat /hostroot/etc/passwd",
        ),
    )
    for name, mounts in (
        ("the machine's root", [host_root("/hostroot", "rbind", "rprivate")]),
        ("the machine's root alone, without what is mounted in it", [host_root("/hostroot", "bind")]),
        (
            "the machine's root after another bind with a propagation",
            [bind("/aaa", "dir", "rprivate"), host_root("/hostroot", "rbind", "rprivate")],
        ),
        (
            "the machine's root after a read-only mount that is hidden",
            [tmpfs("/aaa", "ro"), tmpfs("/aaa", "mode=0711"), host_root("/hostroot", "rbind", "ro")],
        ),
    )
)
ORDERS = (
    Case(
        "children listed before their parents",
        mounts=[tmpfs("/late/q", "mode=0711"), tmpfs("/late", "mode=0755")],
        changes=writable(),
        paths=("/late", "/late/q"),
        rows=("S20", "S33"),
    ),
    Case(
        "fifteen mounts",
        mounts=[tmpfs(f"/m{number}", f"mode=07{number % 8}{number % 5}") for number in range(15)],
        changes=writable(),
        paths=tuple(f"/m{number}" for number in range(15)),
        rows=("S33",),
    ),
    Case(
        "fifteen mounts inside each other",
        mounts=[tmpfs("/deep" * depth, f"mode=07{depth % 8}1") for depth in range(1, 16)],
        changes=writable(),
        paths=tuple("/deep" * depth for depth in range(1, 16)),
        rows=("S33",),
    ),
    Case(
        "three mounts at one place, and one inside",
        mounts=[
            tmpfs("/w", "mode=0700"),
            tmpfs("/w", "mode=0711"),
            tmpfs("/w", "mode=0755"),
            tmpfs("/w/in", "mode=0701"),
        ],
        changes=writable(),
        paths=("/w", "/w/in"),
        rows=("S33",),
    ),
    Case(
        "mounts below /dev",
        mounts=[
            tmpfs("/dev/a", "mode=0700"),
            tmpfs("/dev/a/b", "mode=0711"),
            bind("/dev/c", "dir"),
            bind("/dev/d", "file"),
        ],
        paths=("/dev/a", "/dev/a/b", "/dev/c/sub", "/dev/d"),
    ),
)
TMPS = (
    Case(
        "a /tmp that is a link to an empty directory",
        prepare=both(put("scratch/"), links(tmp="scratch")),
        paths=("/tmp",),
        rows=("S59",),
    ),
    Case(
        "a /tmp that is a link to a full directory",
        prepare=both(put("scratch/", "scratch/kept"), links(tmp="/scratch")),
        paths=("/tmp", "/scratch", "/tmp/kept"),
    ),
    Case("a /tmp that is a file", prepare=both(no_tmp, put("tmp")), paths=("/tmp",), rows=("S58",)),
    Case("a /tmp that is a link to nowhere", prepare=both(no_tmp, links(tmp="scratch")), paths=("/tmp",)),
    Case("a /tmp that is a link to itself", prepare=both(no_tmp, links(tmp="tmp")), paths=("/tmp",)),
    Case("a mount below /tmp", mounts=[tmpfs("/tmp/in", "mode=0711")], changes=writable(), paths=("/tmp/in",)),
    Case("a /tmp of the spec with a slash", mounts=[tmpfs("/tmp/", "mode=0701")], paths=("/tmp",), rows=("S57",)),
    Case("a bind at /tmp", mounts=[bind("/tmp", "dir")], paths=("/tmp", "/tmp/sub"), rows=("S57",)),
    Case("a /tmp that nobody may enter", prepare=lambda root: os.chmod(f"{root}/tmp", 0o700), paths=("/tmp",)),
)
TMPFS = (
    Case(
        "a tmpfs of a megabyte",
        changes=writable(),
        mounts=[tmpfs("/x", "size=1m", "mode=1777")],
        paths=("/x",),
        rows=("S54",),
    ),
    Case(
        "a tmpfs with few inodes",
        changes=writable(),
        mounts=[tmpfs("/x", "nr_inodes=20")],
        then="df -i /x | tail -1 | tr -s ' ' | cut -d' ' -f2",
    ),
    Case(
        "a tmpfs of a user",
        changes=writable(),
        mounts=[tmpfs("/x", "uid=7", "gid=8", "mode=0750")],
        paths=("/x",),
        rows=("S54",),
    ),
    Case(
        "a tmpfs without access times", changes=writable(), mounts=[tmpfs("/x", "noatime", "nodiratime")], rows=("S24",)
    ),
    Case("a tmpfs with strict access times", changes=writable(), mounts=[tmpfs("/x", "strictatime")]),
    Case(
        "options that undo each other",
        changes=writable(),
        mounts=[tmpfs("/x", "ro", "nosuid", "noexec", "rw", "suid", "exec")],
        rows=("S24",),
    ),
    *(
        Case(
            f"a tmpfs with {option}",
            changes=writable(),
            mounts=[tmpfs("/x", option)],
            then="df /x | tail -1 | tr -s ' '",
        )
        for option in ("huge=always", "mpol=default", "size=0x100000", "size=010000", "inode64", "uid=010", "size=0")
    ),
    Case(
        "a tmpfs of no size",
        mounts=[tmpfs("/x", "size=1x")],
        changes=writable(),
        refused=True,
        rows=("S47", "S54"),
    ),
    Case("a tmpfs of no mode", mounts=[tmpfs("/x", "mode=9")], changes=writable(), refused=True, rows=("S54",)),
    Case("a tmpfs of no user", mounts=[tmpfs("/x", "uid=-1")], changes=writable(), refused=True, rows=("S54",)),
    Case(
        "a tmpfs with an option nobody knows",
        mounts=[tmpfs("/x", "colour=red")],
        changes=writable(),
        refused=True,
        rows=("S54",),
    ),
)
BINDS = (
    Case(
        "a file over a file",
        prepare=put("over"),
        mounts=[bind("/over", "file")],
        paths=("/over",),
        then="cat /over",
        rows=("S52", "S53", "H23"),
    ),
    Case(
        "a directory over a full one",
        prepare=put("full/", "full/hidden"),
        mounts=[bind("/full", "dir")],
        paths=("/full", "/full/sub", "/full/hidden"),
    ),
    Case(
        "a file over a link",
        changes=writable(),
        prepare=both(put("behind"), links(before="behind")),
        mounts=[bind("/before", "file")],
        paths=("/before", "/behind"),
        then="cat /behind",
        rows=("S52", "H23"),
    ),
    Case(
        "one source at two places",
        changes=writable(),
        mounts=[bind("/one", "dir"), bind("/two", "dir", "ro")],
        paths=("/one/sub", "/two/sub"),
        then="touch /one/x && ls /two && rm /one/x; touch /two/y; echo $?",
        rows=("S29",),
    ),
    Case(
        "a bind with every restriction",
        changes=writable(),
        mounts=[bind("/x", "dir", "ro", "nosuid", "nodev", "noexec", "noatime")],
        paths=("/x",),
        rows=("S24", "S27", "H24"),
    ),
    Case(
        "a recursive bind",
        changes=writable(),
        mounts=[{**bind("/x", "dir"), "options": ["rbind", "nosuid"]}],
        paths=("/x/sub",),
        rows=("S31",),
    ),
    Case(
        "type none with a bind option",
        changes=writable(),
        mounts=[{**bind("/x", "dir"), "type": "none"}],
        paths=("/x/sub",),
        rows=("S31",),
    ),
    Case(
        "a bind in a read-only root",
        prepare=put("d/", "f"),
        mounts=[bind("/d", "dir"), bind("/f", "file")],
        then="touch /d/x && rm /d/x; echo $?; touch /y; echo $?",
    ),
    Case(
        "a program on a mount without exec",
        changes=writable(),
        mounts=[tmpfs("/x", "noexec")],
        then="cp /bin/busybox /x/true; /x/true; echo $?",
        rows=("S55",),
    ),
    Case(
        "a file over a directory",
        prepare=put("over/"),
        mounts=[bind("/over", "file")],
        refused=True,
        rows=("S52", "S53", "H23"),
    ),
    Case(
        "a directory over a file",
        prepare=put("over"),
        mounts=[bind("/over", "dir")],
        refused=True,
        rows=("S52", "S53", "H23"),
    ),
    Case(
        "a source that is missing", prepare=put("over"), mounts=[bind("/over", "nowhere")], refused=True, rows=("S53",)
    ),
)
SEALED = (
    Case(
        "read-only inside read-only",
        prepare=put("o/"),
        mounts=[tmpfs("/o", "ro"), tmpfs("/o/i", "ro"), tmpfs("/o/i/w")],
        then="touch /o/x; echo $?; touch /o/i/x; echo $?; touch /o/i/w/x; echo $?",
        rows=("S36",),
    ),
    Case(
        "a read-only /dev",
        mounts=[tmpfs("/dev", "ro", "nosuid", "mode=755"), tmpfs("/dev/w")],
        then="touch /dev/x; echo $?; touch /dev/w/x; echo $?; echo x > /dev/null; echo $?",
        rows=("S36",),
    ),
    Case(
        "a read-only root, and what is not",
        then="touch /x; echo $?; touch /dev/shm/x; echo $?; touch /dev/x; echo $?; touch /sys/x; echo $?",
        rows=("S38",),
    ),
    Case(
        "a file masked twice",
        {"linux": {"maskedPaths": ["/etc/s", "/etc/s"]}, **writable()},
        prepare=put("etc/s"),
        then="cat /etc/s; echo $?",
    ),
    Case(
        "a read-only path that is a mount",
        {"linux": {"readonlyPaths": ["/x"]}, **writable()},
        mounts=[tmpfs("/x")],
        then="touch /x/y; echo $?",
    ),
    *(
        Case(
            f"{kind} where two mounts meet through a link",
            {"linux": {"maskedPaths": [], "readonlyPaths": [], kind: ["/in/sub", "/in/sub"]}, **writable()},
            mounts=[bind("/in", "dir"), bind("/there/in", "dir")],
            prepare=both(put("there/"), links(**{"there/in": "../in"})),
            # The rows would be as many as runc's binds; what is seen in the end is what counts.
            args=("/bin/sh", "-c", "ls -d /in/sub; touch /in/sub/x; echo $?"),
            rows=("S35", "S52"),
        )
        for kind in ("maskedPaths", "readonlyPaths")
    ),
    Case(
        "a read-only mount in a masked directory",
        {"linux": {"maskedPaths": ["/x", "/fixed/in"], "readonlyPaths": ["/fixed"]}, **writable()},
        mounts=[tmpfs("/x/in", "ro"), tmpfs("/fixed/in", "ro")],
        then="ls /x /fixed/in; touch /x/y; echo $?; touch /fixed/y; echo $?",
    ),
    *(
        # How it comes about differs: runc binds the root on itself where nobody sees it, and makes the one below read-only.
        Case(
            f"the root as a read-only path, {how}",
            {"linux": {"readonlyPaths": [path]}, **writable()},
            prepare=links(top="/"),
            args=(
                "/bin/sh",
                "-c",
                "touch /x; echo $?; touch /etc/x; echo $?; touch /dev/x; echo $?",
            ),
            rows=("S35",),
        )
        for how, path in (("by its name", "/"), ("through a link", "/top"))
    ),
)
NODES = (
    Case(
        "a device given twice",
        devices(device("/dev/twice", "c", 1, 5, fileMode=0o600), device("/dev/twice", "c", 1, 5, fileMode=0o600)),
        paths=("/dev/twice",),
        rows=("S7", "S69", "H2"),
    ),
    Case(
        "a bind over a node of /dev",
        mounts=[bind("/dev/full", "file")],
        paths=("/dev/full",),
        then="cat /dev/full",
        rows=("S52",),
    ),
    Case(
        "a device without a mode",
        devices(device("/dev/plain", "c", 1, 7)),
        paths=("/dev/plain",),
        rows=("H3", "S67"),
    ),
    Case(
        "a device of a user and a group",
        devices(device("/dev/owned", "b", 7, 3, fileMode=0o660, uid=12, gid=34)),
        paths=("/dev/owned",),
        rows=("S70",),
    ),
    Case(
        "a device far below /dev",
        devices(device("/dev/a/b/c/d", "c", 1, 3, fileMode=0o644)),
        paths=("/dev/a", "/dev/a/b/c", "/dev/a/b/c/d"),
        rows=("S7", "H2", "S68"),
    ),
    Case(
        "a device of the image",
        {**writable(), **devices(device("/img/null", "c", 1, 3, fileMode=0o600))},
        prepare=image_device,
        paths=("/img/null",),
        rows=("S69",),
    ),
    Case(
        "a fifo outside /dev",
        {**writable(), **devices({"path": "/run/pipe", "type": "p", "fileMode": 0o622})},
        paths=("/run/pipe",),
        rows=("S66", "S71"),
    ),
    Case(
        "many devices",
        devices(*(device(f"/dev/many{n}", "c", 1, 3 + n % 3, fileMode=0o600 + n) for n in range(40))),
        paths=tuple(f"/dev/many{n}" for n in range(40)),
        rows=("S66",),
    ),
    Case(
        "a privileged container's /dev/ptmx",
        devices(device("/dev/ptmx", "c", 5, 2, fileMode=0o666), device("/dev/null", "c", 1, 3, fileMode=0o666)),
        paths=("/dev/ptmx", "/dev/pts/ptmx"),
        rows=("S69",),
    ),
    Case(
        "a device of no type",
        devices(device("/dev/bad", "x", 1, 3)),
        refused=True,
        says="linux.devices",
        rows=("S7", "S66"),
    ),
    Case(
        "a device below a file",
        {**writable(), **devices(device("/file/x", "c", 1, 3))},
        prepare=put("file"),
        refused=True,
        says="/file/x",
        rows=("S7", "S12", "S68"),
    ),
)
MORE = (*MACHINES_ROOT, *ORDERS, *TMPS, *TMPFS, *BINDS, *SEALED, *LINKS, *NOWHERE, *NODES, *PROGRAMS, *USERS)
