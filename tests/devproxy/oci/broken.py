"""Bundles that are broken, in every way that a config.json can be: a document with everything in it, and what is done to it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from tests.bundles import runc_spec_like

Path = tuple[str | int, ...]


def rich() -> dict[str, Any]:
    """A valid config.json in which everything that devproxy reads is written out, and much that it only tells of."""
    numbered = {"type": "c", "major": 195, "minor": 0}
    mapping = {"containerID": 0, "hostID": 0, "size": 1}
    hints = {
        f"dev.gvisor.spec.mount.v.{key}": value
        for key, value in {"source": "/v", "type": "tmpfs", "share": "pod", "options": "ro", "lifecycle": "pod"}.items()
    }
    mounts = [
        {"destination": "/data", "type": "bind", "source": "/usr", "options": ["rbind", "ro", "rprivate"]},
        {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m", "mode=755", "nosuid"]},
        {
            "destination": "/layers",
            "type": "overlay",
            "source": "overlay",
            "options": ["lowerdir=/usr:/bin", "xino=off"],
        },
        {"destination": "/mapped", "type": "tmpfs", "source": "tmpfs", "uidMappings": [], "gidMappings": []},
    ]
    document = runc_spec_like(
        process={
            "args": ["true"],
            "env": [
                "PATH=/bin",
                "NVIDIA_VISIBLE_DEVICES=0",
                "NVIDIA_DRIVER_CAPABILITIES=compute",
                "TPU_VISIBLE_CHIPS=0",
            ],
            "user": {"uid": 1, "gid": 1, "additionalGids": [5], "umask": 18},
            "oomScoreAdj": 100,
            "apparmorProfile": "x",
            "selinuxLabel": "x",
            "scheduler": {"policy": "SCHED_OTHER"},
            "ioPriority": {"class": "IOPRIO_CLASS_BE"},
        },
        domainname="domain",
        hooks={"prestart": [{"path": "/bin/true", "args": ["true"]}]},
        annotations={"note": "text", **hints},
        linux={
            "devices": [
                {"path": "/dev/nvidia0", **numbered, "fileMode": 438, "uid": 0, "gid": 0},
                {"path": "/dev/pipe", "type": "p"},
            ],
            "resources": {
                "devices": [{"allow": False, "access": "rwm"}, {"allow": True, **numbered, "access": "rwm"}],
                "memory": {"limit": 1 << 30},
            },
            "rootfsPropagation": "rslave",
            "cgroupsPath": "/x",
            "sysctl": {"net.ipv4.ip_forward": "1"},
            "seccomp": {"defaultAction": "SCMP_ACT_ALLOW"},
            "uidMappings": [{**mapping}],
            "gidMappings": [{**mapping}],
            "intelRdt": {"closID": "x"},
            "personality": {"domain": "LINUX"},
            "timeOffsets": {"monotonic": {"secs": 1}},
        },
    )
    document["mounts"] += mounts
    return document


def deep(depth: int) -> Any:
    """Arrays in arrays."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


WRONG: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 1.5, -0.0, 1e300, 2**31, 2**32, 2**63, 2**64, -(2**63), 10**4000, float("inf"), float("nan"),
    "", "x", "/", "/x", "..", "/../..", "rw", "bind", "=", ",", "x=y", "0", "\0", "/\0", "a\nb", "\x1b[2J", "\ud800", "/\udcff", "é" * 40,
    "x" * 300_000, "/" + "x" * 5000, "/x" * 2049, "=" * 1000, "," * 1000, ":" * 1000,
    [], [[]], [None], [0], [""], ["x"], ["\0"], [{}], {}, {"": ""}, {"x": None}, {"x": {}}, {"type": 0}, {"x" * 100_000: 1}, deep(450),
)  # fmt: skip
"""What is put in the place of a value: other types, edges, what no system call takes."""


def paths(value: Any, here: Path = ()) -> Iterator[Path]:
    """The path of every value in a document, the document's own first."""
    yield here
    if isinstance(value, dict):
        for key, member in value.items():
            yield from paths(member, (*here, key))
    elif isinstance(value, list):
        for index, element in enumerate(value):
            yield from paths(element, (*here, index))


def replaced(document: dict[str, Any], path: Path, value: Any) -> Any:
    """A copy of a document with another value at a path."""
    if not path:
        return value
    changed = copy.deepcopy(document)
    owner: Any = changed
    for key in path[:-1]:
        owner = owner[key]
    owner[path[-1]] = value
    return changed


def removed(document: dict[str, Any], path: Path) -> Any:
    """A copy of a document without what is at a path."""
    changed = copy.deepcopy(document)
    owner: Any = changed
    for key in path[:-1]:
        owner = owner[key]
    del owner[path[-1]]
    return changed


def written(path: Path) -> str:
    """A path as a message has it, for keys that are plain words."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += f"[{json.dumps(key)}]" if not key.isidentifier() else f".{key}" if text else key
    return text or "config.json"


# random ones

_DOCUMENT = rich()
_PATHS: list[Path] = list(paths(_DOCUMENT))
_LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(), max_size=20),
    st.sampled_from([value for value in WRONG if not isinstance(value, str) or len(value) < 100]),
)
_COINS = st.booleans()
values = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
"""Any JSON value, with those that JSON lacks."""


@st.composite
def documents(draw: Any) -> Any:
    """The rich document with up to four of its values replaced or removed."""
    document: Any = _DOCUMENT
    for _ in range(draw(st.integers(1, 4))):
        path: Path = draw(st.sampled_from(_PATHS))
        try:
            document = (
                removed(document, path) if path and draw(st.booleans()) else replaced(document, path, draw(values))
            )
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took it away
    return document


@st.composite
def texts(draw: Any) -> bytes:
    """The bytes of a config.json that were cut, doubled, overwritten or written in another encoding."""
    text = json.dumps(draw(documents()))
    codec = draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-16", "utf-32", "latin-1"]))
    content = bytearray(text.encode(codec))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(content)))
        what = draw(st.sampled_from(["cut", "insert", "overwrite", "double"]))
        if what == "cut":
            del content[at:]
        elif what == "insert":
            content[at:at] = draw(st.binary(max_size=8))
        elif what == "overwrite":
            some = draw(st.binary(min_size=1, max_size=4))
            content[at : at + len(some)] = some
        else:
            content[at:at] = content[: draw(st.integers(0, 200))]
    return bytes(content)
