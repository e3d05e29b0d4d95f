"""Figures of the search: pure functions from its candidates to a plotly figure."""

from collections.abc import Callable, Sequence
from itertools import accumulate, groupby
from typing import Any

import plotly.graph_objects as go

from tailornas.report.formats import count, milliseconds, percent, with_error
from tailornas.report.style import BAND, FOUND, NEUTRAL, TEST, figure, whole_ticks, wrapped
from tailornas.report.values import Candidate, Limits, Network

__all__ = ["candidate_costs", "pareto_front", "search_history"]

SCORED = {"color": NEUTRAL, "size": 7}
REPEATED = {"color": NEUTRAL, "size": 7, "symbol": "circle-open"}
INFEASIBLE = {"color": NEUTRAL, "size": 6, "symbol": "x-thin-open"}
FOOT = {"anchor": "free", "position": 0}
"""Of the axis across: it stays at the foot of the figure, below the strip of candidates without a score."""
WINNER = {"color": FOUND, "size": 17, "symbol": "star"}


def search_history(candidates: Sequence[Candidate]) -> go.Figure:
    """Scores in the order of the search, the best so far, the generations, and the infeasible candidates."""
    new = [c for c in candidates if c["score"] is not None and c["repeated"] is None]
    again = [c for c in candidates if c["score"] is not None and c["repeated"] is not None]
    unscored = [c for c in candidates if c["score"] is None]
    best = list(accumulate((c["score"] or 0.0 for c in candidates), max))
    first_scored = next((i for i, value in enumerate(best) if value > 0), 0)
    traces = [
        _marks(new, _number, "scored", SCORED),
        _marks(again, _number, "repeated", REPEATED),
        _marks(unscored, _number, "infeasible", INFEASIBLE),
        go.Scatter(
            x=[c["number"] for c in candidates][first_scored:],
            y=best[first_scored:],
            name="best so far",
            mode="lines",
            line={"color": FOUND, "width": 2.5, "shape": "hv"},
            hoverinfo="skip",
        ),
    ]
    drawn = figure(
        [trace for trace in traces if len(trace.x)],
        height=400,
        xaxis={"title": {"text": "trial"}, "showgrid": False, "range": [-0.5, len(candidates) - 0.5]}
        | whole_ticks([c["number"] for c in candidates])
        | FOOT,
        **_score_axes(candidates),
    )
    generations = [(g, [c["number"] for c in members]) for g, members in groupby(candidates, lambda c: c["generation"])]
    every = -(-len(generations) // 8)
    for generation, numbers in generations:
        if generation % 2:
            drawn.add_vrect(x0=numbers[0] - 0.5, x1=numbers[-1] + 0.5, fillcolor=BAND, line_width=0, layer="below")
        if generation % every == 0 and len(generations) > 1:
            drawn.add_annotation(
                x=(numbers[0] + numbers[-1]) / 2,
                y=0,
                yref="paper",
                yanchor="bottom",
                text=str(generation + 1),
                showarrow=False,
                font={"size": 11},
            )
    return drawn


def candidate_costs(candidates: Sequence[Candidate], found: Network, limits: Limits) -> go.Figure:
    """Score against MACs: every different network, the Pareto front, the winner and the limit."""
    scored = [c for c in candidates if c["score"] is not None and c["repeated"] is None]
    front = pareto_front(scored)
    winner = [c for c in scored if c["architecture"] == found["architecture"]]
    traces = [
        _marks(scored, _megamacs, "scored", SCORED),
        _marks([c for c in candidates if c["score"] is None], _megamacs, "infeasible", INFEASIBLE),
        go.Scatter(
            x=[_megamacs(c) for c in front],
            y=[c["score"] for c in front],
            name="Pareto front",
            mode="lines+markers",
            line={"color": TEST, "width": 2, "shape": "hv"},
            marker={"color": TEST, "size": 7},
            hoverinfo="skip",
        ),
        _marks(winner, _megamacs, "found network", WINNER),
    ]
    drawn = figure(
        [trace for trace in traces if len(trace.x)],
        height=400,
        xaxis={"title": {"text": "MACs (millions)"}, "rangemode": "tozero"} | FOOT,
        **_score_axes(candidates),
    )
    if limits["macs"] is not None:
        drawn.add_vline(
            x=limits["macs"] / 1e6,
            line={"color": NEUTRAL, "width": 1.5, "dash": "dash"},
            annotation={"text": f"limit {count(limits['macs'])}", "font": {"size": 12}, "xshift": -4},
            annotation_position="bottom left",
        )
    return drawn


def pareto_front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The scored candidates that no other one beats in score and in MACs, from the cheapest to the best.

    Of equal candidates the first is kept.
    """
    front: list[Candidate] = []
    best = float("-inf")
    scored = [(c["macs"], c["score"], c) for c in candidates if c["score"] is not None]
    for _, score, candidate in sorted(scored, key=lambda entry: (entry[0], -entry[1])):
        if score > best:
            front.append(candidate)
            best = score
    return front


def _number(candidate: Candidate) -> float:
    return candidate["number"]


def _megamacs(candidate: Candidate) -> float:
    return candidate["macs"] / 1e6


def _marks(
    candidates: Sequence[Candidate],
    across: Callable[[Candidate], float],
    name: str,
    marker: dict[str, Any],
) -> go.Scatter:
    """Points at the scores of ``candidates``; those without a score in the strip below."""
    scored = all(c["score"] is not None for c in candidates)
    return go.Scatter(
        x=[across(c) for c in candidates],
        y=[c["score"] if scored else 0 for c in candidates],
        yaxis="y" if scored else "y2",
        name=name,
        mode="markers",
        marker=marker,
        hovertext=[_described(c) for c in candidates],
        hoverinfo="text",
    )


def _described(candidate: Candidate) -> str:
    cost = f"{count(candidate['macs'])} MACs, {count(candidate['params'])} parameters"
    if candidate["latency_ms"] is not None:
        cost += f", {milliseconds(candidate['latency_ms'])}"
    result = "not scored: over a limit"
    if candidate["score"] is not None:
        result = f"score {percent(candidate['score'])}"
        if candidate["score_se"] is not None:
            result = with_error(result, candidate["score_se"])
    if candidate["repeated"] is not None:
        result += f", from trial {candidate['repeated']}: the same network"
    lines = [f"<b>trial {candidate['number']}</b>, generation {candidate['generation'] + 1}", result, cost]
    return "<br>".join([*lines, wrapped(candidate["architecture"])])


def _score_axes(candidates: Sequence[Candidate]) -> dict[str, dict[str, Any]]:
    """The axis of scores and, where candidates have none, below it a strip for these, which reads as no score."""
    scores = [c["score"] for c in candidates if c["score"] is not None] or [0.0]
    span = max(max(scores) - min(scores), 0.01)
    axis: dict[str, Any] = {
        "title": {"text": "score (selection split)"},
        "tickformat": ".4~%",  # as many decimals as tell neighbouring ticks apart
        "range": [min(scores) - 0.1 * span, max(scores) + 0.1 * span],
    }
    if all(c["score"] is not None for c in candidates):
        return {"yaxis": axis}
    strip = {"domain": [0.06, 0.14], "range": [-1, 1], "tickvals": [0], "ticktext": ["no score"], "showgrid": False}
    return {"yaxis": axis | {"domain": [0.16, 1]}, "yaxis2": strip | {"fixedrange": True}}
