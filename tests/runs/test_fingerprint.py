import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailornas.runs.fingerprint import fingerprint

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
    # printf '{"inputs":{"a":[1,2.5],"b":"x"},"name":"train","results":2}' | sha256sum
    expected = "b4c2628342827c6798cbe90bf2dca06bb5b9d71e56fb39df7c4a8c67c4913ff7"
    assert fingerprint("train", {"b": "x", "a": (1, 2.5)}) == expected


@pytest.mark.parametrize(
    ("inputs", "error"), [({"a": float("nan")}, ValueError), ({"a": float("inf")}, ValueError), ({"a": {1}}, TypeError)]
)
def test_inputs_that_are_not_json_are_refused(inputs: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        fingerprint("train", inputs)
