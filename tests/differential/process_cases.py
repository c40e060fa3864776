"""Bundles that are compared with the peers: which program is started, and as which user."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from tests.differential.cases import (
    ALL,
    Case,
    both,
    put,
    writable,
)


def process(**members: Any) -> dict[str, Any]:
    """A change to the spec's process."""
    return {"process": members}


def user(uid: int, gid: int, **more: Any) -> dict[str, Any]:
    """A process of an ordinary user, without capabilities."""
    return process(user={"uid": uid, "gid": gid}, capabilities={}, **more)


def program(path: str, text: str, mode: int = 0o755) -> Callable[[str], None]:
    """A script in the rootfs."""

    def prepare(rootfs: str) -> None:
        whole = os.path.join(rootfs, path)
        os.makedirs(os.path.dirname(whole), exist_ok=True)
        with open(whole, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(whole, mode)

    return prepare


PROGRAMS = (
    Case(
        "a name in a relative entry of PATH alone",
        process(env=["PATH=tools"]),
        args=("tool",),
        prepare=program("tools/tool", "#!/bin/sh\necho found\n"),
        refused=True,
        says="tool",
        rows=("S14",),
    ),
    Case("a name in PATH", process(env=["PATH=/nowhere:/bin"]), args=("echo", "found"), rows=("S14",)),
    Case(
        "a name and no PATH",
        process(env=["A=1"]),
        args=("echo", "found"),
        refused=True,
        says="has no PATH",
        rows=("S15",),
    ),
    Case(
        "a name in the second PATH entry, behind a directory of that name",
        process(env=["PATH=/first:/bin"]),
        prepare=put("first/", "first/echo/"),
        args=("echo", "found"),
        rows=("S14", "S15"),
    ),
    Case(
        "a name behind a file that is not executable",
        process(env=["PATH=/first:/bin"]),
        prepare=both(put("first/"), program("first/echo", "", 0o644)),
        args=("echo", "found"),
        rows=("S14", "S15"),
    ),
    Case("a path with a slash", process(cwd="/bin"), args=("./echo", "found"), rows=("S14",)),
    Case("a path with dots", process(cwd="/etc"), args=("../bin/echo", "found"), rows=("S14",)),
    Case("a script", prepare=program("script", "#!/bin/sh\necho from $0 $1\nexit 9\n"), args=("/script", "word")),
    Case("a program that ends with 255", args=("sh", "-c", "exit 255")),
    Case(
        "a name that is nowhere",
        args=("nothing-like-this",),
        refused=True,
        says="nothing-like-this was not found in PATH /",
        rows=("S15",),
    ),
    Case("a path that is missing", args=("/bin/nothing",), refused=True),
    Case("a directory as program", args=("/etc",), refused=True),
    Case("a file that is not executable", prepare=program("data", "", 0o644), args=("/data",), refused=True),
    Case(
        "a script without its interpreter", prepare=program("script", "#!/no/such\n"), args=("/script",), refused=True
    ),
    Case("nothing in PATH", process(env=["PATH="]), args=("echo",), refused=True, rows=("S15",)),
    Case("no process", process(args=[]), args=("",), refused=True, rows=("S14",)),
)
USERS = (
    Case(
        "a user who may not read",
        user(1000, 1000),
        prepare=program("secret", "x", 0o600),
        then="cat /secret; echo $?; touch /x; echo $?; id",
    ),
    Case(
        "a user with groups",
        user(1000, 1000) | process(user={"uid": 1000, "gid": 5, "additionalGids": [20, 30]}, capabilities={}),
        then="id",
    ),
    Case("a user in a directory of root's", user(1000, 1000, cwd="/etc"), then="pwd; touch x; echo $?"),
    Case(
        "a working directory that is missing",
        process(cwd="/made/here") | writable(),
        paths=("/made", "/made/here"),
        then="pwd",
        rows=("H26",),
    ),
    Case(
        "a user with a capability",
        process(
            user={"uid": 1000, "gid": 1000},
            capabilities={
                kind: ["CAP_CHOWN"] for kind in ("bounding", "permitted", "effective", "inheritable", "ambient")
            },
        ),
        then="grep Cap /proc/self/status",
    ),
    Case(
        "root with all we know",
        process(capabilities=dict.fromkeys(("bounding", "permitted", "effective"), ALL)),
        then="grep Cap /proc/self/status; id",
    ),
    Case(
        "limits",
        process(
            rlimits=[
                {"type": "RLIMIT_NOFILE", "soft": 64, "hard": 128},
                {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
                {"type": "RLIMIT_STACK", "soft": 65536, "hard": 1048576},
            ]
        ),
        then="ulimit -n; ulimit -Hn; ulimit -c; ulimit -s",
    ),
    Case("a preference of the OOM killer", process(oomScoreAdj=500), then="cat /proc/self/oom_score_adj"),
    Case("no new privileges", process(noNewPrivileges=False), then="grep NoNew /proc/self/status"),
    Case(
        "names of its own",
        {"hostname": "house", "domainname": "example.org"},
        then="hostname; cat /proc/sys/kernel/domainname",
    ),
    Case("loopback is up", then="cat /sys/class/net/lo/operstate; ls /sys/class/net"),
)
