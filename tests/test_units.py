import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tailornas.units import Duration, Quantity, parse_duration, parse_quantity


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("15", 15),
        ("15M", 15_000_000),
        ("15m", 15_000_000),
        ("1.5G", 1_500_000_000),
        ("300k", 300_000),
        ("300K", 300_000),
        ("1.15M", 1_150_000),
        (" 2 M ", 2_000_000),
        ("0.0000001G", 100),
    ],
)
def test_quantities(text: str, number: int) -> None:
    assert parse_quantity(text) == number
    assert isinstance(parse_quantity(text), int)


@pytest.mark.parametrize(
    "text", ["", "M", "fast", "-3", "+3", "1e6", "15MB", "15 M s", "1,000", ".5M", "1.M", "nan", "inf"]
)
def test_what_is_not_a_quantity(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected a number with an optional k, M or G, such as 15M$"):
        parse_quantity(text)


@settings(deadline=None, max_examples=100)
@given(number=st.integers(0, 10**6), scale=st.sampled_from([("", 1), ("k", 10**3), ("M", 10**6), ("G", 10**9)]))
def test_whole_quantities_are_exact(number: int, scale: tuple[str, int]) -> None:
    letter, factor = scale
    assert parse_quantity(f"{number}{letter}") == number * factor


@pytest.mark.parametrize("text", ["2.5", "0.0001k", "1.0000001M"])
def test_a_quantity_that_is_not_whole_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a whole number, such as 15M or 1.5k"):
        parse_quantity(text)


def test_a_quantity_of_hundreds_of_digits_is_refused_as_any_other_mistake() -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Quantity).validate_python("1" + "0" * 400)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("0.5", 0.5),
        ("90s", 90.0),
        ("30m", 1800.0),
        ("30M", 1800.0),
        ("1h", 3600.0),
        ("1h30m", 5400.0),
        ("1h 30m 5s", 5405.0),
        ("1.5h", 5400.0),
        ("2h0.5s", 7200.5),
        (" 10s ", 10.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds
    assert isinstance(parse_duration(text), float)


@pytest.mark.parametrize(
    "text", ["", " ", "soon", "m", "30m1h", "1s1s", "-5s", "5 d", "1h30", "nan", "inf", "1e3s", "1:30"]
)
def test_what_is_not_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected a duration such as 90s, 30m or 1h30m$"):
        parse_duration(text)


@settings(deadline=None, max_examples=100)
@given(hours=st.integers(0, 99), minutes=st.integers(0, 999), seconds=st.integers(0, 9999))
def test_the_parts_of_a_duration_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == 3600 * hours + 60 * minutes + seconds


@settings(deadline=None, max_examples=300)
@given(text=st.text(alphabet="0123456789.hmskMG -+eE", max_size=8))
def test_any_text_is_a_finite_number_or_a_value_error(text: str) -> None:
    for parse in (parse_quantity, parse_duration):
        try:
            number = parse(text)
        except ValueError:
            continue
        assert isinstance(number, int | float)
        assert math.isfinite(number)
        assert number >= 0


@pytest.mark.parametrize("value", [7, 7.5, None, True, [1]])
def test_what_is_not_text_is_left_to_the_next_check(value: object) -> None:
    assert parse_quantity(value) is value
    assert parse_duration(value) is value


def test_annotated_types_check_what_was_parsed() -> None:
    assert TypeAdapter(Quantity).validate_python("15M") == 15_000_000
    assert TypeAdapter(Duration).validate_python("1h30m") == 5400.0
    assert TypeAdapter(Duration).validate_python(60) == 60.0
    with pytest.raises(ValidationError, match="expected a duration such as 90s"):
        TypeAdapter(Duration).validate_python("soon")
    with pytest.raises(ValidationError, match="valid integer"):
        TypeAdapter(Quantity).validate_python([15])
