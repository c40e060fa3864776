"""`run` and `verify` on the kernel, and what they say where they cannot."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devproxy.check.finding import Report, error, unreadable
from devproxy.cli import run as run_module
from devproxy.cli.main import main
from tests.bundles import runc_spec_like, write_bundle
from tests.unprivileged import GID, UID, as_user

RECORDING = str(Path(__file__).parents[3] / "example" / "host-8gpu.tar")
root = pytest.mark.root


def bundle(directory: Path, *args: str, **changes: Any) -> str:
    return write_bundle(directory / "bundle", runc_spec_like(process={"args": list(args or ["true"])}, **changes))


@root
class TestRun:
    @pytest.mark.parametrize(
        ("command", "code"),
        [
            (("true",), 0),
            (("false",), 1),
            (("sh", "-c", "exit 42"), 42),
            (("sh", "-c", "kill -TERM $$; sleep 1"), None),
            (("no-such-program",), 127),
            (("/no/such",), 127),
            (("/etc",), 126),
            (("/etc/text",), 126),
        ],
    )
    def test_exit_codes(self, command: tuple[str, ...], code: int | None, tmp_path: Path) -> None:
        path = bundle(tmp_path, "sleep", "100")
        Path(path, "rootfs", "etc", "text").write_text("no program")
        # pid 1 of a pid namespace is not ended by a signal that it sends itself (pid_namespaces(7)).
        assert main(["run", path, "--", *command]) == (0 if code is None else code)

    def test_the_end_by_a_signal_is_128_and_its_number(self, tmp_path: Path) -> None:
        namespaces = [{"type": kind} for kind in ("mount", "ipc", "uts", "network")]
        linux = {**runc_spec_like()["linux"], "namespaces": namespaces}
        path = bundle(tmp_path, "sh", "-c", "kill -TERM $$", linux=linux)
        assert main(["run", path]) == 128 + signal.SIGTERM

    def test_the_bundles_own_process_and_another_command(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        path = bundle(tmp_path, "echo", "own")
        assert main(["run", path]) == 0
        assert main(["run", path, "--", "echo", "--json", "-v", "--", "x"]) == 0
        told = capfd.readouterr()
        assert told.out == "own\n--json -v -- x\n"
        assert not told.err

    def test_a_recorded_host_has_its_nodes(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        path = bundle(tmp_path)
        assert main(["run", path, "--host", RECORDING, "--mode", "docker", "--", "ls", "/dev"]) == 0
        assert "null" in capfd.readouterr().out.split()

    def test_decisions_go_to_standard_error(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        assert main(["run", bundle(tmp_path), "-v"]) == 0
        assert "devproxy: note: done: mount proc at /proc" in capfd.readouterr().err

    def test_a_warning_is_told_once(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        path = bundle(tmp_path, hooks={"poststop": [{"path": "/bin/true"}]})
        assert main(["run", path]) == 0
        assert capfd.readouterr().err.count("warning: ") == 1

    def test_a_terminal_without_one_is_a_warning(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        path = bundle(tmp_path)
        config = Path(path, "config.json")
        config.write_text(config.read_text().replace('"terminal": false', '"terminal": true'))
        assert main(["run", path]) == 0
        assert "process.terminal is true" in capfd.readouterr().err

    def test_a_missing_source_is_bad_input(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        path = bundle(
            tmp_path, mounts=[{"destination": "/x", "type": "bind", "source": "/no/such", "options": ["bind"]}]
        )
        assert main(["run", path]) == 2
        assert "/no/such" in capfd.readouterr().err

    def test_a_root_that_cannot_be_built_is_125(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        path = bundle(tmp_path, mounts=[{"destination": "/etc/x/y", "type": "tmpfs", "source": "tmpfs"}])
        Path(path, "rootfs", "etc", "x").write_text("a file in the way")
        assert main(["run", path]) == 125
        assert "/etc/x/y" in capfd.readouterr().err

    def test_a_root_that_is_not_what_was_built_starts_nothing(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        finding = error("node-major-mismatch", "/dev/null", "1:3", "1:5")
        monkeypatch.setattr(run_module, "check_outcomes", lambda _: Report((finding,), ()))
        assert main(["run", bundle(tmp_path, "echo", "started")]) == 125
        told = capfd.readouterr()
        assert "started" not in told.out
        assert "/dev/null: 1:5, expected 1:3 [node-major-mismatch]" in told.err

    def test_what_cannot_be_seen_is_a_warning_and_an_error_under_strict(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        unseen = Report((unreadable("/dev/null", PermissionError(13, "x")),), ())
        monkeypatch.setattr(run_module, "check_outcomes", lambda _: unseen)
        path = bundle(tmp_path, mounts=[{"destination": "/proc", "type": "proc", "source": "proc"}])
        assert main(["run", path]) == 0
        assert "[unreadable]" in capfd.readouterr().err
        assert main(["run", path, "--set", "strict=true"]) == 125


def _decided_by_the_kernel(document: dict[str, Any]) -> list[str]:
    """Masks and the like in proc and sysfs, of which each root has its own."""
    steps = [outcome["step"] for outcome in document["outcomes"]]
    return [step for step in steps if step.startswith(("mask /proc", "mask /sys", "read-only /proc"))]


@root
class TestVerify:
    def test_the_example_for_newcomers(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = bundle(tmp_path)
        config = Path(path, "config.json")
        config.write_text(config.read_text().replace("TERM=xterm", "NVIDIA_VISIBLE_DEVICES=0"))
        assert main(["verify", path, "--host", RECORDING, "--text"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert "mode docker, host host-8gpu.tar (recorded)" in lines[0]
        assert any(line.split()[:2] == ["/dev/nvidia0", "195:0"] for line in lines)
        assert any(line.startswith("compared with the same plan built in memory: ") for line in lines)
        assert lines[-1] == "verified: no differences"

    def test_json(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["verify", bundle(tmp_path)]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["verdict"] == "ok"
        assert document["findings"] == []
        assert "/dev/null" in document["built"]["device nodes"]
        assert document["compared"]["mounts"] == len(document["built"]["mounts"])
        assert len(document["outcomes"]) == document["compared"]["outcomes"] + len(_decided_by_the_kernel(document))

    def test_what_is_made_on_the_host_is_told(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """As with runc: a mount point in what is bound is made there, and stays."""
        source = tmp_path / "source"
        source.mkdir()
        mounts = [
            {"destination": "/v", "type": "bind", "source": str(source), "options": ["bind"]},
            {"destination": "/v/n/m", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/w/x", "type": "tmpfs", "source": "tmpfs"},
        ]
        config = runc_spec_like()
        path = bundle(tmp_path, mounts=[*config["mounts"], *mounts])
        assert main(["verify", path]) == 0
        assert json.loads(capsys.readouterr().out)["notes"] == [
            f"made in what is bound, and left there as a run leaves it: {source}/n"
        ]
        assert os.listdir(source) == ["n"]
        assert main(["verify", path]) == 0
        assert json.loads(capsys.readouterr().out)["notes"] == []

    def test_without_overlays_what_is_made_in_the_rootfs_is_told(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        devices = [{"path": "/opt/null", "type": "c", "major": 1, "minor": 3}]
        path = bundle(tmp_path, linux={"devices": devices}, root={"readonly": False})
        rootfs = Path(path, "rootfs")
        for name in ("dev", "proc", "sys"):
            (rootfs / name).rmdir()
        assert main(["verify", path, "--set", "overlay2=none"]) == 0
        [note] = json.loads(capsys.readouterr().out)["notes"]
        assert set(note.partition(": ")[2].split()) == {
            f"{rootfs}/{name}" for name in ("dev", "proc", "sys", "opt/null")
        }

    def test_json_says_that_a_major_of_the_spec_is_stale(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        devices = [{"path": "/dev/nvidia-uvm", "type": "c", "major": 99, "minor": 0}]
        path = bundle(tmp_path, linux={"devices": devices})
        assert main(["verify", path, "--host", RECORDING]) == 0
        outcomes = json.loads(capsys.readouterr().out)["outcomes"]
        assert [each["found"] for each in outcomes if "the spec said 99" in each["found"]] != []

    @pytest.mark.parametrize(
        ("report", "code", "verdict"),
        [
            (Report((error("entry-missing", "/dev/x", "x", "missing"),), ()), 3, "error"),
            (Report((unreadable("/dev/x", PermissionError(13, "x")),), ()), 4, "inconclusive"),
        ],
    )
    def test_what_is_found_decides_the_code(
        self,
        report: Report,
        code: int,
        verdict: str,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("devproxy.cli.verify.verify", lambda plan, root: report)
        path = bundle(tmp_path)
        assert main(["verify", path, "--json"]) == code
        assert json.loads(capsys.readouterr().out)["verdict"] == verdict
        assert main(["verify", path, "--text"]) == code
        assert report.findings[0].code in capsys.readouterr().out


class TestWithoutRoot:
    @staticmethod
    def told(work: Callable[[Path], list[str]]) -> tuple[int, str, str]:
        """The exit code, the standard output and the standard error of a command line that an ordinary user gives."""

        def child(directory: Path) -> list[Any]:
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main(work(directory))
            return [code, out.getvalue(), err.getvalue()]

        code, out, err = as_user(child)
        return code, out, err

    def test_run_runs_and_names_once_what_it_cannot_do(self) -> None:
        code, _, err = self.told(lambda directory: ["run", bundle(directory, "sh", "-c", "exit 42")])
        assert code == 42
        lines = err.splitlines()
        assert lines[0] == f"devproxy: built without root: uid {UID} is uid 0 inside, no other owner can be had"
        assert sum("/dev/null" in line for line in lines) == 1
        assert "warning" not in err

    def test_what_the_process_gets_otherwise_is_told(self) -> None:
        def work(directory: Path) -> list[str]:
            user = {"uid": 1000, "gid": 1000, "additionalGids": [5, 6]}
            config = runc_spec_like(process={"args": ["true"], "user": user})
            return ["run", write_bundle(directory / "bundle", config)]

        code, _, err = self.told(work)
        assert code == 0
        assert f"process.user: 1000:1000 is {UID}:{GID} on the host" in err
        assert "warning: process.user.additionalGids 5,6: without root no groups can be set" in err
        code, _, err = self.told(lambda directory: [*work(directory), "--set", "strict=true"])
        assert code == 125
        assert "additionalGids" in err

    def test_run_says_that_recorded_accelerators_need_root(self) -> None:
        process = {"args": ["true"], "env": ["PATH=/bin", "NVIDIA_VISIBLE_DEVICES=0"]}
        config = runc_spec_like(process=process)
        recording = Path(RECORDING).read_bytes()

        def work(directory: Path) -> list[str]:
            (directory / "host.tar").write_bytes(recording)
            return ["run", write_bundle(directory / "b", config), "--host", str(directory / "host.tar")]

        code, _, err = self.told(work)
        assert code == 125
        assert "/dev/nvidiactl is a device of the recorded host" in err
        assert "devproxy inspect" in err
        assert self.told(lambda directory: [*work(directory), "--mode", "none", "--", "true"])[0] == 0

    def test_verify_holds_the_root_to_what_can_be_had(self) -> None:
        code, out, _ = self.told(lambda directory: ["verify", bundle(directory), "--json"])
        assert code == 0
        document = json.loads(out)
        assert (document["verdict"], document["rootless"]) == ("ok", True)
        code, out, err = self.told(lambda directory: ["verify", bundle(directory), "--text"])
        assert out.splitlines()[-1] == "verified: no differences"
        assert err.count("bound from the host") == 2
