"""Names of files and classes as they can be shown: they may hold anything, what a terminal obeys included."""

import unicodedata

__all__ = ["printable"]

JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Of Unicode's category C, as controls are, and still part of how Persian, Indic and emoji names are written."""


def printable(text: str, instead: str = "\N{REPLACEMENT CHARACTER}") -> str:
    """``text`` on one line, with ``instead`` for every control, direction mark and letter without a meaning.

    Escape sequences, turned reading directions and line breaks in a name could make a terminal or a page show what
    the program never said.
    """
    return "".join(instead if unicodedata.category(c)[0] == "C" and c not in JOINERS else c for c in text)
