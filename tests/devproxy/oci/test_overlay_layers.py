"""The layers that the options of an overlay name, and what is wrong with them."""

from __future__ import annotations

import pytest

from devproxy.errors import InputError
from devproxy.overlay import Layers
from tests.devproxy.oci.parsing import BUNDLE, parse, parse_mount

UPPER = ("upperdir=/u", "workdir=/w")


def layers(*options: str) -> Layers | None:
    return parse_mount(type="overlay", options=list(options)).layers


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("lowerdir=/a:/b",), Layers(("/a", "/b"))),
        (("lowerdir=/a", *UPPER), Layers(("/a",), "/u", "/w")),
        (("lowerdir=a:../b", "upperdir=u", "workdir=w"), Layers((f"{BUNDLE}/a", f"{BUNDLE}/../b"), f"{BUNDLE}/u", f"{BUNDLE}/w")),
        ((r"lowerdir=/a\:b:/c\\:/d\,e",), Layers(("/a:b", "/c\\", "/d,e"))),
        (("lowerdir=/a=b:/c",), Layers(("/a=b", "/c"))),
        (("lowerdir=/x", "lowerdir=/a", *UPPER, "upperdir=/v"), Layers(("/a",), "/v", "/w")),
        (("lowerdir=/a", "upperdir=/u:v", "workdir=/w"), Layers(("/a",), "/u:v", "/w")),
    ],
)  # fmt: skip
def test_the_layers_are_taken_as_the_kernel_takes_them(options: tuple[str, ...], expected: Layers) -> None:
    assert layers(*options) == expected


def test_what_names_no_layer_stays_with_the_options() -> None:
    mount = parse_mount(type="overlay", options=["ro", "xino=off", "lowerdir=/a:/b", "userxattr"])
    assert mount.options.data == ("xino=off", "userxattr")


def test_a_bind_of_type_overlay_is_a_bind() -> None:
    mount = parse_mount(type="overlay", source="/s", options=["rbind"])
    assert (mount.type, mount.layers) == ("bind", None)


def test_a_work_directory_without_an_upper_one_is_left_out_and_told() -> None:
    spec = parse(mounts=[{"destination": "/m", "type": "overlay", "options": ["lowerdir=/a:/b", "workdir=/w"]}])
    assert spec.mounts[0].layers == Layers(("/a", "/b"))
    assert ("mounts[0].options", "the mount option workdir") in [each[:2] for each in spec.unsupported]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "names no lowerdir"),
        (UPPER, "names no lowerdir"),
        (("lowerdir=/a",), "an overlay of one layer"),
        (("lowerdir=", *UPPER), "an option with a path"),
        (("lowerdir",), "an option with a path"),
        (("lowerdir=/a:/b", "upperdir=/u"), "an upperdir without a workdir"),
        (("lowerdir=/a:/b", "upperdir=", "workdir=/w"), "an option with a path"),
        (("lowerdir=/a::/d", *UPPER), "directories between single colons"),
        (("lowerdir=:/a", *UPPER), "directories between single colons"),
        (("lowerdir=/a:/b,upperdir=/u",), "one option; options are separate strings"),
        (("lowerdir=" + ":".join(["/a"] * 501),), "at most 500 layers"),
        (("lowerdir=/" + "a" * 5000, *UPPER), "a path of at most 4095 bytes"),
        (("lowerdir=/a:/b", "metacopy=on"), "metacopy=off"),
        (("lowerdir=/a:/b", "volatile=1"), "volatile without a value"),
        (("lowerdir=/a:/b", "index"), "index=on or off"),
        (("lowerdir=/a:/b", "lowerdir+=/c"), "no mount option of overlay; overlay takes default_permissions, index"),
        (("lowerdir=/a:/b", "userxattr", "redirect_dir=on"), "redirect_dir=nofollow beside userxattr"),
    ],
)
def test_wrong_layers_are_input_errors(options: tuple[str, ...], words: str) -> None:
    with pytest.raises(InputError) as caught:
        layers(*options)
    assert str(caught.value).startswith("mounts[0].options")
    assert words in str(caught.value)
