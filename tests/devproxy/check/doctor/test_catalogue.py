"""The catalogue: every code has its place, its page, and an order."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Final

import pytest

from devproxy.check.doctor.catalogue import CHECKS
from devproxy.check.doctor.pages import PLACE, codes, page
from devproxy.check.doctor.words import together
from devproxy.check.finding import Finding, Severity
from devproxy.errors import InputError

SECTIONS = ["What it means", "How it is detected", "What to do"]

# Codes that users and dashboards may key on: none is renamed or dropped.
_STABLE: Final = """
accel-is-not-tpu blocked-by-nouveau cdi-device-conflict cdi-driver-stale cdi-host-path-missing cdi-incomplete
cdi-management-only cdi-spec-invalid cdi-spec-stale cdi-spec-unreadable cgroup-rule-missing cgroups-disabled-rootful
dev-char-link-missing device-busy device-id-unknown device-lost directory-as-device driver-library-mismatch
driver-not-loaded ecc-uncorrected fabric-manager-missing fabric-manager-version group-id-mismatch
image-has-driver-libraries inside-container iommu-group-shared iommu-off memlock-too-low memory-in-use-while-idle
mig-caps-missing mig-changed mig-id-legacy minor-differs-from-index node-directory-unreadable node-kind-wrong
node-major-mismatch node-major-zero node-missing node-mode-looser-than-params node-mode-malformed
node-mode-restrictive numa-unbound nvlink-down nvml-error nvml-timeout open-denied-by-cgroup open-denied-by-mode
open-no-driver pcie-speed-degraded pcie-width-degraded persistenced-socket-dead power-capped row-remap-failed
row-remap-pending runtime-bpf-unsupported runtime-not-configured runtime-rootless-legacy selinux-denies-device
shm-too-small sources-disagree temperature-high throttled tpu-lockfile-stale uvm-after-suspend uvm-not-loaded
vfio-control-mode vfio-foreign-group vfio-group-not-viable wsl xid-since
"""
STABLE: Final = frozenset(_STABLE.split())


def test_codes_are_words_and_each_is_there_once() -> None:
    assert len(codes()) == len(CHECKS)
    for code in codes():
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code)


def test_no_code_is_dropped_or_renamed() -> None:
    assert set(codes()) >= STABLE
    assert len(codes()) >= 60


@pytest.mark.parametrize("code", codes())
def test_each_code_is_looked_for_by_name_in_a_test(code: str) -> None:
    """Tests of the doctor are rows that begin with a code: where it fires, and where it is silent."""
    tests = [path.read_text() for path in Path(__file__).parents[2].rglob("test_*.py") if path != Path(__file__)]
    assert any(f'"{code}"' in text for text in tests)


def test_the_wheel_takes_the_pages_along() -> None:
    """Hatch takes every file of a package but what git ignores and what it is told to leave."""
    root = Path(__file__).parents[4]
    wheel = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel == {"packages": ["devproxy", "vfs"]}
    assert Path(PLACE).relative_to(root).parts[0] in wheel["packages"]
    assert not [line for line in (root / ".gitignore").read_text().splitlines() if "pages" in line or "md" in line]


@pytest.mark.parametrize("code", codes())
def test_each_code_has_a_page(code: str) -> None:
    text = page(code)
    assert text.startswith(f"# {code}\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    for section in text.split("## ")[1:]:
        assert len(section.partition("\n")[2].strip()) >= 20, "a section says nothing"


def test_there_is_no_page_without_a_code() -> None:
    assert {name.removesuffix(".md") for name in os.listdir(PLACE)} == set(codes())


def test_what_is_no_code_is_told_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean device-lost"):
        page("device-loss")
    with pytest.raises(InputError, match="--list"):
        page("../../../etc/passwd")


def test_findings_that_say_the_same_are_told_once() -> None:
    same = [
        Finding("a", Severity.ERROR, f"/dev/nvidia{n}", "x", "y", "why", f"chmod 0666 /dev/nvidia{n}")
        for n in range(12)
    ]
    other = Finding("a", Severity.WARNING, "/dev/nvidia0", "x", "y", "why")
    told = together([*same, other])
    assert [len(each.subjects) for each in told] == [12, 1]
    assert told[0].subject.endswith("/dev/nvidia7 and 4 more")
