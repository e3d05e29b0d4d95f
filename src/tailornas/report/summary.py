"""What networks recognise in one sentence and one table: of one alone, or of the found one beside the baseline."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, final

from tailornas.report.formats import count, duration, milliseconds, percent, points, relative, with_error
from tailornas.report.values import Metrics, Network, Timing

__all__ = ["Row", "Verdict", "result", "summarize", "summarize_one", "verdict"]


@final
@dataclass(frozen=True)
class Verdict:
    """How a network does on the split that it is measured on, or who of two does better, as one sentence in two parts.

    Args:
        outcome: the winner, or ``noise`` where the difference is too small to name one; None of a network alone.
        claim: the sentence up to its colon.
        evidence: the rest: the numbers.
    """

    outcome: Literal["found", "baseline", "noise"] | None
    claim: str
    evidence: str

    @property
    def sentence(self) -> str:
        """The whole sentence."""
        return f"{self.claim}: {self.evidence}"


def verdict(found: Network, baseline: Network) -> Verdict:
    """Judges the difference in balanced accuracy on the test split by its standard error.

    The error is paired, as both networks saw the same test images: how far the difference would be another on other
    test images.

    How far it would be another after other trainings, from one seed to the next, one training of each network cannot
    say, and the sentence says so. Below twice the standard error, a difference is noise. Where classes have no test
    image, the sentence says how many.
    """
    ours, theirs = found["metrics"], baseline["metrics"]
    rates, errors = (ours["balanced_accuracy"], theirs["balanced_accuracy"]), found["difference_se"]
    assert errors is not None
    difference, error = rates[0] - rates[1], errors["balanced_accuracy"]
    where = f"on the test split, {scored}," if (scored := _scored(ours)) else "on the test split"
    evidence = (
        f"{where} the found network has {percent(rates[0])} balanced accuracy with "
        f"{count(found['macs'])} MACs and {count(found['params'])} parameters, the baseline "
        f"{percent(rates[1])} with {count(baseline['macs'])} and {count(baseline['params'])}; the difference "
        f"of {points(difference)} points has a paired standard error of {100 * error:.1f} (over test images: "
        "differences between trainings, by their seeds, are not included)"
    )
    name, alike = baseline["name"], "."
    if found["epochs"] != baseline["epochs"]:
        alike = f"; they were trained {found['epochs']} and {baseline['epochs']} epochs, so not alike."
    match _higher(difference, error):
        case "found":
            return Verdict("found", f"The found network beats the baseline {name}", f"{evidence}{alike}")
        case "baseline":
            return Verdict("baseline", f"The baseline {name} beats the found network", f"{evidence}{alike}")
    claim = f"No clear winner between the found network and the baseline {name}"
    return Verdict("noise", claim, f"{evidence}, so it is within the noise{alike}")


def result(network: Network) -> Verdict:
    """The balanced accuracy with its standard error, the top-1 accuracy and the worst class; how many have no image."""
    metrics = network["metrics"]
    balanced = with_error(percent(metrics["balanced_accuracy"]), metrics["balanced_se"])
    lowest = min(entry["recall"] for entry in metrics["per_class"] if entry["recall"] is not None)
    names = [entry["name"] for entry in metrics["per_class"] if entry["recall"] == lowest]
    worst = f"the worst class, {names[0]}," if len(names) == 1 else f"each of the {len(names)} worst classes"
    top1 = f"its top-1 accuracy is {percent(metrics['accuracy'])}, and of {worst} it recognises {percent(lowest)}."
    return Verdict(
        None,
        f"{network['name']} has {balanced} balanced accuracy on the {metrics['split']} split",
        f"{scored}; {top1}" if (scored := _scored(metrics)) else top1,
    )


@final
@dataclass(frozen=True)
class Row:
    """One line of the summary table.

    Args:
        label: what is compared.
        found: the found network's value.
        baseline: the baseline's value.
        difference: found against baseline; empty where there is nothing to subtract.
        better: whose value is better; None where that is not known, or neither is.
    """

    label: str
    found: str
    baseline: str
    difference: str = ""
    better: Literal["found", "baseline"] | None = None


def summarize(found: Network, baseline: Network) -> dict[str, list[Row]]:
    """The summary table's rows by part: cost, training, and the split that both are measured on."""
    return {
        "Cost": _cost(found, baseline),
        "Training": [
            Row("Loss", found["loss"], baseline["loss"]),
            Row("Starts from", found["init"], baseline["init"]),
            Row("Epochs", _epochs(found), _epochs(baseline)),
            _time(found["seconds"], baseline["seconds"]),
        ],
        f"{found['metrics']['split'].capitalize()} split": _recognition(found, baseline),
    }


def summarize_one(network: Network) -> dict[str, list[tuple[str, str]]]:
    """The same rows of one network: label and value, by part."""
    parts = summarize(network, network)
    return {part: [(row.label, row.found) for row in rows] for part, rows in parts.items()}


def _scored(metrics: Metrics) -> str:
    """How many classes the rates are over, where these are not all: ``over 6 of 10 classes (the other 4 have ...)``."""
    missing, classes = len(metrics["unscored"]), len(metrics["per_class"])
    if not missing:
        return ""
    others = "the other one has" if missing == 1 else f"the other {missing:,} have"
    return f"over {classes - missing:,} of {classes:,} classes ({others} no {metrics['split']} image)"


def _higher(difference: float, error: float) -> Literal["found", "baseline"] | None:
    """Whose rate is the higher one, by the standard error of their difference; None where it may be noise."""
    if difference == 0 or abs(difference) < 2 * error:
        return None
    return "found" if difference > 0 else "baseline"


def _epochs(network: Network) -> str:
    head = network["head_epochs"]
    return f"{network['epochs']}" + (f", then {head} of the head" if head else "")


def _time(found: float | None, baseline: float | None) -> Row:
    """Times of both trainings, compared where both are known."""
    if found is None or baseline is None:
        return Row("Time", duration(found), duration(baseline))
    return _cheaper("Time", found, baseline, duration)


def _cost(found: Network, baseline: Network) -> list[Row]:
    rows = [
        _cheaper("Parameters", found["params"], baseline["params"], count),
        _cheaper("MACs", found["macs"], baseline["macs"], count),
    ]
    if found["latency_ms"] is not None and baseline["latency_ms"] is not None:
        rows.append(_latency(found["latency_ms"], baseline["latency_ms"]))
    return rows


def _latency(found: Timing, baseline: Timing) -> Row:
    """Medians with their interquartile range; neither is better where the difference lies within the wider range."""
    row = _cheaper("Latency", found["median"], baseline["median"], milliseconds)
    apart = abs(found["median"] - baseline["median"]) > max(found["spread"], baseline["spread"])
    return replace(
        row,
        found=f"{row.found} (IQR {found['spread']:.2g})",
        baseline=f"{row.baseline} (IQR {baseline['spread']:.2g})",
        better=row.better if apart else None,
    )


def _recognition(found: Network, baseline: Network) -> list[Row]:
    ours, theirs, paired = found["metrics"], baseline["metrics"], found["difference_se"]
    rows = []
    if missing := len(ours["unscored"]):
        classes = len(ours["per_class"])
        covered = f"{classes - missing:,} of {classes:,}"
        rows.append(Row(f"Classes with {ours['split']} images", covered, covered))
    rows += [
        _judged(
            _rates("Balanced accuracy", ours["balanced_accuracy"], theirs["balanced_accuracy"]),
            ours["balanced_accuracy"] - theirs["balanced_accuracy"],
            (ours["balanced_se"], theirs["balanced_se"]),
            paired["balanced_accuracy"] if paired else None,
        ),
        _rates("Top-1 accuracy", ours["accuracy"], theirs["accuracy"]),
    ]
    for name, size in ours["group_sizes"].items():
        group, other = ours["groups"].get(name), theirs["groups"].get(name)
        scored = group["classes"] if group else 0
        among = "" if scored == size else f"{scored:,} of "
        label = f"{name.capitalize()}-shot ({among}{size:,} {'class' if size == 1 else 'classes'})"
        if group is None or other is None:
            rows.append(Row(label, "\N{EN DASH}", "\N{EN DASH}"))
            continue
        row = _rates(label, group["recall"], other["recall"])
        difference, errors = group["recall"] - other["recall"], (group["se"], other["se"])
        rows.append(_judged(row, difference, errors, paired["groups"][name] if paired else None))
    rows += [
        _rates("Worst class", ours["worst_class"], theirs["worst_class"]),
        _rates("Macro F1", ours["macro_f1"], theirs["macro_f1"]),
        _rates("Harmonic mean", ours["harmonic_mean"], theirs["harmonic_mean"]),
        _rates("Geometric mean", ours["geometric_mean"], theirs["geometric_mean"]),
    ]
    if ours["auroc"] is not None and theirs["auroc"] is not None:
        rows.append(_rates("AUROC", ours["auroc"], theirs["auroc"]))
    rows.append(_rates("ECE", ours["ece"], theirs["ece"]))
    return rows


def _rates(label: str, found: float, baseline: float) -> Row:
    """Two rates, of which neither is called better: that would take the error of their difference."""
    return Row(label, percent(found), percent(baseline), points(found - baseline))


def _judged(row: Row, difference: float, errors: tuple[float, float], paired: float | None) -> Row:
    """Rates with their standard errors, and that of their difference; None: there is nothing to compare with."""
    row = replace(row, found=with_error(row.found, errors[0]), baseline=with_error(row.baseline, errors[1]))
    if paired is None:
        return row
    return replace(row, difference=with_error(row.difference, paired), better=_higher(difference, paired))


def _cheaper(label: str, found: float, baseline: float, write: Callable[[float], str]) -> Row:
    """Two costs, the lower of which is better unless they are written alike."""
    ours, theirs = write(found), write(baseline)
    better: Literal["found", "baseline"] | None = None
    if ours != theirs:
        better = "found" if found < baseline else "baseline"
    return Row(label, ours, theirs, relative(found, baseline), better)
