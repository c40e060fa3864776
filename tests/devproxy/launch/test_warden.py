"""When devproxy is killed its container's process dies, whoever it has become by then."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from devproxy.cli.main import main
from tests.bundles import runc_spec_like, write_bundle
from tests.devproxy.linux.forked import in_child
from tests.kills.rig import apart, descendants, start, wait_for_all

pytestmark = pytest.mark.root

SU = ["su", "-s", "/bin/sh", "nobody", "-c", "echo up; exec sleep 100"]
SHELL = ["sh", "-c", "sleep 100 & echo up; sleep 100"]


def bundle_of(directory: Path, args: list[str], linux: dict[str, Any] | None = None) -> str:
    """A bundle whose process may change its user."""
    names = ["CAP_SETUID", "CAP_SETGID", "CAP_KILL"]
    capabilities = dict.fromkeys(("bounding", "effective", "permitted"), names)
    config = runc_spec_like(process={"args": args, "capabilities": capabilities}, linux=linux or {})
    bundle = Path(write_bundle(directory / "bundle", config))
    (bundle / "rootfs/bin/su").symlink_to("busybox")
    (bundle / "rootfs/etc/passwd").write_text("root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    (bundle / "rootfs/etc/group").write_text("nobody:x:65534:\n")
    return str(bundle)


def uid_of(pid: int) -> int:
    return os.stat(f"/proc/{pid}").st_uid


def killed(bundle: str, *, group: bool, other_user: bool) -> list[str]:
    """What remains when devproxy, or its whole process group, is killed once its process says that it is up."""

    def child() -> list[str]:
        apart()
        reader, writer = os.pipe()

        def work() -> int:
            os.setsid()
            os.dup2(writer, 1)
            os.close(reader)
            return main(["run", bundle])

        pid = start(work)
        assert os.read(reader, 3) == b"up\n"
        while other_user and not any(uid_of(each) == 65534 for each in descendants(pid)):
            time.sleep(0.01)
        os.killpg(pid, signal.SIGKILL) if group else os.kill(pid, signal.SIGKILL)
        return wait_for_all(patience=10)

    told: list[str] = in_child(child)
    return told


@pytest.mark.parametrize("group", [False, True])
@pytest.mark.parametrize("args", [SU, SHELL], ids=["su", "shell"])
def test_nothing_survives_devproxy(args: list[str], group: bool, tmp_path: Path) -> None:
    assert killed(bundle_of(tmp_path, args), group=group, other_user=args is SU) == []


def test_without_a_pid_namespace_too(tmp_path: Path) -> None:
    namespaces = [{"type": kind} for kind in ("mount", "ipc", "uts")]
    assert killed(bundle_of(tmp_path, SU, {"namespaces": namespaces}), group=False, other_user=True) == []


def test_nobody_is_left_who_watches(tmp_path: Path) -> None:
    """Descriptors of devproxy are closed in it, so that a reader of its output sees the end."""

    def child() -> list[str]:
        apart()
        reader, writer = os.pipe()

        def work() -> int:
            os.dup2(writer, 1)
            os.close(writer)
            return main(["run", bundle])

        bundle = bundle_of(tmp_path, ["sh", "-c", "echo up"])
        os.waitpid(start(work), 0)
        os.close(writer)
        assert os.read(reader, 100) == b"up\n"
        assert os.read(reader, 1) == b""
        return wait_for_all(patience=0.1)

    assert in_child(child) == []
