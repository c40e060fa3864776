"""CDI specs: what is refused and in which line, which version is needed, how engines choose among files."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.bugreport.report import read_text
from devproxy.cdi.names import is_qualified
from devproxy.cdi.registry import load_cdi
from devproxy.cdi.spec import parse_spec
from devproxy.check.doctor.case import Case
from devproxy.check.doctor.cdi import CDI_CHECKS
from devproxy.check.doctor.examine import examine
from devproxy.host.system_facts import CdiFile

GOOD = """cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
      major: 195
      minor: 0
containerEdits:
  env:
  - NVIDIA_VISIBLE_DEVICES=void
  deviceNodes:
  - path: /dev/nvidiactl
  - path: /dev/nvidia-uvm
    major: 510
    minor: 0
  mounts:
  - hostPath: /usr/lib64/libcuda.so.550.163.01
    containerPath: /usr/lib64/libcuda.so.550.163.01
"""


def file(path: str, text: str, priority: int = 0) -> CdiFile:
    return CdiFile(path, text, 0o644, 0, 0, priority)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_good_spec_is_read(as_json: bool) -> None:
    import yaml

    text = json.dumps(yaml.safe_load(GOOD), indent="\t") if as_json else GOOD
    spec, errors = parse_spec("a", text)
    assert not errors
    assert spec is not None
    assert [device.name for device in spec.devices] == ["0"]
    assert [(node.path, node.major) for node in spec.common.nodes] == [
        ("/dev/nvidiactl", None),
        ("/dev/nvidia-uvm", 510),
    ]


@pytest.mark.parametrize(
    ("old", "new", "line", "problem"),
    [
        ("cdiVersion: 0.5.0", "cdiVersion: 0.5.1", 1, "expected one of"),
        ("cdiVersion: 0.5.0", "cdiVersion: 0.4.0", 1, "at least 0.5.0"),
        ("nvidia.com/gpu", "nvidia.com", 2, "vendor/class"),
        ("nvidia.com/gpu", "_n.com/gpu", 2, "vendor/class"),
        ("      minor: 0\nc", "      minr: 0\nc", 9, "unknown member 'minr'"),
        ("major: 195", "major: high", 8, "no whole number"),
        ('name: "0"', 'name: "-0"', 4, "no name of a device"),
        ("NVIDIA_VISIBLE_DEVICES=void", "NVIDIA", 12, "NAME=VALUE"),
        ("- path: /dev/nvidia-uvm\n", "- path: /dev/nvidia-uvm\n    permissions: rx\n", 16, "permissions"),
        ("    minor: 0\n  mounts", "    type: x\n  mounts", 17, "type is 'x'"),
        ("kind:", "\tkind:", 2, ""),
        ("kind: nvidia.com/gpu", "kind: &a nvidia.com/gpu\nannotations: *a", 3, "alias"),
        ("kind: nvidia.com/gpu", "kind: nvidia.com/gpu\nkind: a/b", 3, "given twice"),
        ("    containerPath: /usr/lib64/libcuda.so.550.163.01\n", "", 19, "containerPath"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(old: str, new: str, line: int, problem: str) -> None:
    assert old in GOOD
    spec, errors = parse_spec("a", GOOD.replace(old, new, 1))
    assert spec is None
    assert errors[0].line == line
    assert problem in errors[0].problem


@pytest.mark.parametrize(
    "name",
    ["vendor.com/class=dev", "a/b=c", "aa/b=cc", "a/bb=cc", "vendor.com/class=0", "vendor1.com/class.subclass=dev1",
     "other-vendor1.com/class_1=dev_1", "yet_another-vendor2.com/c-lass_2=dev_1:2.3"],
)  # fmt: skip
def test_names_that_are_valid(name: str) -> None:
    assert is_qualified(name)


@pytest.mark.parametrize(
    "name",
    ["_invalid.com/class=dev", "invalid2.com-/class=dev", "invalid3.com/_class=dev", "invalid4.com/class_=dev", "invalid5.com/class=-dev",
     "invalid6.com/class=dev:", "*.com/*dev=*gpu*", "", "/dev/nvidia0", "a=b"],
)  # fmt: skip
def test_names_that_are_not(name: str) -> None:
    assert not is_qualified(name)


def test_the_later_directory_wins_and_equals_cancel_out() -> None:
    low, high, other = file("/etc/cdi/a.yaml", GOOD), file("/run/cdi/a.yaml", GOOD, 1), file("/run/cdi/b.yaml", GOOD, 1)
    assert load_cdi((low, high)).devices == (("nvidia.com/gpu=0", "/run/cdi/a.yaml"),)
    dropped = load_cdi((low, high, other))
    assert dropped.devices == ()
    assert dropped.conflicts[0].files == ("/run/cdi/a.yaml", "/run/cdi/b.yaml")


@pytest.mark.property
@given(
    st.text(max_size=300)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=5), lambda s: st.lists(s) | st.dictionaries(st.text(max_size=8), s)
    ).map(json.dumps)
)
def test_any_text_is_a_spec_or_is_told(text: str) -> None:
    spec, errors = parse_spec("a", text)
    assert (spec is None) == bool(errors)


def test_deep_documents_are_refused() -> None:
    for text in ("[" * 20_000, "{a: " * 5_000, "- " * 20_000, f"{'[' * 101}{']' * 101}"):
        assert [error.problem for error in parse_spec("a", text)[1]] == ["nested too deeply"]
    assert "nested" not in str(parse_spec("a", f"{'[' * 100}{']' * 100}")[1])


PASTED = f"$ cat /etc/cdi/nvidia.yaml\n{GOOD}"
NODES = (
    "$ ls -l /dev/nvidia*\ncrw-rw-rw- 1 root root 195, 255 Feb 17 13:47 /dev/nvidiactl\ncrw-rw-rw- 1 root root 195, 0 Feb 17 13:47 /dev/nvidia0\n"
    "crw-rw-rw- 1 root root 510, 0 Feb 17 13:47 /dev/nvidia-uvm\n"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PASTED + NODES, set()),
        (PASTED + NODES.replace("510,", "509,"), {"cdi-spec-stale"}),
        (PASTED + "$ grep nvidia /proc/devices\n195 nvidia\n509 nvidia-uvm\n", {"cdi-spec-stale"}),
        (PASTED + NODES.replace("195, 0 Feb 17 13:47 /dev/nvidia0", "195, 1 Feb 17 13:47 /dev/nvidia1"), {"cdi-host-path-missing"}),
        (PASTED.replace("  - path: /dev/nvidia-uvm\n    major: 510\n    minor: 0\n", ""), {"cdi-incomplete"}),
        (PASTED + "$ nvidia-smi\n| NVIDIA-SMI 570.133.20    Driver Version: 570.133.20    CUDA Version: 12.8     |\n", {"cdi-driver-stale"}),
        (PASTED.replace("kind: nvidia.com/gpu", "kind: management.nvidia.com/gpu"), {"cdi-management-only"}),
        (PASTED.replace("major: 510", "majr: 510"), {"cdi-spec-invalid"}),
        (f"{PASTED}$ cat /etc/cdi/other.yaml\n{GOOD}", {"cdi-device-conflict"}),
        (PASTED.replace("  mounts:", "...\n  mounts:"), set()),
    ],
)  # fmt: skip
def test_a_pasted_spec_is_held_to_the_machine(text: str, expected: set[str]) -> None:
    report = examine(Case(read_text(text).host), judge_what_is_there=True)
    codes = {check.code for check in CDI_CHECKS}
    assert {finding.code for finding in report.findings} & codes == expected
