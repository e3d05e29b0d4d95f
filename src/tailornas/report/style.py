"""How figures look: colours, the shared layout, and text that is safe to hand to plotly."""

from collections.abc import Iterable, Sequence
from math import ceil, log10
from textwrap import wrap
from typing import Any

import plotly.graph_objects as go

from tailornas.text import printable

__all__ = [
    "BAND",
    "BASELINE",
    "FAINT",
    "FOUND",
    "NEUTRAL",
    "SELECTION",
    "TEST",
    "TRAIN",
    "count_axis",
    "figure",
    "label",
    "on_count_axis",
    "translucent",
    "whole_ticks",
    "wrapped",
]

# Okabe and Ito's colour-blind safe hues, each about as far from a white page as from a black one.
# Text needs more contrast than marks do and takes its colours from the style sheet.
FOUND = "#1A80C4"
BASELINE = "#D55E00"
TRAIN = "#7C8794"
SELECTION = "#B8679A"
TEST = "#009E73"
NEUTRAL = "#7C8794"
BAND = "rgba(124,135,148,0.10)"
FAINT = "rgba(124,135,148,0.25)"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def figure(traces: Iterable[Any], *, height: int | None, **layout: Any) -> go.Figure:
    """A figure in the page's look; ``layout`` holds plotly's own layout settings.

    Args:
        traces: what is drawn, in order.
        height: pixels; None where the page sets it.
        layout: settings that differ from the shared ones.
    """
    axis = {
        "gridcolor": FAINT,
        "linecolor": FAINT,
        "zeroline": False,
        "automargin": True,
        "title": {"standoff": 10, "font": {"size": 13}},
        "tickfont": {"size": 12},
        "ticklabelstandoff": 4,
    }
    template = go.layout.Template(
        layout={
            "font": {"family": FONT, "size": 13, "color": NEUTRAL},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "margin": {"l": 8, "r": 12, "t": 36, "b": 8},
            "xaxis": axis,
            "yaxis": axis,
            "hoverlabel": {
                "bgcolor": "#23282E",
                "bordercolor": "#23282E",
                "font": {"color": "#FFFFFF", "size": 13},
                "align": "left",
            },
            "legend": {
                "font": {"size": 12},
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": 1,
                "yanchor": "bottom",
            },
            "hovermode": "closest",
        }
    )
    return go.Figure(data=list(traces), layout={"template": template, "height": height, **layout})


def translucent(color: str, alpha: float) -> str:
    """``color``, ``#RRGGBB``, at an opacity from 0 to 1."""
    red, green, blue = bytes.fromhex(color[1:])
    return f"rgba({red},{green},{blue},{alpha})"


def label(text: str, width: int | None = None) -> str:
    """``text`` as plotly shows it letter by letter: no tag, entity or control character in it takes effect.

    Plotly reads ``<b>``, ``<a href>`` and ``&lt;`` in every label, hover text and category name. Joiners stay: without
    them Persian, Indic and emoji names fall apart.

    Args:
        text: any text, such as a class name.
        width: longest text in characters; the middle of a longer one becomes an ellipsis.
    """
    plain = printable(text, instead=" ")
    if width is not None and len(plain) > width:
        tail = (width - 1) // 2
        plain = f"{plain[: width - 1 - tail].rstrip()}…{plain[-tail:].lstrip()}"
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def wrapped(text: str, width: int = 38) -> str:
    """``text``, safe as by :func:`label`, broken into lines for a hover label."""
    return "<br>".join(label(line) for line in wrap(text, width, break_on_hyphens=False))


def count_axis(counts: Iterable[int]) -> dict[str, Any]:
    """Settings of a logarithmic axis that shows all of ``counts``, each at its :func:`on_count_axis`.

    Ticks are at 1, 2, 5, 10, 20, ... or, where not even two of these are in sight, at the ends.
    """
    counts = list(counts)
    smallest, largest = on_count_axis(min(counts)), on_count_axis(max(counts))
    steps = (1, 2, 5) if largest / smallest < 200 else (1,)
    round_counts = (step * 10**decade for decade in range(ceil(log10(largest)) + 1) for step in steps)
    ticks: list[float] = [tick for tick in round_counts if smallest <= tick <= largest]
    if len(ticks) < 2:
        ticks = sorted({smallest, largest})
    elif smallest < 1:
        ticks.insert(0, smallest)
    padding = max(0.05 * log10(largest / smallest), 0.05)
    return {
        "type": "log",
        "tickvals": ticks,
        "ticktext": [f"{tick:,}" if tick >= 1 else "0" for tick in ticks],
        "range": [log10(smallest) - padding, log10(largest) + padding],
    }


def whole_ticks(numbers: Sequence[int]) -> dict[str, Any]:
    """Settings of an axis of whole numbers: few of them are all named, where plotly would name halves between."""
    return {"tickvals": list(numbers)} if len(numbers) <= 10 else {}


def on_count_axis(count: int) -> float:
    """Where a logarithmic axis shows ``count``: 0, which has no logarithm, at a half."""
    return max(count, 0.5)
