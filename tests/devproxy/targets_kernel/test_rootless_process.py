"""The process of a root without privileges, and who has none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from devproxy.build import build
from devproxy.errors import DevproxyError
from devproxy.linux.capabilities import NUMBERS, Sets, capget, capset
from devproxy.linux.namespaces import CLONE, map_one, unshare
from devproxy.linux.process import Dumpable
from devproxy.oci.configuration import Configuration
from devproxy.plan.plan import Plan
from tests.devproxy.linux.forked import in_child
from tests.devproxy.targets_kernel.rootless import BOUND, built, found, in_process, looked_at, planned
from tests.unprivileged import GID, UID, as_user


def test_the_process_is_root_of_its_own() -> None:
    script = "id -u; id -g; echo > /dev/null && echo > /tmp/file && stat -c %u:%a /tmp/file"
    assert as_user(lambda directory: in_process(directory, script)) == [0, "0\n0\n0:644\n"]


def test_another_user_is_the_caller_under_another_number() -> None:
    """What is made belongs to it on the host too, and it has no capability over the root's mounts."""

    def work(directory: Path) -> list[Any]:
        process = {"user": {"uid": 1000, "gid": 1001}}
        script = "id -u; id -g; touch /out/file; stat -c %u:%g /out/file; umount /tmp 2>/dev/null || echo refused"
        code, told = in_process(directory, script, process=process)
        made = os.stat(directory / "out" / "file")
        return [code, told, (made.st_uid, made.st_gid) == (os.getuid(), os.getgid())]

    assert as_user(work) == [0, "1000\n1001\n1000:1001\nrefused\n", True]


def test_the_oom_score_can_be_raised() -> None:
    script = "cat /proc/self/oom_score_adj"
    process = {"oomScoreAdj": 777}
    assert as_user(lambda directory: in_process(directory, script, process=process)) == [0, "777\n"]


def test_a_limit_above_the_hard_one_is_an_error() -> None:
    process = {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1 << 20, "hard": 1 << 30}]}
    with pytest.raises(DevproxyError, match="RLIMIT_NOFILE cannot be set"):
        as_user(lambda directory: in_process(directory, "true", process=process))


def test_a_namespace_of_somebody_else_cannot_be_joined() -> None:
    path = f"/proc/{os.getpid()}/ns/uts"
    namespaces = {"namespaces": [{"type": "mount"}, {"type": "uts", "path": path}]}
    with pytest.raises(DevproxyError) as caught:
        built(lambda directory: planned(directory, linux=namespaces, hostname=None))
    assert "linux.namespaces[1]" in caught.value.message


def test_without_user_namespaces_it_says_what_they_depend_on() -> None:
    def none_left() -> None:
        unshare(CLONE["user"])
        map_one(os.open("/proc", os.O_PATH), (0, UID), (0, GID))
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
        capset(Sets(0, 0, 0))

    def work(directory: Path) -> None:
        with Dumpable():
            none_left()
        build(planned(directory), "kernel")

    with pytest.raises(DevproxyError, match="a user namespace for uid 0 cannot be made") as caught:
        as_user(work)
    assert "max_user_namespaces" in caught.value.hint


# who has no privileges


def test_root_of_somebodys_user_namespace_has_one_of_its_own() -> None:
    """It may mount, but make no node, and of the overlay's xattrs it has none."""

    def work(directory: Path) -> Plan:
        with Dumpable():
            uid, gid = os.geteuid(), os.getegid()
            unshare(CLONE["user"])
            map_one(os.open("/proc", os.O_PATH), (0, uid), (0, gid))
        return planned(directory)

    result = built(work)
    assert result["findings"] == []
    assert found(result, "node /dev/null") == ["chosen", BOUND, False, True]


@pytest.mark.root
def test_root_without_the_capability_to_mount_is_rootless_too(tmp_path: Path) -> None:
    def work() -> dict[str, Any]:
        capset(Sets(*(held & ~(1 << NUMBERS["CAP_SYS_ADMIN"]) for held in capget())))
        with build(planned(tmp_path), "kernel") as root:
            return looked_at(root)

    result = in_child(work)
    assert result["findings"] == []
    assert found(result, "node /dev/null")[1] == "bound from the host, keeps mode 0666 and owner 0:0"


def test_nothing_of_the_usual_bundle_is_a_warning() -> None:
    assert built(lambda directory: planned(directory, Configuration(strict=True)))["findings"] == []
