import re

import pytest
from pydantic import BaseModel, Field, ValidationError

from tailornas.settings import SettingsModel, expected, section_type


class Optimizer(SettingsModel):
    rate: float = Field(0.1, gt=0)
    steps: tuple[float, ...] = (0.8, 0.9)
    kind: int | bool = 3


@pytest.mark.parametrize(
    ("given", "first"),
    [
        ({}, None),
        ({"rate": 0.1, "steps": [0.8, 0.9]}, None),
        ({"steps": [0.5]}, "steps"),
        ({"rate": 1, "kind": 2}, "rate"),
    ],
)
def test_the_first_setting_that_has_another_value_than_its_default(given: dict[str, object], first: str | None) -> None:
    optimizer = Optimizer.model_validate(given)
    assert optimizer.first_given(["rate", "steps", "kind"]) == first
    assert optimizer.first_given([]) is None


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"rate": 0}, "input should be greater than 0, got 0"),
        ({"kind": "x"}, r"input should be a valid integer.* or input should be a valid boolean.*, got 'x'"),
    ],
)
def test_what_was_expected_and_what_came(given: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Optimizer.model_validate(given)
    assert re.fullmatch(text, expected(caught.value.errors()))


def test_the_model_of_a_section() -> None:
    class Config(BaseModel):
        one: Optimizer
        maybe: Optimizer | None
        number: int | None
        rates: dict[str, float]

    found = {name: section_type(field.annotation) for name, field in Config.model_fields.items()}
    assert found == {"one": Optimizer, "maybe": Optimizer, "number": None, "rates": None}
