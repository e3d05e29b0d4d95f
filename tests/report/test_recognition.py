from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailornas.report import Report
from tailornas.report.recognition import Confused, class_recalls, confusion_matrix, most_confused, side_by_side

MakeReport = Callable[..., Report]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=40))
def test_marks_are_apart_and_keep_the_order_of_the_counts(counts: list[int]) -> None:
    places = side_by_side(counts, 2)
    assert len({place for pair in places for place in pair}) == 2 * len(counts)
    assert all(left < right for left, right in places)
    for count, (_, right) in zip(counts, places, strict=True):
        for other, (left, _) in zip(counts, places, strict=True):
            if count < other:
                assert right < left


def test_a_lone_class_has_its_marks_around_its_count() -> None:
    ((left, right), _) = side_by_side([10, 1000], 2)
    assert left * right == pytest.approx(100)


def test_recalls_have_their_wilson_intervals_and_skip_unscored_classes(reports: MakeReport) -> None:
    report = reports(["a", "b", "c"])
    found, baseline = report.found["metrics"], report.baseline["metrics"]
    found["per_class"][0] = {"name": "a", "train": 500, "n": 10, "recall": 0.5, "low": 0.2, "high": 0.9}
    found["per_class"][2] = {"name": "c", "train": 5, "n": 0, "recall": None, "low": None, "high": None}
    drawn = class_recalls(found, baseline)
    theirs, ours = drawn.data
    assert (theirs.name, ours.name, len(theirs.x), len(ours.x)) == ("baseline", "found network", 3, 2)
    assert (ours.y[0], ours.error_y.array[0], ours.error_y.arrayminus[0]) == pytest.approx((0.5, 0.4, 0.3))
    assert ours.hovertext[0] == (
        "<b>a</b>, found network<br>recall 50.0% (95% interval 20.0% to 90.0%)<br>500 training images, 10 test images"
    )


def test_the_recalls_of_one_network_stand_at_their_counts_and_bear_no_name(reports: MakeReport) -> None:
    metrics = reports(["a", "b"]).found["metrics"]
    metrics["per_class"][1] = {"name": "b", "train": 5, "n": 10, "recall": 0.5, "low": 0.2, "high": 0.9}
    drawn = class_recalls(metrics)
    (points,) = drawn.data
    assert list(points.x) == pytest.approx([500, 5])
    assert not drawn.layout.showlegend
    assert points.hovertext[1] == (
        "<b>b</b><br>recall 50.0% (95% interval 20.0% to 90.0%)<br>5 training images, 10 test images"
    )


def test_many_classes_get_mean_lines_and_very_many_lose_their_bars(reports: MakeReport) -> None:
    hundred = reports(classes=100)
    drawn = class_recalls(hundred.found["metrics"], hundred.baseline["metrics"])
    points, means = drawn.data[2:]
    assert points.error_y.visible
    assert len(means.x) == 10
    assert sum(means.y) / 10 == pytest.approx(hundred.found["metrics"]["balanced_accuracy"])
    thousand = reports(classes=1000)
    drawn = class_recalls(thousand.found["metrics"], thousand.baseline["metrics"])
    assert not drawn.data[0].error_y.visible


def test_confusion_is_the_share_of_each_true_class_by_size(reports: MakeReport) -> None:
    metrics = reports(["small", "large", "empty"]).found["metrics"]
    for entry, train in zip(metrics["per_class"], (5, 500, 50), strict=True):
        entry["train"] = train
    metrics["confusion"] = [[0, 0, 3], [0, 1, 1], [1, 1, 10]]
    (heatmap,) = confusion_matrix(metrics).data
    assert list(heatmap.y) == ["1. large", "2. empty", "3. small"]
    assert [list(row) for row in heatmap.z] == [[1, 0, 0], [None, None, None], [0.25, 0, 0.75]]
    assert [list(row) for row in heatmap.text][2] == ["25", "", "75"]


def test_a_thousand_classes_share_a_hundred_rows(reports: MakeReport) -> None:
    metrics = reports(classes=1000).found["metrics"]
    drawn = confusion_matrix(metrics)
    (heatmap,) = drawn.data
    assert len(heatmap.z) == len(heatmap.z[0]) == 100
    assert sum(map(sum, heatmap.customdata)) == sum(c["n"] for c in metrics["per_class"])
    assert heatmap.y[0] == "classes 1 to 10"
    assert all(sum(row) == pytest.approx(1, abs=0.01) for row in heatmap.z)
    assert list(drawn.layout.yaxis.ticktext) == ["1", "200", "400", "600", "800"]
    assert heatmap.texttemplate is None


def test_thousands_of_classes_have_round_ticks(reports: MakeReport) -> None:
    metrics = reports(["a", "b"]).found["metrics"]
    metrics["per_class"] = [metrics["per_class"][0]] * 8142
    assert list(confusion_matrix(metrics).layout.yaxis.ticktext) == ["1", "2,000", "4,000", "6,000", "8,000"]


def test_the_most_frequent_confusions_where_cells_carry_no_numbers(reports: MakeReport) -> None:
    metrics = reports(classes=13).found["metrics"]
    names = [entry["name"] for entry in metrics["per_class"]]
    for entry in metrics["per_class"]:
        entry["n"] = 100
    metrics["per_class"][2]["n"] = 10
    metrics["confusion"] = [[0, 0, 90], [0, 1, 4], [1, 12, 6], [2, 0, 4], [3, 3, 100]]
    assert most_confused(metrics) == [
        Confused(names[1], names[12], 6, 0.06),
        Confused(names[2], names[0], 4, 0.4),
        Confused(names[0], names[1], 4, 0.04),
    ]
    metrics["confusion"] = [[true, (true + step) % 13, true + step] for true in range(13) for step in range(1, 4)]
    assert [one.images for one in most_confused(metrics)][:3] == [15, 14, 14]
    assert len(most_confused(metrics)) == 20


def test_no_confusions_are_listed_where_cells_carry_their_numbers(reports: MakeReport) -> None:
    assert most_confused(reports(classes=12).found["metrics"]) == []
