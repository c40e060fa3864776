"""`verify --html`: the report as a page, for the artefacts of a CI job."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devproxy.cli.main import main
from tests.bundles import runc_spec_like, write_bundle

RECORDING = str(Path(__file__).parents[3] / "example" / "host-8gpu.tar")
pytestmark = pytest.mark.root


def verify(tmp_path: Path, page: Path) -> int:
    env = ["NVIDIA_VISIBLE_DEVICES=all"]
    bundle = tmp_path / "bundle"
    path = (
        str(bundle) if bundle.exists() else write_bundle(bundle, runc_spec_like(process={"args": ["true"], "env": env}))
    )
    return main(["verify", path, "--host", RECORDING, "--html", str(page)])


def test_the_page_has_the_host_the_plan_and_the_verdict(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert verify(tmp_path, page) == 0
    text = page.read_text()
    assert "Verification: verified: no differences" in text
    assert "/dev/nvidia7" in text
    assert "The plan" in text
    assert "Doctor: " in text
    page.write_text("old")
    assert verify(tmp_path, page) == 0
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert sorted(os.listdir(tmp_path)) == ["bundle", "report.html"]


def test_what_is_no_file_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "link").symlink_to("elsewhere")
    assert verify(tmp_path, tmp_path / "link") == 2
    assert "expected a regular file or a new name" in capsys.readouterr().err
    assert not (tmp_path / "elsewhere").exists()
    assert verify(tmp_path, tmp_path / "no" / "directory.html") == 2
