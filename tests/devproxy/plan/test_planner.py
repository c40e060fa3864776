"""A plan as a whole: its order, its golden text, what it hands on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from devproxy.errors import InputError
from devproxy.mount_options import Propagation
from devproxy.oci.configuration import Configuration
from devproxy.oci.load import parse_spec
from devproxy.overlay import Overlay
from devproxy.plan.plan import Mode
from devproxy.plan.plan_json import to_json
from devproxy.plan.planner import plan
from devproxy.plan.steps import Level, MakeDirectory, MountRoot, Seal, Skip, WhenMissing
from devproxy.plan.text import plan_lines, to_text
from tests.bundles import runc_spec_like
from tests.devproxy.plan.planning import (
    BUNDLE,
    GPU_HOST,
    NO_OVERLAY,
    PLAIN,
    STRICT,
    bare,
    lines,
    mount,
    planned,
    steps_of,
)

GOLDEN = """\
root /b/rootfs [overlay in memory] when_missing(/proc, /dev, /sys, /tmp)  # root.path: overlay2 = root:memory
mount proc at /proc  # mounts[0]
mount devtmpfs at /dev [nosuid,strictatime,mode=755,size=65536k]  # mounts[1]: /dev is always devtmpfs, not tmpfs
symlink /dev/fd -> /proc/self/fd  # rule: contents of /dev
symlink /dev/stdin -> /proc/self/fd/0  # rule: contents of /dev
symlink /dev/stdout -> /proc/self/fd/1  # rule: contents of /dev
symlink /dev/stderr -> /proc/self/fd/2  # rule: contents of /dev
symlink /dev/ptmx -> pts/ptmx  # rule: contents of /dev
directory /dev/shm 0755  # rule: contents of /dev
directory /dev/pts 0755  # rule: contents of /dev
directory /dev/char 0755  # rule: contents of /dev
directory /dev/block 0755  # rule: contents of /dev
node /dev/null c 1:3 0666  # rule: contents of /dev
node /dev/zero c 1:5 0666  # rule: contents of /dev
node /dev/full c 1:7 0666  # rule: contents of /dev
node /dev/random c 1:8 0666  # rule: contents of /dev
node /dev/urandom c 1:9 0666  # rule: contents of /dev
node /dev/tty c 5:0 0666  # rule: contents of /dev
node /dev/net/tun c 10:200 0666  # rule: contents of /dev
node /dev/fuse c 10:229 0666  # rule: contents of /dev
mount sysfs at /sys [nosuid,nodev,noexec]  # mounts[5]
mount devpts at /dev/pts [nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5]  # mounts[2]
mount tmpfs at /dev/shm [nosuid,nodev,noexec,mode=1777,size=65536k]  # mounts[3]
mount mqueue at /dev/mqueue [nosuid,nodev,noexec]  # mounts[4]
skip the cgroup mount at /sys/fs/cgroup  # mounts[6]: the configuration has no cgroup file system
mount tmpfs at /tmp [mode=01777] when_empty(/tmp)  # rule: internal /tmp: unless it has entries
seal /sys read-only  # mounts[5].options: read-only last
read-only /proc/bus  # linux.readonlyPaths[0]
read-only /proc/sys  # linux.readonlyPaths[1]
mask /proc/kcore  # linux.maskedPaths[0]
mask /sys/firmware  # linux.maskedPaths[1]
seal / read-only  # root.readonly
skip the cgroup device rules  # linux.resources.devices: run does not do this
"""


def test_what_runc_spec_writes_is_planned_like_this() -> None:
    linux = {"readonlyPaths": ["/proc/bus", "/proc/sys"], "maskedPaths": ["/proc/kcore", "/sys/firmware"]}
    assert to_text(planned(linux=linux)) == GOLDEN


@pytest.mark.rows("H25", oracle="specification")
def test_h25_what_runc_spec_writes_is_fine_under_strict() -> None:
    assert planned(config=STRICT).strict


@pytest.mark.rows("S19", "S20", oracle="specification")
def test_s19_s20_an_empty_spec_gets_the_mandatory_mounts_in_order_and_tmp() -> None:
    assert lines(bare(), "root", "mount", "bind", "seal", "skip") == [
        "root /b/rootfs [overlay in memory]",
        "mount proc at /proc",
        "mount sysfs at /sys",
        "mount devtmpfs at /dev [mode=0755]",
        "mount devpts at /dev/pts [newinstance,ptmxmode=0666,mode=0620]",
        "mount tmpfs at /tmp [mode=01777] when_empty(/tmp)",
    ]


def test_the_plan_carries_what_launch_needs() -> None:
    namespaces = [{"type": kind} for kind in ("uts", "pid", "user", "time")]
    plan = planned(domainname="d", linux={"namespaces": namespaces})
    assert plan.process is not None
    assert plan.process.args == ("sh",)
    assert (plan.bundle, plan.hostname, plan.domainname) == ("/b", "runc", "d")
    assert plan.host is PLAIN
    assert [namespace.type for namespace in plan.namespaces] == ["uts", "pid"]
    told = {step.what for step in steps_of(plan, Skip)}
    assert {"a user namespace of its own", "a time namespace"} <= told


@pytest.mark.rows("S49", oracle="specification")
def test_s49_the_product_name_is_the_hosts_unless_configured() -> None:
    assert planned().host.product_name == "Test Machine"
    assert planned(config=Configuration(product_name="Mine")).host.product_name == "Mine"


# the root (S38, S40, S41)


@pytest.mark.rows("S38", "S40", "S41", oracle="specification")
def test_s38_s40_s41_a_writable_root_is_always_overlaid() -> None:
    root = bare().steps[0]
    assert isinstance(root, MountRoot)
    assert (root.source, root.overlay, root.when) == ("/b/rootfs", Overlay(), None)


@pytest.mark.rows("S41", "S50", oracle="specification")
def test_s41_s50_a_readonly_root_is_overlaid_when_something_must_be_made_in_it() -> None:
    plan = bare(
        root={"readonly": True},
        mounts=[mount("/a/b"), mount("/a/b/c"), mount("/a"), mount("/x", "bind")],
        process={"cwd": "/work"},
        linux={
            "devices": [
                {"path": "/dev/foo", "type": "p"},
                {"path": "/a/foo", "type": "p"},
                {"path": "/outside/foo", "type": "p"},
            ]
        },
    )
    root = plan.steps[0]
    assert isinstance(root, MountRoot)
    assert root.when == WhenMissing(("/proc", "/sys", "/dev", "/a", "/x", "/tmp", "/outside/foo", "/work"))


def test_a_working_directory_in_a_mount_needs_nothing_in_the_root() -> None:
    root = bare(root={"readonly": True}, mounts=[mount("/a")], process={"cwd": "/a/b"}).steps[0]
    assert isinstance(root, MountRoot)
    assert root.when is not None
    assert "/a/b" not in root.when.paths


@pytest.mark.rows("S41", oracle="specification")
@pytest.mark.parametrize("readonly", [True, False])
def test_s41_without_overlay_the_directory_itself_is_the_root(readonly: bool) -> None:
    root = bare(config=NO_OVERLAY, root={"readonly": readonly}).steps[0]
    assert isinstance(root, MountRoot)
    assert (root.overlay, root.when) == (None, None)


def test_the_roots_propagation_is_handed_on() -> None:
    root = bare(linux={"rootfsPropagation": "rslave"}).steps[0]
    assert isinstance(root, MountRoot)
    assert root.propagation is Propagation.SLAVE


@pytest.mark.rows("S13", oracle="specification")
def test_s13_the_working_directory_is_made() -> None:
    made = [step for step in steps_of(bare(process={"cwd": "/w/x/"}), MakeDirectory) if step.path == "/w/x"]
    assert [(step.mode, str(step.reason)) for step in made] == [(0o755, "process.cwd")]
    assert not [step for step in steps_of(bare(), MakeDirectory) if not step.path.startswith("/dev")]


@pytest.mark.rows("S36", oracle="specification")
def test_s36_the_root_is_sealed_last_of_all() -> None:
    plan = planned(process={"cwd": "/w"})
    working = [step for step in plan.steps if not isinstance(step, Skip)]
    assert working[-1].describe() == "seal / read-only"
    assert not [step for step in steps_of(bare(), Seal) if step.path == "/"]


# what is left out


def test_everything_unsupported_is_a_step() -> None:
    plan = planned(
        hooks={"prestart": [{"path": "/x"}]},
        process={"apparmorProfile": "x", "capabilities": {"ambient": ["CAP_BOGUS"]}},
        linux={"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}, "resources": {"memory": {"limit": 1}}},
        mounts=[mount("/t", "tmpfs", "tmpcopyup")],
    )
    told = {str(step.reason).partition(":")[0]: step.level for step in steps_of(plan, Skip)}
    for where in (
        "hooks.prestart",
        "process.apparmorProfile",
        "process.capabilities.ambient[0]",
        "linux.seccomp",
        "linux.resources.memory",
        "mounts[0].options",
    ):
        assert told[where] is Level.WARNING


def test_under_strict_every_warning_is_named_in_one_error() -> None:
    with pytest.raises(InputError) as error:
        planned(
            config=STRICT,
            hooks={"poststop": [{"path": "/x"}]},
            linux={"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}},
            mounts=[mount("/x", "xfs")],
        )
    for what in ("the poststop hooks", "seccomp", "the mount of type xfs at /x"):
        assert what in error.value.message
    assert "cgroup device rules" not in error.value.message


@pytest.mark.parametrize(
    ("mode", "message"), [("cdi", "not supported yet"), ("gpu", "expected auto, docker, spec or none")]
)
def test_a_mode_that_is_not_there_is_refused(mode: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        bare(mode=mode)


# text and JSON


def test_a_plan_is_one_printable_line_a_step_whatever_the_bundle_says() -> None:
    evil = "/a\nseal / read-only\x1b[2J\u202e"
    plan = bare(mounts=[mount(evil), mount("/é", "bind", source="/s\r")], process={"cwd": evil + "/x"})
    text = to_text(plan)
    assert len(text.splitlines()) == len(plan.steps)
    assert all(line.isprintable() for line in plan_lines(plan))
    assert "/é" in text


def test_json_has_every_step_with_its_fields() -> None:
    document: dict[str, Any] = json.loads(json.dumps(to_json(planned(GPU_HOST, process={"cwd": "/w"}, linux={
        "devices": [{"path": "/dev/nvidia-uvm", "type": "c", "major": 5, "minor": 0, "uid": 7}],
    }))))  # fmt: skip
    assert {key: document[key] for key in ("format", "bundle", "mode", "strict", "hostname", "domainname", "host")} == {
        "format": 1,
        "bundle": "/b",
        "mode": "spec",
        "strict": False,
        "hostname": "runc",
        "domainname": "",
        "host": {"name": "test", "simulated": True},
    }
    by_text = {step["text"]: step for step in document["steps"]}
    assert by_text["node /dev/nvidia-uvm c nvidia-uvm:0 0666 7:0"] == {
        "step": "make-node",
        "path": "/dev/nvidia-uvm",
        "kind": "c",
        "identity": {"driver": "nvidia-uvm", "minor": 0},
        "mode": "0666",
        "uid": 7,
        "gid": None,
        "asked": "5:0",
        "reason": {"source": "linux.devices[0]", "note": ""},
        "text": "node /dev/nvidia-uvm c nvidia-uvm:0 0666 7:0",
    }
    assert by_text["node /dev/null c 1:3 0666"]["identity"] == {"major": 1, "minor": 3}
    assert by_text["directory /w 0755"]["mode"] == "0755"
    assert document["steps"][0]["when"] == {"when_missing": ["/proc", "/dev", "/sys", "/tmp", "/w"]}
    sys = next(step for step in document["steps"] if step["path"] == "/sys")
    assert sys["options"]["change"] == {"set": ["nosuid", "nodev", "noexec"], "clear": [], "atime": False}
    assert sys["when"] is None


def test_json_tells_binds_conditions_and_propagation() -> None:
    entry = mount("/x", "none", "rbind", "ro", "rnosuid", "rslave", "private", source="/s")
    document: dict[str, Any] = json.loads(json.dumps(to_json(bare(mounts=[entry]))))
    bind = next(step for step in document["steps"] if step["step"] == "bind")
    assert bind["options"] == {
        "bind": True,
        "recursive_bind": True,
        "change": {"set": ["ro"], "clear": [], "atime": False},
        "recursive": {"set": ["nosuid"], "clear": [], "atime": False},
        "superblock": [],
        "propagation": ["rslave", "private"],
        "data": [],
    }
    tmp = next(step for step in document["steps"] if step["path"] == "/tmp")
    assert tmp["when"] == {"when_empty": "/tmp"}
    assert document["mode"] == Mode.NONE.value


def test_ambient_capabilities_that_cannot_be_raised_are_told_of() -> None:
    """What `runc spec` writes: ambient without inheritable."""
    config = runc_spec_like()
    made = plan(parse_spec(config, BUNDLE), PLAIN, config=STRICT)
    told = [(step.what, step.level) for step in steps_of(made, Skip) if step.what.startswith("ambient")]
    assert told == [("ambient CAP_AUDIT_WRITE, CAP_KILL, CAP_NET_BIND_SERVICE", Level.NOTE)]
    sets = config["process"]["capabilities"]
    sets["inheritable"] = sets["ambient"]
    made = plan(parse_spec(config, BUNDLE), PLAIN, config=STRICT)
    assert not [step for step in steps_of(made, Skip) if step.what.startswith("ambient")]
