"""Who holds a device: found by its number whatever its name, as lsof and fuser find it."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import random
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from devproxy.host.live.accelerators import live_majors
from devproxy.host.live.holders import holders_of
from devproxy.process import find_program, run
from tests.devproxy.host.live.processes import holding
from tests.unprivileged import UID, as_user

# Devices of the kernel itself that stand for accelerators: numbers that hardly anybody has open.
FULL, TUN, ZERO = (1, 7), (10, 200), (1, 5)
PATHS: Final = {os.makedev(*FULL): "/dev/nvidia0", os.makedev(*TUN): "/dev/accel0", os.makedev(*ZERO): "/dev/nvidia1"}


@pytest.fixture
def nodes() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as above:  # pytest's own directories are root's alone
        os.chmod(above, 0o755)
        directory = Path(above, "dev")
        directory.mkdir()
        make_nodes(directory)
        yield directory


def make_nodes(directory: Path) -> None:
    for name, number in (("nvidia0", FULL), ("accel0", TUN), ("nvidia1", ZERO), ("another", FULL)):
        os.mknod(directory / name, stat.S_IFCHR | 0o666, os.makedev(*number))
        os.chmod(directory / name, 0o666)


def found(document: dict[str, Any]) -> dict[int, list[str]]:
    return {holder["pid"]: holder["paths"] for holder in document["holders"]}


@pytest.mark.root
def test_the_lease_of_a_holder_is_what_it_was_started_with_and_nothing_else_of_its_environment(nodes: Path) -> None:
    """An environment that a process made for itself later counts for nothing, and what is no number of a lease neither."""
    ident = "0123456789abcdef" * 2
    for said, lease in ((ident, ident), ("", ""), ("SECRET", ""), (ident.upper(), "")):
        environment = {"DEVPROXY_LEASE_ID": said, "TOKEN": "SECRET"} if said else {"TOKEN": "SECRET"}
        script = 'exec 3<>"$1"; read -r line'
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.dup2(reader, 0)
            os.close(writer)
            os.execve("/bin/sh", ["sh", "-c", f"echo >&1; {script}", "sh", str(nodes / "nvidia0")], environment)
        os.close(reader)
        try:
            document = await_holder(child)
            assert [each["lease"] for each in document["holders"] if each["pid"] == child] == [lease]
            assert "SECRET" not in str(document)
        finally:
            os.close(writer)
            os.waitpid(child, 0)


def await_holder(pid: int) -> dict[str, Any]:
    for _ in range(500):
        document = holders_of(PATHS, frozenset())
        if pid in found(document):
            return document
        time.sleep(0.01)
    raise AssertionError(f"{pid} never held it")


def opened(path: Path) -> int:
    return os.open(path, os.O_RDWR)


@pytest.mark.root
def test_a_holder_is_told_with_the_hosts_name_of_the_device(nodes: Path) -> None:
    with holding(lambda: (opened(nodes / "another"), opened(nodes / "accel0"))) as pid:
        holder = next(each for each in holders_of(PATHS, frozenset())["holders"] if each["pid"] == pid)  # type: ignore[attr-defined]
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    assert holder["paths"] == ["/dev/accel0", "/dev/nvidia0"]
    assert (holder["uid"], holder["started"]) == (os.geteuid(), int(fields[19]))
    assert holder["name"] == Path("/proc/self/comm").read_text(encoding="utf-8").strip()


@pytest.mark.root
def test_a_name_that_looks_like_the_end_of_it(nodes: Path) -> None:
    def named() -> int:
        assert ctypes.CDLL(None).prctl(15, b"a) R 1 (b\n", 0, 0, 0) == 0  # PR_SET_NAME
        return opened(nodes / "nvidia0")

    with holding(named) as pid:
        (holder,) = [each for each in holders_of(PATHS, frozenset())["holders"] if each["pid"] == pid]  # type: ignore[attr-defined]
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    assert holder["name"].startswith("a) R 1 (b")
    assert holder["started"] == int(fields[19])


@pytest.mark.root
def test_who_let_go_is_no_holder(nodes: Path) -> None:
    with holding(lambda: os.close(opened(nodes / "nvidia0"))) as pid:
        assert pid not in found(holders_of(PATHS, frozenset()))


@pytest.mark.root
def test_a_mapping_holds_a_device_whose_descriptor_is_closed(nodes: Path) -> None:
    def mapped() -> mmap.mmap:
        fd = opened(nodes / "nvidia1")
        try:
            return mmap.mmap(fd, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE)
        finally:
            os.close(fd)

    def only_mapped() -> mmap.mmap:
        # Python keeps a duplicate of the descriptor: it goes too.
        kept = mapped()
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/self/fd/{name}").endswith("nvidia1"):
                    os.close(int(name))
        return kept

    with holding(only_mapped) as pid:
        links = {os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
        assert str(nodes / "nvidia1") not in links
        assert found(holders_of(PATHS, frozenset()))[pid] == ["/dev/nvidia1"]


@pytest.mark.root
def test_a_device_that_the_host_has_no_node_for_is_known_by_its_major(nodes: Path) -> None:
    with holding(lambda: opened(nodes / "nvidia0")) as pid:
        assert found(holders_of({}, frozenset((FULL[0],))))[pid] == [str(nodes / "nvidia0")]


@pytest.mark.root
@pytest.mark.parametrize("program", ["lsof", "fuser"])
def test_as_lsof_and_fuser_find_them(nodes: Path, program: str) -> None:
    assert find_program(program), f"{program} is missing: scripts/system-packages"
    random.seed(5)
    names = ("nvidia0", "accel0", "nvidia1")
    with contextlib.ExitStack() as stack:
        pids = set()
        for _ in range(8):
            chosen = [nodes / name for name in names if random.random() < 0.5]
            pids.add(stack.enter_context(holding(lambda chosen=chosen: [opened(path) for path in chosen])))  # type: ignore[misc]
        ours = found(holders_of(PATHS, frozenset()))
        for name in names:
            argv = ["lsof", "-w", "-t", str(nodes / name)] if program == "lsof" else ["fuser", str(nodes / name)]
            theirs = {int(word) for word in run(argv, check=False).out.split()} & pids
            assert theirs == {pid for pid in ours if f"/dev/{name}" in ours[pid]} & pids, name


@pytest.mark.root
def test_processes_of_another_user_are_unknown_and_not_free(nodes: Path) -> None:
    with holding(lambda: opened(nodes / "nvidia0")) as pid:
        document = as_user(lambda _: holders_of(PATHS, frozenset()))
    assert pid not in found(document)
    assert document["complete"] is False
    assert document["unread"] > 0
    assert document["why"]


@pytest.mark.root
def test_a_users_own_process_is_found_by_that_user(nodes: Path) -> None:
    def work(_: Path) -> Any:
        # Who was root a moment ago may be looked into by root alone, until it says otherwise (PR_SET_DUMPABLE).
        assert ctypes.CDLL(None).prctl(4, 1, 0, 0, 0) == 0
        with holding(lambda: opened(nodes / "nvidia0")) as pid:
            mine = [each for each in holders_of(PATHS, frozenset())["holders"] if each["pid"] == pid]  # type: ignore[attr-defined]
            return [(each["paths"], each["uid"]) for each in mine]

    assert as_user(work) == [[["/dev/nvidia0"], UID]]


def test_a_process_directory_that_is_not_what_it_seems_makes_it_incomplete(tmp_path: Path) -> None:
    """A made-up /proc: number 1 is missing, 7 has no descriptors, 8 ended meanwhile, `self` is no process."""
    (tmp_path / "7").mkdir()
    (tmp_path / "8" / "fd").mkdir(parents=True)
    (tmp_path / "self").mkdir()
    document = holders_of(PATHS, frozenset(), str(tmp_path))
    assert document["holders"] == []
    assert document["complete"] is False


def test_majors_of_accelerators_are_taken_by_their_exact_names(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    lines = "Character devices:\n 10 misc\n195 nvidia\n226 drm\n500 nvidia-caps\n501 not-nvidia\n502 nvidia-uvm\n"
    (tmp_path / "proc" / "devices").write_text(lines + "\nBlock devices:\n121 accel\n", encoding="utf-8")
    assert live_majors(str(tmp_path)) == {195, 226, 500, 502}
