"""What becomes of a test: what it is given, what a missing device makes of it, what its report says when it failed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from devproxy.host.probe import probe
from devproxy.process import Completed
from tests.devproxy.pytest_plugin.sessions import EIGHT, HERE, NONE, TPUS, Directory

pytestmark = pytest.mark.programs

GIVEN = """
import json, os, subprocess, sys, pytest

VARIABLES = ("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "DEVPROXY_LEASE", "DEVPROXY_LEASE_ID", "DEVPROXY_LEASE_STATE")

def in_child():
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    return json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)

class TestOfAClass:
    pytestmark = pytest.mark.accelerators(2, kind="gpu", model="h100", mem="79G", numa=1)

    def test_it_has_what_its_marker_says(self, accelerators, accelerator_host):
        assert [device.numa for device in accelerators.devices] == [1, 1]
        assert len(accelerators.environment["CUDA_VISIBLE_DEVICES"].split(",")) == 2
        assert {gpu.uuid for gpu in accelerator_host.nvidia.gpus} == set(accelerators.names)
        assert {node.path for node in accelerator_host.nodes} & {f"/dev/nvidia{n}" for n in range(8)} == set(accelerators.nodes)

    def test_without_a_fixture_it_is_set_all_the_same(self):
        assert in_child()["CUDA_VISIBLE_DEVICES"] == os.environ["CUDA_VISIBLE_DEVICES"]

    @pytest.mark.accelerators(3)
    def test_the_closest_marker_counts(self, accelerators):
        assert len(accelerators.devices) == 3

def test_afterwards_nothing_is_set():
    assert not set(VARIABLES) - {"CUDA_VISIBLE_DEVICES"} & set(os.environ)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "of before"

@pytest.mark.parametrize("number", [0, pytest.param(8, marks=pytest.mark.accelerators(8))])
def test_a_marker_of_one_case_is_that_cases(number, request):
    assert len(os.environ.get("DEVPROXY_LEASE", "").split(",")) == max(number, 1)
    assert bool(os.environ.get("DEVPROXY_LEASE")) == bool(number)

@pytest.mark.accelerators(1)
@pytest.mark.devproxy_bundle("EXAMPLE/bundle")
def test_a_root_has_the_leased_devices(devproxy_root, accelerators):
    there = {name for name in devproxy_root.listdir("/dev") if name.startswith("nvidia") and name[6:].isdigit()}
    assert {f"/dev/{name}" for name in there} == set(accelerators.nodes)

def test_without_a_lease_it_has_the_hosts(devproxy_root, devproxy_host):
    assert {f"nvidia{gpu.minor}" for gpu in devproxy_host.nvidia.gpus} <= set(devproxy_root.listdir("/dev"))
"""


def test_a_test_is_given_what_its_marker_says_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "of before")
    directory = Directory(tmp_path, test_given=GIVEN.replace("EXAMPLE", str(HERE / "example")))
    done = directory.run(f"--devproxy-bundle={HERE}/example/bundle")
    assert "8 passed" in done.out, done.out
    assert "warning" not in done.out


def test_the_example_of_the_readme_runs(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(# test_gpus\.py: .*?)```", (HERE / "README.md").read_text(), re.DOTALL)
    assert len(example.splitlines()) < 17
    shutil.copytree(HERE / "example" / "bundle", tmp_path / "bundle", symlinks=True)
    done = Directory(tmp_path, test_gpus=example).run("-n", "0")
    assert "2 passed" in done.out, done.out


MISSING = """
import pytest

@pytest.mark.accelerators(1)
def test_any(): ...

@pytest.mark.accelerators(1, kind="gpu")
def test_gpu(): ...

@pytest.mark.accelerators(1, kind="tpu", model="v5p")
def test_model(): ...

@pytest.mark.accelerators(3)
def test_three(): ...

def test_called(missing_hardware):
    missing_hardware("there is no NVLink")
"""


@pytest.mark.parametrize("required", [False, True])
def test_missing_hardware_is_a_skip_with_a_reason_or_if_it_is_required_a_failure(
    tmp_path: Path, required: bool
) -> None:
    directory = Directory(tmp_path, test_missing=MISSING)
    done = directory.run(*["--require-hardware"] * required, host=NONE)
    assert ("1 failed, 4 errors" if required else "5 skipped") in done.out.splitlines()[-1], done.out
    for told in (
        "this host has no accelerator",
        "this host has no GPU",
        "there is no NVLink",
    ):
        assert told in done.out
    done = directory.run(*["--require-hardware"] * required, "-k", "gpu or model or three", host=TPUS)
    assert "this host has no GPU" in done.out
    assert "1 tpu of model 'v5p' asked for, of which this host has 0: 4 tpu (v4)" in done.out
    assert "3 TPU chips asked for, which libtpu cannot use of a host's 4" in done.out  # never a skip
    assert ("2 deselected, 3 errors" if required else "2 skipped, 2 deselected, 1 error") in done.out.splitlines()[-1]


FAILING = """
import pytest

@pytest.mark.accelerators(2)
def test_passes(): ...

@pytest.mark.accelerators(1)
def test_fails(accelerators):
    assert accelerators is None

@pytest.fixture
def broken():
    raise OSError("broken")

@pytest.mark.accelerators(1)
def test_its_setup_fails(broken): ...

@pytest.fixture
def broken_later():
    yield
    raise OSError("broken")

@pytest.mark.accelerators(1)
def test_its_teardown_fails(broken_later): ...

@pytest.mark.xfail
@pytest.mark.accelerators(1)
def test_fails_as_expected():
    assert False
"""


def test_a_failed_test_says_what_it_had_and_what_is_wrong_with_it(tmp_path: Path) -> None:
    """In the terminal and in JUnit XML, from a worker; and nothing is said of tests that passed."""
    directory = Directory(tmp_path, test_failing=FAILING)
    host = str(HERE / "tests" / "hosts" / "without-uvm.tar")
    done = directory.run("-n", "1", "--junitxml=junit.xml", host=host)
    assert "1 failed, 1 passed, 1 xfailed, 3 errors" in done.out.splitlines()[-1], done.out
    cases: dict[str, dict[str, str]] = {}
    for case in ET.fromstring((tmp_path / "junit.xml").read_text()).iter("testcase"):
        found = {each.get("name", ""): each.get("value", "") for each in case.iter("property")}
        cases.setdefault(case.get("name", ""), {}).update(found)
    told = {"test_fails", "test_its_setup_fails", "test_its_teardown_fails"}
    assert {name for name, found in cases.items() if found} == told
    (gpu,) = probe(host).nvidia.gpus  # type: ignore[union-attr]
    for name in told:
        found = cases[name]
        assert f"{gpu.model}: {gpu.uuid}, {gpu.address}, /dev/nvidia0" in found["devproxy.lease"]
        assert f"CUDA_VISIBLE_DEVICES={gpu.uuid}" in found["devproxy.lease"]
        assert "error " in found["devproxy.findings"]
        assert "nvidia-uvm" in found["devproxy.findings"]
        assert found["devproxy.recording"] == host
    assert done.out.count("- devproxy lease -") == done.out.count("- devproxy findings -") == 3
    over = {name for name in told if "given back before this was looked at" in cases[name]["devproxy.lease"]}
    assert over == {"test_its_teardown_fails"}


WRONG = """
import pytest

@pytest.mark.accelerators(0)
def test_none(): ...

@pytest.mark.accelerators("2")
def test_string(): ...

@pytest.mark.accelerators(1, gpus=2)
def test_unknown(): ...

@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.accelerators(1, wait="soon"))])
def test_wait(x): ...

@pytest.mark.devproxy_bundle("x", target="moon")
def test_target(): ...
"""

WRONG_CLASS = """
import pytest

class TestThem:
    pytestmark = pytest.mark.accelerators(1, mem="lots", kind="gpu")

    def test_memory(self): ...

    @pytest.mark.accelerators(1, kind="npu")
    def test_kind(self): ...
"""


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_marker_that_cannot_be_meant_is_an_error_of_the_collection(tmp_path: Path, workers: str) -> None:
    directory = Directory(tmp_path, test_wrong=WRONG, test_class=WRONG_CLASS)
    done = directory.run("-n", workers)
    assert "passed" not in done.out
    assert "2 errors" in done.out.splitlines()[-1]
    for told in (
        "test_wrong.py:4: @pytest.mark.accelerators: the number is 0, expected a whole one, 1 or more",
        "test_wrong.py:7: @pytest.mark.accelerators: the number is '2', expected a whole one, 1 or more",
        "test_wrong.py:10: @pytest.mark.accelerators: gpus is none of its words, they are kind, model, mem, numa, wait",
        "test_class.py:7: @pytest.mark.accelerators: mem: 'lots' is no size",
        "test_class.py:9: @pytest.mark.accelerators: kind is 'npu', expected 'gpu' or 'tpu'",
        "test_wrong.py:13: @pytest.mark.accelerators: wait: 'soon' is no time",
        "test_wrong.py:16: devproxy_bundle: target='moon'",
    ):
        assert told in done.out, done.out


CONFTEST = """
def pytest_addoption(parser):
    parser.addoption("--host", default="nowhere")
    parser.addoption("--require-hardware", default="theirs")
"""
THEIRS = """
import pytest

def test_options(pytestconfig, devproxy_host):
    assert pytestconfig.getoption("--host") == "example.org"
    assert pytestconfig.getoption("--require-hardware") == "theirs"
    assert len(devproxy_host.nvidia.gpus) == 8
"""
COUNTED = """
import json, sys, pytest
code = pytest.main(["-q", "--co", "-p", "no:cacheprovider", sys.argv[1]])
told = [int(code), sorted(name for name in sys.modules if name.partition(".")[0] in ("devproxy", "vfs"))]
print("\\n" + json.dumps(told))
"""


class TestInOtherPeoplesSessions:
    """It is loaded wherever devproxy is installed: by its entry point."""

    @pytest.fixture(autouse=True)
    def _config(self, pytestconfig: pytest.Config) -> None:
        self.config = pytestconfig

    def session(self, tmp_path: Path, *words: str) -> Completed:
        import sys

        from devproxy.process import run
        from tests.devproxy.pytest_plugin.sessions import environment

        environ = {name: value for name, value in environment().items() if name != "PYTEST_DISABLE_PLUGIN_AUTOLOAD"}
        return run([sys.executable, *words], check=False, cwd=str(tmp_path), env=environ)

    def test_short_options_are_whose_who_had_them_first(self, tmp_path: Path) -> None:
        directory = Directory(tmp_path, conftest=CONFTEST, test_theirs=THEIRS)
        words = (
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:hypothesispytest",
            "-p",
            "no:xdist",
            "--host",
            "example.org",
        )
        done = self.session(tmp_path, *words, f"--devproxy-host={EIGHT}", str(directory.path))
        assert "1 passed" in done.out, done.out + done.err

    def test_a_session_that_does_not_use_it_loads_next_to_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        code, loaded = json.loads(self.session(tmp_path, "-c", COUNTED, str(tmp_path)).out.splitlines()[-1])
        assert code == pytest.ExitCode.NO_TESTS_COLLECTED
        assert loaded == [
            "devproxy",
            "devproxy.pytest_plugin",
            "devproxy.pytest_plugin.fixtures",
            "devproxy.pytest_plugin.options",
        ]

    def test_who_has_imported_devproxy_before_pytest_is_not_warned(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """pytest rewrites the asserts of all that a plugin's distribution has: its own hook says whether it would."""
        from _pytest.assertion.rewrite import AssertionRewritingHook

        import devproxy
        import vfs

        hook = AssertionRewritingHook(self.config)
        warned: list[str] = []
        monkeypatch.setattr(hook, "_warn_already_imported", warned.append)
        for package in (devproxy, vfs, json):
            monkeypatch.setattr(package, "__loader__", None)  # of an interpreter that pytest came to later
            hook.mark_rewrite(package.__name__)
        assert warned == ["json"]

    def test_it_can_be_left_out(self, tmp_path: Path) -> None:
        done = self.session(tmp_path, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:devproxy", "--markers")
        assert done.code == 0
        assert "accelerators" not in done.out


def test_it_says_what_it_offers_and_refuses_what_cannot_be_meant(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    told = directory.run("--markers").out
    assert (
        "@pytest.mark.accelerators(number=1, *, kind=None, model='', mem=None, numa=None, wait=None): lease so many"
        in told
    )
    told = directory.run("--fixtures").out
    for fixture in (
        "accelerators",
        "accelerator_host",
        "devproxy_root",
        "devproxy_host [session scope]",
        "missing_hardware",
    ):
        assert f"\n{fixture} " in told, told
    for words, expected in (
        (("--host=none.tar",), "none.tar: no such file, expected a recording"),
        (("--devproxy-wait=soon",), "--devproxy-wait: 'soon' is no time"),
        (("-o", "devproxy_evidence_timeout=0"), "devproxy_evidence_timeout is '0', expected whole seconds"),
    ):
        done = directory.run(*words)
        assert (done.code, expected in done.err) == (pytest.ExitCode.USAGE_ERROR, True), done
