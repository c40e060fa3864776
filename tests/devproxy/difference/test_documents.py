"""Plans and reports compared, and `devproxy diff` as a user sees it."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import devproxy
from devproxy.check.finding import Evidence, Finding, Report, Severity
from devproxy.check.report_json import report_document
from devproxy.cli.main import main
from devproxy.difference.comparison import Comparison
from devproxy.difference.files import compare_files
from devproxy.difference.plans import compare_plans
from devproxy.difference.reports import compare_reports
from devproxy.errors import InputError
from devproxy.plan.plan_json import to_json as plan_json
from devproxy.plan.planner import plan
from tests.bundles import runc_spec_like, write_bundle
from tests.hosts.make import RECORDINGS

HOSTS = {os.path.basename(path): path for path in RECORDINGS}


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    spec = runc_spec_like(process={"env": ["NVIDIA_VISIBLE_DEVICES=all"]})
    bundle = devproxy.load(write_bundle(tmp_path_factory.mktemp("b"), spec, rootfs="empty"))
    found: dict[str, Any] = json.loads(json.dumps(plan_json(plan(bundle, devproxy.probe(HOSTS["host-8gpu.tar"])))))
    return found


def texts(comparison: Comparison) -> list[str]:
    return [line.text for line in comparison.lines]


def test_a_plan_does_not_differ_from_itself(planned: dict[str, Any]) -> None:
    assert compare_plans(planned, planned) == Comparison("plan", ())


def test_steps_that_came_and_went_and_changed(planned: dict[str, Any]) -> None:
    after = json.loads(json.dumps(planned))
    place = next(n for n, step in enumerate(after["steps"]) if step["path"] == "/dev/nvidia7")
    gone = after["steps"].pop(place)
    changed = next(step for step in after["steps"] if step["path"] == "/dev/nvidia-uvm")
    changed["identity"] = {"driver": "nvidia-uvm", "minor": 9}
    after["steps"].append({"step": "bind", "path": "/data", "text": "bind /data from /srv", "reason": {"source": "x"}})
    after |= {"mode": "spec", "bundle": "/elsewhere"}
    found = compare_plans(planned, after)
    assert texts(found) == [
        "mode docker -> spec",
        "step added: bind /data from /srv",
        f"step removed: {gone['text']}",
        'step make-node /dev/nvidia-uvm: identity {"driver": "nvidia-uvm", "minor": 0} -> {"driver": "nvidia-uvm", "minor": 9}',
        f"bundle {planned['bundle']} -> /elsewhere",
    ]
    assert [line.minor for line in found.lines] == [False] * 4 + [True]
    back = compare_plans(after, planned)
    assert {(line.subject, line.field, line.after, line.before) for line in back.lines} == {
        (line.subject, line.field, line.before, line.after) for line in found.lines
    }


def test_the_order_of_steps_counts_and_so_do_reasons(planned: dict[str, Any]) -> None:
    after = json.loads(json.dumps(planned))
    after["steps"][3], after["steps"][4] = after["steps"][4], after["steps"][3]
    (line,) = compare_plans(planned, after).lines
    assert line.text.startswith("order of the steps: ")
    after = json.loads(json.dumps(planned))
    after["steps"][3]["reason"]["note"] = "because"
    (line,) = compare_plans(planned, after).lines
    assert line.group == "reasons"


# reports

FINDINGS = st.builds(
    Finding, code=st.sampled_from(["a", "b"]), severity=st.sampled_from(list(Severity)), path=st.sampled_from(["/x", "/y"]),
    expected=st.sampled_from(["1", "2"]), found=st.sampled_from(["3", "4"]),
    evidence=st.tuples(st.builds(Evidence, st.just("/p"), st.sampled_from(["5", "6"]))),
)  # fmt: skip
REPORTS = st.lists(FINDINGS, max_size=4).map(lambda each: Report(tuple(each), (("nodes", 1),))).map(report_document)


@pytest.mark.property
@given(REPORTS, REPORTS)
def test_reports_the_other_way_round(one: dict[str, object], other: dict[str, object]) -> None:
    there, back = compare_reports(one, other), compare_reports(other, one)
    assert compare_reports(one, one).lines == ()
    mirrored = sorted((each.kind, each.subject, each.field, each.after or "", each.before or "") for each in back.lines)
    assert (
        sorted((each.kind, each.subject, each.field, each.before or "", each.after or "") for each in there.lines)
        == mirrored
    )
    assert there.same == back.same


def test_findings_that_are_new_and_gone() -> None:
    new = Finding("node-major-mismatch", Severity.ERROR, "/dev/nvidia-uvm", "509:0", "510:0")
    gone = Finding("device-busy", Severity.WARNING, "/dev/nvidia0", "free", "held by 7")
    hot = Finding("gpu-hot", Severity.WARNING, "0000:18:00.0", "below 80", "83")
    before, after = Report((gone, hot), (("checks", 3),)), Report((hot._replace(found="84"), new), (("checks", 3),))
    found = compare_reports(report_document(before), report_document(after))
    assert texts(found) == [
        "verdict ok -> error",
        "finding new: node-major-mismatch /dev/nvidia-uvm (error: 510:0, expected 509:0)",
        "finding gone: device-busy /dev/nvidia0 (warning: held by 7, expected free)",
        "finding gpu-hot 0000:18:00.0: found 83 -> 84",
    ]
    assert [line.minor for line in found.lines] == [False, False, False, True]


@pytest.mark.parametrize(
    ("one", "words"),
    [
        ({"steps": [{}]}, "steps[0] is no step"),
        ({"steps": [{"step": 1, "path": "/"}]}, "steps[0] is no step"),
        ({"findings": [7]}, "findings[0] is no finding"),
        ({"pci": [], "nodes": []}, "neither a plan nor a report"),
        ([], "neither a plan nor a report"),
    ],
)
def test_documents_that_are_none(one: object, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(one))
    with pytest.raises(InputError) as error:
        compare_files(str(path), str(path))
    assert words in error.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["steps", "findings", "step", "path", "code", "text", "mode", "reason"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@pytest.mark.property
@given(JSON, JSON)
def test_any_json_is_compared_or_refused(tmp_path_factory: pytest.TempPathFactory, one: object, other: object) -> None:
    directory = tmp_path_factory.getbasetemp()
    paths = [str(directory / "one.json"), str(directory / "other.json")]
    for path, document in zip(paths, (one, other), strict=True):
        Path(path).write_text(json.dumps(document))
    with contextlib.suppress(InputError):
        compare_files(*paths)


# the verb


def test_the_codes_of_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    eight, mig = HOSTS["host-8gpu.tar"], HOSTS["mig.tar"]
    assert main(["diff", eight, eight, "--text"]) == 0
    assert capsys.readouterr().out == "no differences between these recordings\n"
    assert main(["diff", eight, mig, "--text"]) == 3
    out = capsys.readouterr().out
    assert out.startswith("accelerators:\n  MIG device 2:0: new, GPU instance 1")
    assert main(["diff", eight, mig]) == 3
    document = json.loads(capsys.readouterr().out)
    assert (document["format"], document["kind"], document["same"]) == (1, "recording", False)
    (tmp_path / "r.json").write_text(json.dumps(report_document(Report((), (("nodes", 1),)))))
    assert main(["diff", eight, str(tmp_path / "r.json")]) == 2
    assert "is a recording" in capsys.readouterr().err
    for bad in (str(tmp_path), str(tmp_path / "none"), "/dev/zero"):
        assert main(["diff", bad, eight]) == 2
        assert bad in capsys.readouterr().err
