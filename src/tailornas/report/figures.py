"""Figures of the data and of the training: pure functions from a run's values to a plotly figure."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from tailornas.report.style import (
    BAND,
    FAINT,
    SELECTION,
    TEST,
    TRAIN,
    count_axis,
    figure,
    label,
    on_count_axis,
    whole_ticks,
)
from tailornas.report.values import Data, LogLine

__all__ = [
    "LOG_FROM",
    "NAMED_CLASSES",
    "by_size",
    "class_counts",
    "training_curve",
]

NAMED_CLASSES = 30
"""Up to so many classes have their names on an axis; more are numbered from the largest to the smallest."""

SPLITS = {"train": TRAIN, "selection": SELECTION, "test": TEST}

LOG_FROM = 10
"""Imbalance factor from which class counts are drawn on a logarithmic axis."""


def by_size(counts: Sequence[int]) -> list[int]:
    """Class labels from the largest class to the smallest; equal classes keep their order."""
    return sorted(range(len(counts)), key=lambda i: -counts[i])


def class_counts(data: Data) -> go.Figure:
    """Images of every class in each split that there is, from the largest class to the smallest.

    Up to :data:`NAMED_CLASSES` classes are rows with names; more are a curve over their rank.
    """
    order = by_size(data["train_counts"])
    ranks = list(range(1, len(order) + 1))
    names = [data["classes"][i] for i in order]
    counts_by_split = {
        "train": data["train_counts"],
        "selection": data["selection_counts"],
        "test": data["test_counts"],
    }
    splits = {split: [counts[i] for i in order] for split, counts in counts_by_split.items() if counts is not None}
    hover = [
        f"<b>{label(name)}</b>" + "".join(f"<br>{counts[rank]:,} {split}" for split, counts in splits.items())
        for rank, name in enumerate(names)
    ]
    axis: dict[str, Any] = {"rangemode": "tozero"}
    drawn: dict[str, Sequence[float]] = dict(splits)
    if data["imbalance_factor"] >= LOG_FROM:
        axis = count_axis(n for counts in splits.values() for n in counts)
        drawn = {split: [on_count_axis(n) for n in counts] for split, counts in splits.items()}
    axis["title"] = {"text": "images"}

    if len(order) > NAMED_CLASSES:
        curves = [
            go.Scatter(
                x=ranks,
                y=counts,
                name=split,
                mode="lines",
                line={"color": SPLITS[split], "shape": "hvh", "width": 2},
                fill="tozeroy" if split == "train" else None,
                fillcolor=FAINT,
                hovertext=hover,
                hoverinfo="text" if split == "train" else "skip",
            )
            for split, counts in drawn.items()
        ]
        ranking = {"title": {"text": "class, from the largest to the smallest"}, "showgrid": False}
        return figure(curves, height=360, hovermode="x", xaxis=ranking, yaxis=axis)
    bars = go.Bar(
        x=drawn["train"],
        y=ranks,
        orientation="h",
        name="train",
        marker={"color": FAINT, "line": {"color": TRAIN, "width": 1}},
        hovertext=hover,
        hoverinfo="text",
    )
    marks = [
        go.Scatter(
            x=drawn[split],
            y=ranks,
            mode="markers",
            name=split,
            marker={"size": 9, "color": SPLITS[split], "symbol": symbol},
            hoverinfo="skip",
        )
        for split, symbol in (("selection", "circle"), ("test", "diamond"))
        if split in drawn
    ]
    rows = {
        "autorange": "reversed",
        "tickvals": ranks,
        "ticktext": [label(name, 18) for name in names],
        "showgrid": False,
    }
    height = 110 + 26 * len(order)
    return figure([bars, *marks], height=height, hovermode="y", bargap=0.45, xaxis=axis, yaxis=rows)


def training_curve(log: Sequence[LogLine], color: str) -> go.Figure:
    """Training loss by epoch, and the learning rate, on its own scale from zero, behind it."""
    epochs = [line["epoch"] for line in log]
    rates = [line["learning_rate"] for line in log]
    return figure(
        [
            go.Scatter(
                x=epochs,
                y=rates,
                yaxis="y2",
                mode="lines",
                line={"width": 0},
                fill="tozeroy",
                fillcolor=BAND,
                hoverinfo="skip",
            ),
            go.Scatter(
                x=epochs,
                y=[line["loss"] for line in log],
                customdata=rates,
                mode="lines+markers" if len(log) <= 10 else "lines",
                line={"color": color, "width": 2},
                hovertemplate="epoch %{x}<br>loss %{y:.4g}<br>learning rate %{customdata:.3g}<extra></extra>",
            ),
        ],
        height=240,
        showlegend=False,
        hovermode="x",
        margin={"t": 10},
        xaxis={"title": {"text": "epoch"}, "showgrid": False} | whole_ticks(epochs),
        yaxis={"title": {"text": "loss"}},
        yaxis2={"overlaying": "y", "side": "right", "visible": False, "rangemode": "tozero"},
    )
