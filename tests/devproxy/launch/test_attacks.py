"""An image that wants the host's interpreter, its descriptors or its files when a process is started (kernel CVEs by
name in the tests).
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from devproxy.errors import DevproxyError
from devproxy.launch import NotExecutable
from devproxy.oci.spec import User
from devproxy.targets.kernel.target import KernelTarget
from tests.devproxy.launch.rig import make_rootfs, run, usual

pytestmark = pytest.mark.root


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    return make_rootfs(tmp_path)


def script(path: Path, interpreter: str, mode: int = 0o755) -> None:
    path.write_text(f"#!{interpreter}\n")
    path.chmod(mode)


def own_interpreter() -> str:
    with open(sys.executable, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.mark.parametrize("user", [User(), User(77, 77)])
@pytest.mark.parametrize(
    "name",
    [
        "/proc/self/exe",
        "/proc/1/exe",
        "/proc/thread-self/exe",
        "/link",
        "/script",
        "/chain",
        "/relative",
        "/unreadable",
    ],
)
def test_the_hosts_interpreter_is_not_started(rootfs: Path, name: str, user: User) -> None:
    """CVE-2019-5736: whoever is started from /proc/self/exe can write to it."""
    (rootfs / "link").symlink_to("/proc/self/exe")
    script(rootfs / "script", " /proc/self/exe argument")
    # Only blanks and tabs end the name; whoever stops at another space looks at /bin/true.
    (rootfs / "bin/true\x0b").symlink_to("/proc/self/exe")
    script(rootfs / "odd", "\t /bin/true\x0b\tx")
    script(rootfs / "between", "/script")
    script(rootfs / "chain", "/between")
    script(rootfs / "relative", "../../link")
    # The kernel reads a script that its user cannot.
    script(rootfs / "unreadable", "/proc/self/exe", 0o711)
    (rootfs / "unreadable").chmod(0o711)
    before = own_interpreter()
    with pytest.raises(NotExecutable, match="magic link"):
        run(rootfs, name, "-c", "print('the host')", user=user)
    assert own_interpreter() == before


def test_a_long_chain_of_interpreters_is_refused(rootfs: Path) -> None:
    script(rootfs / "0", "/bin/sh")
    for number in range(1, 7):
        script(rootfs / str(number), f"/{number - 1}")
    assert run(rootfs, "/3").code == 0
    with pytest.raises(NotExecutable):
        run(rootfs, "/6")


@pytest.mark.parametrize("kinds", [("pid",), ()])
def test_a_leaked_descriptor_is_no_working_directory(rootfs: Path, kinds: tuple[str, ...]) -> None:
    """CVE-2024-21626: cwd names a descriptor of the host that is still open."""
    leaked = os.open("/etc", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        for number in [*range(3, 15), leaked]:
            for cwd in (f"/proc/self/fd/{number}", f"/proc/self/fd/{number}/../..", "/link"):
                if not os.path.lexists(rootfs / "link"):
                    (rootfs / "link").symlink_to(f"/proc/self/fd/{leaked}")
                with pytest.raises(DevproxyError, match="cannot be entered"):
                    run(rootfs, "cat", "passwd", cwd=cwd, kinds=kinds)
    finally:
        os.close(leaked)


def test_a_null_device_of_the_image_gets_no_stream(rootfs: Path) -> None:
    """CVE-2025-31133: where a tool opens /dev/null inside, the image's link decides which file that is."""
    (rootfs / "victim").write_text("untouched\n")

    def work(target: KernelTarget) -> None:
        usual(rootfs)(target)
        target.make_symlink("/tmp/victim", "/victim")

    (rootfs / "dev/null").symlink_to("/victim")
    ran = run(rootfs, "sh", "-c", "echo /proc/self/fd/* > /dev/null; readlink /proc/self/fd/0; cat /victim", work=work)
    assert ran.lines[-1] == "untouched"
    assert "/victim" not in ran.lines[:-1]


def test_passwd_outside_of_the_root_is_not_read(rootfs: Path, tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("root:x:0:0::/canary:/bin/sh\n")
    (rootfs / "etc/passwd").symlink_to("../" * 20 + str(tmp_path / "passwd").lstrip("/"))
    assert "HOME=/" in run(rootfs, "env").lines


def test_the_environment_of_devproxy_stays_outside(rootfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "value")
    assert not any("SECRET" in line for line in run(rootfs, "env").lines)


def test_the_old_root_is_gone(rootfs: Path) -> None:
    ran = run(rootfs, "sh", "-c", "cat /proc/self/mountinfo | wc -l; cd ..; ls; cat /proc/1/root/etc/hostname")
    assert ran.lines[0] == "4"
    assert "etc" in ran.lines
    assert "work" not in ran.lines
