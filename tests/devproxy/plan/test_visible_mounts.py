"""Which mount a path lies in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from devproxy.plan.steps import Reason
from devproxy.plan.visible_mounts import Mounted, VisibleMounts

PATHS = st.lists(st.sampled_from(["a", "b", "ab", "a-", "a0"]), min_size=1, max_size=4).map(lambda p: "/" + "/".join(p))


def is_below(path: str, parent: str) -> bool:
    return path.startswith(f"{parent}/")


@given(st.lists(PATHS, max_size=12), PATHS)
def test_it_agrees_with_a_list_of_mounts(mounts: list[str], path: str) -> None:
    table = VisibleMounts()
    model: list[Mounted] = []
    for number, where in enumerate(mounts):
        new = Mounted(where, False, Reason(str(number)))
        gone = [old for old in model if old.path == where or is_below(old.path, where)]
        hidden = table.add(new)
        assert sorted(hidden) == sorted(gone)
        assert [m.path.count("/") for m in hidden] == sorted((m.path.count("/") for m in hidden), reverse=True)
        model = [old for old in model if old not in gone] + [new]
    over = [m for m in model if m.path == path or is_below(path, m.path)]
    assert table.holding(path) == max(over, key=lambda m: len(m.path), default=None)
    above = [m for m in over if m.path != path]
    assert table.above(path) == max(above, key=lambda m: len(m.path), default=None)
    assert sorted(table.sealed()) == sorted(model)


def test_only_what_has_a_reason_is_sealed() -> None:
    table = VisibleMounts()
    table.add(Mounted("/a", False, None))
    table.add(Mounted("/a/b", False, Reason("x")))
    assert [mount.path for mount in table.sealed()] == ["/a/b"]
