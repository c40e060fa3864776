"""The peers, given an attack where they can do no harm: some of these bundles break the released ones.

A private mount namespace in which everything but the scene is read-only, with a /dev of its own, and without the unified cgroup
hierarchy, with which crun refuses to run.
"""

from __future__ import annotations

import os
import shlex
import uuid

from tests.attacks.scene import Ran, Scene
from tests.attacks.ways import leak, ran
from tests.differential.peers import PATH

_CAGE = """
set -eu
mount --make-rprivate /
umount /sys/fs/cgroup/unified 2>/dev/null || true
mount --bind {scene} {scene}
mount -t tmpfs -o mode=755 tmpfs /mnt
mknod -m 666 /mnt/null c 1 3; mknod -m 666 /mnt/zero c 1 5; mknod -m 666 /mnt/full c 1 7
mknod -m 666 /mnt/random c 1 8; mknod -m 666 /mnt/urandom c 1 9; mknod -m 666 /mnt/tty c 5 0
mkdir /mnt/pts /mnt/shm; mount -t devpts -o newinstance,ptmxmode=0666 devpts /mnt/pts; ln -s pts/ptmx /mnt/ptmx
mount --move /mnt /dev
mount -o remount,bind,ro /
if [ {null} = 1 ]; then exec </dev/null; fi
exec {command}
"""


def attack(scene: Scene, tool: str) -> Ran:
    """Run the bundle of a scene with a peer, `tool` being its path."""
    scene.write()
    name = f"devproxy-{uuid.uuid4().hex[:12]}"
    state = scene.directory / "state"
    command = [tool, "--root", str(state), "run", "--bundle", str(scene.bundle), name]
    script = _CAGE.format(
        scene=shlex.quote(str(scene.directory)), command=shlex.join(command), null=int(scene.null_stdin)
    )

    def child() -> int:
        if scene.leaked is not None:
            leak(scene.leaked)
        environment = {"PATH": PATH, "HOME": "/"}
        os.execvpe(
            "unshare", ["unshare", "--mount-proc", "--pid", "--fork", "--kill-child", "sh", "-c", script], environment
        )

    return ran(child)
