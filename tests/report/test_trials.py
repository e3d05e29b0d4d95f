from collections.abc import Callable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tailornas.report import Candidate, Report
from tailornas.report.trials import candidate_costs, pareto_front, search_history

MakeReport = Callable[..., Report]


def candidate(number: int, macs: int, score: float | None, repeated: int | None = None) -> Candidate:
    return {
        "number": number,
        "generation": number // 2,
        "architecture": f"net<{macs}>",
        "key": f"net{macs}",
        "params": 1000,
        "macs": macs,
        "latency_ms": None,
        "score": score,
        "score_se": None if score is None else 0.01,
        "feasible": score is not None,
        "repeated": repeated,
    }


def test_the_pareto_front_by_hand() -> None:
    candidates = [
        candidate(0, 30, 0.7),
        candidate(1, 10, 0.5),
        candidate(2, 20, 0.5),
        candidate(3, 10, 0.4),
        candidate(4, 5, None),
        candidate(5, 40, 0.69),
        candidate(6, 30, 0.7),
    ]
    assert [c["number"] for c in pareto_front(candidates)] == [1, 0]
    assert pareto_front([]) == []


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 20), st.integers(0, 20)), max_size=30))
def test_every_candidate_is_matched_by_one_of_the_front(pairs: list[tuple[int, int]]) -> None:
    candidates = [candidate(i, macs, score / 20) for i, (macs, score) in enumerate(pairs)]
    front = [(c["macs"], c["score"] or 0.0) for c in pareto_front(candidates)]
    assert all(any(m <= macs and s >= score / 20 for m, s in front) for macs, score in pairs)
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in pairwise(front))


def test_the_history_tells_new_repeated_and_infeasible_trials_apart() -> None:
    trials = [
        candidate(0, 90, None),
        candidate(1, 10, 0.5),
        candidate(2, 10, 0.5, repeated=1),
        candidate(3, 20, 0.6),
        candidate(4, 5, 0.4),
        candidate(5, 25, 0.3),
    ]
    drawn = search_history(trials)
    traces = {trace.name: trace for trace in drawn.data}
    assert {name: list(trace.x) for name, trace in traces.items()} == {
        "scored": [1, 3, 4, 5],
        "repeated": [2],
        "infeasible": [0],
        "best so far": [1, 2, 3, 4, 5],
    }
    assert list(traces["best so far"].y) == [0.5, 0.5, 0.6, 0.6, 0.6]
    # Below the axis of scores, in a strip of its own.
    assert (traces["infeasible"].yaxis, traces["scored"].yaxis) == ("y2", "y")
    assert drawn.layout.yaxis2.ticktext == ("no score",)
    assert drawn.layout.yaxis2.domain[1] < drawn.layout.yaxis.domain[0]
    assert drawn.layout.xaxis.range[0] == -0.5
    assert list(drawn.layout.xaxis.tickvals) == [0, 1, 2, 3, 4, 5]
    assert [(band.x0, band.x1) for band in drawn.layout.shapes] == [(1.5, 3.5)]
    assert [note.text for note in drawn.layout.annotations] == ["1", "2", "3"]


def test_without_infeasible_trials_there_is_no_strip() -> None:
    drawn = search_history([candidate(number, 10, 0.1125) for number in range(11)])
    assert "yaxis2" not in drawn.layout
    assert drawn.layout.yaxis.domain is None
    assert drawn.layout.xaxis.tickvals is None
    # 11.25% and 11.3% are two labels, and 11% is written in short.
    assert drawn.layout.yaxis.tickformat == ".4~%"


def test_hovering_shows_score_error_costs_and_the_escaped_architecture() -> None:
    drawn = search_history([candidate(0, 12_500_000, 0.5), candidate(1, 12_500_000, 0.5, repeated=0)])
    assert drawn.data[0].hovertext[0].replace("\N{NO-BREAK SPACE}", " ") == (
        "<b>trial 0</b>, generation 1<br>score 50.0% ± 1.0<br>12.5 M MACs, 1 k parameters<br>net&lt;12500000&gt;"
    )
    assert "from trial 0: the same network" in drawn.data[1].hovertext[0]


def test_costs_show_the_front_the_winner_and_the_limit(reports: MakeReport) -> None:
    trials = [
        candidate(0, 10_000_000, 0.5),
        candidate(1, 20_000_000, 0.6),
        candidate(2, 15_000_000, 0.4),
        candidate(3, 90_000_000, None),
        candidate(4, 10_000_000, 0.5, repeated=0),
    ]
    found = reports().found
    found["architecture"] = trials[1]["architecture"]
    drawn = candidate_costs(trials, found, {"macs": 24_000_000, "params": None, "latency_ms": None})
    traces = {trace.name: list(trace.x) for trace in drawn.data}
    assert traces == {
        "scored": [10, 20, 15],
        "infeasible": [90],
        "Pareto front": [10, 20],
        "found network": [20],
    }
    assert [shape.x0 for shape in drawn.layout.shapes] == [24]
    assert drawn.layout.annotations[0].text == "limit 24\N{NO-BREAK SPACE}M"
    unlimited = candidate_costs(trials, found, {"macs": None, "params": None, "latency_ms": None})
    assert not unlimited.layout.shapes
