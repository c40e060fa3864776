"""The kernel target of an ordinary user beside runc's, which is told in its config.json what we find out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from devproxy.cli.main import main
from devproxy.oci.load import load
from tests.bundles import write_bundle
from tests.differential.cases import CASES, Case
from tests.differential.decisions import Decision, Difference, unexplained
from tests.differential.peers import require, run
from tests.differential.test_runc import DECISIONS
from tests.differential.view import View, parse
from tests.unprivileged import GID, UID, as_user

pytestmark = pytest.mark.peer

NAMES = (
    "runc-spec",
    "writable root",
    "read-only tmpfs",
    "binds of directories and files",
    "mount points that are missing",
    "destinations through symbolic links",
    "masked and read-only paths of the image",
)
SOME = [case for case in CASES if case.name in NAMES]


def _bound_nodes(difference: Difference) -> bool:
    """tun and fuse are binds too, and so have a mount each."""
    return (
        difference.what == "mount" and difference.where in ("/dev/net/tun", "/dev/fuse") and difference.theirs is None
    )


ROOTLESS = (
    *DECISIONS,
    Decision("S6: /dev/net/tun and /dev/fuse come with every /dev", _bound_nodes),
)


@pytest.mark.parametrize("case", SOME, ids=lambda case: case.name)
def test_shows_what_runc_shows(case: Case) -> None:
    require("runc")

    def work(directory: Path) -> list[Any]:
        theirs = _with_runc(case.write(str(directory / "runc")), directory)
        ours = _with_devproxy(case.write(str(directory / "devproxy")), directory)
        return [theirs, ours]

    (their_code, their_out, their_words), (our_code, our_out) = as_user(work)
    theirs, ours = parse(their_out, their_code), parse(our_out, our_code)
    assert theirs.mounts, their_words
    assert ours.mounts
    assert unexplained(ours, theirs, ROOTLESS) == []


def test_what_runc_writes_for_its_caller_is_run_without_a_warning() -> None:
    """`runc spec --rootless` maps the caller, as devproxy does by itself."""
    runc = require("runc")

    def work(directory: Path) -> list[Any]:
        bundle = write_bundle(directory / "bundle", {})
        os.unlink(f"{bundle}/config.json")
        code, _, words = run(runc, "spec", "--rootless", "--bundle", bundle)
        assert code == 0, words
        config = json.loads(Path(bundle, "config.json").read_text())
        assert config["linux"]["uidMappings"] == [{"containerID": 0, "hostID": UID, "size": 1}]
        config["process"].update(args=["sh", "-c", "id -u; cat /proc/self/uid_map"], terminal=False)
        Path(bundle, "config.json").write_text(json.dumps(config))
        plans = [[found.what for found in load(bundle).unsupported if not found.harmless]]
        config["linux"]["gidMappings"][0]["size"] = 2
        other = write_bundle(directory / "other", config)
        plans.append([found.what for found in load(other).unsupported if not found.harmless])
        return [plans, *_with_devproxy(bundle, directory, "--set", "strict=true")]

    plans, code, text = as_user(work)
    assert plans == [
        [],
        ["the user namespace's gid mapping", "the user namespace's uid mapping", "a user namespace of its own"],
    ]
    assert (code, text.split()) == (0, ["0", "0", str(UID), "1"])


def test_the_cases_are_there() -> None:
    assert len(SOME) == len(NAMES)


def test_a_difference_is_seen() -> None:
    """What has no decision behind it is told: here a mount that only runc has."""
    theirs = View()
    theirs.mounts.append(_mount("/surplus"))
    assert unexplained(View(), theirs, ROOTLESS) != []


def _mount(point: str) -> Any:
    return parse(f"@mounts\ntmpfs {point} tmpfs rw 0 0", 0).mounts[0]


def _with_runc(bundle: str, directory: Path) -> list[Any]:
    path = Path(bundle) / "config.json"
    config = json.loads(path.read_text())
    linux = config["linux"]
    linux["namespaces"].append({"type": "user"})
    linux["uidMappings"] = [{"containerID": 0, "hostID": UID, "size": 1}]
    linux["gidMappings"] = [{"containerID": 0, "hostID": GID, "size": 1}]
    linux.pop("resources", None)
    config["mounts"] = [_without_gid(mount) for mount in config["mounts"] if mount["type"] != "cgroup"]
    path.write_text(json.dumps(config))
    state = str(directory / "state")
    return list(run(require("runc"), "--root", state, "run", "--bundle", bundle, f"devproxy-{os.getpid()}"))


def _without_gid(mount: dict[str, Any]) -> dict[str, Any]:
    return {**mount, "options": [word for word in mount.get("options", []) if word != "gid=5"]}


def _with_devproxy(bundle: str, directory: Path, *options: str) -> list[Any]:
    told = directory / "told"
    output = os.open(told, os.O_CREAT | os.O_WRONLY, 0o600)
    os.dup2(output, 1)
    os.close(output)
    code = main(["-q", *options, "run", bundle])
    return [code, told.read_text(errors="replace")]
