"""What was done is written down before it is done, by one setup at a time, and is read again to the letter."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy.errors import DevproxyError
from devproxy.jobs.setup.action import Action, FileChange, LinkChange, ModuleChange, NodeChange, Standing
from devproxy.jobs.setup.journal import Journal, entries_in
from devproxy.node import DeviceNumber

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
paths = st.lists(st.text("abc019.:-", min_size=1).filter(lambda t: t.strip(".")), min_size=1, max_size=3).map(
    lambda parts: f"/dev/{'/'.join(parts)}"
)
numbers = st.builds(DeviceNumber, st.integers(0, 4095), st.integers(0, (1 << 20) - 1))
ids = st.integers(0, (1 << 32) - 2)
nodes = st.builds(Standing, st.sampled_from("cb"), numbers, st.integers(0, 0o7777), ids, ids)
directories = st.builds(Standing, st.just("d"), st.none(), st.integers(0, 0o7777), ids, ids)
standings = st.none() | nodes | directories
actions: st.SearchStrategy[Action] = st.one_of(
    st.builds(ModuleChange, st.just("nvidia-uvm"), st.just("nvidia-uvm"), st.booleans(), words, words),
    st.builds(NodeChange, paths, standings, standings, words, words),
    st.builds(LinkChange, paths, st.none() | words, st.none() | words, words, words),
    st.builds(FileChange, paths, st.none() | words, st.none() | words, words, words),
)
NODE = NodeChange("/dev/nvidia0", None, Standing("c", DeviceNumber(195, 0), 0o666), "why", "where")
RULE = FileChange("/etc/udev/rules.d/70-devproxy.rules", None, "text\n", "why", "where")
WRONG = '{"boot": "", "kind": "node", "path": "/dev/x", "before": %s, "after": null, "reason": "", "source": ""}'


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "state").mkdir(mode=0o755)
    return str(tmp_path / "state" / "setup.jsonl")


@pytest.mark.root
@pytest.mark.property
@given(st.lists(actions, max_size=5))
def test_what_is_written_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, done: list[Action]) -> None:
    path = str(tmp_path_factory.mktemp("journal") / "setup.jsonl")
    with Journal(path) as journal:
        for action in done:
            journal.add(action)
        assert journal.entries() == tuple(done)
    assert entries_in(path) == tuple(done)
    with Journal(path) as journal:
        journal.keep(done[1:])
        assert journal.entries() == tuple(done[1:])
        journal.add(NODE)
    assert entries_in(path) == (*done[1:], NODE)
    assert [action.inverse.inverse for action in done] == done


@pytest.mark.root
def test_one_with_nothing_in_it_goes(path: str) -> None:
    with Journal(path) as journal:
        journal.add(NODE)
    assert os.path.exists(path)
    with Journal(path) as journal:
        journal.keep(())
    assert os.listdir(os.path.dirname(path)) == []


@pytest.mark.root
def test_what_was_not_done_is_crossed_out(path: str) -> None:
    with Journal(path) as journal:
        for action in (NODE, RULE):
            journal.add(action)
        journal.drop_last()
        assert journal.entries() == (NODE,)
        journal.add(RULE)
        assert journal.entries() == (NODE, RULE)
        journal.drop_last()
        journal.drop_last()
    assert not os.path.exists(path)


@pytest.mark.root
def test_one_at_a_time(path: str) -> None:
    with Journal(path), pytest.raises(DevproxyError, match="another 'devproxy setup' is at work"), Journal(path):
        pass
    with Journal(path):
        pass


@pytest.mark.root
def test_another_boots_nodes_are_forgotten_and_its_settings_are_not(path: str) -> None:
    with Journal(path) as journal:
        journal.add(NODE)
        journal.add(RULE)
    text = Path(path).read_text()
    boot = json.loads(text.split("\n")[0])["boot"]
    Path(path).write_text(text.replace(boot, "00000000-0000-0000-0000-000000000000"))
    with Journal(path) as journal:
        assert journal.entries() == (RULE,)
        journal.forget_other_boots()
    assert len(Path(path).read_text().splitlines()) == 1
    assert entries_in(path) == (RULE,)


@pytest.mark.root
@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_line_that_was_not_finished_was_not_acted_upon(path: str, cut: int) -> None:
    with Journal(path) as journal:
        journal.add(RULE)
        journal.add(NODE)
    Path(path).write_bytes(Path(path).read_bytes()[:-cut])
    assert entries_in(path) == (RULE,)
    with Journal(path) as journal:
        journal.add(NODE)
        assert journal.entries() == (RULE, NODE)


@pytest.mark.root
@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "[]",
        "nonsense",
        '{"boot": 1, "kind": "link", "path": "/dev/x", "before": null, "after": "y", "reason": "", "source": ""}',
        '{"boot": "", "kind": "thing", "path": "/dev/x"}',
        '{"boot": "", "kind": "link", "path": "/dev/../etc/x", "before": null, "after": "y", "reason": "", "source": ""}',
        '{"boot": "", "kind": "link", "path": "/dev/x", "before": 5, "after": "y", "reason": "", "source": ""}',
        '{"boot": "", "kind": "node", "path": "/dev/x", "before": {"kind": "c"}, "after": null, "reason": "", "source": ""}',
        WRONG % '{"kind": "q", "number": [1, 2], "mode": 1}',
        WRONG % '{"kind": "c", "number": null, "mode": 1}',
        WRONG % '{"kind": "c", "number": "12", "mode": 1}',
        WRONG % '{"kind": "c", "number": [1, 2, 3], "mode": 1}',
        WRONG % '{"kind": "c", "number": ["a", 2], "mode": 1}',
        WRONG % '{"kind": "c", "number": [1, 2], "mode": "x"}',
        WRONG % '{"kind": "c", "number": [1, 2], "mode": -1}',
        WRONG % '{"kind": "c", "number": [1, 2], "mode": 1, "more": 1}',
        "[" * 100000,
    ],
)
def test_what_is_not_understood_is_not_guessed(path: str, line: str) -> None:
    Path(path).write_text(f"{line}\n")
    with pytest.raises(DevproxyError, match="line 1 is not understood"):
        entries_in(path)


@pytest.mark.root
@pytest.mark.parametrize("what", ["a link", "somebody's", "writable", "a fifo", "a directory"])
def test_a_record_that_others_could_have_written_is_refused(path: str, what: str) -> None:
    """Whoever writes it has root remove what he names."""
    place = Path(path)
    match what:
        case "a link":
            place.symlink_to("/etc/passwd")
        case "somebody's":
            place.touch()
            os.chown(place, 12345, 12345)
        case "writable":
            place.touch()
            place.chmod(0o666)
        case "a fifo":
            os.mkfifo(place)
        case _:
            place.mkdir()
    before = Path("/etc/passwd").read_bytes()
    with pytest.raises(DevproxyError), Journal(path):
        pass
    assert Path("/etc/passwd").read_bytes() == before


@pytest.mark.root
def test_a_place_that_others_write_in_is_refused(path: str) -> None:
    os.chmod(os.path.dirname(path), 0o777)
    with pytest.raises(DevproxyError, match="expected a directory of root's"), Journal(path):
        pass


def test_there_may_be_none(tmp_path: Path) -> None:
    assert entries_in(str(tmp_path / "none")) == ()
