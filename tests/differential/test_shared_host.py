"""On a machine that shares its mounts, as most do: what a root hears of, in memory and on the kernel."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

import devproxy
from devproxy.linux.mountinfo import MountLine
from devproxy.oci.configuration import parse_configuration
from tests.bundles import runc_spec_like, write_bundle
from tests.differential.peers import require, run
from tests.hosts import host_with_gpus

pytestmark = pytest.mark.root

OPTIONS: tuple[list[str], ...] = (
    [],
    ["private"],
    ["rslave"],
    ["shared"],
    ["rshared", "slave"],
    ["unbindable"],
    ["private", "shared"],
)


def bundle(directory: str, propagation: str | None) -> str:
    """Binds with every kind of propagation, masked files and read-only paths."""
    os.mkdir(f"{directory}/source")
    config = runc_spec_like(root={"readonly": False}, linux={"maskedPaths": ["/etc/secret"], "readonlyPaths": ["/b/3"]})
    for number, options in enumerate(OPTIONS):
        words = ["bind", *options]
        config["mounts"].append({"destination": f"/b/{number}", "source": f"{directory}/source", "options": words})
    if propagation is not None:
        config["linux"]["rootfsPropagation"] = propagation
    path = write_bundle(f"{directory}/bundle", config, rootfs="empty")
    os.makedirs(f"{path}/rootfs/etc")
    Path(f"{path}/rootfs/etc/secret").touch()
    return path


def tags(lines: list[MountLine]) -> list[tuple[str, list[str]]]:
    """The tags of each mount, groups by first appearance; what is masked in /proc and /sys is the kernel's to have."""
    groups: dict[str, int] = {}
    told = []
    for line in lines:
        if not line.mount_point.startswith(("/proc/", "/sys/")):
            parts = [tag.partition(":") for tag in line.tags]
            told.append((line.mount_point, [kind + str(groups.setdefault(n, len(groups))) for kind, _, n in parts]))
    return told


def main(directory: str, overlay: str, propagation: str) -> None:
    """Build the bundle on both targets, and print what each shows."""
    settings = parse_configuration(None, [f"overlay2={overlay}"]).configuration
    plan = devproxy.plan(devproxy.load(bundle(directory, propagation or None)), host_with_gpus(), config=settings)
    for target in ("memory", "kernel"):
        with devproxy.build(plan, target) as root:
            sys.stdout.write(json.dumps(tags(root.mountinfo())) + "\n")


# What the first namespace does to its mounts, and the second, in which we are the host: the first stays while that one is.
HOSTS = {"shared": "--make-rshared", "slave": "--make-rslave", "private": "--make-rprivate"}
TWICE = 'exec 3>&1; unshare --mount --propagation unchanged sh -c \'mount "$0" / && exec "$@" >&3\' "$@"; exit $?'


def seen(directory: Path, host: str, overlay: str, propagation: str) -> tuple[object, object]:
    """What the two targets show."""
    inside = [sys.executable, "-m", __name__, str(directory), overlay, propagation]
    namespace = [require("unshare"), "--mount", "--propagation", "shared", "sh", "-c", TWICE, "sh"]
    code, out, err = run(*namespace, HOSTS[host], *inside)
    assert code == 0, err
    memory, kernel = (json.loads(line) for line in out.splitlines())
    return memory, kernel


@pytest.mark.rows("S26", "S27", "H24", oracle="kernel")
@pytest.mark.parametrize("overlay", ["none", "root:memory"])
@pytest.mark.parametrize(
    ("host", "propagation"),
    [
        ("shared", ""),
        ("shared", "shared"),
        ("shared", "rslave"),
        ("shared", "private"),
        ("slave", ""),
        ("private", ""),
    ],
)
def test_both_targets_have_the_same_tags(tmp_path: Path, host: str, propagation: str, overlay: str) -> None:
    memory, kernel = seen(tmp_path, host, overlay, propagation)
    assert memory == kernel
    assert isinstance(kernel, list)
    found = dict(kernel)
    assert [tag[:6] for tag in found["/b/0"]] == (["master"] if host in {"shared", "slave"} else [])
    assert [tag[:6] for tag in found["/b/3"]] == (["shared", *(tag[:6] for tag in found["/b/0"])])


if __name__ == "__main__":
    main(*sys.argv[1:])
