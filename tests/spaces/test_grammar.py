"""The JSON form."""

import pytest

from tailornas.errors import ArchitectureError
from tailornas.spaces.grammar import from_json, to_json
from tailornas.types import Architecture


def test_json_round_trip() -> None:
    arch = Architecture((("b", "x"), ("a", 'quote "')))
    assert to_json(arch) == '{"b": "x", "a": "quote \\""}'
    assert from_json(to_json(arch)) == arch


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": "x",', r'position 10: .*; expected JSON, \{"decision": "option", \.\.\.\}'),
        ('{"a":' * 100_000, "expected an object"),
        ('{"a": ' + "1" * 5000 + "}", "expected an object"),
        ('{"a":' * 600 + "1" + "}" * 600, "entry 1: expected"),
        ('{"a": "x", "b": 3}', r'entry 2: expected "decision": "option"'),
        ('["a"]', "entry 1"),
        ("3", "expected an object"),
        ('{"a": "x", "a": "y"}', "'a' is given twice"),
    ],
)
def test_malformed_json_says_where(text: str, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        from_json(text)
