"""A root that a rootfs hint names beside runc, which knows no such hint and is given the same directory as root.path (H19)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.differential.cases import Case, put
from tests.differential.decisions import unexplained
from tests.differential.peers import with_devproxy, with_runc
from tests.differential.test_runc import DECISIONS

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.rows("H19", oracle="runc")]

PREFIX = "dev.gvisor.spec.rootfs"


@pytest.mark.parametrize("readonly", [False, True])
def test_inside_it_is_the_container_that_runc_makes(tmp_path: Path, readonly: bool) -> None:
    source = f"{tmp_path}/ours/rootfs"
    hint = {f"{PREFIX}.source": source, f"{PREFIX}.type": "bind", f"{PREFIX}.overlay": "memory"}
    plain, hinted = (
        Case(
            "hint",
            {
                "root": {"readonly": readonly, **({"path": "nowhere"} if annotations else {})},
                "annotations": annotations,
            },
            prepare=put("etc/here"),
            paths=("/etc/here", "/bin", "/bin/sh"),
            then="cat /etc/here; touch /etc/new; echo $?",
        )
        for annotations in ({}, hint)
    )
    theirs, their_words = with_runc(plain.write(str(tmp_path / "theirs")))
    ours, words = with_devproxy(hinted.write(str(tmp_path / "ours")))
    assert theirs.mounts, their_words
    assert ours.mounts, words
    assert unexplained(ours, theirs, DECISIONS) == []
