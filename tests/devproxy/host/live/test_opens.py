"""What opening says: the errno of the kernel itself, and a driver that never answers."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devproxy.host.live import opens
from devproxy.host.live.deadline import TooLate, lines_within
from devproxy.host.live.opens import open_each
from devproxy.host.root import LiveReader
from devproxy.linux.mounts import (
    MS_PRIVATE,
    fsconfig_create,
    fsmount,
    fsopen,
    move_mount,
    set_propagation_of_everything,
)
from devproxy.linux.namespaces import CLONE, unshare
from devproxy.mount_options import Attribute
from tests.devproxy.host.live.device_filters import group_without_devices, ways
from tests.devproxy.linux.forked import in_child
from tests.unprivileged import as_user


def node(path: Path, number: tuple[int, int], mode: int = 0o666) -> str:
    os.mknod(path, stat.S_IFCHR, os.makedev(*number))
    os.chmod(path, mode)
    return str(path)


@pytest.mark.root
def test_each_errno_is_the_kernels_own(tmp_path: Path) -> None:
    """A driver without that minor, a major without a driver, a directory, a FIFO that nobody reads, and no node at all."""
    os.mkfifo(tmp_path / "fifo")
    paths = {
        node(tmp_path / "nvidia0", (1, 7)): ("", "1:7"),
        node(tmp_path / "nvidia1", (195, 7)): ("ENXIO", ""),
        node(tmp_path / "nvidia2", (10, 240)): ("ENODEV", ""),
        str(tmp_path): ("EISDIR", ""),
        str(tmp_path / "missing"): ("ENOENT", ""),
        str(tmp_path / "fifo"): ("", ""),
    }
    expected = [{"errno": name, "number": number, "path": path} for path, (name, number) in paths.items()]
    assert open_each(list(paths)) == expected


@pytest.mark.root
def test_a_mode_that_shuts_the_caller_out() -> None:
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        path = node(Path(directory, "nvidia0"), (1, 7), 0o600)
        assert [each["errno"] for each in as_user(lambda _: open_each([path]))] == ["EACCES"]


@pytest.mark.root
def test_a_file_system_without_devices(tmp_path: Path) -> None:
    def child() -> Any:
        unshare(CLONE["mount"])
        set_propagation_of_everything(MS_PRIVATE)
        context = fsopen("tmpfs")
        fsconfig_create(context)
        move_mount(fsmount(context, Attribute.NODEV), os.open(tmp_path, os.O_PATH))
        return open_each([node(tmp_path / "nvidia0", (1, 7))])

    assert [each["errno"] for each in in_child(child)] == ["EACCES"]


@pytest.mark.root
@pytest.mark.parametrize("way", ways())
def test_a_control_group_that_denies_devices(tmp_path: Path, way: str) -> None:
    """EPERM, where a mode says EACCES: the kernel itself says which is which."""
    path = node(tmp_path / "nvidia0", (1, 7))
    with group_without_devices(way) as group:

        def child() -> Any:
            (group / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
            return open_each([path])

        assert [each["errno"] for each in in_child(child)] == ["EPERM"]


def test_a_device_that_somebody_has_for_himself() -> None:
    """A terminal in exclusive mode (ioctl_tty(2), TIOCEXCL) keeps out whoever has no CAP_SYS_ADMIN."""
    control, terminal = os.openpty()
    try:
        path = os.ttyname(terminal)
        os.fchmod(terminal, 0o666)
        fcntl.ioctl(terminal, termios.TIOCEXCL)
        assert [each["errno"] for each in as_user(lambda _: open_each([path]))] == ["EBUSY"]
    finally:
        os.close(control)
        os.close(terminal)


def test_a_driver_that_hangs_is_left_behind_and_the_rest_are_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    real = opens._open

    def slow(path: str) -> dict[str, object]:
        if path == "/dev/zero":
            time.sleep(600)
        return real(path)

    monkeypatch.setattr(opens, "_open", slow)
    found = open_each(["/dev/null", "/dev/zero", "/dev/full"], seconds=3)
    assert [each["errno"] for each in found] == ["", "ETIMEDOUT", ""]  # type: ignore[index]


def test_nothing_is_opened_unless_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opens, "open_each", lambda paths: pytest.fail(f"{paths} were opened"))
    with LiveReader() as reader, pytest.raises(FileNotFoundError):
        reader.read_fact("opens")


def test_a_child_that_dies_is_told() -> None:
    def work() -> Iterator[str]:
        yield "one"
        os._exit(3)

    lines = lines_within(5, work)
    assert next(lines) == "one"
    with pytest.raises(ChildProcessError):
        next(lines)


def test_a_child_that_says_too_much_is_ended() -> None:
    def work() -> Iterator[str]:
        while True:
            yield "x" * 1_000_000

    with pytest.raises(TooLate):
        list(lines_within(5, work))


def test_a_child_whose_lines_nobody_reads_on_is_ended() -> None:
    def work() -> Iterator[str]:
        while True:
            yield "."

    lines = lines_within(5, work)
    assert next(lines) == "."
    lines.close()  # type: ignore[attr-defined]
