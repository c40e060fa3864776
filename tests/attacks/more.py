"""Attacks that are ours alone: what else an image or a bundle can carry, and what a tool makes of it.

Those of the catalogue are given to runc and crun too; these touch what only devproxy has (layers on the host, its own messages), or
what the released peers do as well.
"""

from __future__ import annotations

import json
import os
import socket
import stat

from tests.attacks.catalogue import Attack
from tests.attacks.scene import SECRET, Ran, Scene

CONTROL = "\x1b]0;owned\x07\x1b[2J\r\nerror: none\u202e"


def _planted_layers_link(scene: Scene) -> None:
    scene.link(".devproxy.overlay", scene.canary)
    scene.script("touch /made")


def _planted_layers(scene: Scene) -> None:
    """A directory for layers that the image brings, with what looks like a killed run's layer and leads out of it."""
    folder = scene.rootfs / ".devproxy.overlay"
    (folder / "0123456789ab.0/upper").mkdir(parents=True)
    (folder / "0123456789ab.0/upper/link").symlink_to(scene.canary)
    (folder / "0123456789ab.1").symlink_to(scene.canary)
    folder.chmod(0o700)
    scene.script("touch /made", "ls -a /.devproxy.overlay/* && echo @seen", "true")


def _layers_are_seen(_scene: Scene, ran: Ran) -> str:
    return "layers are seen in the root" if "@seen" in ran.out else ""


def _overlay_attributes(scene: Scene) -> None:
    """What overlayfs writes on its own layers, on an image's directories (Documentation/filesystems/overlayfs.rst)."""
    directory = scene.rootfs / "redirected"
    directory.mkdir()
    for prefix in ("trusted.overlay.", "user.overlay."):
        for name, value in (
            ("redirect", f"/{scene.up()}{scene.canary}"),
            ("opaque", "y"),
            ("metacopy", ""),
            ("origin", "x"),
        ):
            try:
                os.setxattr(directory, prefix + name, value.encode())
            except OSError:
                continue  # no such attributes here, or not for an ordinary user
    scene.script("cat /redirected/secret", "ls /redirected/")


def _passwd_link(scene: Scene) -> None:
    (scene.canary / "passwd").write_text(f"root:x:0:0::/{SECRET}:/bin/sh\n")
    scene.link("etc/passwd", scene.canary / "passwd")
    scene.script("echo $HOME")


def _passwd_fifo(scene: Scene) -> None:
    os.mkfifo(scene.rootfs / "etc/passwd")


def _passwd_endless(scene: Scene) -> None:
    with open(scene.rootfs / "etc/passwd", "wb") as file:
        file.truncate(1 << 42)


def _passwd_odd(scene: Scene) -> None:
    scene.file("etc/passwd", f"root:x:0:0::/{CONTROL}:/bin/sh\nroot:x:00:0:\nroot:x:0:0\n::::::\n")


def _program_is_fifo(scene: Scene) -> None:
    os.mkfifo(scene.rootfs / "bin/fifo")
    (scene.rootfs / "bin/fifo").chmod(0o755)
    scene.config["process"]["args"] = ["fifo"]


def _links_in_a_circle(scene: Scene) -> None:
    scene.link("a", "b")
    scene.link("b", "a")
    for number in range(60):
        scene.link(f"chain{number}", f"chain{number + 1}")
    for path in ("/a/x", "/chain0"):
        scene.mount(path)
    scene.config["linux"]["maskedPaths"] += ["/a", "/chain0/x"]
    scene.config["process"]["cwd"] = "/a"


def _names_with_controls(scene: Scene) -> None:
    """In every message: a file name can neither move the cursor nor pass for a line of its own."""
    (scene.rootfs / f"bad{CONTROL.replace('/', '')}").mkdir()
    scene.mount(f"/new {CONTROL}/x")
    scene.file("taken", "")
    scene.link("taken\x1b[31m", "/taken")
    scene.mount("/taken\x1b[31m/dir")


def _controls_are_shown(_scene: Scene, ran: Ran) -> str:
    told = "".join(line for line in ran.out.splitlines() if "the-process-runs" not in line) + ran.err
    return f"control characters reach the terminal: {told!r}" if any(c in told for c in "\x1b\x07\r\u202e") else ""


def _program_with_controls(scene: Scene) -> None:
    scene.config["process"]["args"] = [f"no\x1b[31m{CONTROL}"]


def _dev_is_bound(scene: Scene) -> None:
    """The operator binds an image's directory as /dev; what the spec lists there has to be there, and to be it."""
    fake = scene.rootfs / "fakedev"
    fake.mkdir()
    (fake / "null").symlink_to(scene.canary / "node")
    scene.without_dev()
    scene.bind("/dev", fake)
    scene.device("/dev/null")


def _sockets_and_fifos(scene: Scene) -> None:
    """Where directories and files are expected, there is something else."""
    for name in ("tmp", "mnt", "home"):
        path = scene.rootfs / name
        if path.is_dir():
            path.rmdir()
    os.mkfifo(scene.rootfs / "tmp")
    here = os.getcwd()
    os.chdir(scene.rootfs)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("mnt")
    finally:
        os.chdir(here)
    scene.mount("/mnt/new")


def _tmp_link(scene: Scene) -> None:
    (scene.canary / "empty").mkdir()
    scene.link("tmp", scene.canary / "empty")
    scene.script("touch /tmp/made")


def _work_link(scene: Scene) -> None:
    scene.link("work", scene.canary)
    scene.config["process"]["cwd"] = "/work/of/mine"
    scene.script("touch made")


def _cuda_compat(scene: Scene) -> None:
    """NVIDIA's CVE-2024-0132 and CVE-2025-23359, and what its hooks wrote through links of an image (CVE-2025-23267)."""
    scene.link("usr/local/cuda/compat/libcuda.so.999", f"{scene.up(4)}{scene.canary}/secret")
    scene.link("usr/local/cuda/compat/libnvidia-ptxjitcompiler.so.1", scene.canary)
    scene.link("etc/ld.so.conf.d", scene.canary)
    scene.link("etc/ld.so.cache", scene.canary / "cache")
    scene.link("usr/lib/x86_64-linux-gnu/libcuda.so", scene.canary / "libcuda")
    env = ["NVIDIA_VISIBLE_DEVICES=void", "NVIDIA_DRIVER_CAPABILITIES=all", "CUDA_VERSION=12.0"]
    scene.config["process"]["env"] += env
    scene.script(
        "find / -xdev -name 'libcuda*' -o -xdev -name '*.conf'", "cat /usr/local/cuda/compat/* /etc/ld.so.conf.d/*"
    )


def _bind_from_the_image(scene: Scene) -> None:
    """A bind whose source is in the image, where the image has a link (buildah CVE-2024-1753, CVE-2024-9407)."""
    scene.link("data", scene.canary)
    scene.bind("/mnt/data", scene.rootfs / "data")
    scene.bind("/mnt/deep", scene.rootfs / "data/inside/..")
    scene.script("cat /mnt/data/secret /mnt/deep/secret", "touch /mnt/data/made")


def _deep(scene: Scene) -> None:
    """Directories nine hundred deep, and a path that is nearly as long as one may be."""
    here = os.open(scene.rootfs, os.O_RDONLY)
    for _ in range(900):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    scene.config["linux"]["maskedPaths"] += ["/d" * 2000]


def _huge_directory(scene: Scene) -> None:
    for number in range(3000):
        os.close(os.open(scene.rootfs / f"tmp/{number}", os.O_CREAT | os.O_WRONLY, 0o644))


def _long_paths(scene: Scene) -> None:
    """Netlink's lengths are 16 bits (runc CVE-2021-43784)."""
    scene.mount("/" + "d" * 70_000)
    scene.mount("/mnt", type="bind", source="/" + "s" * 70_000, options=["bind"])


def _long_source(scene: Scene) -> None:
    scene.mount("/mnt", source="s" * 70_000)
    scene.mount("/srv", options=["x" * 70_000])


def _cgroup(scene: Scene) -> None:
    """Without a cgroup namespace the host's groups are seen; they are not written (runc CVE-2023-25809)."""
    mounts = scene.config["mounts"]
    scene.config["mounts"] = [each for each in mounts if each["type"] != "cgroup"]
    scene.mount("/sys/fs/cgroup", type="cgroup", source="cgroup", options=["rw"])
    scene.settings.append("cgroupfs=v2")
    scene.script("mkdir /sys/fs/cgroup/attack && echo @written && rmdir /sys/fs/cgroup/attack", "true")


def _cgroup_was_written(_scene: Scene, ran: Ran) -> str:
    return "the host's cgroups were written" if "@written" in ran.out else ""


def _hard_link(scene: Scene) -> None:
    """A file of the image is one of the host's too: an overlay keeps it."""
    os.link(scene.canary / "secret", scene.rootfs / "hard")
    scene.settings.append("overlay2=root:memory")
    scene.script("echo changed > /hard")


def _sysctl_and_label(scene: Scene) -> None:
    """What is asked to be written below /proc, where /proc is the image's (runc CVE-2025-52881)."""
    for name in ("sys/kernel/domainname", "self/attr/exec", "self/oom_score_adj", "thread-self/attr/exec"):
        place = scene.volume / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(scene.canary / "written")
    scene.bind("/proc", scene.volume)
    scene.config["process"]["oomScoreAdj"] = 321
    scene.config["process"]["apparmorProfile"] = "evil"
    scene.config["process"]["selinuxLabel"] = "evil"
    scene.config["linux"]["sysctl"] = {"kernel.domainname": "evil"}


def _setuid(scene: Scene) -> None:
    """What a process leaves with a set-user-ID bit in a layer on the host must not be within a user's reach."""
    scene.settings.append("overlay2=root:self")
    scene.script("cp /bin/busybox /root/evil 2>/dev/null || cat /bin/busybox > /root/evil", "chmod 6755 /root/evil")


def _setuid_is_left(scene: Scene, _ran: Ran) -> str:
    left = [str(path) for path in scene.rootfs.rglob("evil") if path.lstat().st_mode & stat.S_ISUID]
    return f"a set-user-ID file was left: {left}" if left else ""


def _annotations(scene: Scene) -> None:
    """Annotations come from whoever wrote the image, too."""
    scene.config["annotations"] = {
        f"dev.gvisor.spec.mount.evil.{key}": value
        for key, value in (("source", f"../..{scene.canary}"), ("type", "bind\x1b[2J"), ("share", "container"))
    }
    scene.config["annotations"]["dev.gvisor.spec.mount./../../x.source"] = json.dumps({"deep": CONTROL})


MORE = (
    Attack("planted_layers_link", "crun CVE-2025-24965", _planted_layers_link),
    Attack("planted_layers", "", _planted_layers, _layers_are_seen),
    Attack("overlay_attributes", "", _overlay_attributes),
    Attack("passwd_link", "", _passwd_link),
    Attack("passwd_fifo", "", _passwd_fifo),
    Attack("passwd_endless", "", _passwd_endless),
    Attack("passwd_odd", "", _passwd_odd, _controls_are_shown),
    Attack("program_is_fifo", "", _program_is_fifo),
    Attack("links_in_a_circle", "", _links_in_a_circle),
    Attack("names_with_controls", "", _names_with_controls, _controls_are_shown),
    Attack("program_with_controls", "", _program_with_controls, _controls_are_shown),
    Attack("dev_is_bound", "the OCI spec's MUST", _dev_is_bound),
    Attack("sockets_and_fifos", "", _sockets_and_fifos),
    Attack("tmp_link", "", _tmp_link),
    Attack("workdir_link", "podman CVE-2026-55686", _work_link),
    Attack("cuda_compat", "NVIDIA CVE-2024-0132, CVE-2025-23359, CVE-2025-23267, CVE-2026-24260", _cuda_compat),
    Attack("bind_from_the_image", "buildah CVE-2024-1753, CVE-2024-9407, CVE-2024-9675", _bind_from_the_image),
    Attack("deep", "", _deep),
    Attack("huge_directory", "", _huge_directory),
    Attack("long_paths", "runc CVE-2021-43784", _long_paths),
    Attack("long_source", "runc CVE-2021-43784", _long_source),
    Attack("cgroup", "runc CVE-2023-25809", _cgroup, _cgroup_was_written),
    Attack("hard_link", "", _hard_link),
    Attack("sysctl_and_label", "runc CVE-2025-52881, CVE-2019-16884", _sysctl_and_label),
    Attack("setuid", "", _setuid, _setuid_is_left),
    Attack("annotations", "", _annotations, _controls_are_shown),
)
