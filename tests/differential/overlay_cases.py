"""Bundles that mount an overlay of directories of the host, which are compared with runc."""

from __future__ import annotations

import os
from typing import Any

from tests.differential.cases import Case, put, tmpfs, writable

LOOK = "busybox find /data | sort; cat /data/all; cat /data/both/* 2>/dev/null"
WRITE = "echo new > /data/all; echo $?; mkdir /data/new; rm -r /data/both; echo $?; "


def layers(rootfs: str) -> None:
    """Layers beside the rootfs, which share a file and a directory; the upper one hides a file of the lowest."""
    host = os.path.join(os.path.dirname(rootfs), "host")
    for name in ("low", "top", "up", "odd:name"):
        os.makedirs(f"{host}/{name}/both")
        for path in (name, "all", f"both/{name}"):
            with open(f"{host}/{name}/{path}", "w", encoding="utf-8") as file:
                file.write(f"{name}\n")
    os.mkdir(f"{host}/work")
    os.mknod(f"{host}/up/low", 0o20000, 0)
    os.chmod(f"{host}/up", 0o751)
    os.chown(f"{host}/up", 5, 6)


def prepared(rootfs: str) -> None:
    layers(rootfs)
    put("data/", "data/hidden")(rootfs)


def overlay(*options: str) -> dict[str, Any]:
    return {"destination": "/data", "type": "overlay", "source": "overlay", "options": list(options)}


LOWERS = "lowerdir=@HOST@/top:@HOST@/low"
UPPER = ("upperdir=@HOST@/up", "workdir=@HOST@/work")


def case(name: str, *options: str, then: str = WRITE + LOOK, paths: tuple[str, ...] = ("/data",), **more: Any) -> Case:
    return Case(f"overlay {name}", writable(), [overlay(*options)], prepared, paths=paths, then=then, **more)


OVERLAYS = (
    case("of three layers", LOWERS, *UPPER),
    case("without an upper layer", LOWERS),
    case("with flags", LOWERS, *UPPER, "nosuid", "nodev", "noexec", "noatime"),
    case("that is read-only", LOWERS, *UPPER, "ro"),
    case("with options of its own", LOWERS, *UPPER, "index=off", "xino=off", "redirect_dir=on", "metacopy=off"),
    case("with user attributes", LOWERS, *UPPER, "userxattr", "volatile"),
    case("with an escaped colon", r"lowerdir=@HOST@/odd\:name:@HOST@/low", *UPPER),
    case("whose last options win", "lowerdir=@HOST@/top", LOWERS, "upperdir=@HOST@/low", *UPPER, "xino=off"),
    Case(
        "overlay with a mount in it",
        writable(),
        [overlay(LOWERS, *UPPER), tmpfs("/data/both/in", "mode=0711")],
        prepared,
        paths=("/data/both", "/data/both/in"),
        then=LOOK,
    ),
    *(
        case(name, *options, refused=True)
        for name, options in (
            ("of one lower layer alone", ("lowerdir=@HOST@/low",)),
            ("of nothing", ()),
            ("without a work directory", (LOWERS, UPPER[0])),
            ("of a layer that is missing", ("lowerdir=@HOST@/low:@HOST@/nowhere", *UPPER)),
            ("of a file", ("lowerdir=@HOST@/low/all", *UPPER)),
            ("of a layer twice", ("lowerdir=@HOST@/low:@HOST@/low", *UPPER)),
            ("of a layer in another", ("lowerdir=@HOST@/low:@HOST@/low/both", *UPPER)),
            ("with its work inside", (LOWERS, UPPER[0], "workdir=@HOST@/up/both")),
            ("with its work elsewhere", (LOWERS, UPPER[0], "workdir=/dev/shm")),
            ("with an option nobody knows", (LOWERS, *UPPER, "colour=red")),
            ("with no such value", (LOWERS, *UPPER, "xino=maybe")),
            ("with redirects and user attributes", (LOWERS, *UPPER, "userxattr", "redirect_dir=on")),
        )
    ),
)
