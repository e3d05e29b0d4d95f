"""What tells the inputs of a stage, or a configuration, from others."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["differences", "fingerprint"]

RESULTS = 7
"""Version of the results: raised when the same inputs give other numbers, so that old ones are not reused."""

SHOWN = 3
"""Most differences that are told."""

LONGEST = 60
"""Most characters of a value that is told."""


def fingerprint(name: str, inputs: Mapping[str, Any]) -> str:
    """SHA-256, in hex, of a stage's name, its inputs (whatever their order) and the version of the results.

    Raises:
        TypeError: an input is not JSON.
        ValueError: an input is NaN or infinite.
    """
    content = {"name": name, "inputs": dict(inputs), "results": RESULTS}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def differences(earlier: Mapping[str, Any], current: Mapping[str, Any]) -> str:
    """The keys in which nested JSON values differ, for people; empty where there are none.

    Returns:
        Such as ``settings.loss "ldam" -> "ce", seed 0 -> 1 and 2 more``; a key that is missing is ``none``.
    """
    before, now = _flat(earlier), _flat(current)
    # Keys that are there now come first, in their order.
    changed = [key for key in {**now, **before} if before.get(key) != now.get(key)]
    told = ", ".join(f"{key} {_short(before.get(key))} -> {_short(now.get(key))}" for key in changed[:SHOWN])
    return told + (f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else "")


def _flat(value: Any, key: str = "") -> dict[str, str]:
    """The JSON text of each value in nested mappings, and in lists of mappings, by its dotted key."""
    parts: Mapping[Any, Any] = {}
    if isinstance(value, Mapping):
        parts = value
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        parts = dict(enumerate(value))
    if not parts:
        return {key: json.dumps(value)}
    return {
        inner: text
        for name, part in parts.items()
        for inner, text in _flat(part, f"{key}.{name}" if key else str(name)).items()
    }


def _short(text: str | None) -> str:
    if text is None or text == "null":
        return "none"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
