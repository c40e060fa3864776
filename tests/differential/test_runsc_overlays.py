"""Overlays beside runsc's: the same bundles under `overlay2`, the same answers inside, the same host afterwards.

runc makes none, so that runsc is the peer; its spelling of a directory is older (`root:/dir`, docs/decisions.md S40).
"""

from __future__ import annotations

import os
import sys
import tempfile
import uuid
from pathlib import Path

import pytest

from devproxy.overlay import LAYERS
from tests.bundles import runc_spec_like, write_bundle
from tests.differential.peers import require, run

pytestmark = [pytest.mark.root, pytest.mark.peer]

SCRIPTS = {
    "copy-up": "echo more >> /data/file; cat /data/file; chmod 600 /data/file; stat -c '%a %u %g' /data/file; cat /ro/file",
    "whiteouts": "rm /data/file; rm -r /data/dir; ls -A /data; cat /data/file; ls -A /ro; test -e /data/dir; echo $?",
    "opaque directories": "rm -r /data/dir; mkdir /data/dir; ls -A /data/dir; touch /data/dir/own; ls -A /data/dir /ro/dir",
    "hard links": "ln /data/file /data/hard; echo x >> /data/hard; cat /data/file; stat -c %h /data/hard; cat /ro/file",
    "renames of files": "mv /data/file /data/dir/moved; cat /data/dir/moved; ls -A /data /data/dir; ls -A /ro",
    "renames over files": "echo new > /data/new; mv /data/new /data/file; cat /data/file /ro/file; ls -A /data",
    "renames of new directories": "mkdir -p /data/new/in; mv /data/new /data/newer; ls -A /data /data/newer",
    "links": "readlink /data/link; cat /data/link; rm /data/link; ln -s dir /data/link; ls -A /data/link /ro",
    "a file as lower": "cat /one; echo changed > /one; cat /one /two; chmod 640 /one; stat -c %a /one /two",
    "a file cannot go": "rm /one; mv /one /other; cat /one",
    "the root": "touch /new; rm -r /etc; mkdir /etc; echo x > /etc/x; ls -A /etc; rm /bin/wc; test -e /bin/wc; echo $?",
    "the same volume twice": "echo changed > /data/file; touch /data/new; ls -A /again; cat /again/file",
    "read-only stays": "touch /ro/x; rm /ro/file; echo $?; ls -A /ro",
    "owners": "stat -c '%a %u %g' /data /data/dir; touch /data/dir/x; stat -c '%a %u %g' /data /data/dir",
}  # fmt: skip
ROOT_ALONE = ("the root", "read-only stays", "owners")


def bundle(directory: Path, script: str) -> str:
    volume = directory / "volume"
    (volume / "dir").mkdir(parents=True)
    (volume / "dir/inner").write_text("inner\n")
    (volume / "file").write_text("of the host\n")
    (volume / "link").symlink_to("file")
    os.chown(volume / "dir", 12, 34)
    (volume / "dir").chmod(0o750)
    (directory / "one").write_text("one of the host\n")
    (directory / "dir").mkdir()
    binds = [("/data", "volume", ()), ("/ro", "volume", ("ro",)), ("/again", "volume", ())]
    binds += [("/one", "one", ()), ("/two", "one", ("ro",))]
    config = runc_spec_like(root={"readonly": False}, process={"args": ["/bin/sh", "-c", f"({script}) 2>&1"]})
    config["mounts"] += [
        {"destination": place, "type": "bind", "source": str(directory / source), "options": ["bind", *options]}
        for place, source, options in binds
    ]
    return write_bundle(directory / "bundle", config)


def host(directory: Path) -> list[tuple[str, int, int, int, bytes]]:
    found = []
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        name = str(path.relative_to(directory))
        # runsc makes mount points in the rootfs itself, with and without an overlay.
        if not name.startswith("bundle/rootfs"):
            content = path.read_bytes() if path.is_file() else b""
            found.append((name, status.st_mode, status.st_uid, status.st_gid, content))
    return found


def with_runsc(directory: Path, script: str, overlay2: str) -> str:
    flags = ["--network=none", "--ignore-cgroups", "--platform=ptrace", f"--overlay2={overlay2}"]
    where = ["--root", str(directory / "state"), *flags, "run", "--bundle", bundle(directory, script)]
    before = host(directory)
    _, out, _ = run(require("runsc"), *where, f"devproxy-{uuid.uuid4().hex[:12]}")
    assert [entry for entry in host(directory) if not entry[0].startswith("state")] == before
    return out


def with_devproxy(directory: Path, script: str, overlay2: str) -> str:
    path = bundle(directory, script)
    before = host(directory)
    _, out, told = run(sys.executable, "-m", "devproxy", "run", path, "--set", f"overlay2={overlay2}")
    assert host(directory) == before, told
    return out


def same(script: str, overlay2: str, theirs: str) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        ours = with_devproxy(Path(one), SCRIPTS[script], overlay2.replace("@", one))
        # What is bound without an overlay shows that its volume has layers, as it shows runsc's filestore.
        ours = ours.replace(f"{LAYERS}\n", "")
        assert ours == with_runsc(Path(two), SCRIPTS[script], theirs.replace("@", two))
        assert ours != ""


@pytest.mark.rows("S39", "S41", "S43", "S44", "S45", "S46", "H18", oracle="runsc")
@pytest.mark.parametrize("script", SCRIPTS)
def test_everything_overlaid_in_memory(script: str) -> None:
    same(script, "all:memory", "all:memory")


@pytest.mark.rows("S42", "S45", oracle="runsc")
@pytest.mark.parametrize("script", SCRIPTS)
def test_layers_beside_the_volume_look_the_same(script: str) -> None:
    same(script, "all:self", "all:memory")


@pytest.mark.rows("S39", "S42", oracle="runsc")
@pytest.mark.parametrize("script", ["copy-up", "whiteouts", "the root"])
def test_layers_in_a_directory(script: str) -> None:
    same(script, "all:dir=@/dir", "all:@/dir")


@pytest.mark.rows("S41", oracle="runsc")
@pytest.mark.parametrize("script", ROOT_ALONE)
def test_the_root_alone(script: str) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        quiet = SCRIPTS[script].replace("touch /data/dir/x; ", "")
        assert with_devproxy(Path(one), quiet, "root:memory") == with_runsc(Path(two), quiet, "root:memory")


MOUNTS = "cat /proc/self/mounts"


@pytest.mark.rows("S41", "S46", oracle="runsc")
@pytest.mark.parametrize(
    ("overlay2", "theirs"), [("all:memory", "all:memory"), ("root:memory", "root:memory"), ("none", "none")]
)
def test_the_mount_table_shows_the_same_overlays(overlay2: str, theirs: str, tmp_path: Path) -> None:
    ours = overlaid(with_devproxy(tmp_path / "ours", MOUNTS, overlay2))
    assert ours == overlaid(with_runsc(tmp_path / "theirs", MOUNTS, theirs))
    assert len(ours) == 6


def overlaid(text: str) -> list[tuple[str, bool, str]]:
    """The root and the binds of a mount table: the place, whether it is an overlay, whether it is read-only."""
    places = ("/", "/data", "/ro", "/again", "/one", "/two")
    rows = [line.split() for line in text.splitlines()]
    # A file below an overlay is a copy in a tmpfs here, of runsc's an overlay of one file.
    return sorted(
        (place, fstype == "overlay" or (place == "/one" and fstype == "tmpfs"), options.split(",")[0])
        for _, place, fstype, options, *_ in rows
        if place in places
    )


@pytest.mark.rows("S39", "S40", oracle="runsc")
@pytest.mark.parametrize(
    "value", ["foo", "root", "root:tape", "some:memory", "all:memory:self", "all:relative/dir", ":memory", ""]
)
def test_a_setting_that_is_none_is_refused_by_both(value: str, tmp_path: Path) -> None:
    directory = bundle(tmp_path, "true")
    flags = ["--root", str(tmp_path / "state"), "--network=none", f"--overlay2={value}"]
    theirs, _, _ = run(require("runsc"), *flags, "run", "--bundle", directory, f"devproxy-{uuid.uuid4().hex[:12]}")
    ours, _, words = run(sys.executable, "-m", "devproxy", "run", directory, "--set", f"overlay2={value}")
    assert (ours, theirs != 0) == (2, True)
    assert words.startswith("devproxy: error: --set: overlay2 is ")
