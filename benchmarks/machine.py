"""What every result says about where it was measured."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from tailornas.runs import environment

__all__ = ["spread", "write"]


def spread(values: Sequence[float]) -> dict[str, Any]:
    """n, the least, median and quartiles."""
    low, _, high = quantiles(values, n=4)
    return {
        "n": len(values),
        "least": round(min(values), 3),
        "median": round(median(values), 3),
        "quartiles": [round(low, 3), round(high, 3)],
    }


def write(result: dict[str, Any], out: Path | None) -> None:
    """Prints a result with its machine, and writes it to ``out``."""
    text = json.dumps({"machine": environment(), **result}, indent=2)
    print(text)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n")
