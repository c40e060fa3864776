"""The peers, run beside us on the same bundle. Their standard streams are pipes: runsc gives what it gets to nobody."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid

import pytest

from tests.differential.view import View, parse

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
TIMEOUT = 60


def require(program: str) -> str:
    """The path of a peer; without it the test is skipped, and counted (on CI that is a failure, see conftest)."""
    found = shutil.which(program, path=PATH)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def run(*argv: str, cwd: str | None = None) -> tuple[int, str, str]:
    """Run a program on pipes; its exit code and what it printed."""
    done = subprocess.run(
        argv, input=b"", capture_output=True, timeout=TIMEOUT, check=False, cwd=cwd, env={**os.environ, "PATH": PATH}
    )
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def with_runc(bundle: str) -> tuple[View, str]:
    """What a container of runc's shows, and what runc said."""
    code, out, err = run(require("runc"), "run", "--bundle", bundle, f"devproxy-{uuid.uuid4().hex[:12]}")
    return parse(out, code), err


def with_runc_raw(bundle: str) -> str:
    """What the process of a runc container prints; the test fails with runc's words if it says nothing."""
    _, out, err = run(require("runc"), "run", "--bundle", bundle, f"devproxy-{uuid.uuid4().hex[:12]}")
    assert out, err
    return out


def with_runsc(bundle: str, state: str) -> tuple[View, str]:
    """What a sandbox of runsc's shows, and what runsc said."""
    name = f"devproxy-{uuid.uuid4().hex[:12]}"
    flags = ["--root", state, "--network=none", "--ignore-cgroups", "--platform=ptrace"]
    code, out, err = run(require("runsc"), *flags, "run", "--bundle", bundle, name)
    return parse(out, code), err


# What a kernel before 5.6 would need, forced: no mounts on detached trees, no openat2, overlay layers by path.
_OLDEST = """
import sys, devproxy
from devproxy.targets.kernel.paths import KernelPaths
plan = devproxy.plan(devproxy.load(sys.argv[1]), devproxy.probe())
with devproxy.build(plan, "kernel", paths=KernelPaths(False, False, False)) as root:
    sys.exit(devproxy.launch(root))
"""


def in_the_oldest_way(bundle: str) -> tuple[View, str]:
    """What the same bundle shows where the kernel target has to go the ways of older kernels."""
    code, out, err = run(sys.executable, "-c", _OLDEST, bundle)
    return parse(out, code), err


def with_devproxy(bundle: str, *options: str) -> tuple[View, str]:
    """What `devproxy run` shows, and what it said."""
    code, out, err = run(sys.executable, "-m", "devproxy", "run", bundle, *options)
    return parse(out, code), err
