"""Quantities and durations as people write them: ``15M`` multiply-accumulates, ``30m`` of time."""

import math
import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator

__all__ = ["Duration", "Quantity", "parse_duration", "parse_quantity"]

_SCALES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}
_LARGEST = 2**63 - 1
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0}


def parse_quantity(value: object) -> object:
    """Reads ``"15M"``, ``"1.5G"`` or ``"300k"`` as a whole number; anything but text passes through.

    Raises:
        ValueError: text of another form.
    """
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKmMgG]?)\s*", value)
    if match is None:
        raise ValueError("expected a number with an optional k, M or G, such as 15M")
    number = Decimal(match[1]) * _SCALES[match[2].lower()]
    if number > _LARGEST:
        raise ValueError("expected a number that a computer can count to")
    if number != int(number):
        raise ValueError("expected a whole number, such as 15M or 1.5k")
    return int(number)


def parse_duration(value: object) -> object:
    """Reads ``"30m"``, ``"1h30m"``, ``"90s"`` or ``"90"`` as seconds; anything but text passes through.

    Raises:
        ValueError: text of another form.
    """
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?\s*(?:(\d+(?:\.\d+)?)m)?\s*(?:(\d+(?:\.\d+)?)s)?", text)
    if match is None or not any(match.groups()):
        raise ValueError("expected a duration such as 90s, 30m or 1h30m")
    return math.fsum(
        float(number) * _SECONDS[unit] for number, unit in zip(match.groups(), "hms", strict=True) if number
    )


Quantity = Annotated[int, BeforeValidator(parse_quantity)]
"""A whole number that may be written with k, M or G."""

Duration = Annotated[float, BeforeValidator(parse_duration)]
"""Seconds, which may be written as hours, minutes and seconds."""
