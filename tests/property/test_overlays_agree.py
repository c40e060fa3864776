"""Any overlay2 over any volumes: memory and the kernel, in its newest and oldest ways, show the same, say the same and
refuse the same; the host is as it was.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import devproxy
from devproxy.build import Root, build
from devproxy.errors import DevproxyError
from devproxy.mount_options import Attribute
from devproxy.oci.configuration import parse_configuration
from devproxy.overlay import LAYERS
from devproxy.plan.plan import Plan
from devproxy.plan.steps import Bind
from devproxy.targets.kernel.paths import KernelPaths
from tests.bundles import runc_spec_like, write_bundle
from tests.hosts import host_with_gpus

pytestmark = [pytest.mark.root, pytest.mark.property]

SETTINGS = st.builds(
    "{}:{}{}".format,
    st.sampled_from(["root", "all", "all"]),
    st.sampled_from(["memory", "self", "dir=@/layers", "dir=@/volume", "dir=@/missing"]),
    st.sampled_from(["", "", "", ",size=8k", ",size=1m"]),
)
SOURCES = ["volume", "volume/sub", "file", "large", "fifo", "with-layers"]
DESTINATIONS = ["/a", "/a/b", "/dir", "/image-file", "/dev/x", "/dir/made/deep", f"/{LAYERS}", f"/dir/{LAYERS}"]
BINDS = st.lists(
    st.tuples(
        st.sampled_from(DESTINATIONS),
        st.sampled_from(SOURCES),
        st.sampled_from(["bind", "rbind", "bind,ro", "bind,noexec", "rbind,ro,rro"]),
    ),
    max_size=4,
    # A volume's layers show where it is bound without an overlay, and where a directory above it is.
    unique_by=(lambda bind: bind[0], lambda bind: bind[1].partition("/")[0]),
)
HINTED = st.sampled_from(["", "volume", "file", "with-layers"])


@pytest.mark.rows("S41", "S43", "S44", "S46", oracle="kernel")
@given(overlay2=SETTINGS, binds=BINDS, hinted=HINTED, readonly=st.booleans())
def test_memory_and_kernel_agree(overlay2: str, binds: list[tuple[str, str, str]], hinted: str, readonly: bool) -> None:
    directory = tempfile.mkdtemp()
    try:
        host = Path(directory)
        _fill(host)
        setting = f"overlay2={overlay2.replace('@', directory)}"
        bundle = _bundle(directory, binds, hinted, readonly=readonly)
        configuration = parse_configuration(None, [setting]).configuration
        plan = devproxy.plan(devproxy.load(bundle), host_with_gpus(0), config=configuration)
        assume(_is_overlaid(plan))
        before = _tree(host)
        memory = _look(plan, "memory")
        assert _tree(host) == before, "building in memory changed the host"
        for paths in (None, KernelPaths(detached=False, openat2=False, layers_by_fd=False)):
            assert _look(plan, "kernel", paths) == memory
            assert _tree(host) == before, "the kernel target left something on the host"
    finally:
        shutil.rmtree(directory)


def _fill(host: Path) -> None:
    (host / "volume/sub/deep").mkdir(parents=True)
    (host / "volume/file").write_text("of the volume\n")
    (host / "layers").mkdir()
    (host / "file").write_text("of the host\n")
    (host / "large").write_bytes(b"x" * 20000)
    os.mkfifo(host / "fifo")
    # As another sandbox, which is running, has it.
    (host / "with-layers" / LAYERS).mkdir(mode=0o700, parents=True)
    (host / "with-layers" / LAYERS / "others").mkdir()
    os.chown(host / "volume", 7, 8)
    (host / "volume").chmod(0o1770)


def _bundle(directory: str, binds: list[tuple[str, str, str]], hinted: str, *, readonly: bool) -> str:
    # What can be masked in /proc and /sys is the kernel's to say.
    config = runc_spec_like(root={"readonly": readonly}, linux={"maskedPaths": [], "readonlyPaths": []})
    config["mounts"] += [
        {"destination": place, "type": "bind", "source": f"{directory}/{source}", "options": options.split(",")}
        for place, source, options in binds
    ]
    if hinted:
        prefix = "dev.gvisor.spec.mount.vol."
        hint = {"source": f"{directory}/{hinted}", "type": "bind", "share": "container"}
        config["annotations"] = {prefix + key: value for key, value in hint.items()}
    bundle = write_bundle(f"{directory}/bundle", config, rootfs="empty")
    for name in ("dir", "proc", "dev", "sys"):
        os.mkdir(f"{bundle}/rootfs/{name}")
    Path(bundle, "rootfs", "image-file").write_text("of the image\n")
    return bundle


def _tree(host: Path) -> list[tuple[str, int, int]]:
    return [(str(path), path.lstat().st_mode, path.lstat().st_size) for path in sorted(host.rglob("*"))]


def _is_overlaid(plan: Plan) -> bool:
    """Whether nothing can be made on the host: in a bind without an overlay, mount points are."""
    binds = [step for step in plan.steps if isinstance(step, Bind)]
    return all(step.overlay or Attribute.RDONLY in step.options.change.set for step in binds)


def _look(plan: Plan, target: str, paths: KernelPaths | None = None) -> Any:
    """The outcomes, and everything in the root that is not a kernel's; or what was told when it was refused."""
    try:
        with build(plan, target, paths=paths) as root:
            outcomes = [(each.step.describe(), each.result, each.found, each.warning) for each in root.outcomes]
            mounts = [(line.mount_point, _class(line.fstype), line.options) for line in root.mountinfo()]
            return outcomes, mounts, sorted(_walk(root, "/", {point for point, kind, _ in mounts if kind == "bind"}))
    except DevproxyError as error:
        return type(error).__name__, error.message


def _class(fstype: str) -> str:
    return fstype if fstype in ("overlay", "tmpfs", "proc", "sysfs", "devpts", "mqueue") else "bind"


def _walk(root: Root, path: str, binds: set[str]) -> list[tuple[str, int, int, int, bytes]]:
    found = []
    for name in root.listdir(path):
        whole = f"{path.rstrip('/')}/{name}"
        if whole in ("/proc", "/sys", "/dev") or (name == LAYERS and path in binds):
            continue
        status = root.lstat(whole)
        regular = status.st_mode & 0o170000 == 0o100000
        content = root.read_bytes(whole) if regular else b""
        found.append((whole, status.st_mode, status.st_uid, status.st_gid, content))
        if status.st_mode & 0o170000 == 0o040000:
            found += _walk(root, whole, binds)
    return found
