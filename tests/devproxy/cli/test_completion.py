"""Completion scripts, tried in the shells that are here."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from devproxy.cli.main import main
from devproxy.cli.verbs import VERBS
from devproxy.process import find_program, run


@pytest.fixture
def script(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Path:
    assert main(["completion", "bash"]) == 0
    path = tmp_path / "devproxy.bash"
    path.write_text(capsys.readouterr().out)
    return path


def complete(script: Path, *words: str) -> set[str]:
    """What bash offers for the last of `words`, in a directory with one of everything."""
    place = script.parent / "place"
    os.makedirs(place / "bundle", exist_ok=True)
    (place / "host.tar").touch()
    setting = (
        f"source {shlex.quote(str(script))}; cd {shlex.quote(str(place))}; COMP_WORDS=({shlex.join(('devproxy', *words))}); "
        f"COMP_CWORD={len(words)}; _devproxy; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    return set(run(["bash", "-c", setting]).out.split())


@pytest.mark.programs
@pytest.mark.skipif(find_program("bash") is None, reason="needs bash")
class TestBash:
    def test_verbs_stand_first(self, script: Path) -> None:
        assert complete(script, "") == {verb.name for verb in VERBS}
        assert complete(script, "pr") == {"probe"}

    def test_a_verb_is_found_behind_a_global_option_with_its_value(self, script: Path) -> None:
        assert complete(script, "--set", "strict=true", "ver") == {"verify"}

    def test_a_bundle_is_a_directory(self, script: Path) -> None:
        assert complete(script, "plan", "") == {"bundle"}

    def test_a_host_is_live_or_a_file(self, script: Path) -> None:
        assert complete(script, "plan", "bundle", "--host", "") >= {"live", "host.tar"}

    def test_modes_and_looks_are_words(self, script: Path) -> None:
        assert complete(script, "run", "bundle", "--mode", "") == {"auto", "none", "docker", "spec"}
        assert {"ls", "tree", "mountinfo"} <= complete(script, "inspect", "bundle", "")

    def test_a_value_is_no_place(self, script: Path) -> None:
        assert "ls" in complete(script, "inspect", "--host", "host.tar", "bundle", "l")

    def test_options_are_those_of_the_verb_and_the_global_ones(self, script: Path) -> None:
        offered = complete(script, "verify", "bundle", "--")
        assert {"--host", "--mode", "--json", "--text", "--config", "--set"} <= offered
        assert "--target" not in offered
        assert complete(script, "run", "--t") == {"--target", "--timings"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_know_every_verb(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert all(verb.name in out for verb in VERBS)
    assert "--host" in out or "-l host" in out


@pytest.mark.programs
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_can_parse_their_script(shell: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    if find_program(shell) is None:
        pytest.skip(f"needs {shell}")
    assert main(["completion", shell]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    run([shell, "-n", str(tmp_path / "script")])
