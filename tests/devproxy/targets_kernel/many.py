"""Everything that `run` does with a bundle, for strace to count: load, plan, build, check, launch.

Run as `python -m tests.devproxy.targets_kernel.many BUNDLE`.
"""

from __future__ import annotations

import sys

import devproxy
from devproxy.check.outcomes import check_outcomes
from devproxy.launch import launch


def main(bundle: str) -> int:
    """The exit code of the bundle's process."""
    plan = devproxy.plan(devproxy.load(bundle), devproxy.probe())
    with devproxy.build(plan, "kernel") as root:
        report = check_outcomes(root)
        assert report.ok, report
        return launch(root)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
