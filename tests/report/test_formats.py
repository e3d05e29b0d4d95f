import pytest

from tailornas.report.formats import count, duration, milliseconds, percent, points, ratio, relative, with_error


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (640, "640"),
        (9_500, "9.5 k"),
        (10_000, "0.01 M"),
        (272_474, "0.27 M"),
        (999_600, "1 M"),
        (12_500_000, "12.5 M"),
        (15_000_000, "15 M"),
        (100_000_000, "100 M"),
        (999_400_000, "999 M"),
        (1_200_000_000, "1.2 G"),
    ],
)
def test_counts_have_three_digits_and_a_unit(number: float, text: str) -> None:
    assert count(number) == text.replace(" ", "\N{NO-BREAK SPACE}")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.84, "0.8 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (192.4, "3 min 12 s"),
        (3599.7, "1 h 00 min"),
        (3900, "1 h 05 min"),
        (86_399, "1 d 00 h"),
        (2 * 86_400 + 3 * 3600, "2 d 03 h"),
    ],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text.replace(" ", "\N{NO-BREAK SPACE}")


def test_a_time_that_is_not_known_is_a_dash() -> None:
    assert duration(None) == "\N{EN DASH}"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1"), (1.5, "1.5"), (12.346, "12.35"), (999.94, "999.9"), (999.96, "1,000"), (12345.6, "12,346")],
)
def test_ratios_have_four_digits_and_no_exponent(value: float, text: str) -> None:
    assert ratio(value) == text


def test_rates_and_differences() -> None:
    assert percent(0.71349) == "71.3%"
    assert [points(d) for d in (0.032, -0.004, 0.0004, -0.0004, 0)] == [
        "+3.2",
        "\N{MINUS SIGN}0.4",
        "0.0",
        "0.0",
        "0.0",
    ]
    # One rate, added up over images and over classes.
    assert points(0.5842 - 0.6317) == points(0.5841999999999999 - 0.6317) == "\N{MINUS SIGN}4.8"
    assert [relative(v, 100) for v in (31, 104, 100.4, 99.6)] == ["\N{MINUS SIGN}69%", "+4%", "0%", "0%"]
    assert with_error("71.3%", 0.0111) == "71.3%\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}1.1"
    assert [milliseconds(v) for v in (4.209, 12.34, 120.4)] == [
        "4.21\N{NO-BREAK SPACE}ms",
        "12.3\N{NO-BREAK SPACE}ms",
        "120\N{NO-BREAK SPACE}ms",
    ]
