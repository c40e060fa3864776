"""Links of the image on the way to a mount point, which are compared with the peers, and mount points that are nowhere."""

from __future__ import annotations

from tests.differential.cases import Case, bind, both, device, devices, links, put, tmpfs, writable

LINKS = (
    Case(
        "a link to a link to a directory",
        changes=writable(),
        prepare=both(put("end/"), links(first="second", second="/end")),
        mounts=[tmpfs("/first/x", "mode=0711")],
        paths=("/end/x", "/first"),
        rows=("S52", "H23"),
    ),
    Case(
        "a link above the root",
        changes=writable(),
        prepare=links(up="../../../../.."),
        mounts=[tmpfs("/up/made", "mode=0711")],
        paths=("/made", "/up"),
        rows=("S52", "H23"),
    ),
    Case(
        "a loop of links",
        changes=writable(),
        prepare=links(a="b", b="a"),
        mounts=[tmpfs("/a/x")],
        refused=True,
        rows=("S52",),
    ),
    Case(
        "a /dev/shm through a link",
        changes=writable(),
        prepare=links(shm="/dev/shm"),
        mounts=[tmpfs("/shm/x", "mode=0711")],
        paths=("/dev/shm/x",),
    ),
)
NOWHERE = (
    Case(
        "a tmpfs at a link to nowhere",
        changes=writable(),
        prepare=links(gone="/made/here"),
        mounts=[tmpfs("/gone", "mode=0711")],
        paths=("/gone", "/made", "/made/here"),
        rows=("S50", "S52"),
    ),
    Case(
        "a tmpfs below a link to nowhere, through another",
        changes=writable(),
        prepare=links(gone="../../other/x", other="made"),
        mounts=[tmpfs("/gone/below", "mode=0711")],
        paths=("/gone", "/other", "/made", "/made/x", "/made/x/below"),
    ),
    Case(
        "binds at links to nowhere",
        changes=writable(),
        prepare=links(file="made/file", directory="/made/directory"),
        mounts=[bind("/file", "file"), bind("/directory", "dir")],
        paths=("/file", "/directory", "/made", "/made/file", "/made/directory/sub"),
        then="cat /file",
        rows=("S50", "S52", "H23"),
    ),
    Case(
        "a device below a link to nowhere",
        {**writable(), **devices(device("/gone/null", "c", 1, 3, fileMode=0o644))},
        prepare=links(gone="/made/here"),
        paths=("/gone", "/made", "/made/here", "/made/here/null"),
        rows=("S68",),
    ),
)
