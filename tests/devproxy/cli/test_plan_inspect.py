"""`plan` and `inspect`: what people see, and what scripts get."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from devproxy.cli.main import main
from tests.bundles import runc_spec_like, write_bundle

RECORDING = str(Path(__file__).parents[3] / "example" / "host-8gpu.tar")
RECORDED = ("--host", RECORDING)


@pytest.fixture
def bundle(tmp_path: Path) -> str:
    config = runc_spec_like()
    config["process"]["env"].append("NVIDIA_VISIBLE_DEVICES=0,1")
    path = write_bundle(tmp_path / "bundle", config)
    rootfs = Path(path, "rootfs")
    (rootfs / "etc" / "motd").write_bytes(b"line\n\xff\x00")
    (rootfs / "etc" / "evil\x1b[2J\nname").touch()
    (rootfs / "etc" / "link").symlink_to("motd")
    return path


def out(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(words) == code
    told = capsys.readouterr()
    assert "\x1b" not in told.out + told.err
    return told.out


class TestPlan:
    def test_every_step_is_a_numbered_line_with_its_reason(
        self, bundle: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lines = out(capsys, "plan", bundle, "--host", RECORDING, "--text").splitlines()
        assert lines[0].startswith("mode docker, host host-8gpu.tar (recorded), ")
        assert f"{len(lines) - 1} steps" in lines[0]
        assert [int(line.split()[0]) for line in lines[1:]] == list(range(1, len(lines)))
        assert all("  # " in line for line in lines[1:])
        assert any("node /dev/nvidia1 c nvidia:1 0666" in line for line in lines)

    def test_a_pipe_gets_json(self, bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
        document = json.loads(out(capsys, "plan", bundle, "--host", RECORDING))
        assert document["mode"] == "docker"
        assert document == json.loads(out(capsys, "plan", bundle, "--host", RECORDING, "--json"))

    def test_what_is_left_out_is_told_on_standard_error(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config = runc_spec_like(hooks={"prestart": [{"path": "/bin/true"}]})
        bundle = write_bundle(tmp_path / "b", config, rootfs="empty")
        assert main(["plan", bundle, "--text"]) == 0
        assert "devproxy: warning: skip " in capsys.readouterr().err
        assert main(["plan", bundle, "--text", "-q"]) == 0
        assert not capsys.readouterr().err
        assert main(["plan", bundle, "--set", "strict=true"]) == 2


class TestInspect:
    def test_ls_shows_numbers_modes_and_links(self, bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
        lines = out(capsys, "inspect", bundle, *RECORDED, "--text", "ls", "/dev").splitlines()
        found = {line.split("  ")[-1].split(" ")[0]: line for line in lines}
        assert found["nvidia0"].split() == ["crw-rw-rw-", "0", "0", "195,", "0", "nvidia0"]
        assert found["fd"].endswith("fd -> /proc/self/fd")
        assert found["pts"].startswith("drwx")
        assert len({line.index(line.split()[-1]) for line in lines if " -> " not in line}) == 1

    def test_ls_of_one_thing_is_that_thing(self, bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert out(capsys, "inspect", bundle, *RECORDED, "--text", "ls", "/dev/null").endswith("1, 3  null\n")

    def test_ls_as_json(self, bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
        entries = {
            entry["path"]: entry for entry in json.loads(out(capsys, "inspect", bundle, *RECORDED, "ls", "/dev"))
        }
        assert entries["/dev/null"] == {
            "path": "/dev/null",
            "kind": "character device",
            "mode": "0666",
            "uid": 0,
            "gid": 0,
            "size": 0,
            "number": "1:3",
            "link": None,
        }
        assert entries["/dev/fd"]["link"] == "/proc/self/fd"

    def test_names_are_escaped(self, bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
        for look in ("ls", "tree"):
            assert "evil\\x1b[2J\\nname" in out(capsys, "inspect", bundle, *RECORDED, "--text", look, "/etc")

    def test_tree(self, bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
        lines = out(capsys, "inspect", bundle, *RECORDED, "--text", "tree", "/dev").splitlines()
        assert lines[0] == "/dev"
        assert "├── nvidia0  (c 195, 0)" in lines
        assert any(line.startswith("│   └── ") for line in lines)
        assert lines[-1].startswith("└── ")
        paths = {entry["path"] for entry in json.loads(out(capsys, "inspect", bundle, *RECORDED, "tree", "/dev"))}
        assert {"/dev/net", "/dev/net/tun"} <= paths

    def test_stat_does_not_follow(self, bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
        text = out(capsys, "inspect", bundle, *RECORDED, "--text", "stat", "/dev/fd")
        assert "File: /dev/fd -> /proc/self/fd" in text
        assert "Type: symbolic link" in text
        assert "Device: 1:3" not in text
        assert "Device: 1, 3" in out(capsys, "inspect", bundle, *RECORDED, "--text", "stat", "/dev/null")
        assert json.loads(out(capsys, "inspect", bundle, *RECORDED, "stat", "/dev/fd"))["link"] == "/proc/self/fd"

    def test_cat_is_bytes(self, bundle: str, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
        assert main(["inspect", bundle, *RECORDED, "cat", "/etc/link"]) == 0
        assert capfdbinary.readouterr().out == b"line\n\xff\x00"

    @pytest.mark.parametrize("path", ["/dev/zero", "/dev/pts", "/dev"])
    def test_cat_opens_no_device(self, path: str, bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["inspect", bundle, *RECORDED, "cat", path]) == 1
        assert path in capsys.readouterr().err

    @pytest.mark.parametrize("look", ["ls", "tree", "stat", "cat"])
    def test_a_path_that_is_missing_is_code_1(self, look: str, bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["inspect", bundle, *RECORDED, look, "/no/such"]) == 1
        assert capsys.readouterr().err == f"devproxy: error: {look} /no/such: no such file or directory\n"

    def test_nothing_is_found_outside_of_the_root(self, bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
        Path(bundle, "rootfs", "etc", "out").symlink_to("../../../../../../../../../../etc/motd")
        assert main(["inspect", bundle, *RECORDED, "--text", "stat", "/../../etc/motd"]) == 0
        assert "regular file" in capsys.readouterr().out
        assert main(["inspect", bundle, *RECORDED, "cat", "/etc/passwd"]) == 1

    def test_mountinfo_is_what_the_kernel_would_print(self, bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
        from devproxy.linux.mountinfo import parse_line

        lines = [parse_line(line) for line in out(capsys, "inspect", bundle, *RECORDED, "mountinfo").splitlines()]
        assert {"/", "/proc", "/dev", "/dev/pts", "/sys"} <= {line.mount_point for line in lines}
        documents = json.loads(out(capsys, "inspect", bundle, *RECORDED, "--json", "mountinfo"))
        assert documents == json.loads(json.dumps([line._asdict() for line in lines]))

    def test_outcomes(self, bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
        text = out(capsys, "inspect", bundle, *RECORDED, "--text", "outcomes")
        assert "chosen: node /dev/nvidia-uvm c nvidia-uvm:0 0666  (major 462 here)" in text
        results = {entry["result"] for entry in json.loads(out(capsys, "inspect", bundle, *RECORDED, "outcomes"))}
        assert results == {"done", "chosen", "skipped"}

    def test_nothing_of_this_machine_is_changed(self, bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
        before = snapshot(bundle)
        out(capsys, "inspect", bundle, *RECORDED, "tree")
        assert snapshot(bundle) == before


def snapshot(directory: str) -> dict[str, tuple[int, int]]:
    found = {}
    for here, _, files in os.walk(directory):
        for name in [".", *files]:
            status = os.lstat(os.path.join(here, name))
            found[os.path.join(here, name)] = (stat.S_IFMT(status.st_mode), status.st_mtime_ns)
    return found


def test_what_is_left_out_is_told_in_a_line_that_says_nothing_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = runc_spec_like()
    config["mounts"].append({"destination": "/f", "type": "foofs", "source": "x"})
    bundle = write_bundle(tmp_path / "b", config)
    assert main(["inspect", bundle, "--text", "outcomes"]) == 0
    told = capsys.readouterr()
    for line in (told.err.strip(), next(line for line in told.out.splitlines() if "foofs" in line)):
        assert "skipped: the mount of type foofs at /f  # mounts[7]: unknown" in line
        assert line.count("unknown") == line.count("skip") == line.count("devpts") == 1
