"""Every command before a bundle, a rootfs or a recording that is broken: exit code 2 with the place, no traceback, nothing built."""

from __future__ import annotations

import io
import json
import os
import random
import resource
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from devproxy.cli.main import main
from devproxy.errors import InputError
from devproxy.oci.load import parse_spec
from devproxy.process import run
from tests.bundles import runc_spec_like, write_bundle
from tests.devproxy.oci import broken

VERBS: dict[str, tuple[str, ...]] = {"plan": (), "run": (), "inspect": ("ls",), "verify": ()}
RECORDING = Path(__file__).parents[3] / "example" / "host-8gpu.tar"

_forks = 0


def _count_forks(event: str, _: tuple[object, ...]) -> None:
    global _forks  # noqa: PLW0603 (the hook outlives the test)
    _forks += event == "os.fork"


sys.addaudithook(_count_forks)


def told(*words: str) -> tuple[int, str]:
    """The exit code and standard error of a command, in this process; its output is dropped."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace"), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(words)
    assert "Traceback" not in err.getvalue()
    assert "defect of devproxy" not in err.getvalue(), err.getvalue()
    return code, err.getvalue()


def refused(bundle: str, verb: str, *options: str) -> str:
    """The message of a command that is refused before anything is made."""
    rootfs, forks = Path(bundle, "rootfs"), _forks
    before = os.listdir(rootfs) if rootfs.is_dir() else None
    code, err = told(verb, bundle, *VERBS[verb], *options)
    assert code == 2, err
    assert _forks == forks
    assert before == (os.listdir(rootfs) if rootfs.is_dir() else None)
    if "json" in options:
        events = [json.loads(line) for line in err.splitlines()]
        return str(next(event["msg"] for event in events if event["event"] == "error"))
    assert err.startswith("devproxy: error: ")
    return err


def _is_refused(document: Any) -> bool:
    try:
        parse_spec(json.loads(json.dumps(document)), "/b")
    except InputError:
        return True
    except (ValueError, RecursionError):
        pass
    return False


@cache
def _one_a_path() -> list[tuple[broken.Path, Any]]:
    """For each value of the document, something in its place that is refused."""
    document = broken.rich()
    chosen = []
    for path in broken.paths(document):
        wrong = [value for value in broken.WRONG if not isinstance(value, float | str) or len(str(value)) < 100]
        random.Random(str(path)).shuffle(wrong)
        found = next((value for value in wrong if _is_refused(broken.replaced(document, path, value))), broken)
        if found is not broken:
            chosen.append((path, broken.replaced(document, path, found)))
    return chosen


@pytest.mark.parametrize("verb", VERBS)
def test_a_wrong_value_at_any_path(verb: str, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", {}, rootfs="empty")
    cases = _one_a_path()
    assert len(cases) > 140
    if verb != "plan":  # they load it by the same door
        cases = cases[list(VERBS).index(verb) :: 4]
    for path, document in cases:
        Path(bundle, "config.json").write_text(json.dumps(document))
        message = refused(bundle, verb, *(("--log-format", "json") if len(path) % 2 else ()))
        named = [broken.written(path), broken.written(path[:-1]) if len(path) > 1 else "there is no uts namespace"]
        assert any(name in message for name in named) or not path, (path, message)


@pytest.mark.property
@given(broken.texts())
def test_any_bytes_at_all(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    bundle = write_bundle(tmp_path_factory.getbasetemp() / "any", {}, rootfs="empty")
    Path(bundle, "config.json").write_bytes(content)
    codes = {told(verb, bundle, *VERBS[verb])[0] for verb in ("plan", "inspect")}
    # A spec that is right may still ask for what cannot be: memory says so with 1.
    assert codes <= {0, 1} or codes == {2} or codes == {0, 2}


@pytest.mark.property
@given(broken.documents())
def test_any_document_in_memory(tmp_path_factory: pytest.TempPathFactory, document: Any) -> None:
    bundle = write_bundle(tmp_path_factory.getbasetemp() / "documents", {}, rootfs="empty")
    Path(bundle, "config.json").write_text(json.dumps(document))
    for mode in ("none", "auto"):
        assert told("inspect", bundle, "ls", "--mode", mode, "--host", str(RECORDING))[0] in (0, 1, 2)


@pytest.mark.root
@pytest.mark.property
@given(broken.documents())
def test_any_document_on_the_kernel(tmp_path_factory: pytest.TempPathFactory, document: Any) -> None:
    bundle = write_bundle(tmp_path_factory.getbasetemp() / "kernel", {}, rootfs="empty")
    Path(bundle, "config.json").write_text(json.dumps(document))
    code, err = told("verify", bundle, "--mode", "none")
    # What is made on the kernel and what memory expects may differ only where the spec was right.
    assert code in (0, 1, 2, 4), err


# what stands in the place of things


def _in_place(path: Path, kind: str) -> None:
    match kind:
        case "missing":
            return
        case "empty":
            path.touch()
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "loop":
            path.symlink_to(path.name)
        case _:
            path.symlink_to(kind)


ODD = ["missing", "empty", "directory", "fifo", "loop", "/no/such", "/dev/zero", "/dev/null", "/proc/self/mem"]


@pytest.mark.parametrize("verb", VERBS)
def test_odd_things_in_the_place_of_config_json(verb: str, tmp_path: Path) -> None:
    for kind in ODD:
        bundle = tmp_path / kind.replace("/", "_")
        bundle.mkdir()
        _in_place(bundle / "config.json", kind)
        assert "config.json" in refused(str(bundle), verb) or kind == "missing"


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "plan"])
def test_odd_things_in_the_place_of_the_rootfs(verb: str, tmp_path: Path) -> None:
    for kind in ODD:
        if kind == "directory":
            continue
        bundle = tmp_path / kind.replace("/", "_")
        bundle.mkdir()
        _in_place(bundle / "rootfs", kind)
        (bundle / "config.json").write_text(json.dumps(runc_spec_like()))
        code, err = told(verb, str(bundle), *VERBS[verb])
        assert (code, "root.path" in err) == (2, True), (kind, err)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("depth", [1000, 100_000, 1_000_000])
def test_nested_however_deep(verb: str, depth: int, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", {}, rootfs="empty")
    for text in ('{"mounts":' + "[" * depth + "]" * depth + "}", '{"a":' * depth + "1" + "}" * depth):
        Path(bundle, "config.json").write_text(text)
        message = refused(bundle, verb)
        assert "nested too deeply" in message or "mounts[0] is" in message or "root is missing" in message


@pytest.mark.parametrize("what", ["mounts", "devices", "env"])
def test_the_last_of_very_many_is_named(what: str, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", {}, rootfs="empty")
    n = 100_000 if what == "env" else 30_000
    configs: dict[str, dict[str, Any]] = {
        "mounts": {"mounts": [{"destination": f"/m{i}", "type": "tmpfs"} for i in range(n - 1)] + [{"destination": 5}]},
        "devices": {"linux": {"devices": [{"path": f"/d{i}", "type": "p"} for i in range(n - 1)] + [{"path": 5}]}},
        "env": {"process": {"env": [f"A{i}=1" for i in range(n - 1)] + [5]}},
    }
    config = configs[what]
    Path(bundle, "config.json").write_text(json.dumps(runc_spec_like(**config)))
    assert f"{what}[{n - 1}]" in refused(bundle, "plan")


@pytest.mark.parametrize("verb", VERBS)
def test_a_recording_that_is_cut_or_changed(verb: str, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", runc_spec_like(process=None), rootfs="empty")
    whole = RECORDING.read_bytes()
    chaos = random.Random(verb)
    tar = tmp_path / "host.tar"
    for _ in range(30):
        noisy = bytearray(whole)
        for _ in range(chaos.choice((1, 1, 20))):
            at = chaos.randrange(len(noisy))
            noisy[at : at + chaos.choice((0, 1, 4))] = chaos.randbytes(chaos.choice((0, 1, 4)))
        tar.write_bytes(noisy[: chaos.choice((len(noisy), chaos.randrange(len(noisy))))])
        # Without a process `run` ends with 2 in any case, before it builds.
        code, err = told(verb, bundle, *VERBS[verb], "--host", str(tar), "--mode", "docker")
        assert code in ((0, 2) if verb in ("plan", "inspect", "verify") else (2,)), err


# as processes of their own, with little memory and a closed door behind them


def limited(*words: str) -> tuple[int, str]:
    """A command that may use 1.5 GB and 60 seconds of the processor: what hangs or swells fails, and not the machine."""

    program = (
        "import resource, os, sys; resource.setrlimit(resource.RLIMIT_AS, (1500 << 20,) * 2); "
        "resource.setrlimit(resource.RLIMIT_CPU, (60, 60)); os.execv(sys.executable, [sys.executable, '-m', 'devproxy', *sys.argv[1:]])"
    )
    done = run([sys.executable, "-c", program, *words], check=False)
    return done.code, done.err


@pytest.mark.programs
@pytest.mark.parametrize("kind", ["deep", "digits", "fifo", "/dev/zero", "latin", "large", "blank"])
def test_a_process_of_its_own_is_as_calm(kind: str, tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path / "b", {}, rootfs="empty")
    config = Path(bundle, "config.json")
    config.unlink()
    if kind in ("fifo", "/dev/zero"):
        _in_place(config, kind)
    else:
        contents = {
            "deep": b'{"a":' * 1_000_000,
            "digits": b"[" + b"9" * 1_000_000 + b"]",
            "latin": json.dumps(runc_spec_like(hostname="caf\xe9"), ensure_ascii=False).encode("latin-1"),
            "large": b"[" + b"0," * 2_000_000 + b"0]",
            "blank": b" " * (1 << 20),
        }
        config.write_bytes(contents[kind])
    for verb in ("plan", "run"):
        code, err = limited(verb, bundle)
        assert code == 2, err
        assert err.startswith("devproxy: error: ")
        assert "config.json" in err
        assert "Traceback" not in err
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 1500 << 10
