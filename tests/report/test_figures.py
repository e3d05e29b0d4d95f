from collections.abc import Callable

from tailornas.report import NetworkReport, Report
from tailornas.report.figures import by_size, class_counts, training_curve

MakeReport = Callable[..., Report]


def test_classes_are_ordered_by_size_and_equal_ones_stay_in_order() -> None:
    assert by_size([3, 9, 3, 10]) == [3, 1, 0, 2]


def test_few_classes_are_named_rows_from_the_largest(reports: MakeReport) -> None:
    data = reports(["a", "b", "c"], factor=10).data
    data["train_counts"] = [5, 50, 20]
    drawn = class_counts(data)
    assert list(drawn.layout.yaxis.ticktext) == ["b", "c", "a"]
    assert list(drawn.data[0].x) == [50, 20, 5]
    assert drawn.layout.xaxis.type == "log"


def test_a_split_that_is_not_there_is_not_drawn(network_reports: Callable[..., NetworkReport]) -> None:
    few, many = (class_counts(network_reports(classes=classes).data) for classes in (10, 100))
    assert [trace.name for trace in few.data] == [trace.name for trace in many.data] == ["train", "test"]
    assert few.data[0].hovertext[0] == "<b>airplane</b><br>500 train<br>100 test"


def test_nearly_balanced_counts_have_a_linear_axis(reports: MakeReport) -> None:
    drawn = class_counts(reports(["a", "b"], factor=9.9).data)
    assert drawn.layout.xaxis.type is None


def test_many_classes_are_a_curve_without_their_names(reports: MakeReport) -> None:
    drawn = class_counts(reports(classes=100).data)
    assert [trace.name for trace in drawn.data] == ["train", "selection", "test"]
    assert drawn.layout.xaxis.ticktext is None
    assert drawn.data[0].hovertext[0].startswith("<b>kind of thing 0</b><br>500 train")


def test_a_class_without_images_stays_on_the_logarithmic_axis(reports: MakeReport) -> None:
    data = reports(["a", "b"]).data
    data["train_counts"], data["imbalance_factor"] = [500, 0], float("inf")
    drawn = class_counts(data)
    assert list(drawn.data[0].x) == [500, 0.5]
    assert drawn.layout.xaxis.ticktext[0] == "0"
    assert "0 train" in drawn.data[0].hovertext[1]


def test_a_training_curve_has_the_loss_and_the_learning_rate() -> None:
    drawn = training_curve([{"epoch": 1, "loss": 2.0, "learning_rate": 0.1}], "#123456")
    rate, loss = drawn.data
    assert (list(rate.y), rate.yaxis) == ([0.1], "y2")
    assert (list(loss.x), list(loss.y), loss.mode) == ([1], [2.0], "lines+markers")
    assert list(drawn.layout.xaxis.tickvals) == [1]
