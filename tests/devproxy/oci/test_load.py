"""A bundle becomes a Spec, or an InputError that names the place, the value found and the value expected."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from devproxy.errors import InputError
from devproxy.mount_options import Propagation
from devproxy.oci.load import load, parse_spec
from tests.bundles import runc_spec_like, write_bundle
from tests.devproxy.oci.parsing import BUNDLE, parse


def write(directory: Path, content: bytes) -> Path:
    (directory / "config.json").write_bytes(content)
    return directory


def refusal(directory: Path, content: bytes) -> InputError:
    with pytest.raises(InputError) as error:
        load(write(directory, content))
    assert "config.json" in error.value.message
    assert error.value.hint
    assert error.value.message.isprintable()
    return error.value


def test_what_runc_spec_writes_is_loaded_whole(tmp_path: Path) -> None:
    spec = load(write_bundle(tmp_path, runc_spec_like(), rootfs="empty"))
    assert spec.bundle == str(tmp_path)
    assert spec.version == "1.2.0"
    assert spec.rootfs == str(tmp_path / "rootfs")
    assert spec.readonly
    assert spec.hostname == "runc"
    assert [mount.destination for mount in spec.mounts] == [
        "/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup",
    ]  # fmt: skip
    assert spec.devices == ()
    assert [namespace.type for namespace in spec.namespaces] == ["pid", "network", "ipc", "uts", "mount"]
    assert len(spec.masked_paths) == 10
    assert len(spec.readonly_paths) == 5
    assert [thing.harmless for thing in spec.unsupported] == [True]


def test_the_rootfs_is_not_looked_at(tmp_path: Path) -> None:
    write(tmp_path, json.dumps(runc_spec_like(root={"path": "nowhere"})).encode())
    assert load(tmp_path).rootfs == str(tmp_path / "nowhere")


def test_a_relative_bundle_is_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bundle(tmp_path / "b", runc_spec_like(), rootfs="empty")
    monkeypatch.chdir(tmp_path)
    assert load("b").rootfs == str(tmp_path / "b" / "rootfs")


@pytest.mark.rows("S28", oracle="specification")
def test_s28_relative_sources_are_of_the_bundle_for_binds_alone() -> None:
    spec = parse(
        root={"path": "../rootfs"},
        mounts=[
            {"destination": "/a", "type": "bind", "source": "data"},
            {"destination": "/b", "type": "none", "source": "/abs", "options": ["rbind"]},
            {"destination": "/c", "type": "tmpfs", "source": "shm"},
        ],
    )
    assert spec.rootfs == f"{BUNDLE}/../rootfs"
    assert [mount.source for mount in spec.mounts] == [f"{BUNDLE}/data", "/abs", "shm"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1, column 1: not JSON"),
        (b'{"a": 1,}', "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON: it begins with a byte order mark"),
        (b"// the bundle of the web server\n{}", "line 1, column 1: not JSON: JSON has no comments"),
        (b'{"root": /* here */ {}}', "line 1, column 10: not JSON: JSON has no comments"),
        (b'{"a": 1, # one\n"b": 2}', "not JSON: JSON has no comments"),
        (b'{"a": "\xff"}', "byte 7 is not UTF-8"),
        (json.dumps({}).encode("utf-16"), "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a is a number of 5000 digits, which cannot be read"),
        (b'{"a": NaN}', "a is NaN, which is not JSON"),
        (b"[]", "config.json is an array of 0, expected an object"),
        (b"null", "config.json is null, expected an object"),
        (b'"x"', 'config.json is "x" (a string), expected an object'),
        (b"{}", "root is missing"),
        (b'{"a": 1, "a": 2}', 'config.json has the key "a" twice'),
        (b'{"a": [0, {"b": {"c": 1, "d": 2, "d": 3}}]}', 'a[1].b has the key "d" twice'),
        (b'{"a": {"b": 1, "b": 2}, "a": 3}', "twice"),
    ],
)
def test_what_is_not_a_config_json_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    assert message in refusal(tmp_path, content).message


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        ({"schemaVersion": 2, "config": {}, "layers": []}, "manifest"),
        ({"architecture": "amd64", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}, "configuration"),
    ],
)
def test_files_of_an_image_are_known_as_such(tmp_path: Path, document: dict[str, object], kind: str) -> None:
    """image-spec manifest.md and config.md: the examples there, cut short."""
    error = refusal(tmp_path, json.dumps(document).encode())
    assert f"root is missing: this is an image's {kind}, expected a bundle's config.json" in error.message
    assert "umoci unpack" in error.hint


def test_a_directory_without_config_json_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not a bundle: it has no config\.json") as error:
        load(tmp_path)
    assert "a bundle is a directory" in error.value.hint


def test_a_missing_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no bundle at"):
        load(tmp_path / "nowhere")


def test_a_file_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is not a directory"):
        load(tmp_path / "file")


@pytest.mark.parametrize("bundle", ["a\0b", "/" + "x" * 300, "/x" * 5000])
def test_an_impossible_path_is_refused(bundle: str) -> None:
    with pytest.raises(InputError):
        load(bundle)


def test_a_fifo_in_the_place_of_config_json_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(InputError, match="not a regular file"):
        load(tmp_path)


def test_a_directory_in_the_place_of_config_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(InputError, match="not a regular file"):
        load(tmp_path)


def test_a_config_json_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, b"{}")

    def fail(descriptor: int) -> os.stat_result:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", fail)
        with pytest.raises(InputError, match=r"reading .*config\.json.*Input/output error"):
            load(tmp_path)


def test_a_huge_config_json_is_refused_unread(tmp_path: Path) -> None:
    with open(tmp_path / "config.json", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="expected at most 67108864"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"root": 5}, "root is 5 (a number), expected an object"),
        ({"root": {"path": ["x"]}}, "root.path is an array of 1, expected a path"),
        ({"root": {"path": ""}}, 'root.path is "" (a string), expected a path'),
        ({"root": {"readonly": "yes"}}, 'root.readonly is "yes" (a string), expected true or false'),
        ({"mounts": {}}, "mounts is an object, expected an array"),
        ({"mounts": [5]}, "mounts[0] is 5 (a number), expected an object"),
        ({"mounts": [{"type": "tmpfs"}]}, "mounts[0].destination is missing"),
        ({"mounts": [{"destination": 5}]}, "mounts[0].destination is 5 (a number), expected an absolute path"),
        ({"mounts": [{"destination": "a\0b"}]}, r'mounts[0].destination is "a\u0000b" (a string)'),
        ({"mounts": [{"destination": "/\ud800"}]}, "without lone surrogates"),
        ({"mounts": [{"destination": "/m"}]}, "mounts[0].type is missing"),
        ({"mounts": [{"destination": "/m", "type": "tmpfs", "options": "ro"}]}, "mounts[0].options is"),
        ({"mounts": [{"destination": "/m", "type": "tmpfs", "options": [1]}]}, "mounts[0].options[0] is 1 (a number)"),
        ({"mounts": [{"destination": "/m", "type": "bind"}]}, "mounts[0].source is missing"),
        ({"mounts": [{"destination": "/m", "type": "tmpfs", "uidMappings": [{}]}]}, "mounts[0].uidMappings"),
        ({"ociVersion": "2.0.0"}, 'ociVersion is "2.0.0" (a string), expected version 1'),
        ({"ociVersion": None}, "ociVersion is missing"),
        ({"hostname": "h" * 65}, "expected a name of at most 64 bytes"),
        ({"hostname": "h", "linux": {"namespaces": []}}, "there is no uts namespace"),
        ({"domainname": "d", "linux": None}, "there is no uts namespace"),
        ({"annotations": {"a.b": 5}}, 'annotations["a.b"] is 5 (a number), expected a string'),
        ({"annotations": {"a\0": "x"}}, "a key of annotations"),
        ({"annotations": []}, "annotations is an array of 0, expected an object"),
        ({"hooks": 5}, "hooks is 5 (a number), expected an object"),
        ({"windows": {}}, "windows is an object, expected a spec for Linux alone"),
        ({"solaris": {}}, "Linux alone"),
        ({"vm": {}}, "Linux alone"),
    ],
)  # fmt: skip
def test_a_wrong_value_names_its_path(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        parse(**changes)
    assert message in error.value.message


@pytest.mark.rows("S26", oracle="specification")
def test_s26_a_relative_destination_is_refused() -> None:
    with pytest.raises(InputError, match=r'mounts\[0\]\.destination is "m" \(a string\), expected an absolute path'):
        parse(mounts=[{"destination": "m", "type": "tmpfs"}])


@pytest.mark.rows("S32", oracle="specification")
def test_s32_a_bind_with_an_empty_source_is_refused() -> None:
    with pytest.raises(InputError, match=r"mounts\[0\]\.source"):
        parse(mounts=[{"destination": "/m", "type": "bind", "source": ""}])


def test_a_destination_longer_than_any_path_is_refused_in_a_short_message() -> None:
    with pytest.raises(InputError, match="at most 4095 bytes") as error:
        parse(mounts=[{"destination": "/" + "x" * 70_000, "type": "tmpfs"}])
    assert len(error.value.message) < 300


@pytest.mark.parametrize(
    ("destination", "cleaned"),
    [
        ("/dev/", "/dev"),
        ("//dev", "/dev"),
        ("///dev", "/dev"),
        ("/a/../b/./c", "/b/c"),
        ("/..", "/"),
        ("/../../etc", "/etc"),
        ("/longparent/././.", "/longparent"),
        ("/", "/"),
        ("/tmp/", "/tmp"),
    ],
)
@pytest.mark.rows("S17", oracle="specification")
def test_s17_destinations_are_cleaned_by_their_letters(destination: str, cleaned: str) -> None:
    spec = parse(mounts=[{"destination": destination, "type": "tmpfs"}])
    assert spec.mounts[0].destination == cleaned


def test_null_is_as_good_as_missing() -> None:
    spec = parse_spec(
        {"ociVersion": "1.0.0", "root": {"path": "r"}, "process": None, "mounts": None, "linux": None}, "/"
    )
    assert spec.process is None
    assert spec.mounts == ()
    assert spec.devices is None


def test_unknown_members_are_ignored() -> None:
    assert parse(future={"x": [1]}) == parse()


def test_annotations_keep_their_order() -> None:
    assert parse(annotations={"b": "1", "c": None, "a": "2"}).annotations == (("b", "1"), ("a", "2"))


@pytest.mark.parametrize(("name", "kind"), [("shared", Propagation.SHARED), ("rslave", Propagation.SLAVE), ("", None)])
@pytest.mark.rows("S26", oracle="specification")
def test_s26_the_roots_propagation(name: str, kind: Propagation | None) -> None:
    assert parse(linux={"rootfsPropagation": name}).rootfs_propagation is kind


@pytest.mark.rows("S26", oracle="specification")
def test_s26_an_unknown_propagation_is_refused() -> None:
    with pytest.raises(InputError, match=r'linux\.rootfsPropagation is "foo" \(a string\), expected one of shared'):
        parse(linux={"rootfsPropagation": "foo"})
