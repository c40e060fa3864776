"""The command line: usage, exit codes, how messages look."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from devproxy import __version__
from devproxy.cli.context import Context
from devproxy.cli.keys import KEYS
from devproxy.cli.main import main
from devproxy.cli.verbs import VERBS
from devproxy.oci.configuration import _KEYS, Configuration
from devproxy.process import run
from tests.bundles import runc_spec_like, write_bundle


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def usage_error(*words: str) -> int:
    """argparse leaves by SystemExit; its code is ours."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("nosuchverb",),
        ("--nosuch", "plan", "."),
        ("plan",),
        ("plan", ".", "--mode", "cdi"),
        ("plan", ".", "--nosuch"),
        ("plan", ".", "--json", "--text"),
        ("plan", ".", "extra"),
        ("run", ".", "--target", "memory"),
        ("run", ".", "--mod", "none"),
        ("inspect", ".", "nosuch"),
        ("completion", "tcsh"),
        ("--log-format", "xml", "plan", "."),
    ],
)
def test_bad_usage_is_code_2_with_usage_on_standard_error(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert usage_error(*words) == 2
    told = capsys.readouterr()
    assert not told.out
    assert "usage: devproxy" in told.err


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert usage_error("--version") == 0
    assert capsys.readouterr().out == f"devproxy {__version__}\n"
    assert usage_error("--help") == 0
    out = capsys.readouterr().out
    assert all(verb.name in out for verb in VERBS)


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_the_help_of_a_verb_has_the_global_options_and_the_keys(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert usage_error(verb, "--help") == 0
    out = capsys.readouterr().out
    assert all(option in out for option in ("--config FILE.toml", "--set KEY=VALUE", "--log-format", "-v,", "-q,"))
    listed = {line.split()[0] for line in out.splitlines() if line.strip()} & set(_KEYS)
    assert listed == (set(_KEYS) if verb in ("plan", "run", "inspect", "verify") else set())
    assert set(KEYS) == set(_KEYS)


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS if verb.name not in ("probe", "record")])
def test_every_verb_explains_itself_with_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert usage_error(verb, "--help") == 0
    assert "examples:" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["plan", "run", "inspect", "verify"])
@pytest.mark.parametrize(
    ("config", "told"),
    [
        (None, "config.json"),
        ("{", "config.json"),
        ("[]", "config.json"),
        ('{"ociVersion": 3, "root": {"path": "r"}}', "ociVersion"),
        ('{"ociVersion": "1.0.0", "root": {"path": 7}}', "root.path"),
        ('{"ociVersion": "1.0.0", "root": {"path": "r"}, "mounts": [{"destination": 5}]}', "mounts[0].destination"),
    ],
)
def test_a_bad_bundle_is_code_2_and_names_the_place(
    verb: str, config: str | None, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    words = [verb, str(tmp_path), *(["ls"] if verb == "inspect" else [])]
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("devproxy: error: ")
    assert told in err
    assert "Traceback" not in err


@pytest.mark.parametrize("verb", ["plan", "run", "inspect", "verify"])
def test_a_bad_recording_is_code_2(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = write_bundle(tmp_path / "b", runc_spec_like(), rootfs="empty")
    (tmp_path / "host.tar").write_text("no tar")
    for host in (tmp_path / "host.tar", tmp_path / "missing.tar", tmp_path):
        assert main([verb, bundle, "--host", str(host), *(["ls"] if verb == "inspect" else [])]) == 2
        assert capsys.readouterr().err.startswith("devproxy: error: ")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("plan", ".", "--", "ls"), "'devproxy run'"),
        (("run", "BUNDLE", "--"), "nothing stands behind '--'"),
        (("inspect", "BUNDLE", "cat"), "needs a PATH"),
        (("verify", "BUNDLE", "--html", ""), "--html names nothing"),
        (("doctor", "--junit="), "--junit names nothing"),
        (("lease", "1", "--note", "", "--", "true"), "--note names nothing"),
        (("job", "--artifacts", "", "--", "true"), "--artifacts names nothing"),
        (("job", "--expect", "", "--", "true"), "--expect names nothing"),
        (("job", "--bundle", "", "--", "true"), "--bundle names nothing"),
        (("job", "--host", "a.tar", "--after-host", "", "--", "true"), "--after-host names nothing"),
        (("inspect", "BUNDLE", "ls", "dev"), "absolute path"),
        (("inspect", "BUNDLE", "mountinfo", "/dev"), "takes no PATH"),
        (("inspect", "BUNDLE", "--json", "cat", "/etc/passwd"), "--json would change them"),
        (("plan", "BUNDLE", "--set", "nosuch=1"), "nosuch"),
        (("plan", "BUNDLE", "--set", "strict"), "KEY=VALUE"),
        (("plan", "BUNDLE", "--config", "/no/such.toml"), "/no/such.toml"),
    ],
)
def test_bad_input_on_the_command_line_is_code_2(
    words: tuple[str, ...], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_bundle(tmp_path / "b", runc_spec_like(), rootfs="empty")
    assert main([bundle if word == "BUNDLE" else word for word in words]) == 2
    assert told in capsys.readouterr().err


def test_global_options_stand_on_either_side_of_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = write_bundle(tmp_path / "b", runc_spec_like(), rootfs="empty")
    for words in (["--set", "overlay2=none", "plan", bundle], ["plan", bundle, "--set", "overlay2=none"]):
        assert main(words) == 0
        assert "overlay2 = none" in capsys.readouterr().out


def test_messages_as_json_are_what_containerd_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--log-format", "json", "plan", str(tmp_path)]) == 2
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert all({"level", "msg", "time"} <= line.keys() for line in lines)
    assert "error" in {line["level"] for line in lines}


@pytest.mark.root
def test_a_process_is_needed_from_somewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = write_bundle(tmp_path / "b", runc_spec_like(process=None))
    assert main(["run", bundle]) == 2
    assert "config.json has no process" in capsys.readouterr().err


@pytest.mark.programs
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_trap(closed: str, tmp_path: Path) -> None:
    """What is opened next must not become a standard stream."""
    bundle = write_bundle(tmp_path / "b", runc_spec_like(), rootfs="empty")
    done = run(["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "devproxy", "plan", bundle], check=False)
    assert (done.code, done.err) == (0, "")
    assert bool(done.out) == (">&- 2" not in closed and closed != ">&-")


@pytest.mark.programs
def test_a_reader_that_goes_away_is_no_error_worth_words(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", runc_spec_like())
    done = run(
        ["sh", "-c", '"$@" | head -n 1', "sh", sys.executable, "-m", "devproxy", "inspect", bundle, "tree", "--text"]
    )
    assert done == (0, "/\n", "")


def test_options_may_stand_between_the_places(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = write_bundle(tmp_path / "b", runc_spec_like())
    assert main(["inspect", "--text", bundle, "ls", "--mode", "none", "/dev/null"]) == 0
    assert capsys.readouterr().out.endswith("null\n")


# Context


def context(out: io.StringIO, err: io.StringIO | None = None, verbosity: int = 0) -> Context:
    return Context(Configuration(), out=out, err=err or io.StringIO(), verbosity=verbosity)


def test_colour_only_on_a_terminal_that_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert context(Terminal()).style("x", "red") == "\x1b[31mx\x1b[0m"
    assert context(io.StringIO()).style("x", "red") == "x"
    monkeypatch.setenv("NO_COLOR", "")
    assert context(Terminal()).style("x", "red") == "x"


def test_names_can_neither_move_the_cursor_nor_make_lines_of_their_own() -> None:
    out, err = io.StringIO(), io.StringIO()
    told = context(out, err)
    told.print("a\x1b[31mb\nc\x07\udcff\u202e")
    told.warn("a\nb\x1b[2J")
    assert out.getvalue() == "a\\x1b[31mb\\nc\\x07\\udcff\\u202e\n"
    assert err.getvalue() == "devproxy: warning: a\\nb\\x1b[2J\n"


def test_tables_are_aligned_whatever_the_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    told = context(out)
    told.table([(told.style("a", "red"), "1"), ("bbb", "2")], ("H", "N"))
    lines = [
        line.replace("\x1b[31m", "").replace("\x1b[0m", "").replace("\x1b[1m", "")
        for line in out.getvalue().splitlines()
    ]
    assert lines == ["H    N", "a    1", "bbb  2"]


def test_verbosity_decides_which_messages_are_told() -> None:
    told = {}
    for verbosity in (-1, 0, 1):
        err = io.StringIO()
        told_to = context(io.StringIO(), err, verbosity)
        for message in (told_to.error, told_to.warn, told_to.say, told_to.note):
            message("m")
        told[verbosity] = err.getvalue().count("\n")
    assert told == {-1: 1, 0: 3, 1: 4}


def test_json_is_for_pipes_unless_told_otherwise() -> None:
    pipe, terminal = context(io.StringIO()), context(Terminal())
    assert pipe.wants_json(asked=False)
    assert not pipe.wants_json(asked=False, refused=True)
    assert not terminal.wants_json(asked=False)
    assert terminal.wants_json(asked=True)
