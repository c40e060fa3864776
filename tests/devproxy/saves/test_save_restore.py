"""A root saved and restored: what is in the file, what is refused, and what a user is told."""

from __future__ import annotations

import json
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest

import devproxy
from devproxy.check.verify import verify
from devproxy.cli.main import main
from devproxy.errors import DevproxyError, InputError
from devproxy.layer.entry import Entry, Kind
from devproxy.layer.writer import LayerWriter
from devproxy.oci.configuration import parse_configuration
from devproxy.plan.plan import Plan
from tests.bundles import runc_spec_like, write_bundle
from tests.hosts import host_with_gpus
from tests.saves import KernelWorld, MemoryWorld, bundle, planned, saved
from tests.unprivileged import as_user

root = pytest.mark.root
DESCRIPTION: dict[str, Any] = {
    "format": 1,
    "devproxy": "0",
    "mode": "none",
    "reattached": [],
    "mounts": [
        {"destination": "/", "path": "", "kind": "overlay"},
        {"destination": "/data", "path": "data", "kind": "tmpfs"},
    ],
    "accelerators": {"gpus": [], "tpus": []},
}
TOP = Entry("", Kind.DIRECTORY, 0o755)
DATA = Entry("data", Kind.DIRECTORY, 0o755)


def write(path: Path, *entries: Entry, **changes: Any) -> str:
    """A file such as somebody might make by hand."""
    with open(path, "wb") as file:
        writer = LayerWriter(file, {**DESCRIPTION, **changes})
        for entry in entries:
            writer.add(entry)
        writer.finish()
    return str(path)


def paths(file: str) -> list[str]:
    return sorted(saved(file))


class TestSaving:
    def test_a_saved_root_is_a_layer_with_the_containers_paths(self, tmp_path: Path) -> None:
        with devproxy.build(planned(bundle(tmp_path))) as built:
            world = MemoryWorld(built)
            world.write("/data/new", 0, b"in the tmpfs")
            world.write("/over/new", 0, b"in the overlay of a bind")
            world.write("/file", 0, b"A")
            world.unlink("/d/l")
            told = built.save(str(tmp_path / "layer.tar"))
        assert told.mounts == ("/", "/data", "/dev/shm", "/file", "/over", "/tmp")
        assert told.reattached == ("/ro",)
        assert told.entries == len(paths(told.file))
        with tarfile.open(told.file) as layer:
            names = layer.getnames()
            changed = layer.extractfile("./file")
            assert changed is not None
            assert changed.read() == b"A file of the host"
        assert "./d/.wh.l" in names
        assert {"./data/new", "./over/new", "./dev/shm", "./tmp/.wh..wh..opq"} <= set(names)
        assert not any(name.startswith(("./proc", "./sys", "./ro", "./dev/null")) for name in names)
        assert stat.S_IMODE(os.stat(told.file).st_mode) == 0o600

    def test_the_same_root_gives_the_same_file(self, tmp_path: Path) -> None:
        plan = planned(bundle(tmp_path))
        with devproxy.build(plan) as built:
            MemoryWorld(built).write("/etc/new", 0, b"new")
            first, second = built.save(str(tmp_path / "1")).file, built.save(str(tmp_path / "2")).file
        assert Path(first).read_bytes() == Path(second).read_bytes()

    def test_nothing_is_written_over_and_nothing_half(self, tmp_path: Path) -> None:
        (tmp_path / "there").write_text("mine")
        with devproxy.build(planned(bundle(tmp_path / "b"))) as built:
            for name, why in (("there", "exists"), ("no/such", "no directory")):
                with pytest.raises(InputError, match=why):
                    built.save(str(tmp_path / name))
            os.symlink("nowhere", tmp_path / "dangling")
            with pytest.raises(InputError, match="exists"):
                built.save(str(tmp_path / "dangling"))
        assert (tmp_path / "there").read_text() == "mine"
        assert sorted(os.listdir(tmp_path)) == ["b", "dangling", "there"]

    def test_a_root_that_is_the_rootfs_itself_has_no_changes_to_save(self, tmp_path: Path) -> None:
        with devproxy.build(planned(bundle(tmp_path), "none")) as built:
            told = built.save(str(tmp_path / "layer.tar"))
        assert told.mounts == ("/data", "/dev/shm", "/tmp")
        assert set(told.reattached) == {"/over", "/ro", "/file"}
        assert any("rootfs itself, changed in place" in note for note in told.notes)

    def test_what_no_layer_can_hold_is_told(self, tmp_path: Path) -> None:
        with devproxy.build(planned(bundle(tmp_path))) as built:
            world = MemoryWorld(built)
            world.write("/etc/.wh.hosts", 0, b"no whiteout")
            told = built.save(str(tmp_path / "layer.tar"))
        assert [note for note in told.notes if "name of a whiteout" in note]
        assert "etc/.wh.hosts" not in paths(told.file)

    @root
    def test_a_kernel_root_has_to_be_kept(self, tmp_path: Path) -> None:
        with (
            devproxy.build(planned(bundle(tmp_path)), "kernel") as built,
            pytest.raises(DevproxyError, match="nothing of this root was kept") as raised,
        ):
            built.save(str(tmp_path / "layer.tar"))
        assert "keep=True" in raised.value.hint

    @root
    def test_sockets_devices_and_attributes_of_the_machine(self, tmp_path: Path) -> None:
        import socket

        with devproxy.build(planned(bundle(tmp_path)), "kernel", keep=True) as built:
            base = f"/proc/{built.tree.pid}/root"  # type: ignore[attr-defined]
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(f"{base}/data/socket")
            os.mknod(f"{base}/data/disk", stat.S_IFBLK | 0o600, os.makedev(8, 0))
            os.setxattr(f"{base}/etc", "trusted.x", b"1")
            told = built.save(str(tmp_path / "layer.tar"))
        assert "data/socket" not in paths(told.file)
        assert "data/disk" in paths(told.file)
        for words in ("/data/socket is a socket", "/data/disk is the device 8:0", "/etc has the attribute trusted.x"):
            assert [note for note in told.notes if words in note], words
        with pytest.raises(InputError, match="device b 8:0, which this plan does not give"):
            devproxy.build(planned(bundle(tmp_path / "other")), restore=told.file)


@pytest.mark.rows("S73", oracle="specification")
class TestRestoring:
    def _plan(self, tmp_path: Path, overlay2: str = "all:memory", **changes: Any) -> Plan:
        return planned(bundle(tmp_path / "b", **changes), overlay2)

    @pytest.mark.parametrize(
        ("entries", "why"),
        [
            ([TOP, Entry("../x", Kind.FILE)], "is not one of a file in the root"),
            (
                [TOP, Entry("l", Kind.SYMLINK, 0o777, link="/etc"), Entry("l/x", Kind.FILE)],
                "no directory of the same mount",
            ),
            ([TOP, Entry("h", Kind.HARD_LINK, link="etc/shadow")], "no file of the same mount"),
            ([TOP, Entry("x", Kind.FILE, xattrs=(("trusted.overlay.redirect", b"/etc"),))], "trusted.overlay.redirect"),
            (
                [TOP, Entry("mem", Kind.CHARACTER, 0o666, major=1, minor=1)],
                "device c 1:1, which this plan does not give",
            ),
            ([TOP, Entry("sda", Kind.BLOCK, 0o666, major=8)], "device b 8:0, which this plan does not give"),
        ],
    )
    def test_a_hostile_file_builds_nothing(self, entries: list[Entry], why: str, tmp_path: Path) -> None:
        file = write(tmp_path / "hostile.tar", *entries)
        with pytest.raises(InputError, match=why):
            devproxy.build(self._plan(tmp_path), restore=file)

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"format": 2}, "format 2, expected 1"),
            ({"mounts": "x"}, "no list of mounts"),
            ({"mounts": [{"destination": "/", "path": "", "kind": "bind"}]}, "a mount in its description that is none"),
            ({"mounts": DESCRIPTION["mounts"] * 2}, "a mount twice"),
            ({"accelerators": None}, "no accelerators"),
            ({"accelerators": {"gpus": [{"node": 1}], "tpus": []}}, "an accelerator in its description that is none"),
        ],
    )
    def test_a_wrong_description(self, changes: dict[str, Any], why: str, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=why):
            devproxy.build(self._plan(tmp_path), restore=write(tmp_path / "file", TOP, **changes))

    def test_links_of_the_layer_are_not_followed_and_devices_of_the_plan_are_made(self, tmp_path: Path) -> None:
        entries = [
            TOP,
            Entry("away", Kind.SYMLINK, 0o777, link="../../../../etc"),
            Entry("suid", Kind.FILE, 0o6755, 1000, 1000),
            DATA,
            Entry("data/null", Kind.CHARACTER, 0o666, major=1, minor=3),
        ]
        with devproxy.build(self._plan(tmp_path), restore=write(tmp_path / "file", *entries)) as built:
            assert built.readlink("/away") == "../../../../etc"
            assert stat.S_IMODE(built.stat("/suid").st_mode) == 0o6755
            assert built.stat("/suid").st_uid == 1000
            assert built.stat("/data/null").st_rdev == os.makedev(1, 3)

    def test_a_destination_that_is_missing_or_something_else(self, tmp_path: Path) -> None:
        file = write(tmp_path / "file", TOP, DATA, Entry("data/x", Kind.FILE, 0o644))
        no_data = [mount for mount in runc_spec_like()["mounts"] if mount["destination"] != "/data"]
        other = write_bundle(tmp_path / "other", runc_spec_like(mounts=no_data), rootfs="empty")
        with pytest.raises(
            InputError, match=r"the tmpfs /data that was saved has nowhere to go: nothing is mounted at /data"
        ):
            devproxy.build(planned(other), restore=file)
        bind = {"destination": "/data", "type": "bind", "source": str(tmp_path), "options": ["rbind"]}
        other = write_bundle(tmp_path / "another", runc_spec_like(mounts=[*no_data, bind]), rootfs="empty")
        with pytest.raises(InputError, match=f"this plan has 'bind {tmp_path} at /data"):
            devproxy.build(planned(other), restore=file)

    def test_changes_to_a_root_need_an_overlay_and_an_empty_mount_needs_nothing(self, tmp_path: Path) -> None:
        plan = self._plan(tmp_path, "none")
        with pytest.raises(
            InputError, match=r"the changes to / that were saved has nowhere|the changes to / that were saved have"
        ):
            devproxy.build(plan, restore=write(tmp_path / "1", TOP, Entry("x", Kind.FILE, 0o644)))
        devproxy.build(plan, restore=write(tmp_path / "2", TOP, DATA)).close()

    def test_a_tmp_that_has_something_by_now(self, tmp_path: Path) -> None:
        plan = self._plan(tmp_path)
        (tmp_path / "b" / "bundle" / "rootfs" / "tmp" / "there").touch()
        mounts = [{"destination": "/tmp", "path": "tmp", "kind": "tmpfs"}]
        file = write(
            tmp_path / "file", Entry("tmp", Kind.DIRECTORY, 0o1777), Entry("tmp/x", Kind.FILE, 0o644), mounts=mounts
        )
        with pytest.raises(InputError, match="is left out here, /tmp has an entry"):
            devproxy.build(plan, restore=file)

    @pytest.mark.parametrize("target", ["memory", pytest.param("kernel", marks=root)])
    def test_a_tmpfs_that_is_too_small(self, target: str, tmp_path: Path) -> None:
        with devproxy.build(self._plan(tmp_path)) as built:
            MemoryWorld(built).write("/data/big", 0, b"x" * 100_000)
            file = built.save(str(tmp_path / "file")).file
        config = json.loads((tmp_path / "b" / "bundle" / "config.json").read_text())
        next(each for each in config["mounts"] if each["destination"] == "/data")["options"] = ["size=16k"]
        (tmp_path / "b" / "bundle" / "config.json").write_text(json.dumps(config))
        with pytest.raises(DevproxyError, match="/data/big: no space left on device; 100000 bytes of data were saved"):
            devproxy.build(planned(str(tmp_path / "b" / "bundle")), target, restore=file)

    @root
    def test_of_two_mounts_at_one_destination_the_last_is_saved_and_restored(self, tmp_path: Path) -> None:
        twice = {"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["mode=0711"]}
        mounts = [*runc_spec_like()["mounts"], {**twice, "options": ["mode=0700"]}, twice]
        config = runc_spec_like(root={"readonly": False}, mounts=mounts)
        plan = planned(write_bundle(tmp_path / "b", config, rootfs="empty"))
        with devproxy.build(plan, "kernel", keep=True) as built:
            KernelWorld(built).write("/data/x", 0, b"x")
            file = built.save(str(tmp_path / "file")).file
        for target in ("memory", "kernel"):
            with devproxy.build(plan, target, restore=file) as built:
                assert built.read_bytes("/data/x") == b"x"
                assert stat.S_IMODE(built.stat("/data").st_mode) == 0o711

    @root
    def test_a_mount_behind_a_link_is_saved_where_it_is(self, tmp_path: Path) -> None:
        mounts = [*runc_spec_like()["mounts"], {"destination": "/var/run", "type": "tmpfs", "source": "tmpfs"}]
        path = write_bundle(tmp_path / "b", runc_spec_like(root={"readonly": False}, mounts=mounts), rootfs="empty")
        (tmp_path / "b" / "rootfs" / "var").mkdir()
        os.symlink("../run", tmp_path / "b" / "rootfs" / "var" / "run")
        with devproxy.build(planned(path), "kernel", keep=True) as built:
            KernelWorld(built).write("/run/pid", 0, b"1")
            file = built.save(str(tmp_path / "file")).file
        assert "run/pid" in paths(file)
        with devproxy.build(planned(path), restore=file) as built:
            assert built.read_bytes("/var/run/pid") == b"1"

    @root
    def test_a_restored_root_is_verified(self, tmp_path: Path) -> None:
        plan = self._plan(tmp_path)
        with devproxy.build(plan) as built:
            MemoryWorld(built).write("/data/x", 0, b"x")
            file = built.save(str(tmp_path / "file")).file
        with devproxy.build(plan, "kernel", restore=file) as built:
            report = verify(plan, built)
            assert report.ok, report.findings

    @root
    def test_a_readonly_root_is_restored_before_it_is_sealed(self, tmp_path: Path) -> None:
        changed = self._plan(tmp_path)
        with devproxy.build(changed) as built:
            MemoryWorld(built).write("/etc/new", 0, b"new")
            file = built.save(str(tmp_path / "file")).file
        path = bundle(tmp_path / "ro")
        config = json.loads(Path(path, "config.json").read_text())
        config["root"]["readonly"] = True
        config["process"]["cwd"] = "/made/anew"  # for which the root gets an overlay
        Path(path, "config.json").write_text(json.dumps(config))
        with devproxy.build(planned(path), "kernel", restore=file) as built:
            assert built.read_bytes("/etc/new") == b"new"
            with pytest.raises(OSError, match="Read-only"):
                KernelWorld(built).write("/etc/more", 0, b"")


@root
class TestCommandLine:
    def _bundle(self, tmp_path: Path) -> str:
        config = runc_spec_like(root={"readonly": False}, process={"args": ["sh", "-c", "cat /etc/kept /tmp/kept"]})
        return write_bundle(tmp_path / "bundle", config)

    def test_what_a_process_leaves_is_there_for_the_next(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        path, file = self._bundle(tmp_path), str(tmp_path / "work.tar")
        script = "echo root > /etc/kept; echo tmp > /tmp/kept; rm /bin/ls; exit 7"
        assert main(["run", path, "--save", file, "--", "sh", "-c", script]) == 7
        assert f"entries of /, /dev/shm, /tmp in {file}" in capfd.readouterr().err
        assert main(["run", path, "--restore", file]) == 0
        assert capfd.readouterr().out == "root\ntmp\n"
        assert main(["run", path, "--restore", file, "--", "ls"]) == 127
        assert main(["inspect", path, "--restore", file, "cat", "/tmp/kept"]) == 0
        assert main(["verify", path, "--restore", file]) == 0
        assert not Path(path, "rootfs", "etc", "kept").exists()

    def test_a_killed_process_is_saved_too(self, tmp_path: Path) -> None:
        path, file = self._bundle(tmp_path), str(tmp_path / "work.tar")
        linux = {"namespaces": [{"type": "mount"}]}
        config = json.loads(Path(path, "config.json").read_text())
        Path(path, "config.json").write_text(json.dumps({**config, "linux": linux, "hostname": ""}))
        assert main(["run", path, "--save", file, "--", "sh", "-c", "echo x > /tmp/kept; kill -9 $$"]) == 137
        assert "tmp/kept" in paths(file)

    def test_errors_come_before_anything_is_started(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        path, file = self._bundle(tmp_path), tmp_path / "work.tar"
        file.write_bytes(b"not a tar")
        started = ["--", "touch", "/tmp/started"]
        for arguments, words in (
            (["--save", str(file)], "exists, and nothing is written over"),
            (["--save", str(tmp_path / "no" / "file")], "is no directory"),
            (["--restore", str(file)], "is no file that devproxy saved"),
            (["--restore", str(tmp_path)], "is no regular file"),
            (["--restore", str(tmp_path / "missing")], "cannot be opened: no such file"),
        ):
            assert main(["run", path, *arguments, *started]) == 2
            assert words in capfd.readouterr().err


def test_without_root() -> None:
    assert as_user(_saves_and_restores, read_ahead) == [0, 0, True, [[0, 0]]]


def read_ahead() -> None:
    """What a child that is no root may not be able to read from root's directories."""
    import devproxy.carry.changes
    import devproxy.cli.run
    import devproxy.saves.save
    import devproxy.targets.kernel.descriptor_tree  # noqa: F401


def _saves_and_restores(directory: Path) -> list[Any]:
    path = write_bundle(directory / "bundle", runc_spec_like(root={"readonly": False}))
    file = str(directory / "file.tar")
    script = "mkdir /d; echo x > /d/x; rm /bin/ls; chmod 4711 /d/x; rm -r /root; mkdir /root; touch /root/new"
    codes = [main(["run", path, "--save", file, "--", "sh", "-c", script])]
    codes.append(main(["run", path, "--restore", file, "--", "test", "-f", "/root/new"]))
    found = saved(file)
    owners = {(entry.uid, entry.gid) for entry, _ in found.values()}
    return [*codes, {"d/x", "bin/.wh.ls", "root/.wh..wh..opq"} <= set(found), sorted(map(list, owners))]


def _gpus(tmp_path: Path, count: int, **changes: Any) -> tuple[Plan, str]:
    env = [f"NVIDIA_VISIBLE_DEVICES={changes.pop('visible', 'all')}", "PATH=/bin"]
    path = write_bundle(tmp_path, runc_spec_like(process={"env": env, **changes}), rootfs="empty")
    config = parse_configuration(None, [])[0]
    return devproxy.plan(devproxy.load(path), host_with_gpus(count), config=config), path


@pytest.mark.rows("H28", oracle="specification")
class TestAccelerators:
    def test_as_many_gpus_take_the_place_of_the_saved_ones(self, tmp_path: Path) -> None:
        with devproxy.build(_gpus(tmp_path / "a", 8, visible="0,1")[0]) as built:
            file = built.save(str(tmp_path / "file")).file
        plan = _gpus(tmp_path / "b", 2)[0]
        with devproxy.build(plan, restore=file) as built:
            # Ranks 0 and 1 of eight have the minors 7 and 6; here the minors are 0 and 1.
            assert built.readlink("/dev/nvidia6") == "/dev/nvidia0"
            assert built.readlink("/dev/nvidia7") == "/dev/nvidia1"
            assert built.stat("/dev/nvidia6").st_rdev == os.makedev(195, 0)

    def test_another_count_is_an_error_that_names_both(self, tmp_path: Path) -> None:
        with devproxy.build(_gpus(tmp_path / "a", 2)[0]) as built:
            file = built.save(str(tmp_path / "file")).file
        with pytest.raises(
            InputError, match=r"saved with 2 GPUs \(/dev/nvidia0 at .*\), this plan gives 1 \(/dev/nvidia0"
        ):
            devproxy.build(_gpus(tmp_path / "b", 1)[0], restore=file)
