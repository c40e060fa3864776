"""What --config and --set say."""

from __future__ import annotations

from pathlib import Path

import pytest

from devproxy.errors import InputError
from devproxy.oci.configuration import Cgroupfs, Configuration, parse_configuration
from devproxy.overlay import NO_OVERLAY, Medium, Overlaid, Overlay, Overlay2

FILE_ACCESS = ("file-access", "file-access-mounts")


def settings(*pairs: str) -> Configuration:
    return parse_configuration(None, pairs).configuration


def test_without_settings_everything_is_the_default() -> None:
    assert parse_configuration(None, []) == (Configuration(), ())


@pytest.mark.rows("S25", "S39", "S40", "H10", "H18", "H21", oracle="specification")
@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        ("overlay2=none", Configuration(overlay2=NO_OVERLAY)),
        ("overlay2=root:memory", Configuration()),
        ("overlay2=all:memory", Configuration(overlay2=Overlay2(Overlaid.ALL))),
        ("overlay2=root:self", Configuration(overlay2=Overlay2(Overlaid.ROOT, Overlay(Medium.SELF)))),
        (
            "overlay2=all:dir=/a:b,c",
            Configuration(overlay2=Overlay2(Overlaid.ALL, Overlay(Medium.DIRECTORY, "/a:b,c"))),
        ),
        ("overlay2=root:memory,size=1g", Configuration(overlay2=Overlay2(Overlaid.ROOT, Overlay(size="1g")))),
        (
            "overlay2=all:dir=/a,size=4096",
            Configuration(overlay2=Overlay2(Overlaid.ALL, Overlay(Medium.DIRECTORY, "/a", "4096"))),
        ),
        ("nvproxy=true", Configuration(nvproxy=True)),
        ("nvproxy=false", Configuration(nvproxy=False)),
        ("nvproxy=auto", Configuration()),
        ("nvproxy-docker=false", Configuration(nvproxy_docker=False)),
        ("tun=false", Configuration(tun=False)),
        ("mount-order=listed", Configuration(mount_order="listed")),
        ("host-fifo=open", Configuration(host_fifo=True)),
        ("character-device-policy=passthrough", Configuration(character_devices="passthrough")),
        ("character-device-policy=emulated-only", Configuration()),
        *((f"{key}={value}", Configuration()) for key in FILE_ACCESS for value in ("exclusive", "shared")),
        ("cgroupfs=none", Configuration()),
        ("cgroupfs=v1", Configuration(cgroupfs=Cgroupfs.V1)),
        ("cgroupfs=v2", Configuration(cgroupfs=Cgroupfs.V2)),
        ("product-name=A=B", Configuration(product_name="A=B")),
        ("strict=true", Configuration(strict=True)),
        (" strict = true ", Configuration(strict=True)),
    ],
)
def test_every_key_sets_its_field(pair: str, expected: Configuration) -> None:
    assert settings(pair) == expected


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("overlay2=foo:memory", 'overlay2 is "foo:memory" (a string), expected none, root:MEDIUM or all:MEDIUM'),
        ("overlay2=root", "expected none, root:MEDIUM or all:MEDIUM"),
        ("overlay2=none:memory", "expected none, root:MEDIUM or all:MEDIUM"),
        ("overlay2=", "expected none, root:MEDIUM or all:MEDIUM"),
        ("overlay2=root:", "expected the medium memory, self or dir=/DIRECTORY"),
        ("overlay2=root:/tmp", "expected the medium memory, self or dir=/DIRECTORY"),
        ("overlay2=root:dir", "expected the medium memory, self or dir=/DIRECTORY"),
        ("overlay2=root:dir=tmp", "expected an absolute path behind dir="),
        ("overlay2=root:dir=", "expected an absolute path behind dir="),
        ("overlay2=root:dir=/a\0", "expected an absolute path behind dir="),
        ("overlay2=root:memory,size=", "expected a size such as 64m or 1g"),
        ("overlay2=root:memory,size=0", "expected a size such as 64m or 1g"),
        ("overlay2=root:memory,size=-1", "expected a size such as 64m or 1g"),
        ("overlay2=root:memory,size=1x", "expected a size such as 64m or 1g"),
        ("overlay2=root:memory,size=1kk", "expected a size such as 64m or 1g"),
        ("overlay2=root:memory,size=50%", "expected a size such as 64m or 1g"),
        ("overlay2=root:memory,mode=1", "expected the medium memory, self or dir=/DIRECTORY"),
        ("nvproxy=maybe", "expected auto, true or false"),
        ("tun=1", "expected true or false"),
        ("tun=auto", "expected true or false"),
        *((f"{key}=cached", "expected exclusive or shared") for key in FILE_ACCESS),
        ("host-fifo=true", "expected none or open"),
        ("character-device-policy=open", "expected emulated-only, prefer-emulated or passthrough"),
        ("cgroupfs=v3", "expected none, v1 or v2"),
        ("mount-order=random", "expected depth or listed"),
        ("product-name=a\nb", "expected a line of printable text"),
        ("strict", "expected KEY=VALUE"),
        ("bogus=1", 'there is no key "bogus"'),
        ("mount_order=listed", "there is no key"),
        ("=1", "there is no key"),
    ],
)
@pytest.mark.rows("S40", oracle="specification")
def test_s40_a_wrong_setting_says_what_was_expected(pair: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        settings(pair)
    assert message in str(error.value)


def test_an_unknown_key_lists_the_known_ones() -> None:
    with pytest.raises(InputError) as error:
        settings("bogus=1")
    for key in ("overlay2", "nvproxy", "nvproxy-docker", "tpuproxy", "tun", "mount-order", "product-name", "strict"):
        assert key in error.value.hint


@pytest.mark.parametrize(
    ("key", "near"),
    [("overlay", "overlay2"), ("mount_order", "mount-order"), ("STRICT", "strict"), ("strct", "strict")],
)
def test_a_misspelt_key_is_told_the_one_that_was_meant(key: str, near: str) -> None:
    with pytest.raises(InputError) as error:
        settings(f"{key}=1")
    assert error.value.hint == f"did you mean {near}?"


def test_a_file_is_read_and_pairs_win(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('overlay2 = "none"\ntun = false\nnvproxy = "auto"\nnvproxy-docker = true\nproduct-name = "X"\n')
    found = parse_configuration(str(file), ["tun=true", "product-name=Y", "product-name=Z"])
    assert found == (Configuration(overlay2=NO_OVERLAY, nvproxy_docker=True, product_name="Z"), ())


@pytest.mark.parametrize("content", [b"tun = ", b"\xff", b"a = 1\na = 2", b"a = " + b"[" * 5000, b"tun = 3"])
def test_a_wrong_file_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "c.toml"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"c\.toml"):
        parse_configuration(str(file), [])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"c\.toml.*No such file"):
        parse_configuration(str(tmp_path / "c.toml"), [])


@pytest.mark.rows("S21", "H21", oracle="specification")
@pytest.mark.parametrize(
    ("key", "kept", "told"),
    [("host-fifo", "open", "none"), ("character-device-policy", "passthrough", "emulated-only")],
)
def test_s21_what_only_one_target_can_keep_is_told_with_its_name(key: str, kept: str, told: str) -> None:
    configuration, warnings = parse_configuration(None, [f"{key}={kept}", f"{key}={told}"])
    assert configuration == Configuration()
    assert len(warnings) == 1
    assert key in warnings[0]
    assert "on the kernel" in warnings[0]
    with pytest.raises(InputError, match="cannot be honoured on the kernel"):
        parse_configuration(None, [f"{key}={told}", "strict=true"])


@pytest.mark.parametrize(
    "key",
    ["dcache"],
)  # fmt: skip
def test_a_key_that_cannot_be_honoured_is_a_warning_and_an_error_under_strict(key: str) -> None:
    configuration, warnings = parse_configuration(None, [f"{key}=x"])
    assert configuration == Configuration()
    assert len(warnings) == 1
    assert f'{key} = "x" (a string) cannot be honoured' in warnings[0]
    with pytest.raises(InputError, match=f"{key} .*cannot be honoured"):
        parse_configuration(None, [f"{key}=x", "strict=true"])


@pytest.mark.rows("H10", oracle="specification")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("all", ("compat32", "compute", "display", "graphics", "ngx", "utility", "video")),
        ("utility,compute", ("compute", "utility")),
        ("utility,utility", ("utility",)),
    ],
)
def test_h10_the_driver_capabilities_that_are_allowed(value: str, expected: tuple[str, ...]) -> None:
    pairs = [f"nvproxy-allowed-driver-capabilities={value}"]
    assert parse_configuration(None, pairs).configuration.nvproxy_allowed_driver_capabilities == expected


@pytest.mark.rows("H10", oracle="specification")
@pytest.mark.parametrize("value", ["", "none", "utility,", "utility, compute", "all,utility", "x"])
def test_h10_a_driver_capability_that_is_unknown_is_refused(value: str) -> None:
    with pytest.raises(InputError, match="expected all, or a list of compat32, compute"):
        parse_configuration(None, [f"nvproxy-allowed-driver-capabilities={value}"])
