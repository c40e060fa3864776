"""A bundle that attacks, and the part of the host that it wants: a directory beside it, the canary."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from devproxy.targets.kernel.removal import remove_tree
from tests.bundles import fill_with_busybox, runc_spec_like

SECRET = "of-the-host-alone"  # what no container may print
STARTED = "the-process-runs"


class Ran(NamedTuple):
    """What a tool's command came to. `code` is None if it had to be killed after its time."""

    code: int | None
    out: str
    err: str

    @property
    def started(self) -> bool:
        """Whether the container's process ran."""
        return STARTED in self.out

    def lines_after(self, word: str) -> list[str]:
        """What the process printed between a line `word` and the next line that begins with an @."""
        found: list[str] = []
        lines = iter(self.out.splitlines())
        for line in lines:
            if line == word:
                for one in lines:
                    if one.startswith("@"):
                        break
                    found.append(one)
        return found


class Scene:
    """One attack's directory:

    bundle/     config.json (from `config`, written by `write`) and rootfs/
    canary/     what must stay as it is; `secret` in it must be printed by nobody
    volume/     a directory that the operator binds
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bundle = directory / "bundle"
        self.rootfs = self.bundle / "rootfs"
        self.canary = directory / "canary"
        self.volume = directory / "volume"
        self.config: dict[str, Any] = runc_spec_like(ociVersion="1.0.2", root={"readonly": False})
        self.settings: list[str] = []  # of --set
        self.leaked: Path | None = None  # what a careless caller has open as descriptor 7
        self.null_stdin = False  # whether standard input is /dev/null, else a pipe
        self._before: object = None
        self.rootfs.mkdir(parents=True)
        fill_with_busybox(str(self.rootfs))
        (self.canary / "inside").mkdir(parents=True)
        (self.canary / "secret").write_text(SECRET + "\n")
        self.volume.mkdir()
        (self.volume / "file").write_text("a volume's\n")
        self.script("true")

    # arming

    def script(self, *lines: str) -> None:
        """What the process does; it says first that it runs."""
        self.config["process"]["args"] = ["/bin/sh", "-c", "\n".join([f"echo {STARTED}", *lines])]

    def mount(self, destination: str, **fields: Any) -> None:
        """One more mount, a tmpfs unless told otherwise."""
        self.config["mounts"].append({"destination": destination, "type": "tmpfs", "source": "tmpfs", **fields})

    def bind(self, destination: str, source: Path, *options: str) -> None:
        """A bind of the operator's."""
        self.mount(destination, type="bind", source=str(source), options=["bind", *options])

    def without_dev(self) -> None:
        """Leave out the mounts of /dev and below: a tool sees the image's own."""
        mounts = self.config["mounts"]
        self.config["mounts"] = [each for each in mounts if not each["destination"].startswith("/dev")]

    def device(self, path: str, major: int = 1, minor: int = 3) -> None:
        """A device that the spec lists."""
        node = {"path": path, "type": "c", "major": major, "minor": minor, "fileMode": 0o666}
        self.config["linux"].setdefault("devices", []).append(node)

    def link(self, name: str, target: str | Path) -> None:
        """A link in the image, in place of what is there."""
        path = self.rootfs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif os.path.lexists(path):
            path.unlink()
        path.symlink_to(target)

    def file(self, name: str, text: str, mode: int = 0o644) -> Path:
        """A file in the image."""
        path = self.rootfs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def up(self, depth: int = 0) -> str:
        """As many dots as lead from a place in the image to the host's root, for whoever does not stop at the image's."""
        return "/".join([".."] * (len(self.rootfs.parts) + depth))

    def write(self) -> None:
        """Write config.json, and remember the canary."""
        (self.bundle / "config.json").write_text(json.dumps(self.config))
        self._before = shape(self.canary)

    # looking

    def harm(self, ran: Ran) -> str:
        """What reached the host, in words; nothing if nothing did."""
        if shape(self.canary) != self._before:
            return f"the canary is {shape(self.canary)}, was {self._before}"
        if SECRET in ran.out:
            return "the process read the canary's secret"
        return ""


def shape(directory: Path) -> list[tuple[str, int, int, int, str]]:
    """Everything that can be told of a directory, but for access times."""
    found = []
    for path in sorted([directory, *directory.rglob("*")]):
        about = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest()[:8] if stat.S_ISREG(about.st_mode) else ""
        found.append((str(path.relative_to(directory)), about.st_mode, about.st_uid, about.st_mtime_ns, content))
    return found


def fingerprint() -> list[object]:
    """The host, as far as a container could have changed it: the interpreter that runs us, the null device, the mount
    table, /etc and core_pattern.
    """
    about = os.stat(sys.executable)
    interpreter = (about.st_ino, about.st_size, about.st_mode, about.st_mtime_ns, about.st_ctime_ns)
    null = os.stat("/dev/null")
    etc = [(name, os.lstat(f"/etc/{name}").st_mtime_ns) for name in sorted(os.listdir("/etc"))]
    mounts = Path("/proc/self/mountinfo").read_bytes()
    pattern = Path("/proc/sys/kernel/core_pattern").read_bytes()
    return [interpreter, (null.st_mode, null.st_rdev, null.st_uid), etc, mounts, pattern]


@contextmanager
def scene(owner: int | None = None) -> Iterator[Scene]:
    """A scene in a directory of its own, which `owner` can reach. It is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="attack-") as directory:
        if owner is not None:
            os.chmod(directory, 0o755)
        try:
            yield Scene(Path(directory))
        finally:
            # Images are deeper than the standard library's rmtree goes, and an ordinary user has taken rights away.
            parent = os.open(directory, os.O_RDONLY)
            for name in os.listdir(parent):
                remove_tree(parent, name) if os.path.isdir(f"{directory}/{name}") else os.unlink(name, dir_fd=parent)
            os.close(parent)


def give(directory: Path, owner: int) -> None:
    """Give everything in a scene to an ordinary user: then nothing but the tool keeps the image from the canary."""
    for _, folders, files, folder in os.fwalk(directory):
        os.chown(folder, owner, owner)
        for name in [*folders, *files]:
            mode = os.lstat(name, dir_fd=folder).st_mode
            os.chown(name, owner, owner, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISLNK(mode):
                os.chmod(name, stat.S_IMODE(mode), dir_fd=folder)
