"""`process` and `linux` of a spec, and what is left out of them."""

from __future__ import annotations

from typing import Any

import pytest

from devproxy.errors import InputError
from devproxy.node import DeviceNumber, NodeKind
from devproxy.oci.spec import Capabilities, Process, Rlimit, User
from tests.devproxy.oci.parsing import parse, parse_device


def process(**changes: Any) -> Process:
    found = parse(process=changes).process
    assert found is not None
    return found


def test_a_process_with_everything() -> None:
    found = process(
        args=["a", ""],
        env=["A=1", "B", "A=2"],
        cwd="/w/../x/",
        user={"uid": 1, "gid": 2, "additionalGids": [4294967294, 3], "umask": 0o77},
        capabilities={"bounding": ["CAP_KILL"], "inheritable": []},
        rlimits=[{"type": "RLIMIT_CORE", "soft": 0, "hard": (1 << 64) - 1}],
        noNewPrivileges=False,
        terminal=True,
        oomScoreAdj=-5,
    )
    assert found == Process(
        args=("a", ""),
        env=("A=1", "B", "A=2"),
        cwd="/x",
        user=User(1, 2, (4294967294, 3), 0o77),
        rlimits=(Rlimit("RLIMIT_CORE", 0, (1 << 64) - 1),),
        capabilities=Capabilities(bounding=("CAP_KILL",)),
        terminal=True,
        oom_score_adj=-5,
    )


@pytest.mark.rows("S11", oracle="specification")
def test_s11_without_a_user_it_is_root_and_the_umask_is_left_to_launch() -> None:
    found = process(user=None, capabilities=None)
    assert found.user == User(0, 0, (), None)
    assert found.capabilities is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"args": None}, "process.args is missing"),
        ({"args": []}, "process.args is an array of 0, expected at least the name of a program"),
        ({"args": [""]}, "expected at least the name of a program"),
        ({"args": ["a", 1]}, "process.args[1] is 1 (a number), expected a string"),
        ({"args": ["a\0"]}, "without NUL characters"),
        ({"env": {"A": "1"}}, "process.env is an object, expected an array"),
        ({"cwd": None}, "process.cwd is missing"),
        ({"cwd": "w"}, 'process.cwd is "w" (a string), expected an absolute path'),
        ({"user": {"uid": -1}}, "process.user.uid is -1 (a number)"),
        ({"user": {"uid": 4294967295}}, "from 0 to 4294967294"),
        ({"user": {"uid": 1.0}}, "process.user.uid is 1.0 (a number), expected a whole number"),
        ({"user": {"uid": True}}, "process.user.uid is true (a boolean), expected a whole number"),
        ({"user": {"uid": 10**4000}}, "(4001 digits)"),
        ({"user": {"umask": 0o1000}}, "process.user.umask is 512"),
        ({"rlimits": [{"type": "RLIMIT_FOO", "soft": 1, "hard": 1}]}, "process.rlimits[0].type is"),
        ({"rlimits": [{"type": "RLIMIT_CPU", "soft": 1}]}, "process.rlimits[0].hard is missing"),
        ({"rlimits": [{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]}, "expected at most the hard limit 1"),
        ({"rlimits": [{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}] * 2}, "process.rlimits[1].type is"),
        ({"oomScoreAdj": 1001}, "from -1000 to 1000"),
        ({"noNewPrivileges": 1}, "process.noNewPrivileges is 1 (a number), expected true or false"),
        ({"capabilities": []}, "process.capabilities is an array of 0, expected an object"),
    ],
)
def test_a_wrong_process_names_its_path(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        parse(process=changes)
    assert message in error.value.message


@pytest.mark.rows("S14", oracle="specification")
def test_s14_a_process_without_args_is_refused_before_anything_is_mounted() -> None:
    with pytest.raises(InputError, match=r"process\.args"):
        parse(process={"args": None})


def test_an_unknown_capability_is_told_not_refused() -> None:
    """config.md: a value that maps to no kernel interface MUST be logged as a warning."""
    spec = parse(process={"capabilities": {"ambient": ["CAP_KILL", "CAP_BOGUS", "KILL"]}})
    assert spec.process is not None
    assert spec.process.capabilities == Capabilities(ambient=("CAP_KILL",))
    told = [(thing.where, thing.what, thing.harmless) for thing in spec.unsupported[:2]]
    assert told == [
        ("process.capabilities.ambient[1]", 'the capability "CAP_BOGUS"', False),
        ("process.capabilities.ambient[2]", 'the capability "KILL"', False),
    ]


def test_the_kernels_capabilities_are_known() -> None:
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
        last = int(file.read())
    from devproxy.oci.process import _CAPABILITIES

    assert len(_CAPABILITIES) == last + 1


# devices


@pytest.mark.rows("S66", oracle="specification")
@pytest.mark.parametrize(
    ("letter", "kind"),
    [("c", NodeKind.CHARACTER), ("u", NodeKind.CHARACTER), ("b", NodeKind.BLOCK), ("p", NodeKind.FIFO)],
)
def test_s66_the_types_of_devices(letter: str, kind: NodeKind) -> None:
    device = parse_device(type=letter, major=195, minor=7)
    assert device.kind is kind
    assert device.number == (None if letter == "p" else DeviceNumber(195, 7))


@pytest.mark.rows("S66", oracle="specification")
def test_s66_a_fifo_needs_no_number() -> None:
    assert parse_device(type="p", major=None, minor=None).number is None


@pytest.mark.rows("S66", "S67", oracle="specification")
@pytest.mark.parametrize(("mode", "expected"), [(0o20666, 0o666), (0o4777, 0o777), (0, 0), (None, None)])
def test_s66_s67_only_the_permission_bits_of_file_mode_count(mode: int | None, expected: int | None) -> None:
    assert parse_device(fileMode=mode).mode == expected


@pytest.mark.rows("S70", oracle="specification")
@pytest.mark.parametrize(("uid", "gid"), [(None, None), (5, None), (None, 6), (0, 0)])
def test_s70_either_owner_may_be_given_alone(uid: int | None, gid: int | None) -> None:
    device = parse_device(uid=uid, gid=gid)
    assert (device.uid, device.gid) == (uid, gid)


def test_device_paths_are_cleaned() -> None:
    assert parse_device(path="/dev//net/../d/").path == "/dev/d"


@pytest.mark.rows("S66", oracle="specification")
@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"type": "x"}, 'linux.devices[0].type is "x" (a string), expected a device type, one of c, u, b, p'),
        ({"type": None}, "linux.devices[0].type is missing"),
        ({"path": "/"}, 'linux.devices[0].path is "/" (a string), expected the path of a device'),
        ({"path": "/dev/.."}, "expected the path of a device"),
        ({"path": "dev/x"}, "expected an absolute path"),
        ({"path": None}, "linux.devices[0].path is missing"),
        ({"major": None}, "linux.devices[0].major is missing"),
        ({"major": 4096}, "expected a whole number from 0 to 4095"),
        ({"minor": 1 << 20}, "expected a whole number from 0 to 1048575"),
        ({"minor": -1}, "linux.devices[0].minor is -1"),
        ({"fileMode": "0666"}, 'linux.devices[0].fileMode is "0666" (a string)'),
        ({"uid": -1}, "linux.devices[0].uid is -1"),
    ],
)
def test_s66_a_wrong_device_names_its_path(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        parse_device(**entry)
    assert message in error.value.message


@pytest.mark.rows("S66", oracle="specification")
def test_s66_a_spec_without_linux_has_no_devices_at_all() -> None:
    assert parse(linux=None, hostname=None).devices is None


# namespaces and paths


def test_namespaces_keep_their_paths() -> None:
    namespaces = [{"type": "uts"}, {"type": "network", "path": "/run/netns/x"}, {"type": "ipc", "path": ""}]
    assert [(n.type, n.path, n.where) for n in parse(linux={"namespaces": namespaces}).namespaces] == [
        ("uts", None, "linux.namespaces[0]"),
        ("network", "/run/netns/x", "linux.namespaces[1]"),
        ("ipc", None, "linux.namespaces[2]"),
    ]


@pytest.mark.parametrize(
    ("linux", "message"),
    [
        ({"namespaces": [{"type": "uts"}, {"type": "uts"}]}, "linux.namespaces[1].type"),
        ({"namespaces": [{"type": "pids"}]}, 'linux.namespaces[0].type is "pids"'),
        ({"namespaces": [{"type": "pid", "path": "x"}]}, "linux.namespaces[0].path"),
        ({"maskedPaths": ["proc"]}, "linux.maskedPaths[0]"),
        ({"readonlyPaths": [None]}, "linux.readonlyPaths[0] is null"),
        ({"devices": {}}, "linux.devices is an object, expected an array"),
    ],
)
def test_a_wrong_linux_names_its_path(linux: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        parse(hostname=None, linux=linux)
    assert message in error.value.message


# what is left out


HARMLESS = "linux.resources.devices"


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        *(
            ({"hooks": {kind: [{"path": "/bin/true"}]}}, f"hooks.{kind}")
            for kind in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
        ),
        *(
            ({"process": {key: value}}, f"process.{key}")
            for key, value in [
                ("apparmorProfile", "docker-default"),
                ("selinuxLabel", "l"),
                ("scheduler", {"policy": "SCHED_OTHER"}),
                ("ioPriority", {"class": "IOPRIO_CLASS_IDLE"}),
                ("execCPUAffinity", {"initial": "0"}),
            ]
        ),
        *(
            ({"linux": {key: value}}, f"linux.{key}")
            for key, value in [
                ("seccomp", {"defaultAction": "SCMP_ACT_ALLOW"}),
                ("mountLabel", "l"),
                ("sysctl", {"net.ipv4.ip_forward": "1"}),
                ("uidMappings", [{"containerID": 0, "hostID": 0, "size": 1}]),
                ("gidMappings", [{"containerID": 0, "hostID": 0, "size": 1}]),
                ("timeOffsets", {"monotonic": {"secs": 1}}),
                ("intelRdt", {"closID": "x"}),
                ("personality", {"domain": "LINUX32"}),
                ("netDevices", {"eth0": {}}),
                ("memoryPolicy", {"mode": "MPOL_BIND"}),
                ("cgroupsPath", "/x"),
                ("resources", {"memory": {"limit": 1}}),
                ("resources", {"pids": {"limit": 1}}),
                ("resources", {"unified": {"cpu.max": "1"}}),
            ]
        ),
    ],
)
def test_what_run_does_not_do_is_told(changes: dict[str, Any], where: str) -> None:
    if where == "linux.resources":
        where = f"linux.resources.{next(iter(changes['linux']['resources']))}"
    assert [thing.where for thing in parse(**changes).unsupported if thing.where != HARMLESS] == [where]


@pytest.mark.parametrize("kind", ["user", "time"])
def test_namespaces_that_run_does_not_make_are_told(kind: str) -> None:
    spec = parse(linux={"namespaces": [{"type": "uts"}, {"type": kind}]})
    assert "linux.namespaces[1]" in [thing.where for thing in spec.unsupported]


@pytest.mark.parametrize(
    "changes",
    [
        {"hooks": {"prestart": []}},
        {"hooks": {}},
        {"process": {"apparmorProfile": ""}},
        {"linux": {"sysctl": {}, "uidMappings": [], "seccomp": None, "resources": {"devices": [], "memory": {}}}},
    ],
)
def test_what_asks_for_nothing_is_not_told(changes: dict[str, Any]) -> None:
    assert [thing for thing in parse(**changes).unsupported if not thing.harmless] == []


@pytest.mark.rows("H25", oracle="specification")
@pytest.mark.parametrize(
    ("rules", "harmless"),
    [
        ([{"allow": False, "access": "rwm"}], True),
        ([{"allow": True, "access": "rwm"}], False),
        ([{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 195, "access": "rw"}], False),
        ([{"allow": False, "type": "c", "access": "rwm"}], False),
    ],
)
def test_h25_a_lone_deny_all_rule_is_harmless(rules: list[dict[str, Any]], harmless: bool) -> None:
    unsupported = parse(linux={"resources": {"devices": rules}}).unsupported
    assert [(thing.where, thing.harmless) for thing in unsupported] == [(HARMLESS, harmless)]


GPU = {"path": "/dev/nvidia0", "type": "c", "major": 195, "minor": 0}


@pytest.mark.rows("H25", oracle="specification")
@pytest.mark.parametrize(
    ("rule", "harmless"),
    [
        ({"allow": True, "type": "c", "major": 195, "minor": 0, "access": "rw"}, True),
        ({"allow": True, "type": "c", "major": 195, "minor": 1, "access": "rw"}, False),
        ({"allow": True, "type": "b", "major": 195, "minor": 0, "access": "rw"}, False),
        ({"allow": True, "type": "c", "major": 195, "access": "rw"}, False),
        ({"allow": False, "type": "c", "major": 195, "minor": 0, "access": "rw"}, False),
    ],
)
def test_h25_so_is_allowing_what_linux_devices_lists(rule: dict[str, Any], harmless: bool) -> None:
    rules = [{"allow": False, "access": "rwm"}, rule]
    unsupported = parse(linux={"devices": [GPU], "resources": {"devices": rules}}).unsupported
    assert [(thing.where, thing.harmless) for thing in unsupported] == [(HARMLESS, harmless)]
