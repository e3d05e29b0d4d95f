import pytest

from tailornas.text import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("maple leaf", "maple leaf"),
        ("می‌خواهم", "می‌خواهم"),
        ("\N{WOMAN}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER}", "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER}"),
        ("\x1b[31mred\x1b[0m", "?[31mred?[0m"),
        ("\x9b31mred", "?31mred"),
        ("two\nlines\r\tand\x00", "two?lines??and?"),
        ("\u202egnp.exe", "?gnp.exe"),
        ("\u2066in\u2069", "?in?"),
        ("\udcff", "?"),
    ],
)
def test_what_is_shown_of_a_name(text: str, shown: str) -> None:
    assert printable(text, instead="?") == shown
    assert printable(text) == shown.replace("?", "\N{REPLACEMENT CHARACTER}")
