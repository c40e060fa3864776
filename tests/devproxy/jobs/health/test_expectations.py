"""Expectations: what a file may say, with the line of what it may not, and what of a host is told to be otherwise."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.check.finding import Severity
from devproxy.errors import InputError
from devproxy.host.facts import Host
from devproxy.jobs.health import check
from devproxy.jobs.health.catalogue import JOB_CHECKS
from devproxy.jobs.health.expectations import Expectations, load_expectations
from devproxy.jobs.health.written import expectations_text
from tests.devproxy.check.doctor.edits import Edited
from tests.devproxy.jobs.health.mutations import SOUND, told

CODES: Final = frozenset(each.code for each in JOB_CHECKS)


def load(tmp_path: Path, text: str | bytes) -> Expectations:
    path = tmp_path / "expected.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_expectations(str(path), CODES)


@cache
def host(name: str) -> Host:
    return Edited.of(SOUND[name]).host()


# reading

WHOLE: Final = """\
[host]
product = "SYS-821GE-TNHR"
[driver]
version = ">= 550.90"
[gpu]
count = 8
model = ["NVIDIA H100 80GB HBM3", "NVIDIA H100 PCIe"]
memory = "80G"
pcie-width = 16
pcie-generation = 5
nvlinks = 18
mig = false
ecc = true
persistence = true
sm-clocks = [1980, 1410]
temperature-most = 80
[tpu]
count = 0
generation = "v4"
[checks]
power-capped = false
"""


def test_everything_that_can_be_said(tmp_path: Path) -> None:
    assert load(tmp_path, WHOLE) == Expectations(
        "SYS-821GE-TNHR", ">= 550.90", 8, ("NVIDIA H100 80GB HBM3", "NVIDIA H100 PCIe"), 80 << 30, 16, 5, 18, False, True, True,
        (1980, 1410), 80, 0, "v4", (("power-capped", False),), str(tmp_path / "expected.toml"),
    )  # fmt: skip
    assert load(tmp_path, "") == Expectations(source=str(tmp_path / "expected.toml"))


WRONG: Final[dict[str, tuple[str | bytes, str]]] = {
    "no TOML": ("[gpu]\ncount = \n", "at line 2"),
    "no UTF-8": (b"[gpu]\nmodel = '\xff'\n", "no TOML"),
    "twice": ("[gpu]\ncount = 1\ncount = 2\n", "line 3"),
    "a table that is none": ("[gpus]\ncount = 8\n", "expected.toml, line 1: there is no table 'gpus'"),
    "a value in place of a table": ("gpu = 8\n", "expected.toml, line 1: gpu is 8, expected a table"),
    "a misspelt key": ("# lab\n[gpu]\ncount = 8\npcie_width = 16\n", "line 4: there is no key 'pcie_width' in [gpu]"),
    "a key of another table": ("[tpu]\nmodel = 'v4'\n", "line 2: there is no key 'model' in [tpu]"),
    "a text for a number": ("[gpu]\ncount = '8'\n", "line 2: gpu.count is '8', expected a whole number"),
    "a bool for a number": ("[gpu]\ncount = true\n", "line 2: gpu.count is True, expected a whole number"),
    "a negative number": ("[gpu]\nnvlinks = -1\n", "line 2: gpu.nvlinks is -1"),
    "a number for a bool": ("[gpu]\nmig = 0\n", "line 2: gpu.mig is 0, expected true or false"),
    "no size": ("[gpu]\nmemory = '80 parsecs'\n", "line 2: gpu.memory is '80 parsecs', expected a size"),
    "no version": ("[driver]\nversion = 'latest'\n", "line 2: driver.version is 'latest', expected a version"),
    "an empty text": ("[host]\nproduct = ''\n", "line 2: host.product is '', expected a text"),
    "escapes": ("[host]\nproduct = '\\u001b[31m'\n".replace("'", '"'), "line 2: host.product"),
    "a list of nothing": ("[gpu]\nmodel = []\n", "line 2: gpu.model is []"),
    "a code that is none": ("[checks]\nxid-sinse = false\n", "line 2: there is no code 'xid-sinse' in [checks]"),
    "a code that is a number": ("[checks]\nxid-since = 0\n", "line 2: checks.xid-since is 0, expected true or false"),
    "a dotted key": ("gpu.cuont = 8\n", "expected.toml"),
    "depth": ("a = " + "[" * 5000 + "]" * 5000, "nested too deeply"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_with_its_line_and_key(what: str, tmp_path: Path) -> None:
    text, message = WRONG[what]
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    assert message in caught.value.message
    assert "\x1b" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[gpu]\npcie_width = 16\n", "did you mean 'pcie-width'?"), ("[gpus]\n", "did you mean 'gpu'?"),
        ("[checks]\nxid-sinse = false\n", "did you mean 'xid-since'?"), ("[gpu]\nzzz = 1\n", "expected one of count, "),
    ],
)  # fmt: skip
def test_the_nearest_word_is_suggested(text: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    assert caught.value.hint.startswith(hint)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(InputError):
            load_expectations(str(path), CODES)


@pytest.mark.property
@given(st.dictionaries(st.sampled_from(("gpu", "tpu", "host", "driver", "checks", "x")), st.dictionaries(
    st.sampled_from(("count", "model", "memory", "mig", "version", "xid-since", "sm-clocks", "y")),
    st.integers() | st.booleans() | st.text(max_size=8) | st.lists(st.integers(), max_size=2), max_size=3,
)))  # fmt: skip
def test_every_document_is_read_or_refused(document: dict[str, Any]) -> None:
    from devproxy.jobs.health.expectations import _Reading

    refused = ""
    try:
        _Reading("x", "", CODES).read(document)
    except InputError as error:
        refused = error.message
    assert not refused or refused.startswith("x: ")


# held to

# code, host, what is expected, subject (all others are silent)
ROWS: Final[tuple[tuple[str, str, Expectations, str], ...]] = (
    ("host-unexpected", "hgx", Expectations(product="DGX H100"), "/sys/devices/virtual/dmi/id/product_name"),
    ("driver-version-unexpected", "hgx", Expectations(driver="550.163.02"), "/proc/driver/nvidia/version"),
    ("driver-version-unexpected", "hgx", Expectations(driver=">=560"), "/proc/driver/nvidia/version"),
    ("driver-version-unexpected", "hgx", Expectations(driver=">=550.163.2"), "/proc/driver/nvidia/version"),
    ("driver-version-unexpected", "tpu-v4", Expectations(driver="550"), "/proc/driver/nvidia/version"),
    ("gpu-count-unexpected", "hgx", Expectations(gpu_count=7), "/proc/driver/nvidia/gpus"),
    ("gpu-count-unexpected", "tpu-v4", Expectations(gpu_count=1), "/proc/driver/nvidia/gpus"),
    ("gpu-model-unexpected", "before-550", Expectations(models=("NVIDIA H100 80GB HBM3",)), "0000:1a:00.0"),
    ("memory-size-unexpected", "hgx", Expectations(memory=96 << 30), "0000:18:00.0"),
    ("pcie-width-degraded", "hgx", Expectations(pcie_width=32), "0000:18:00.0"),
    ("pcie-speed-degraded", "before-550", Expectations(pcie_generation=4), "0000:1c:00.0"),
    ("nvlink-down", "hgx", Expectations(nvlinks=20), "0000:db:00.0"),
    ("mig-mode-unexpected", "hgx", Expectations(mig=True), "0000:18:00.0"),
    ("mig-mode-unexpected", "mig", Expectations(mig=False), "0000:5d:00.0"),
    ("ecc-mode-unexpected", "hgx", Expectations(ecc=False), "0000:18:00.0"),
    ("persistence-unexpected", "hgx", Expectations(persistence=False), "0000:18:00.0"),
    ("clocks-unexpected", "hgx", Expectations(sm_clocks=(1410, 1200)), "0000:18:00.0"),
    ("temperature-high", "hgx", Expectations(temperature_most=30), "0000:18:00.0"),
    ("tpu-count-unexpected", "tpu-v4", Expectations(tpu_count=8), "/sys/bus/pci/devices"),
    ("tpu-count-unexpected", "hgx", Expectations(tpu_count=4), "/sys/bus/pci/devices"),
    ("tpu-generation-unexpected", "tpu-v4", Expectations(tpu_generation="v5p"), "0000:00:04.0"),
)  # fmt: skip


@pytest.mark.parametrize(("code", "name", "expect", "subject"), ROWS)
def test_what_is_otherwise_is_told_by_its_code_and_no_other(
    code: str, name: str, expect: Expectations, subject: str
) -> None:
    report = check(host(name), expect=expect)
    assert {finding.code for finding in report.findings} == {code}
    assert subject in [finding.path for finding in report.findings]
    severity = Severity.WARNING if code == "persistence-unexpected" else Severity.ERROR
    assert {finding.severity for finding in report.findings} == {severity}
    assert all(finding.hint and finding.evidence and expect.source in finding.why for finding in report.findings)


def test_every_code_of_expectations_has_a_row() -> None:
    from devproxy.jobs.health.expected import ALSO_EXPECTED, EXPECTED_CHECKS

    assert {row[0] for row in ROWS} == {each.code for each in EXPECTED_CHECKS} | ALSO_EXPECTED.keys()


@pytest.mark.parametrize("name", SOUND)
def test_a_host_is_what_was_written_of_it(name: str, tmp_path: Path) -> None:
    expect = load(tmp_path, expectations_text(host(name)))
    assert check(host(name), expect=expect).findings == ()
    assert expect.gpu_count == len(host(name).nvidia.gpus if host(name).nvidia else ())  # type: ignore[union-attr]
    assert (expect.tpu_count, expect.tpu_generation) == (
        (4, name.removeprefix("tpu-")) if "tpu" in name else (None, "")
    )


@pytest.mark.parametrize(("driver", "fits"), [(">=550", True), (">= 550.163.1", True), (">=550.163.01", True), ("550.163.01", True),
                                              ("550.163", False), (">=1000", False)])  # fmt: skip
def test_versions_are_compared_by_their_numbers(driver: str, fits: bool) -> None:
    assert (check(host("hgx"), expect=Expectations(driver=driver)).findings == ()) == fits


def test_an_idle_link_that_sleeps_is_no_slow_one() -> None:
    slow = {"pcie_generation": 1, "load": 0, "throttle": 1}
    edited = Edited.of(SOUND["hgx"])
    expect = Expectations(pcie_generation=5)
    assert check(told(2, **slow)(edited).host(), expect=expect).findings == ()
    (finding,) = check(told(2, **slow | {"load": 50, "throttle": 0})(edited).host(), expect=expect).findings
    assert (finding.code, finding.found, finding.why) == (
        "pcie-speed-degraded",
        "PCIe generation 1",
        "so expectations says",
    )


def test_what_cannot_be_held_to_anything_is_inconclusive() -> None:
    edited = Edited.of(SOUND["hgx"])
    mute = told(0, clock_sm_locked=None, memory_total=None)(edited).host()
    report = check(mute, expect=Expectations(sm_clocks=(1980,), memory=80 << 30))
    assert {(finding.code, finding.severity) for finding in report.findings} == {
        ("clocks-unexpected", Severity.INCONCLUSIVE), ("memory-size-unexpected", Severity.INCONCLUSIVE),
    }  # fmt: skip
    assert report.exit_code == 4
    silent = edited.fact("nvml", lambda document: document.update(state="timeout", gpus=[])).host()
    for code in ("memory-size-unexpected", "clocks-changed", "ecc-uncorrected"):
        report = check(silent, before=edited.host(), expect=Expectations(memory=80 << 30), only=[code])
        assert [(finding.code, finding.severity) for finding in report.findings] == [(code, Severity.INCONCLUSIVE)]


def test_checks_are_switched_by_the_file_and_by_hand() -> None:
    expect = Expectations(gpu_count=7, models=("x",), checks=(("gpu-count-unexpected", False), ("xid-since", True)))
    assert {finding.code for finding in check(host("hgx"), expect=expect).findings} == {"gpu-model-unexpected"}
    only = check(host("hgx"), expect=expect, only=["gpu-count-unexpected"])
    assert {finding.code for finding in only.findings} == {"gpu-count-unexpected"}
    assert check(host("hgx"), expect=expect, skip=["gpu-model-unexpected"]).findings == ()
