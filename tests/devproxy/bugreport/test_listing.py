"""Listings of /dev in the styles in which people paste them: the same node from each."""

from __future__ import annotations

import pytest

from devproxy.bugreport.report import read_text
from devproxy.process import run

NODE = "/dev/nvidia-uvm"
STYLES = {
    "coreutils": "crw-rw-rw- 1 root root 510, 0 Feb 17 13:47 /dev/nvidia-uvm",
    "aligned": "crw-rw-rw-   1 root  root    510,   0 Feb 17 13:47 /dev/nvidia-uvm",
    "selinux": "crw-rw-rw-. 1 root root 510, 0 Feb 17 13:47 /dev/nvidia-uvm",
    "acl": "crw-rw-rw-+ 1 root root 510, 0 Feb 17 13:47 /dev/nvidia-uvm",
    "context": "crw-rw-rw-. 1 root root system_u:object_r:xserver_misc_device_t:s0 510, 0 Feb 17 13:47 /dev/nvidia-uvm",
    "long iso": "crw-rw-rw- 1 root root 510, 0 2024-02-17 13:47 /dev/nvidia-uvm",
    "full iso": "crw-rw-rw- 1 root root 510, 0 2024-02-17 13:47:09.123456789 +0100 /dev/nvidia-uvm",
    "last year": "crw-rw-rw- 1 root root 510, 0 Feb 17  2023 /dev/nvidia-uvm",
    "german": "crw-rw-rw- 1 root root 510, 0 17. Feb 13:47 /dev/nvidia-uvm",
    "japanese": "crw-rw-rw- 1 root root 510, 0  2月 17 13:47 /dev/nvidia-uvm",
    "chinese": "crw-rw-rw- 1 root root 510, 0 2月  17 13:47 /dev/nvidia-uvm",
    "french": "crw-rw-rw- 1 root root 510, 0 févr. 17 13:47 /dev/nvidia-uvm",
    "inode and blocks": "1234 0 crw-rw-rw- 1 root root 510, 0 Feb 17 13:47 /dev/nvidia-uvm",
    "find -ls": "      777      0 crw-rw-rw-   1 root     root     510,   0 Feb 17 13:47 /dev/nvidia-uvm",
    "numeric": "crw-rw-rw- 1 0 0 510, 0 Feb 17 13:47 /dev/nvidia-uvm",
    "busybox": "crw-rw-rw-    1 root     root      510,   0 Feb 17 13:47 /dev/nvidia-uvm",
    "eza": "crw-rw-rw- 510,0 root 17 Feb 13:47 /dev/nvidia-uvm",
    "eza, group": "crw-rw-rw- 510,0 root root 17 Feb 13:47 /dev/nvidia-uvm",
    "eza, local": "crw-rw-rw- 510,0 root 17 2月  13:47 /dev/nvidia-uvm",
    "lsd": "crw-rw-rw- root root 510,0 Sat Feb 17 13:47:09 2024 /dev/nvidia-uvm",
    "coloured": "crw-rw-rw- 1 root root 510, 0 Feb 17 13:47 \x1b[0m\x1b[40;33;01m/dev/nvidia-uvm\x1b[0m",
    "quoted": "> crw-rw-rw- 1 root root 510, 0 Feb 17 13:47 '/dev/nvidia-uvm'",
    "bullet": "* crw-rw-rw- 1 root root 510, 0 Feb 17 13:47 /dev/nvidia-uvm",
    "code": "`crw-rw-rw- 1 root root 510, 0 Feb 17 13:47 /dev/nvidia-uvm`",
    "carriage returns": "crw-rw-rw- 1 root root 510, 0 Feb 17 13:47 /dev/nvidia-uvm\r",
    "wrapped": "crw-rw-rw- 1 root root 510, 0 Feb 17 13:47\n/dev/nvidia-uvm",
    "wrapped in the date": "crw-rw-rw- 1 root root 510, 0 Feb 17\n13:47 /dev/nvidia-uvm",
    "log of a container": "2024-02-17T13:47:09.123456789Z stdout F crw-rw-rw- 1 root root 510, 0 Feb 17 13:47 /dev/nvidia-uvm",
    "log of compose": "trainer-1  | crw-rw-rw- 1 root root 510, 0 Feb 17 13:47 /dev/nvidia-uvm",
    "docker's json": '{"log":"crw-rw-rw- 1 root root 510, 0 Feb 17 13:47 /dev/nvidia-uvm\\n","stream":"stdout"}',
    "journal": "Feb 17 13:47:09 node1 gather[812]: crw-rw-rw- 1 root root 510, 0 Feb 17 13:47 /dev/nvidia-uvm",
    "in /dev": "root@node:/dev# ls -l nvidia-uvm\ncrw-rw-rw- 1 root root 510, 0 Feb 17 13:47 nvidia-uvm",
    "after cd": "$ cd /dev\n$ ls -al\ncrw-rw-rw- 1 root root 510, 0 Feb 17 13:47 nvidia-uvm",
    "below a heading": "/dev:\ntotal 0\ncrw-rw-rw- 1 root root 510, 0 Feb 17 13:47 nvidia-uvm",
    "a bare name": "crw-rw-rw- 1 root root 510, 0 Feb 17 13:47 nvidia-uvm",
    "html": "<pre>\ncrw-rw-rw- 1 root root 510, 0 Feb 17 13:47 /dev/nvidia-uvm\n</pre>",
    "no-break spaces": "crw-rw-rw-\xa01 root root 510,\xa00 Feb 17 13:47 /dev/nvidia-uvm",
    "stat": (
        "  File: /dev/nvidia-uvm\n  Size: 0         \tBlocks: 0          IO Block: 4096   character special file\n"
        "Device: 0,6\tInode: 777         Links: 1     Device type: 1fe,0\n"
        "Access: (0666/crw-rw-rw-)  Uid: (    0/    root)   Gid: (    0/    root)\nAccess: 2024-02-17 13:47:09.0 +0000\n"
    ),
}


@pytest.mark.parametrize("style", STYLES)
def test_a_node_is_the_same_in_every_style(style: str) -> None:
    (node,) = read_text(f"Hello,\n\n{STYLES[style]}\n\nthanks\n").host.nodes
    assert (node.path, str(node.number), node.mode, node.uid, node.gid) == (NODE, "510:0", 0o666, 0, 0)


def test_directories_tell_where_names_belong() -> None:
    text = (
        "$ ls -l /dev/nvidia-caps /dev/dri\n/dev/dri:\ntotal 0\ncrw-rw---- 1 root video 226, 0 Feb 17 13:47 card0\n\n"
        "/dev/nvidia-caps:\ntotal 0\ncr-------- 1 root root 237, 1 Feb 17 13:47 nvidia-cap1\n"
    )
    host = read_text(text).host
    assert [node.path for node in host.nodes] == ["/dev/dri/card0", "/dev/nvidia-caps/nvidia-cap1"]
    assert host.knows("/dev/dri/renderD128")
    assert not host.knows("/dev/nvidia0")


@pytest.mark.parametrize(
    ("command", "known", "unknown"),
    [
        ("ls -l /dev/nvidia*", "/dev/nvidia7", "/dev/kfd"),
        ("ls -l /dev/nvidia0", "/dev/nvidia0", "/dev/nvidia7"),
        ("ls -l /dev | grep nvidia", "/dev/nvidia7", "/dev/kfd"),
        ("ls -l /dev", "/dev/kfd", "/proc/devices"),
        ("ls -l /dev/nvidia* | head -3", "", "/dev/nvidia7"),
        ("docker exec box ls -l /dev/nvidia*", "", "/dev/nvidia7"),
    ],
)  # fmt: skip
def test_a_command_says_what_its_silence_means(command: str, known: str, unknown: str) -> None:
    host = read_text(f"$ {command}\ncrw-rw-rw- 1 root root 195, 0 Feb 17 13:47 /dev/nvidia0\n").host
    assert not known or host.knows(known)
    assert not host.knows(unknown)


def test_a_listing_that_was_cut_says_nothing_of_what_it_lacks() -> None:
    text = "$ ls -l /dev/nvidia*\ncrw-rw-rw- 1 root root 195, 0 Feb 17 13:47 /dev/nvidia0\n...\n"
    assert not read_text(text).host.knows("/dev/nvidia-uvm")


def test_the_last_of_two_statements_counts_and_is_told() -> None:
    first, second = (f"crw-rw-rw- 1 root root {major}, 0 Feb 17 13:47 /dev/nvidia-uvm\n" for major in (510, 509))
    found = read_text(f"{first}\nafter a reboot:\n{second}")
    assert [str(node.number) for node in found.host.nodes] == ["509:0"]
    assert any("510:0" in note and "509:0" in note and "the last counts" in note for note in found.notes)


@pytest.mark.parametrize(
    "said",
    [
        "ls: cannot access '/dev/nvidia-uvm': No such file or directory", "ls: cannot access /dev/nvidia-uvm: No such file or directory",
        "ls: Zugriff auf '/dev/nvidia-uvm' nicht möglich: Datei oder Verzeichnis nicht gefunden",
        "ls: impossible d'accéder à '/dev/nvidia-uvm': Aucun fichier ou dossier de ce type", "ls: 无法访问 '/dev/nvidia-uvm': 没有那个文件或目录",
        "stat: cannot statx '/dev/nvidia-uvm': No such file or directory", "\"/dev/nvidia-uvm\": No such file or directory (os error 2)",
    ],
)  # fmt: skip
def test_what_is_missing_is_known_to_be(said: str) -> None:
    host = read_text(f"$ ls -l /dev/nvidia-uvm\n{said}\n").host
    assert host.knows(NODE)
    assert host.node(NODE) is None


def test_names_alone_are_there_without_a_number() -> None:
    host = read_text("$ ls /dev/nvidia*\n/dev/nvidia0  /dev/nvidiactl  /dev/nvidia-modeset\n").host
    assert not host.nodes
    assert host.knows("/dev/nvidia-uvm")
    assert not host.knows("/dev/nvidia0")


@pytest.mark.programs
@pytest.mark.parametrize(
    "options",
    ["-l", "-la", "-lart", "-lh", "-ln", "-lis", "-l --time-style=full-iso", "-l --time-style=long-iso", "-lZ", "-lF"],
)
def test_what_ls_prints_here_is_read_as_the_kernel_says(options: str) -> None:
    """The oracle is this machine: its own /dev through ls, against stat(2)."""
    import os
    import stat

    names = ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty"]
    printed = run(["ls", *options.split(), *names]).out
    found = read_text(f"$ ls {options} {' '.join(names)}\n{printed}").host
    for path in names:
        real, node = os.stat(path), found.node(path)
        assert node is not None
        assert (node.number.rdev, node.mode, node.uid) == (real.st_rdev, stat.S_IMODE(real.st_mode), real.st_uid)
