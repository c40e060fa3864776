"""The catalogue: every code has its place, its page, and an order."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Final

import pytest

from devproxy.check.doctor.catalogue import CHECKS
from devproxy.check.doctor.pages import PLACE, codes, page, pages
from devproxy.check.doctor.words import together
from devproxy.check.finding import Finding, Severity
from devproxy.errors import InputError
from devproxy.jobs.health.catalogue import JOB_CHECKS, OWN_CHECKS
from tests.devproxy.check.doctor import (
    test_cdi,
    test_devices,
    test_leftovers,
    test_nodes,
    test_nvml,
    test_symptoms,
    test_system,
)
from tests.devproxy.cli import test_surroundings

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


@pytest.mark.parametrize("code", pages())
def test_each_code_is_looked_for_by_name_in_a_test(code: str) -> None:
    """Tests of the doctor are rows that begin with a code: where it fires, and where it is silent. Those of check are mutations,
    too: tests/devproxy/jobs/health says that each code of its own is told by one.
    """
    here = Path(__file__).parents[2]
    paths = (*here.rglob("test_*.py"), here / "jobs" / "health" / "mutations.py")
    tests = [path.read_text() for path in paths if path != Path(__file__)]
    assert any(f'"{code}"' in text for text in tests)


# Codes that are about more than one machine's facts: the test in which each fires, and is silent, by name.
ELSEWHERE: Final = {
    "accelerators-unseen": test_surroundings.test_a_machine_without_accelerators_is_none_that_was_not_seen,
    "bundle-device-stale": test_nodes.TestBundles.test_a_stale_major_in_a_bundle,
    "device-id-unknown": test_nodes.TestBundles.test_an_id_that_names_nothing,
    "directory-as-device": test_nodes.TestBundles.test_a_directory_in_place_of_a_device,
    "group-id-mismatch": test_nodes.TestBundles.test_a_group_with_another_number_in_the_image,
    "image-has-driver-libraries": test_nodes.TestBundles.test_driver_libraries_in_an_image,
    "layers-left-behind": test_leftovers.test_layers_of_killed_runs_are_told_with_what_to_type,
    "mig-changed": test_nodes.TestBundles.test_mig_devices_that_are_gone,
    "mig-id-legacy": test_nodes.TestBundles.test_an_old_id_of_a_mig_device,
    "minor-differs-from-index": test_nvml.test_a_healthy_machine_has_two_things_worth_knowing,
}


def test_every_code_fires_in_a_test_and_is_silent_in_one() -> None:
    """A row has a machine on which its code fires and one on which it does not; a message is read where it means its code
    and where it is only talked about (test_symptoms). Each module tests its own.
    """
    rows = {row[0] for module in (test_nodes, test_devices, test_nvml, test_system, test_cdi) for row in module.ROWS}
    told = set(test_symptoms.SAID.values())
    assert set(codes()) - rows - told - ELSEWHERE.keys() == set()
    assert ELSEWHERE.keys() <= set(codes()) - rows


def test_the_wheel_takes_the_pages_along() -> None:
    """Hatch takes every file of a package but what git ignores and what it is told to leave."""
    root = Path(__file__).parents[4]
    wheel = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["devproxy", "vfs"]
    assert not wheel.keys() & {"exclude", "only-include", "include"}
    assert Path(PLACE).relative_to(root).parts[0] in wheel["packages"]
    assert not [line for line in (root / ".gitignore").read_text().splitlines() if "pages" in line or "md" in line]


@pytest.mark.parametrize("code", pages())
def test_each_code_has_a_page(code: str) -> None:
    text = page(code)
    assert text.startswith(f"# {code}\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    for section in text.split("## ")[1:]:
        assert len(section.partition("\n")[2].strip()) >= 20, "a section says nothing"


def test_there_is_no_page_without_a_code() -> None:
    own = {check.code for check in OWN_CHECKS}
    assert set(pages()) == set(codes()) | own == {name.removesuffix(".md") for name in os.listdir(PLACE)}
    assert not own & set(codes())
    assert {check.code for check in JOB_CHECKS} - own <= set(codes())


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
