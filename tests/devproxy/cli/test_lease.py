"""`devproxy lease`: the command gets the accelerators and the variables, and its own end is the lease's."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from devproxy.cli import lease as cli_lease
from devproxy.cli.main import main
from devproxy.errors import InputError
from devproxy.host.facts import Host
from devproxy.host.probe import probe
from devproxy.jobs.devices import Device, Kind, Wanted, candidates, environment, groups, leasable
from devproxy.jobs.restrict import restricted
from devproxy.jobs.scope import Scope, read_scope
from devproxy.jobs.size import parse_duration, parse_size, size_text
from devproxy.process import run

HERE = Path(__file__).parents[3]
GPUS = str(HERE / "example" / "host-8gpu.tar")
TPUS = str(HERE / "tests" / "hosts" / "tpu-v4.tar")


def lease(tmp_path: Path, *words: str, host: str = GPUS, check: bool = False) -> tuple[int, str, str]:
    argv = [
        sys.executable,
        "-m",
        "devproxy",
        "lease",
        "--state",
        str(tmp_path / "leases"),
        *words[:1],
        "--host",
        host,
        *words[1:],
    ]
    done = run(argv, check=check, cwd=str(HERE))
    return done.code, done.out, done.err


@pytest.mark.programs
class TestCommand:
    def test_it_has_the_lease_and_its_variables_and_its_code_is_the_commands(self, tmp_path: Path) -> None:
        inner = f"{sys.executable} -m devproxy lease list --json --state {tmp_path}/leases"
        code, out, err = lease(tmp_path, "2", "--", "sh", "-c", f"echo $CUDA_VISIBLE_DEVICES $$; {inner}; exit 7")
        assert (code, err) == (7, "")
        first, _, rest = out.partition("\n")
        names, pid = first.split()
        document = json.loads(rest)
        assert [each["device"] for each in document["held"]] == sorted(names.split(","))
        assert {each["pid"] for each in document["held"]} == {int(pid)}
        assert document["waiting"] == []
        assert {gpu.uuid for gpu in probe(GPUS).nvidia.gpus[:2]} == set(names.split(","))  # type: ignore[union-attr]
        assert main(["lease", "list", "--json", "--state", str(tmp_path / "leases")]) == 0

    def test_a_child_that_is_left_keeps_the_lease(self, tmp_path: Path) -> None:
        code, out, _ = lease(tmp_path, "8", "--", "sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!")
        assert code == 0
        refused = lease(tmp_path, "1", "--", "true")
        assert refused[0] == 1
        assert "gpu 0, 1, 2, 3, 4, 5, 6, 7 leased" in refused[2]
        os.kill(int(out), 9)
        assert lease(tmp_path, "8", "--wait", "30s", "--", "true")[0] == 0

    @pytest.mark.parametrize(
        ("words", "code", "told"),
        [
            (
                ("9", "--", "true"),
                2,
                "9 accelerators asked for, of which this host has 8: 8 gpu (NVIDIA H100 80GB HBM3)",
            ),
            (("1", "--kind", "tpu", "--", "true"), 2, "1 tpu asked for, of which this host has 0"),
            (("0", "--", "true"), 2, "expected a number, or 'list'"),
            (("two", "--", "true"), 2, "expected a number, or 'list'"),
            (("1",), 2, "no command to give the lease to"),
            (("1", "--mem", "much", "--", "true"), 2, "'much' is no size"),
            (("1", "--wait", "-1", "--", "true"), 2, ""),
            (("1", "--", "no-such-program"), 127, "'no-such-program' was not found"),
            (("1", "--", "/etc/passwd"), 126, "cannot be executed: permission denied"),
        ],
    )
    def test_what_cannot_be(self, tmp_path: Path, words: tuple[str, ...], code: int, told: str) -> None:
        found = lease(tmp_path, *words)
        assert found[0] == code
        assert told in found[2]
        assert "Traceback" not in found[2]

    def test_a_note_tells_what_was_leased(self, tmp_path: Path) -> None:
        code, out, _ = lease(
            tmp_path, "2", "--note", str(tmp_path / "note"), "--", "sh", "-c", "echo $DEVPROXY_LEASE_ID"
        )
        scope = read_scope(str(tmp_path / "note"))
        assert (code, scope.ident, scope.uid) == (0, out.strip(), os.getuid())
        assert scope.devices == leasable(probe(GPUS, deep=True))[:2]

    @pytest.mark.parametrize("text", ["", "{}", "[1]", '{"ident":"a","uid":0,"since":1,"devices":[{"kind":"cat"}]}'])
    def test_another_file_is_no_note(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "note").write_text(text)
        with pytest.raises(InputError, match="note"):
            read_scope(str(tmp_path / "note"))

    def test_no_note_is_told_in_words(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"cannot read the lease in '[^']+/none': no such file or directory"):
            read_scope(str(tmp_path / "none"))

    def test_a_run_below_it_sees_the_leased_nodes_alone(self, tmp_path: Path) -> None:
        plan = [sys.executable, "-m", "devproxy", "plan", str(HERE / "example" / "bundle"), "--host", GPUS, "--text"]
        _, out, _ = lease(tmp_path, "2", "--", *plan, "--mode", "docker")
        assert "node /dev/nvidia0 c" in out
        assert "node /dev/nvidia1 c" in out
        assert "/dev/nvidia2" not in out
        assert "/dev/nvidia3" not in out


def chips(number: int) -> tuple[Device, ...]:
    return tuple(
        Device(Kind.TPU, f"0000:00:{n:02x}.0", n, f"0000:00:{n:02x}.0", "v5e", 0, None, (f"/dev/vfio/{n}",))
        for n in range(number)
    )


@pytest.mark.parametrize(
    ("number", "of", "expected"),
    [
        (1, 4, [(0,), (1,), (2,), (3,)]),
        (2, 8, [(0, 1), (2, 3), (4, 5), (6, 7)]),
        (4, 8, [(0, 1, 2, 3), (4, 5, 6, 7)]),
        (8, 8, [tuple(range(8))]),
        (3, 3, [(0, 1, 2)]),
    ],
)
def test_tpu_chips_are_leased_as_libtpu_can_use_them(number: int, of: int, expected: list[tuple[int, ...]]) -> None:
    every = chips(of)
    found = [
        tuple(chip.rank for chip in group) for group in groups(Wanted(number), candidates(Wanted(number), every), every)
    ]
    assert found == expected


def test_three_of_four_chips_are_refused() -> None:
    with pytest.raises(Exception, match="libtpu cannot use"):
        candidates(Wanted(3), chips(4))


def test_the_variables_of_tpus() -> None:
    every = chips(8)
    assert environment(Scope("7", 0, 0.0, every[2:4]), every)["TPU_VISIBLE_CHIPS"] == "2,3"
    assert environment(Scope("7", 0, 0.0, every[2:4]), every)["TPU_CHIPS_PER_HOST_BOUNDS"] == "1,2,1"
    assert "TPU_CHIPS_PER_HOST_BOUNDS" not in environment(Scope("7", 0, 0.0, every), every)


def test_a_recorded_host_of_tpus_has_its_chips_to_lease() -> None:
    host = probe(TPUS)
    assert [device.name for device in leasable(host)] == [chip.address for chip in host.tpus]
    kept, gone = restricted(host, frozenset({host.tpus[0].address}))
    assert len(kept.tpus) == 1
    assert gone == {path for chip in host.tpus[1:] for path in chip.nodes}
    assert not gone & {node.path for node in kept.nodes}


def test_sizes_and_times() -> None:
    assert [size_text(parse_size(text)) for text in ("80G", "900m", "1k", "1025", "0")] == [
        "80 GiB",
        "900 MiB",
        "1 KiB",
        "1025 bytes",
        "0 bytes",
    ]
    assert [parse_size(text) for text in ("80G", "80GiB", "1024", "1k", "2TB")] == [
        80 << 30,
        80 << 30,
        1024,
        1024,
        2 << 40,
    ]
    assert [parse_duration(text) for text in ("90", "90s", "30m", "2h", "forever")] == [90, 90, 1800, 7200, None]
    for text in ("", "G", "1x", "-1", "1.5G", "1e3", "\u0661"):
        with pytest.raises(Exception, match="is no"):
            parse_size(text)


@pytest.mark.parametrize(
    ("host", "with_memory", "depths"),
    [
        (GPUS, False, [False]),
        (TPUS, False, [False]),
        (GPUS, True, [True]),
        (str(HERE / "tests/hosts/cpu-only.tar"), False, [False, True]),
    ],
)
def test_a_live_host_is_asked_no_more_than_leasing_needs(
    host: str, with_memory: bool, depths: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs, services and every process are asked where memory counts, and where it has to be said why there is nothing."""
    asked: list[bool] = []

    def probed(_: str, *, deep: bool = False) -> Host:
        asked.append(deep)
        return probe(host, deep=deep)

    monkeypatch.setattr(cli_lease, "probe", probed)
    found = cli_lease._host("live", with_memory=with_memory)
    assert asked == depths
    assert leasable(found) == leasable(probe(host, deep=with_memory))
