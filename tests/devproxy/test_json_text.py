"""devproxy.json_text beside the standard library's json."""

from __future__ import annotations

import json
import math
import os
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devproxy import json_text
from devproxy.process import run

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
# Almost JSON, so that some of it is.
TEXTS = st.text(alphabet='[]{},:"\\u0019eE+-.ntrfalsuNI \t\n\r\x0b\ufeff\ud800', max_size=12) | st.sampled_from(
    ["", " ", "\ufeff{}", "[1,]", '{"a":1,"a":2}', "NaN", "[Infinity, -Infinity]", '"\n"', "1 2", "\x0b1", "9" * 5000]
)


def attempt(call: Any, *args: Any) -> tuple[Any, str]:
    try:
        return call(*args), ""
    except (ValueError, TypeError, RecursionError) as error:
        return type(error), str(error)


@given(VALUES)
def test_values_become_the_same_text_and_the_same_values_again(value: Any) -> None:
    text = json_text.dumps(value)
    assert text == json.dumps(value)
    assert repr(json_text.loads(text)) == repr(json.loads(text))
    assert repr(json_text.loads(f" \n{text}\t\r")) == repr(json.loads(text))


@given(
    TEXTS
    | VALUES.map(json.dumps).flatmap(lambda text: st.integers(0, len(text)).map(lambda n: text[:n] + text[n + 1 :]))
)
def test_what_is_no_json_is_refused_in_the_same_words(text: str) -> None:
    assert repr(attempt(json_text.loads, text)) == repr(attempt(json.loads, text))


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", [object()]])
def test_what_json_cannot_say_is_refused_in_the_same_words(value: object) -> None:
    assert attempt(json_text.dumps, value) == attempt(json.dumps, value)


@pytest.mark.parametrize(("start", "end"), [("[", "]"), ('{"a":[', "]}"), ('[1,{"b":2,"a":', ',"c":1},{}]')])
def test_how_deep_is_too_deep_is_the_same_on_every_interpreter(start: str, end: str) -> None:
    each = start.count("[") + start.count("{")
    assert json_text.loads(f"{start * (500 // each)}0{end * (500 // each)}")
    for deep in (500 // each + 1, 2000, 200_000):
        with pytest.raises(RecursionError):
            json_text.loads(f"{start * deep}0{end * deep}")
    assert len(json_text.loads(f"[{f'{start}0{end},' * 1000}0]")) == 1001


def test_objects_and_constants_are_made_by_the_caller() -> None:
    assert json_text.loads('{"a": {"b": 1, "b": 2}}', pairs=lambda pairs: pairs) == [("a", [("b", 1), ("b", 2)])]
    assert json_text.loads("[NaN, -Infinity]", constant=str) == ["NaN", "-Infinity"]
    assert math.isnan(json_text.loads("NaN"))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000])
def test_what_is_nested_too_deeply_is_a_recursion_error(text: str) -> None:
    with pytest.raises(RecursionError):
        json_text.loads(text)


def test_without_the_half_in_c_json_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "_json", None)
    assert json_text.loads('{"a": [1, "é"]}') == {"a": [1, "é"]}
    assert json_text.dumps({"a": [1, "é"]}) == '{"a": [1, "\\u00e9"]}'


@pytest.mark.programs
@pytest.mark.parametrize("text", ['{"a": 5', "[1,", '"', "nul", "{1: 2}", ""])
def test_what_is_no_json_is_told_where_json_was_not_loaded_before(text: str) -> None:
    """The scanner alone has no error to raise: its class is json.decoder's."""
    program = (
        "import sys; from devproxy.json_text import loads; assert 'json' not in sys.modules\n"
        "try: loads(sys.argv[1])\nexcept ValueError as error: print(type(error).__name__)"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    assert run([sys.executable, "-c", program, text], cwd=root).out == "JSONDecodeError\n"
