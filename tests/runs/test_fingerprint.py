import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailornas.runs.fingerprint import differences, fingerprint

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=8,
)
INPUTS = st.dictionaries(st.text(), JSON, max_size=4)


@given(INPUTS)
@settings(deadline=None, max_examples=50)
def test_the_fingerprint_does_not_depend_on_the_order_or_on_a_round_trip(inputs: dict[str, Any]) -> None:
    backwards = dict(reversed(list(json.loads(json.dumps(inputs)).items())))
    assert fingerprint("a", inputs) == fingerprint("a", backwards)
    assert len(fingerprint("a", inputs)) == 64


@given(INPUTS, INPUTS)
@settings(deadline=None, max_examples=50)
def test_different_inputs_have_different_fingerprints(one: dict[str, Any], other: dict[str, Any]) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (fingerprint("a", one) == fingerprint("a", other)) == same
    assert fingerprint("a", one) != fingerprint("b", one)


def test_the_fingerprint_by_hand() -> None:
    # printf '{"inputs":{"a":[1,2.5],"b":"x"},"name":"train","results":7}' | sha256sum
    expected = "50c84ee75f0b7a607fdf1ab44e778ca815dec8b56a0075adb3784d48a17eaaad"
    assert fingerprint("train", {"b": "x", "a": (1, 2.5)}) == expected


@pytest.mark.parametrize(
    ("inputs", "error"), [({"a": float("nan")}, ValueError), ({"a": float("inf")}, ValueError), ({"a": {1}}, TypeError)]
)
def test_inputs_that_are_not_json_are_refused(inputs: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        fingerprint("train", inputs)


def test_differences_are_named_by_dotted_keys() -> None:
    earlier = {"seed": 0, "settings": {"loss": "ldam", "mix": {"name": "none"}}, "sizes": [1, 2], "head": None}
    assert differences(earlier, {**earlier, "sizes": (1, 2)}) == ""
    assert differences(earlier, {**earlier, "seed": 1, "head": "etf"}) == 'seed 0 -> 1, head none -> "etf"'
    current = {"seed": 0, "settings": {"loss": "ce"}, "sizes": [1, 3], "head": None, "limits": {}}
    told = 'settings.loss "ldam" -> "ce", sizes [1, 2] -> [1, 3], limits none -> {} and 1 more'
    assert differences(earlier, current) == told


def test_differences_in_lists_of_mappings_and_in_long_values() -> None:
    earlier = {"networks": [{"name": "a", "digest": "0" * 64}, {"name": "b"}]}
    current = {"networks": [{"name": "a", "digest": "1" * 64}, {"name": "c"}]}
    told = f'networks.0.digest "{"0" * 59}... -> "{"1" * 59}..., networks.1.name "b" -> "c"'
    assert differences(earlier, current) == told
