"""Figures of a collection of images: its class sizes and its image sizes."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from tailornas.report.data_values import ClassValues
from tailornas.report.figures import LOG_FROM, NAMED_CLASSES, by_size
from tailornas.report.style import (
    BASELINE,
    FOUND,
    SELECTION,
    TEST,
    count_axis,
    figure,
    label,
    on_count_axis,
    translucent,
)

__all__ = ["class_sizes", "image_sizes"]

GROUPS = {"many": FOUND, "medium": TEST, "few": BASELINE}

_BINS = 40
_WIDE = 8  # ratio of the largest to the smallest side from which the sides are binned on a logarithmic axis


def class_sizes(classes: Sequence[ClassValues]) -> go.Figure:
    """Images of every class, from the largest class to the smallest, in the colour of its shot group.

    Up to :data:`~tailornas.report.figures.NAMED_CLASSES` classes are rows with names; more are a curve over their rank.
    """
    counts = [entry["images"] for entry in classes]
    order = by_size(counts)
    ranked = [(rank, classes[i]) for rank, i in enumerate(order, start=1)]
    logarithmic = min(counts) == 0 or max(counts) / min(counts) >= LOG_FROM
    axis = count_axis(counts) if logarithmic else {"rangemode": "tozero"}
    axis = {**axis, "title": {"text": "images"}}
    rows = len(order) <= NAMED_CLASSES
    traces = []
    for group, color in GROUPS.items():
        members = [(rank, entry) for rank, entry in ranked if entry["group"] == group]
        if not members:
            continue
        ranks = [rank for rank, _ in members]
        drawn = [on_count_axis(entry["images"]) if logarithmic else entry["images"] for _, entry in members]
        hover = [f"<b>{label(entry['name'])}</b><br>{entry['images']:,} images, {group}-shot" for _, entry in members]
        traces.append(
            go.Bar(
                x=drawn if rows else ranks,
                y=ranks if rows else drawn,
                orientation="h" if rows else "v",
                name=f"{group}-shot",
                marker={
                    "color": translucent(color, 0.55) if rows else color,
                    "line": {"color": color, "width": 1 if rows else 0},
                },
                hovertext=hover,
                hoverinfo="text",
            )
        )
    if not rows:
        ranking = {"title": {"text": "class, from the largest to the smallest"}, "showgrid": False}
        return figure(
            traces, height=360, showlegend=True, hovermode="x", barmode="overlay", bargap=0, xaxis=ranking, yaxis=axis
        )
    names = {
        "autorange": "reversed",
        "tickvals": [rank for rank, _ in ranked],
        "ticktext": [label(entry["name"], 18) for _, entry in ranked],
        "showgrid": False,
    }
    return figure(
        traces,
        height=110 + 26 * len(order),
        showlegend=True,
        hovermode="y",
        barmode="overlay",
        bargap=0.35,
        xaxis=axis,
        yaxis=names,
    )


def image_sizes(sizes: NDArray[np.int32]) -> go.Figure:
    """Histograms of the widths and the heights of images, in bins of whole pixels.

    Args:
        sizes: ``(images, 2)``, width and height in pixels, not all the same.
    """
    low, high = int(sizes.min()), int(sizes.max())
    logarithmic = high / low >= _WIDE
    if logarithmic:
        edges = np.unique(np.ceil(np.geomspace(low, high + 1, _BINS + 1)))
    else:
        step = -(-(high + 1 - low) // _BINS)
        edges = np.arange(low, high + 1 + step, step)
    traces = []
    for side, color in (("width", FOUND), ("height", SELECTION)):
        images, _ = np.histogram(sizes[:, 0 if side == "width" else 1], edges)
        spans = [f"{a:.0f} to {b - 1:.0f}" if a < b - 1 else f"{a:.0f}" for a, b in pairwise(edges)]
        traces.append(
            go.Scatter(
                x=np.repeat(edges, 2)[1:-1].tolist(),
                y=np.repeat(images, 2).tolist(),
                name=side,
                mode="lines",
                line={"color": color, "width": 2},
                fill="tozeroy",
                fillcolor=translucent(color, 0.2),
                hovertext=[
                    f"{side} {span} pixels: {n:,} images" for span, n in zip(spans, images, strict=True) for _ in "12"
                ],
                hoverinfo="text",
            )
        )
    axis: dict[str, object] = {"title": {"text": "pixels"}, "showgrid": False}
    if logarithmic:
        axis |= {**count_axis([low, high]), "title": {"text": "pixels"}}
    return figure(traces, height=300, xaxis=axis, yaxis={"title": {"text": "images"}, "rangemode": "tozero"})
