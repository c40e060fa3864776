"""Roots without privileges, for the tests: built by a user, and what is found in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from devproxy.build import Root, build
from devproxy.check.outcomes import check_outcomes
from devproxy.check.verify import verify
from devproxy.host.probe import probe
from devproxy.launch import launch
from devproxy.oci.configuration import Configuration
from devproxy.oci.load import load
from devproxy.plan.plan import Plan
from devproxy.plan.planner import plan
from devproxy.targets.kernel.paths import KernelPaths
from tests.bundles import runc_spec_like, write_bundle
from tests.unprivileged import as_user

EXAMPLE = str(Path(__file__).parents[3] / "example" / "host-8gpu.tar")
BOUND = "bound from the host, keeps mode 0666 and owner 65534:65534"


def planned(directory: Path, config: Configuration | None = None, **changes: Any) -> Plan:
    bundle = write_bundle(directory / "bundle", runc_spec_like(**changes))
    return plan(load(bundle), probe(), config=config or Configuration())


def looked_at(root: Root) -> dict[str, Any]:
    """What became of each step, and what the two checks say."""
    return {
        "outcomes": {o.step.describe(): [o.result.value, o.found, o.warning, o.rootless] for o in root.outcomes},
        "findings": [f.describe() for f in (*verify(root.plan, root).findings, *check_outcomes(root).findings)],
    }


def built(
    work: Callable[[Path], Plan], paths: KernelPaths | None = None, prepare: Callable[[], object] = lambda: None
) -> dict[str, Any]:
    def child(directory: Path) -> dict[str, Any]:
        with build(work(directory), "kernel", paths=paths) as root:
            told = json.dumps(looked_at(root)).replace(str(directory), "DIRECTORY")
            return dict(json.loads(told))

    return dict(as_user(child, prepare))


def found(result: dict[str, Any], start: str) -> list[Any]:
    (answer,) = [value for step, value in result["outcomes"].items() if step.startswith(start)]
    return list(answer)


def in_process(directory: Path, script: str, **changes: Any) -> list[Any]:
    """The exit code and the output of a shell in a rootless root."""
    arguments = {"args": ["sh", "-c", f"exec > /out/told 2>&1; {script}"], **changes.pop("process", {})}
    (directory / "out").mkdir()
    out = {"destination": "/out", "type": "bind", "source": str(directory / "out"), "options": ["bind"]}
    mounts = [*runc_spec_like()["mounts"], out]
    with build(planned(directory, process=arguments, mounts=mounts, **changes), "kernel") as root:
        return [launch(root), (directory / "out" / "told").read_text()]
