"""What tells the inputs of a stage from others."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["fingerprint"]

RESULTS = 2
"""Version of the results: raised when the same inputs give other numbers, so that old ones are not reused."""


def fingerprint(name: str, inputs: Mapping[str, Any]) -> str:
    """SHA-256, in hex, of a stage's name, its inputs (whatever their order) and the version of the results.

    Raises:
        TypeError: an input is not JSON.
        ValueError: an input is NaN or infinite.
    """
    content = {"name": name, "inputs": dict(inputs), "results": RESULTS}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
