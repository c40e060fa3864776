"""`devproxy setup` in the guest: from a driver without a node to nodes that answer, and back. The modules are loaded by the real
modprobe, the nodes answer from the kernel, and udevd reads the rule.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from devproxy.check.doctor.case import Case
from devproxy.check.doctor.examine import examine
from devproxy.jobs.setup import persist
from devproxy.jobs.setup.journal import PLACE
from devproxy.jobs.setup.survey import survey
from devproxy.process import run
from hwtests.lab.guest.conftest import (
    CAPS,
    LAB,
    NVIDIA,
    TPU,
    UVM,
    VFIO,
    Cli,
    ask,
    insmod,
    majors,
    make_node,
    make_nodes,
    rmmod,
)

MODULES: Final = Path("/run/lab")
BLACKLIST: Final = Path("/etc/modprobe.d/lab.conf")
COVERED: Final = (
    "uvm-not-loaded", "node-missing", "node-major-mismatch", "node-mode-malformed", "mig-caps-missing", "dev-char-link-missing",
)  # fmt: skip
# Every node of the stub's, and what answers there.
ANSWERS: Final = {
    **{f"/dev/nvidia{minor}": f"{NVIDIA} {minor}" for minor in (0, 1, 2)},
    "/dev/nvidiactl": f"{NVIDIA} 255",
    "/dev/nvidia-modeset": f"{NVIDIA} 254",
    "/dev/nvidia-uvm": f"{UVM} 0",
    "/dev/nvidia-uvm-tools": f"{UVM} 1",
    **{f"/dev/nvidia-caps/nvidia-cap{minor}": f"{CAPS} {minor}" for minor in (1, 2, 147, 148, 156, 157)},
}


@pytest.fixture(scope="module", autouse=True)
def modprobe() -> Iterator[None]:
    """modprobe(8) finds the lab's modules: kmod's own option for where they are, since the guest's /usr is read-only."""
    place = MODULES / "lib/modules" / os.uname().release
    place.mkdir(parents=True)
    shutil.copy(LAB / "nvidia-uvm.ko", place)
    run(["/lab/depmod", "-b", str(MODULES)])
    os.environ["MODPROBE_OPTIONS"] = f"-d {MODULES}"
    yield
    del os.environ["MODPROBE_OPTIONS"]
    shutil.rmtree(MODULES)


@pytest.fixture
def bare() -> Iterator[dict[str, str]]:
    """The driver, just loaded: nvidia-uvm is not, and there is no node. What /dev is then."""
    unload()
    for path in Path("/dev").glob("nvidia*"):
        (shutil.rmtree if path.is_dir() else os.unlink)(path)
    for link in Path("/dev/char").iterdir():
        if "nvidia" in os.readlink(link):
            link.unlink()
    yield tree()
    for place in (PLACE, str(BLACKLIST)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place)
    unload()
    insmod("nvidia-uvm")
    make_nodes()


def unload() -> None:
    for name in ("nvidia_uvm", "other"):
        if os.path.exists(f"/sys/module/{name}"):
            rmmod(name)


def tree() -> dict[str, str]:
    """What is in /dev: types, numbers, modes, owners, targets."""
    found = {}
    for here, directories, files in os.walk("/dev"):
        for path in (os.path.join(here, name) for name in (*directories, *files)):
            entry = os.lstat(path)
            link = os.readlink(path) if stat.S_ISLNK(entry.st_mode) else ""
            found[path] = f"{stat.filemode(entry.st_mode)} {entry.st_uid}:{entry.st_gid} {entry.st_rdev} {link}"
    return {path: told for path, told in found.items() if not path.startswith(("/dev/pts", "/dev/shm", "/dev/bus"))}


def complaints() -> set[str]:
    return {finding.code for finding in examine(Case(survey()), only=COVERED).findings}


def test_from_the_bare_driver_to_nodes_that_answer_and_back(bare: dict[str, str], cli: Cli) -> None:
    assert "nvidia-uvm" not in majors()
    assert complaints() >= {"uvm-not-loaded", "node-missing"}
    said = cli("setup", "--text").out
    assert "done: load nvidia-uvm" in said
    assert ask(*ANSWERS) == ANSWERS
    assert complaints() == set()
    assert os.readlink(f"/dev/char/{majors()['nvidia-uvm']}:0") == "../nvidia-uvm"
    assert stat.S_IMODE(os.stat("/dev/nvidia-caps/nvidia-cap1").st_mode) == 0o400
    after = tree()
    assert cli("setup", "--text").out == "ready: nothing was to be done\n"
    assert tree() == after
    cli("setup", "--undo", "--text")
    assert tree() == bare
    assert "nvidia-uvm" not in majors()
    assert not os.path.exists(PLACE)


def test_a_module_that_is_used_is_not_unloaded(bare: dict[str, str], cli: Cli) -> None:
    cli("setup", "--text")
    held = os.open("/dev/nvidia-uvm", os.O_RDWR)
    try:
        said = cli("setup", "--undo", "--text", code=3).out
        assert "nvidia-uvm cannot be unloaded" in said
        assert "nvidia-uvm" in majors()
    finally:
        os.close(held)
    cli("setup", "--undo", "--text")
    assert tree() == bare


def test_nodes_of_a_major_that_moved_are_repaired_and_come_back(bare: dict[str, str], cli: Cli) -> None:
    """The major that the nodes have is another driver's now; a process has one of them open."""
    cli("setup", "--text")
    before = majors()["nvidia-uvm"]
    rmmod("nvidia_uvm")
    insmod("other")
    insmod("nvidia-uvm")
    assert majors()["other"] == before != majors()["nvidia-uvm"]
    held = os.open("/dev/nvidia-uvm", os.O_RDWR)
    said = cli("setup", "--text").out
    os.close(held)
    assert f"(pid {os.getpid()})" in said
    assert "there the old device stays" in said
    assert ask(*ANSWERS) == ANSWERS
    assert not os.path.lexists(f"/dev/char/{before}:0")
    assert complaints() == set()
    # All of it, since it is one record: the stale nodes come back on the way, and go.
    cli("setup", "--undo", "--text")
    assert tree() == bare


def test_a_blacklist_is_kept(bare: dict[str, str], cli: Cli) -> None:
    """modprobe itself ends with 0 and says nothing."""
    BLACKLIST.parent.mkdir(exist_ok=True)
    BLACKLIST.write_text("blacklist nvidia_uvm\n")
    said = cli("setup", "--text", code=3).out
    assert "kept from being loaded by the setting 'blacklist nvidia_uvm'" in said
    assert "nvidia-uvm" not in majors()
    assert ask("/dev/nvidia0") == {"/dev/nvidia0": f"{NVIDIA} 0"}
    assert not os.path.exists("/dev/nvidia-uvm")
    BLACKLIST.write_text("install nvidia_uvm /bin/false\n")
    assert "the setting 'install nvidia_uvm /bin/false'" in cli("setup", "--text", code=3).out
    BLACKLIST.unlink()
    cli("setup", "--text")
    assert ask(*ANSWERS) == ANSWERS


def test_a_module_that_is_not_there_is_told(bare: dict[str, str], cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODPROBE_OPTIONS", "-d /run/nowhere")
    said = cli("setup", "--text", code=3).out
    assert "nvidia-uvm cannot be loaded" in said
    assert "not found" in said


def test_chips_are_given_to_a_group_and_back(cli: Cli) -> None:
    chips = {
        "/dev/accel0": f"{TPU} 0",
        "/dev/accel1": f"{TPU} 1",
        "/dev/vfio/0": f"{VFIO} 0",
        "/dev/vfio/1": f"{VFIO} 1",
    }
    before = tree()
    cli("setup", "--group", "video", "--text")
    given = {path: os.stat(path) for path in chips}
    assert {(stat.S_IMODE(each.st_mode), each.st_gid) for each in given.values()} == {(0o660, 44)}
    assert ask(*chips) == chips
    cli("setup", "--undo", "--text")
    assert tree() == before


@pytest.mark.parametrize("path", ["/dev/accel1", "/dev/vfio/1"])
def test_a_chips_node_that_somebody_removed_is_made_by_its_number(path: str, cli: Cli) -> None:
    entry = os.stat(path)
    os.unlink(path)
    cli("setup", "--text")
    assert os.stat(path).st_rdev == entry.st_rdev
    assert ask(path)[path].split()[0] in (TPU, VFIO)
    cli("setup", "--undo", "--text")
    assert not os.path.exists(path)
    make_node(path, os.major(entry.st_rdev), os.minor(entry.st_rdev), stat.S_IMODE(entry.st_mode))


def test_udevd_starts_the_unit_when_the_module_comes(cli: Cli) -> None:
    """What udevd makes of the rule, for the module as it is in sysfs."""
    files = persist.texts(survey(), persist.this_program())
    rule = Path(persist.RULE_FILE)
    rule.write_text(files[persist.RULE_FILE])
    for device in ("/module/nvidia", "/module/nvidia_uvm", "/class/accel/accel0", "/class/vfio/0"):
        done = run(["/lab/udevadm", "test", "--action=add", os.path.realpath(f"/sys{device}")], check=False)
        assert f"SYSTEMD_WANTS={persist.UNIT}" in done.out, (device, done)
        assert persist.RULE_FILE not in [line for line in done.err.splitlines() if "nvalid" in line or "nknown" in line]
    rule.unlink()
    done = run(["/lab/udevadm", "test", "--action=add", "/sys/module/nvidia"], check=False)
    assert persist.UNIT not in done.out
