import re
from collections.abc import Callable
from typing import cast

import pytest

from tailornas.report import Group, Network, Report
from tailornas.report.summary import Row, result, summarize, summarize_one, verdict

MakeReport = Callable[..., Report]


def scoring(network: Network, balanced: float, error: float, name: str = "resnet20", paired: float = 0.005) -> Network:
    """The network with this balanced accuracy, its standard error and that of its difference from the baseline."""
    metrics = network["metrics"]
    return {
        **network,
        "name": name,
        "params": 270_000,
        "macs": 40_800_000,
        "metrics": {**metrics, "balanced_accuracy": balanced, "balanced_se": error},
        "difference_se": {"balanced_accuracy": paired, "groups": dict.fromkeys(("many", "medium", "few"), paired)},
    }


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_a_clear_win_names_both_networks_and_all_numbers(reports: MakeReport) -> None:
    found = scoring(reports().found, 0.72, 0.009)
    found["macs"], found["params"] = 12_500_000, 110_000
    result = verdict(found, scoring(found, 0.70, 0.004))
    assert result.outcome == "found"
    assert plain(result.sentence) == (
        "The found network beats the baseline resnet20: on the test split the found network has 72.0% balanced "
        "accuracy with 12.5 M MACs and 0.11 M parameters, the baseline 70.0% with 40.8 M and 0.27 M; the difference "
        "of +2.0 points has a paired standard error of 0.5 (over test images: differences between trainings, by their "
        "seeds, are not included)."
    )


def test_the_baseline_is_said_to_win_when_it_does(reports: MakeReport) -> None:
    found = scoring(reports().found, 0.60, 0.003)
    result = verdict(found, scoring(found, 0.70, 0.004))
    assert result.outcome == "baseline"
    assert result.sentence.startswith("The baseline resnet20 beats the found network: ")
    assert "the difference of \N{MINUS SIGN}10.0 points has a paired standard error of 0.5 (over" in result.sentence


def test_networks_that_were_not_trained_alike_are_said_to_be(reports: MakeReport) -> None:
    """A time limit that ends one training early makes the comparison another."""
    found, baseline = scoring(reports().found, 0.72, 0.003), scoring(reports().found, 0.60, 0.004)
    found["epochs"], baseline["epochs"] = 16, 14
    sentence = verdict(found, baseline).sentence
    assert sentence.endswith("are not included); they were trained 16 and 14 epochs, so not alike.")
    found["metrics"]["balanced_accuracy"] = 0.60
    noise = verdict(found, baseline)
    assert noise.outcome == "noise"
    assert noise.sentence.endswith(
        "are not included), so it is within the noise; they were trained 16 and 14 epochs, so not alike."
    )


@pytest.mark.parametrize("difference", [0.0, 0.0099, -0.0099])
def test_less_than_two_standard_errors_is_noise(reports: MakeReport, difference: float) -> None:
    """Of the difference, whatever those of the two rates are."""
    found = scoring(reports().found, 0.70 + difference, 0.001, paired=0.005)
    result = verdict(found, scoring(found, 0.70, 0.001))
    assert result.outcome == "noise"
    assert result.sentence.startswith("No clear winner between the found network and the baseline resnet20: ")
    assert result.sentence.endswith(", are not included), so it is within the noise.")


@pytest.mark.parametrize(("difference", "outcome"), [(0.0101, "found"), (-0.0101, "baseline")])
def test_two_standard_errors_are_enough(reports: MakeReport, difference: float, outcome: str) -> None:
    found = scoring(reports().found, 0.70 + difference, 0.02, paired=0.005)
    assert verdict(found, scoring(found, 0.70, 0.02)).outcome == outcome


def test_equal_networks_without_any_error_are_not_ranked(reports: MakeReport) -> None:
    found = scoring(reports().found, 1.0, 0.0, paired=0.0)
    assert verdict(found, found).outcome == "noise"


def rows_of(found: Network, baseline: Network) -> dict[str, Row]:
    return {row.label: row for part in summarize(found, baseline).values() for row in part}


def test_the_summary_says_which_costs_and_rates_are_better(reports: MakeReport) -> None:
    found = scoring(reports().found, 0.72, 0.003)
    baseline = scoring(found, 0.70, 0.004)
    found["macs"], found["seconds"], found["metrics"]["ece"] = 20_400_000, 120.0, 0.083
    baseline["seconds"], baseline["metrics"]["ece"] = 60.0, 0.02
    rows = rows_of(found, baseline)
    assert (rows["MACs"].difference, rows["MACs"].better) == ("\N{MINUS SIGN}50%", "found")
    assert (rows["Parameters"].difference, rows["Parameters"].better) == ("0%", None)
    assert (rows["Time"].difference, rows["Time"].better) == ("+100%", "baseline")
    assert (rows["ECE"].difference, rows["ECE"].better) == ("+6.3", None)
    assert rows["Balanced accuracy"].better == "found"
    assert plain(rows["Balanced accuracy"].difference) == "+2.0 ± 0.5"
    assert plain(rows["Balanced accuracy"].baseline) == "70.0% ± 0.4"


def test_no_rate_is_called_better_within_the_noise_or_without_an_error(reports: MakeReport) -> None:
    def rated(balanced: float, others: float, error: float) -> Network:
        network = scoring(reports(["a", "b", "c"], factor=4).found, balanced, error, paired=0.011)
        metrics = network["metrics"]
        metrics["groups"] = {"many": {"recall": balanced, "classes": 3, "se": error}}
        metrics["group_sizes"] = {"many": 3}
        metrics["accuracy"] = metrics["worst_class"] = metrics["macro_f1"] = others
        metrics["harmonic_mean"] = metrics["geometric_mean"] = metrics["auroc"] = metrics["ece"] = others
        return network

    found, baseline = rated(0.72, 0.9, 0.008), rated(0.70, 0.1, 0.008)
    assert verdict(found, baseline).outcome == "noise"
    rows = [row for row in summarize(found, baseline)["Test split"] if row.found != row.baseline]
    assert len(rows) == 9
    assert {row.label: row.better for row in rows} == {row.label: None for row in rows}
    rows_above = rows_of(rated(0.74, 0.9, 0.008), baseline)
    assert [rows_above[label].better for label in ("Balanced accuracy", "Many-shot (3 classes)")] == ["found", "found"]


def test_a_group_has_its_error_and_the_one_of_its_difference(reports: MakeReport) -> None:
    found = scoring(reports(["a", "b", "c"], factor=4).found, 0.7, 0.01, paired=0.005)
    baseline = scoring(found, 0.7, 0.01)
    found["metrics"]["groups"] = {"many": {"recall": 0.6, "classes": 3, "se": 0.03}}
    baseline["metrics"]["groups"] = {"many": {"recall": 0.65, "classes": 3, "se": 0.04}}
    found["metrics"]["group_sizes"] = {"many": 3}
    row = rows_of(found, baseline)["Many-shot (3 classes)"]
    assert [plain(text) for text in (row.found, row.baseline, row.difference)] == [
        "60.0% ± 3.0",
        "65.0% ± 4.0",
        "\N{MINUS SIGN}5.0 ± 0.5",
    ]
    assert row.better == "baseline"


def test_the_epochs_of_a_second_stage_are_told_apart(reports: MakeReport) -> None:
    found = reports(["a", "b"]).found
    found["head_epochs"] = 10
    assert rows_of(found, {**found, "head_epochs": 0})["Epochs"] == Row("Epochs", "60, then 10 of the head", "60")


def test_a_time_that_is_not_known_is_not_compared(reports: MakeReport) -> None:
    found = reports(["a", "b"]).found
    baseline: Network = {**found, "seconds": 60.0}
    found["seconds"] = None
    row = rows_of(found, baseline)["Time"]
    assert row == Row("Time", "\N{EN DASH}", "1\N{NO-BREAK SPACE}min\N{NO-BREAK SPACE}00\N{NO-BREAK SPACE}s")


def test_the_summary_leaves_out_what_was_not_measured(reports: MakeReport) -> None:
    found = reports(["a", "b", "c"], factor=4).found
    found["metrics"]["auroc"], found["latency_ms"] = None, None
    labels = [row.label for part in summarize(found, found).values() for row in part]
    assert "AUROC" not in labels
    assert "Latency" not in labels
    assert [label for label in labels if "-shot" in label] == ["Many-shot (3 classes)"]


@pytest.mark.parametrize(("median", "better"), [(2.0, None), (2.31, "found"), (2.29, None)])
def test_a_latency_within_the_spread_is_no_better(reports: MakeReport, median: float, better: str | None) -> None:
    found = reports(["a", "b"]).found
    slower = {**found, "latency_ms": {"median": median, "spread": 0.1, "repeats": 30}}
    found["latency_ms"] = {"median": 2.0, "spread": 0.3, "repeats": 30}
    (row,) = (row for row in summarize(found, cast(Network, slower))["Cost"] if row.label == "Latency")
    assert row.better == better
    assert plain(row.found) == "2.00 ms (IQR 0.3)"


def test_one_network_is_told_with_its_error_and_its_worst_class(reports: MakeReport) -> None:
    network = scoring(reports(["a", "b", "c"]).found, 0.72, 0.003, "ResNet-32")
    network["metrics"]["accuracy"] = 0.801
    for entry, recall in zip(network["metrics"]["per_class"], (0.9, 0.55, None), strict=True):
        entry["recall"] = recall
    told = result(network)
    assert told.outcome is None
    assert plain(told.sentence) == (
        "ResNet-32 has 72.0% ± 0.3 balanced accuracy on the test split: its top-1 accuracy is 80.1%, and of the worst "
        "class, b, it recognises 55.0%."
    )


def test_equally_bad_classes_are_counted_instead_of_named(reports: MakeReport) -> None:
    network = reports(["a", "b", "c"]).found
    for entry, recall in zip(network["metrics"]["per_class"], (0.9, 0.0, 0.0), strict=True):
        entry["recall"] = recall
    assert result(network).sentence.endswith("and of each of the 2 worst classes it recognises 0.0%.")


def test_one_network_has_the_rows_of_the_comparison(reports: MakeReport) -> None:
    report = reports()
    compared = summarize(report.found, report.baseline)
    assert summarize_one(report.found) == {
        part: [(row.label, row.found) for row in rows] for part, rows in compared.items()
    }


def with_classes_unscored(network: Network) -> Network:
    """The network of three classes without test images of the last two, both few-shot."""
    metrics = network["metrics"]
    names = [entry["name"] for entry in metrics["per_class"][1:]]
    for entry in metrics["per_class"][1:]:
        entry["n"], entry["recall"], entry["low"], entry["high"] = 0, None, None, None
    groups: dict[str, Group] = {"many": {"recall": 1.0, "classes": 1, "se": 0.0}}
    return {
        **network,
        "metrics": {**metrics, "unscored": names, "groups": groups, "group_sizes": {"many": 1, "few": 2}},
    }


def test_classes_without_test_images_are_told_wherever_a_figure_leaves_them_out(reports: MakeReport) -> None:
    report = reports(["a", "b", "c"])
    found, baseline = with_classes_unscored(report.found), with_classes_unscored(report.baseline)
    left_out = "over 1 of 3 classes (the other 2 have no test image)"
    assert verdict(found, baseline).evidence.startswith(f"on the test split, {left_out}, the found network has ")
    assert result(found).evidence.startswith(f"{left_out}; its top-1 accuracy is ")
    rows = rows_of(found, baseline)
    assert rows["Classes with test images"] == Row("Classes with test images", "1 of 3", "1 of 3")
    dash = "\N{EN DASH}"
    assert rows["Few-shot (0 of 2 classes)"] == Row("Few-shot (0 of 2 classes)", dash, dash)
    assert rows["Many-shot (1 class)"].found.startswith("100.0%")
    found["metrics"]["unscored"] = ["c"]
    assert "over 2 of 3 classes (the other one has no test image); its" in result(found).sentence
    found["metrics"]["groups"]["few"] = baseline["metrics"]["groups"]["few"] = {"recall": 0.5, "classes": 1, "se": 0.1}
    assert "Few-shot (1 of 2 classes)" in rows_of(found, baseline)


def test_nothing_is_said_of_classes_where_all_have_test_images(reports: MakeReport) -> None:
    report = reports(["a", "b", "c"])
    told = verdict(report.found, report.baseline).sentence + result(report.found).sentence
    assert not re.search(r"no test image|of 3 classes", told)
    assert not [label for label in rows_of(report.found, report.baseline) if re.search("Classes with| of ", label)]


def test_figures_of_the_selection_split_are_not_called_those_of_the_test_split(reports: MakeReport) -> None:
    network = with_classes_unscored(reports(["a", "b", "c"]).found)
    network["metrics"]["split"] = "selection"
    told = result(network).sentence
    assert "balanced accuracy on the selection split: over 1 of 3 classes (the other 2 have no selection image)" in told
    parts = summarize_one(network)
    assert list(parts) == ["Cost", "Training", "Selection split"]
    assert not re.search(r"\btest", f"{told}{parts}", flags=re.I)
