"""A config.json that is broken in any way: refused with the JSON path, or taken; never another error, in time linear in its size.

`tests/devproxy/cli/test_broken_bundles.py` shows the same of the commands.
"""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from devproxy.errors import InputError
from devproxy.host.probe import probe
from devproxy.oci.configuration import Configuration, parse_configuration
from devproxy.oci.json_file import SIZE_MAX, parse_document
from devproxy.oci.load import load, parse_spec
from devproxy.plan.planner import plan
from tests.bundles import runc_spec_like
from tests.counting import calls_of
from tests.devproxy.oci import broken

HOST = probe(os.path.join(os.path.dirname(__file__), "..", "..", "..", "example", "host-8gpu.tar"))
LONGEST = 6000
"""What a message may have: a path of 4095 characters is told whole."""


def told(error: InputError) -> str:
    """The message of an error, which is a line of a size that people read."""
    assert error.message.isprintable()
    assert len(error.message) < LONGEST
    return error.message


def planned(config: object) -> str:
    """Parse and plan: the message if it is refused, or nothing."""
    try:
        plan(parse_spec(config, "/bundle"), HOST)
    except InputError as error:
        return told(error)
    return ""


def read(content: bytes) -> str:
    """The same for bytes."""
    try:
        document = parse_document(content)
    except InputError as error:
        return told(error)
    return planned(document)


def names(message: str, path: broken.Path) -> bool:
    """Whether a message names what was changed: it, something inside, or what it is an element or member of."""
    if len(path) > 1 and broken.written(path[:-1]) in message:
        return True
    # Without a namespace the host name has nowhere to be; in another document everything is missing.
    absent = ["root is missing"] if not path else ["there is no uts namespace"] if path[0] == "linux" else []
    return any(word in message for word in (broken.written(path), *absent))


DOCUMENT = broken.rich()
PATHS = list(broken.paths(DOCUMENT))


def test_what_is_broken_here_is_whole_at_first() -> None:
    assert planned(DOCUMENT) == ""
    assert len(PATHS) > 200


@pytest.mark.parametrize("top", sorted({str(path[0]) for path in PATHS if path} | {""}))
def test_any_value_at_any_path(top: str) -> None:
    """Every wrong value in the place of every value (of every other one, outside of a soak), and every value missing."""
    refused = 0
    for place, path in enumerate(PATHS):
        if (str(path[0]) if path else "") != top:
            continue
        changed = [broken.removed(DOCUMENT, path)] if path else []
        finite = [value for value in broken.WRONG if not isinstance(value, float) or math.isfinite(value)]
        few = finite if os.environ.get("DEVPROXY_HYPOTHESIS") == "soak" else finite[place % 2 :: 2]
        changed += [broken.replaced(DOCUMENT, path, value) for value in few]
        for document in changed:
            message = planned(document)
            refused += bool(message)
            assert not message or names(message, path), (path, message)
    assert refused


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "-" + "9" * 100_000, "0x10", "01", "+1", ".5"]
)
def test_numbers_that_are_none(number: str) -> None:
    for path in PATHS[1:]:
        marker = "the number"
        text = json.dumps(broken.replaced(DOCUMENT, path, marker)).replace(f'"{marker}"', number)
        message = read(text.encode())
        # What nobody reads may be as large as it likes.
        assert message or number == "1e999", path
        assert "line 1" in message or broken.written(path) in message or number == "1e999"


@pytest.mark.property
@given(broken.documents())
def test_any_document(document: Any) -> None:
    read(json.dumps(document).encode())


@pytest.mark.property
@given(broken.texts())
def test_any_bytes(content: bytes) -> None:
    read(content)


def test_cut_off_anywhere() -> None:
    text = json.dumps(DOCUMENT, ensure_ascii=False).replace("text", "té\U0001f600xt").encode()
    for size in range(len(text)):
        message = read(text[:size])
        assert "not JSON" in message or "not UTF-8" in message
    assert read(text) == ""
    for behind in (b"{}", b"x", b"\0", b"]", b",", b"\xff", b"\xc2\xa0", b"//", b"\x0c"):
        assert read(text + behind)
    assert read(b" \n\t\r" + text + b" \n\t\r") == ""


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "utf-7", "cp037"])
def test_other_encodings(codec: str) -> None:
    message = read(json.dumps(runc_spec_like(annotations={"a": "+é"}), ensure_ascii=False).encode(codec))
    assert message or codec == "utf-7"


@pytest.mark.parametrize(
    "sequence",
    [b"\x80", b"\xc3", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xfe", b"\xff"],
)  # fmt: skip
def test_bytes_that_are_no_utf8(sequence: bytes) -> None:
    text = json.dumps(runc_spec_like(annotations={"here": "HERE"})).encode()
    at = text.index(b"HERE")
    assert read(text.replace(b"HERE", sequence)) == f"byte {at} is not UTF-8, expected JSON in UTF-8"
    assert "is not UTF-8" in read(text.replace(b"here", sequence))


@pytest.mark.parametrize("depth", [10, 480, *range(490, 510, 3), *range(901, 1001, 15), 5000, 1_000_000])
def test_nested_however_deep(depth: int) -> None:
    """Also where our limit or the interpreter's own is met, and in every place that is looked into."""
    for start, end, leaf in (("[", "]", "1"), ('{"a":', "}", "1"), ("[", "]", "NaN"), ('{"a":', "}", '{"a":1,"a":2}')):
        nest = f"{start * depth}{leaf}{end * depth}"
        for path in (
            (),
            ("mounts",),
            ("unknown",),
            ("linux", "devices"),
            ("linux", "resources", "devices"),
            ("annotations", "a"),
        ):
            text = json.dumps(runc_spec_like(unknown="NEST"))
            document: Any = nest
            if path:
                document = runc_spec_like(unknown=1, annotations={}, linux={"resources": {}})
                owner = document
                for key in path[:-1]:
                    owner = owner[key]
                owner[path[-1]] = "NEST"
                text = json.dumps(document).replace('"NEST"', nest)
            else:
                text = nest
            message = read(text.encode())
            assert message or (leaf == "1" and path in (("unknown",), ("linux", "resources", "devices")))
            if depth > 500:
                assert "nested too deeply" in message


@pytest.mark.parametrize("near", [*range(440, 520, 3), *range(880, 1000, 15)])
def test_rules_that_are_compared_are_compared_however_deep(near: int) -> None:
    nest = "[" * near + "]" * near
    rules = f'[{nest}, {{"allow": true, "type": {nest}}}, {{"allow": {nest}}}]'
    text = json.dumps(runc_spec_like(linux={"resources": {"devices": "RULES"}})).replace('"RULES"', rules)
    assert read(text.encode()) == "" or near > 490


def test_a_key_that_stands_twice_is_named_wherever_it_stands() -> None:
    for path in PATHS[1:]:
        if isinstance(path[-1], int):
            continue
        document = broken.replaced(DOCUMENT, path, "TWICE")
        text = json.dumps(document).replace('"TWICE"', f"1, {json.dumps(path[-1])}: 2")
        owner = broken.written(path[:-1])
        assert read(text.encode()) == f"{owner} has the key {json.dumps(path[-1])} twice, expected it once"


# linear


def _many(**members: Callable[[int], Any]) -> dict[str, Callable[[int], Any]]:
    return members


HINT = "dev.gvisor.spec.mount."
NUMBERS = {"type": "c", "major": 1}
MANY = _many(
    mounts=lambda n: runc_spec_like(mounts=[{"destination": f"/m{i}", "type": "tmpfs"} for i in range(n)]),
    deep_mounts=lambda n: runc_spec_like(
        mounts=[{"destination": "/" + "a/" * (i % 100), "type": "tmpfs"} for i in range(n)]
    ),
    devices=lambda n: runc_spec_like(
        linux={"devices": [{"path": f"/dev/d{i}", **NUMBERS, "minor": i} for i in range(n)]}
    ),
    same_devices=lambda n: runc_spec_like(linux={"devices": [{"path": "/dev/d", **NUMBERS, "minor": 3}] * n}),
    rules=lambda n: runc_spec_like(
        linux={
            "devices": [{"path": f"/dev/d{i}", **NUMBERS, "minor": i} for i in range(n)],
            "resources": {
                "devices": [{"allow": False, "access": "rwm"}]
                + [{"allow": True, **NUMBERS, "minor": i} for i in range(n)]
            },
        }
    ),
    env=lambda n: runc_spec_like(process={"env": [f"A{i}=x" for i in range(n)]}),
    args=lambda n: runc_spec_like(process={"args": ["x"] * n}),
    visible=lambda n: runc_spec_like(process={"env": ["NVIDIA_VISIBLE_DEVICES=" + ",".join(["0", "1"] * n)]}),
    channels=lambda n: runc_spec_like(
        process={"env": ["NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_IMEX_CHANNELS=" + ",".join(map(str, range(n)))]}
    ),
    chips=lambda n: runc_spec_like(process={"env": ["TPU_VISIBLE_CHIPS=" + ",".join(map(str, range(n)))]}),
    annotations=lambda n: runc_spec_like(annotations={f"a{i}": "x" for i in range(n)}),
    hints=lambda n: runc_spec_like(
        annotations={
            f"{HINT}v{i}.{key}": value
            for i in range(n)
            for key, value in {"source": f"/s{i}", "type": "bind", "share": "pod"}.items()
        }
    ),
    bad_hints=lambda n: runc_spec_like(annotations={f"{HINT}v{i}.x": "1" for i in range(n)}),
    hint_options=lambda n: runc_spec_like(annotations={f"{HINT}v.options": ",".join(["ro", "no"] * n)}),
    masked=lambda n: runc_spec_like(linux={"maskedPaths": [f"/proc/{i}" for i in range(n)]}),
    readonly=lambda n: runc_spec_like(linux={"readonlyPaths": [f"/proc/{i}" for i in range(n)]}),
    options=lambda n: runc_spec_like(
        mounts=[{"destination": "/m", "type": "tmpfs", "options": ["ro", "rw", "private", "mode=7"] * n}]
    ),
    capabilities=lambda n: runc_spec_like(process={"capabilities": {"ambient": ["CAP_KILL", "CAP_X"] * n}}),
    groups=lambda n: runc_spec_like(process={"user": {"additionalGids": list(range(n))}}),
    hooks=lambda n: runc_spec_like(hooks={f"h{i}": [1] for i in range(n)}),
    unknown=lambda n: runc_spec_like(**{f"x{i}": [1] for i in range(n)}),
    repeated=lambda n: "{" + ",".join(f'"k{i}": 0' for i in range(n)) + f',"k{n - 1}": 1}}',
    repeated_everywhere=lambda n: "[" + ",".join(['{"a": 1, "a": 2}'] * n) + "]",
    repeated_below=lambda n: '{"a": [' + ",".join(["[]"] * n) + '], "b": {"c": 1, "c": 2}}',
)  # fmt: skip


CHEAP = {"env", "args", "visible", "groups", "unknown", "repeated", "repeated_everywhere", "repeated_below"}


def content_of(make: Callable[[int], Any], n: int) -> bytes:
    document = make(n)
    return (document if isinstance(document, str) else json.dumps(document)).encode()


@pytest.mark.parametrize("name", MANY)
def test_twice_as_much_takes_twice_the_calls(name: str) -> None:
    contents = [content_of(MANY[name], n) for n in (200, 400, 800)]
    read(contents[0])  # the first one loads modules
    few, more, most = (calls_of(lambda content=content: read(content)) for content in contents)  # type: ignore[misc]
    # What is fixed cancels out; a call more or less is what depends on the last element.
    assert most - more <= 2 * (more - few) * 1.02 + 10


@pytest.mark.parametrize("name", MANY)
def test_very_many_are_no_matter(name: str) -> None:
    """What calls do not show, a list that is searched in C, would take very long here."""
    read(content_of(MANY[name], 100_000 if name in CHEAP else 20_000))


def test_long_words_are_no_matter() -> None:
    for path in PATHS[1::3]:
        for word in ("/" * 300_000, "../" * 10_000, "a," * 10_000, "0" * 300_000):
            planned(broken.replaced(DOCUMENT, path, word))


def test_long_keys_are_cut() -> None:
    nest: Any = {}
    for _ in range(300):
        nest = {"k" * 10_000: nest}
    text = json.dumps(runc_spec_like(x=nest)).replace("{}}", '{"a": 1, "a": 2}}', 1)
    with pytest.raises(InputError) as error:
        parse_document(text.encode())
    assert len(error.value.message) < 50_000
    assert "twice" in error.value.message


# what stands in the place of config.json


def test_a_size_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with open(tmp_path / "config.json", "wb") as file:
        file.truncate(SIZE_MAX + 1)
    with pytest.raises(InputError, match=f"expected at most {SIZE_MAX}"):
        load(tmp_path)


@pytest.mark.parametrize(
    "target", ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/proc/self/mem", "/", "nowhere", "config.json"]
)
def test_links_lead_to_a_regular_file_or_to_an_error(target: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").symlink_to(target)
    with pytest.raises(InputError) as error:
        load(tmp_path)
    assert "config.json" in error.value.message


def test_files_of_the_kernel_are_read_as_what_they_say(tmp_path: Path) -> None:
    """They have no size."""
    (tmp_path / "config.json").symlink_to("/proc/self/status")
    with pytest.raises(InputError, match="not JSON"):
        load(tmp_path)


def test_a_file_that_grows_is_read_as_far_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(json.dumps(runc_spec_like()).encode())
    assert load(tmp_path).hostname == "runc"
    with open(tmp_path / "config.json", "ab") as file:
        file.write(b" " * 1000)
        file.flush()
        assert load(tmp_path).hostname == "runc"
        file.write(b"{}")
    with pytest.raises(InputError, match="not JSON"):
        load(tmp_path)


# the configuration


SETTINGS = ("overlay2", "nvproxy", "tun", "mount-order", "cgroupfs", "file-access", "host-fifo", "product-name", "nvproxy-allowed-driver-capabilities", "strict", "dcache", "", "nosuch")  # fmt: skip


@pytest.mark.parametrize("key", SETTINGS)
def test_any_value_of_a_setting(key: str, tmp_path: Path) -> None:
    for value in broken.WRONG:
        if isinstance(value, str):
            refused_or_taken(None, f"{key}={value}")
        toml = tmp_path / "c.toml"
        if isinstance(value, str | bool | int | float):
            text = json.dumps(value).replace("Infinity", "inf").replace("NaN", "nan")
            toml.write_text(f"{json.dumps(key)} = {text}\n")
            refused_or_taken(str(toml))
    for size in ("9" * 5000 + "k", "0", "-1", "٣", "1e3", "k", ""):
        refused_or_taken(None, f"{key}=root:memory,size={size}")


def refused_or_taken(path: str | None, *pairs: str) -> Configuration | None:
    try:
        return parse_configuration(path, pairs).configuration
    except InputError as error:
        told(error)
        return None


def test_any_bytes_as_a_configuration(tmp_path: Path) -> None:
    toml = tmp_path / "c.toml"
    whole = b'overlay2 = "root:self"\nstrict = true\nnvproxy-allowed-driver-capabilities = ["compute"]\n[x]\n"a" = """b"""\n'
    chaos = random.Random(0)
    contents = [whole[:size] for size in range(len(whole))]
    contents += [
        b"\xef\xbb\xbf" + whole,
        whole.decode().encode("utf-16"),
        b"\0",
        b"a = " + b"[" * 50_000,
        b"a." * 400 + b"b = 1",
    ]
    for _ in range(300):
        noisy = bytearray(whole)
        noisy[chaos.randrange(len(noisy))] = chaos.randrange(256)
        contents.append(bytes(noisy))
    for content in contents:
        toml.write_bytes(content)
        refused_or_taken(str(toml))


@pytest.mark.parametrize("kind", ["fifo", "directory", "missing", "dangling", "/dev/zero", "large", "nul"])
def test_what_is_no_configuration_is_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind in ("dangling", "/dev/zero"):
        path.symlink_to(kind)
    elif kind == "large":
        path.write_bytes(b"#" * (1 << 20))
    with pytest.raises(InputError, match=r"c\.toml"):
        parse_configuration(str(path) + ("\0" if kind == "nul" else ""), ())
