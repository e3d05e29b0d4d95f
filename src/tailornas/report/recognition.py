"""Figures of what the finished networks recognise: pure functions from metrics to a plotly figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from math import ceil, log10
from typing import Any, final

import plotly.graph_objects as go

from tailornas.report.figures import NAMED_CLASSES, by_size
from tailornas.report.formats import percent
from tailornas.report.style import BASELINE, FOUND, count_axis, figure, label, on_count_axis, translucent
from tailornas.report.values import ClassRecall, Metrics

__all__ = [
    "CELLS",
    "INTERVALS",
    "LISTED",
    "WRITTEN",
    "Confused",
    "class_recalls",
    "confusion_matrix",
    "most_confused",
    "side_by_side",
]

INTERVALS = 200
"""Up to so many classes have their intervals drawn; with more they are shown on hover."""

CELLS = 100
"""Rows and columns of the confusion matrix; with more classes, classes next in size share them."""

WRITTEN = 12
"""Up to so many classes the cells of the confusion matrix carry their numbers."""

LISTED = 20
"""Confusions that are listed, the most frequent ones, where the cells do not carry their numbers."""


@final
@dataclass(frozen=True)
class Confused:
    """How often images of one class are taken for another.

    Args:
        true: name of their class.
        predicted: name of the other.
        images: how many are.
        share: of the measured images of their class.
    """

    true: str
    predicted: str
    images: int
    share: float


def class_recalls(found: Metrics, baseline: Metrics | None = None) -> go.Figure:
    """Recall of every class on the measured split, with Wilson intervals, against the class's training images.

    Beyond :data:`NAMED_CLASSES` a line adds the mean over tenths of the classes by size.

    Args:
        found: the network.
        baseline: the one that it is compared with, if there is one; only then they are named.
    """
    sizes = [c["train"] for c in found["per_class"]]
    places = side_by_side(sizes, 1 if baseline is None else 2)
    left, right = [marks[0] for marks in places], [marks[-1] for marks in places]
    legend: dict[str, Any]
    if baseline is None:
        traces = _recalls(found, left, "", FOUND, "circle")
        legend = {"showlegend": False, "margin": {"t": 10}}
    else:
        traces = [
            *_recalls(baseline, right, "baseline", BASELINE, "diamond"),
            *_recalls(found, left, "found network", FOUND, "circle"),
        ]
        legend = {"legend": {"traceorder": "reversed"}}
    ends = log10(min(left)), log10(max(right))
    margin = 0.03 * (ends[1] - ends[0])
    return figure(
        traces,
        height=440,
        **legend,
        xaxis={
            **count_axis(sizes),
            "range": [ends[0] - margin, ends[1] + margin],
            "title": {"text": "training images of the class"},
        },
        yaxis={"title": {"text": "recall"}, "tickformat": ".0%", "range": [-0.04, 1.04]},
    )


def side_by_side(counts: Sequence[int], marks: int) -> list[tuple[float, ...]]:
    """Places for ``marks`` marks of every class near its count on a logarithmic axis, none hiding another.

    Classes of one count share the room up to the next count.

    Returns:
        For each class the places of its marks, from left to right.
    """
    logs = [log10(on_count_axis(count)) for count in counts]
    levels = sorted(set(logs))
    span = max(levels[-1] - levels[0], 0.1)
    places: list[tuple[float, ...]] = [()] * len(counts)
    for i, level in enumerate(levels):
        gap = min((abs(level - other) for other in levels[max(i - 1, 0) : i + 2] if other != level), default=span)
        members = [k for k, value in enumerate(logs) if value == level]
        room = min(0.8 * gap, 0.3 * span, 0.04 * span * len(members)) / len(members)
        for position, member in enumerate(members):
            center = level + room * (position - (len(members) - 1) / 2)
            # The marks of one class stand closer together than those of two classes.
            shifts = (0.3 * room * (mark - (marks - 1) / 2) for mark in range(marks))
            places[member] = tuple(10 ** (center + shift) for shift in shifts)
    return places


def confusion_matrix(metrics: Metrics) -> go.Figure:
    """Share of each true class's measured images by predicted class, from the largest class to the smallest."""
    order = by_size([c["train"] for c in metrics["per_class"]])
    together = ceil(len(order) / CELLS)
    cell = {i: rank // together for rank, i in enumerate(order)}
    counts = [[0] * (1 + max(cell.values())) for _ in range(1 + max(cell.values()))]
    for true, predicted, images in metrics["confusion"]:
        counts[cell[true]][cell[predicted]] += images
    names = [metrics["per_class"][i]["name"] for i in order]
    if together > 1:
        starts = range(1, len(order) + 1, together)
        names = [f"classes {start} to {min(start + together - 1, len(order))}" for start in starts]
    shares = [[count / sum(row) for count in row] if sum(row) else [None] * len(row) for row in counts]
    named, written = len(counts) <= NAMED_CLASSES, len(counts) <= WRITTEN
    # The rank keeps two categories apart whose names look alike.
    categories = [f"{rank}. {label(name)}" if together == 1 else name for rank, name in enumerate(names, 1)]
    axis: dict[str, Any] = {"type": "category", "showgrid": False, "showline": True, "mirror": True}
    if named:
        axis |= {"tickvals": list(range(len(names))), "ticktext": [label(name, 15) for name in names]}
    else:
        ranks = sorted({1, *range(0, len(order), _round_step(len(order)))} - {0})
        axis |= {
            "tickvals": [(rank - 1) // together for rank in ranks],
            "ticktext": [f"{rank:,}" for rank in ranks],
        }
    suffix = "" if named else ", from the largest to the smallest"
    heatmap = go.Heatmap(
        z=[[None if share is None else round(share, 4) for share in row] for row in shares],
        x=categories,
        y=categories,
        customdata=counts,
        zmin=0,
        zmax=1,
        # From the page's own background; steeper at the start, because most mistakes are a few percent each.
        colorscale=[[at, translucent(FOUND, alpha)] for at, alpha in ((0, 0), (0.05, 0.18), (0.3, 0.45), (1, 0.8))],
        colorbar={
            "orientation": "h",
            "thickness": 8,
            "len": 0.5,
            "x": 0,
            "xanchor": "left",
            "y": 1,
            "yanchor": "bottom",
            "tickvals": [0, 0.5, 1],
            "tickformat": ".0%",
            "tickangle": 0,
            "outlinewidth": 0,
        },
        showscale=not written,
        xgap=1 if named else 0,
        ygap=1 if named else 0,
        text=[["" if not share or share < 0.005 else f"{100 * share:.0f}" for share in row] for row in shares],
        texttemplate="%{text}" if written else None,
        hovertemplate=(
            f"true: %{{y}}<br>predicted: %{{x}}<br>%{{customdata}} {metrics['split']} images, "
            "%{z:.1%} of the row<extra></extra>"
        ),
    )
    return figure(
        [heatmap],
        height=None,
        margin={"t": 8 if written else 36},
        xaxis={**axis, "title": {"text": f"predicted class{suffix}"}, "tickangle": -45 if named else 0},
        yaxis={**axis, "title": {"text": f"true class{suffix}"}, "autorange": "reversed"},
    )


def most_confused(metrics: Metrics) -> list[Confused]:
    """The most frequent confusions, at most :data:`LISTED`; none where :func:`confusion_matrix` writes them out.

    Of equally frequent ones, those come first that befall a greater share of their class.
    """
    classes = metrics["per_class"]
    if len(classes) <= WRITTEN:
        return []
    confusions = [
        Confused(classes[true]["name"], classes[predicted]["name"], images, images / classes[true]["n"])
        for true, predicted, images in metrics["confusion"]
        if true != predicted
    ]
    return sorted(confusions, key=lambda one: (-one.images, -one.share))[:LISTED]


def _round_step(size: int) -> int:
    """The smallest of 10, 20, 50, 100, 200, 500, 1,000 and so on that goes into ``size`` at most six times."""
    steps = (digit * 10**power for power in count(1) for digit in (1, 2, 5))
    step: int = next(step for step in steps if size / step <= 6)
    return step


def _recalls(metrics: Metrics, places: Sequence[float], name: str, color: str, symbol: str) -> list[Any]:
    classes = metrics["per_class"]
    many, intervals = len(classes) > NAMED_CLASSES, len(classes) <= INTERVALS
    size, opacity = (9, 1.0) if not many else (6, 0.5) if intervals else (5, 0.25)
    shown: list[tuple[float, ClassRecall, float, float, float]] = []
    for place, entry in zip(places, classes, strict=True):
        recall, low, high = entry["recall"], entry["low"], entry["high"]
        if recall is not None and low is not None and high is not None:
            shown.append((place, entry, recall, low, high))
    points = go.Scatter(
        x=[place for place, *_ in shown],
        y=[recall for _, _, recall, _, _ in shown],
        name=name,
        mode="markers",
        legendgroup=name,
        showlegend=not many,
        marker={"color": color, "symbol": symbol, "size": size, "opacity": opacity},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [high - recall for _, _, recall, _, high in shown],
            "arrayminus": [recall - low for _, _, recall, low, _ in shown],
            "color": translucent(color, 0.2 if many else 0.7),
            "thickness": 1.5,
            "width": 0,
            "visible": intervals,
        },
        hovertext=[
            f"<b>{label(entry['name'])}</b>{name and f', {name}'}<br>recall {percent(recall)} "
            f"(95% interval {percent(low)} to {percent(high)})<br>"
            f"{entry['train']:,} training images, {entry['n']:,} {metrics['split']} images"
            for _, entry, recall, low, high in shown
        ],
        hoverinfo="text",
    )
    if not many:
        return [points]
    shown.sort(key=lambda point: point[0])
    tenth = ceil(len(shown) / 10)
    groups = [shown[start : start + tenth] for start in range(0, len(shown), tenth)]
    means = go.Scatter(
        x=[10 ** (sum(log10(place) for place, *_ in group) / len(group)) for group in groups],
        y=[sum(recall for _, _, recall, _, _ in group) / len(group) for group in groups],
        name=name,
        mode="lines+markers",
        legendgroup=name,
        line={"color": color, "width": 3},
        marker={"color": color, "symbol": symbol, "size": 9},
        hoverinfo="skip",
    )
    return [points, means]
