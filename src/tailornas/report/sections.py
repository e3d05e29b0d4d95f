"""The pages' figures, each with its heading and one sentence on how to read it; those of a search in their order."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import plotly.graph_objects as go
from markupsafe import Markup

from tailornas.report.figures import LOG_FROM, NAMED_CLASSES, class_counts, training_curve
from tailornas.report.formats import count, milliseconds, percent, with_error
from tailornas.report.recognition import CELLS, INTERVALS, WRITTEN, class_recalls, confusion_matrix
from tailornas.report.style import BASELINE, FOUND, SELECTION, TEST
from tailornas.report.trials import candidate_costs, search_history
from tailornas.report.values import Candidate, Data, Limits, LogLine, Metrics, Report

__all__ = [
    "Panel",
    "Section",
    "choice_text",
    "class_section",
    "confusion_section",
    "fitted_text",
    "limits_text",
    "plot",
    "recall_section",
    "script_json",
    "sections",
    "training_section",
]


@final
@dataclass(frozen=True)
class Panel:
    """One drawing of a figure.

    Args:
        markup: the drawing.
        title: its heading, where a figure has several.
    """

    markup: Markup
    title: str = ""


@final
@dataclass(frozen=True)
class Section:
    """One figure of the page.

    Args:
        id: its anchor.
        heading: its title.
        aid: one sentence on how to read it or, without panels, on why there is nothing to read.
        panels: the drawings.
    """

    id: str
    heading: str
    aid: str
    panels: Sequence[Panel] = ()


def sections(report: Report) -> list[Section]:
    """All figures of ``report`` in the page's order."""
    return [
        class_section(report.data, fitted_text(report.data, report.found["metrics"])),
        _history(report),
        _candidates(report),
        _architecture(report),
        recall_section(report.found["metrics"], report.baseline["metrics"]),
        training_section(
            ("Supernet on the source", report.pretrain_log, TEST),
            ("Supernet adapted to the target", report.adapt_log, SELECTION),
            ("Found network", report.train_log, FOUND),
            ("Baseline", report.baseline_log, BASELINE),
        ),
        confusion_section(report.found["metrics"], "the found network"),
    ]


def class_section(data: Data, fitted: str = "") -> Section:
    """The class sizes in every split that there is; ``fitted`` is a further sentence, see :func:`fitted_text`."""
    others = {"selection": data["selection_counts"], "test": data["test_counts"]}
    *names, last = ["training", *(name for name, counts in others.items() if counts is not None)]
    splits, number = f"{', '.join(names)} and {last}", "three" if len(names) == 2 else "two"
    scale = ", on a logarithmic axis" if data["imbalance_factor"] >= LOG_FROM else ""
    aid = f"Images of each class in the {splits} split, from the largest class to the smallest{scale}."
    drawn = plot(class_counts(data), f"Class sizes in the {number} splits")
    return Section("fig-classes", "The classes", f"{aid} {fitted}".rstrip(), [Panel(drawn)])


def recall_section(found: Metrics, baseline: Metrics | None = None) -> Section:
    """The recall of every class by its size, of one network or of the found one beside the baseline."""
    classes = len(found["per_class"])
    intervals = "bars are" if classes <= INTERVALS else "hovering shows"
    lines = "" if classes <= NAMED_CLASSES else "the line is the mean" if baseline is None else "lines are means"
    aid = (
        f"A mark is a class, at its training images and its recall on the {found['split']} split; "
        f"{intervals} 95% Wilson intervals{lines and f', {lines} over tenths of the classes'}."
    )
    whose = "" if baseline is None else ", for both networks"
    drawn = plot(class_recalls(found, baseline), f"Recall of every class against its training images{whose}")
    return Section("fig-per-class", "Recall by class size", aid, [Panel(drawn)])


def training_section(*stages: tuple[str, Sequence[LogLine], str]) -> Section:
    """The training curves of ``stages``, each a title, its log and its colour; one without a log is left out."""
    logged = [stage for stage in stages if stage[1]]
    if not logged:
        return Section("fig-training", "Training", "No training was logged.")
    several = len(logged) > 1
    panels = [
        Panel(plot(training_curve(log, color), f"Training loss by epoch: {title}"), title if several else "")
        for title, log, color in logged
    ]
    scales = ", each stage on its own scales" if several else ""
    aid = f"The line is the training loss by epoch, the shade the learning rate{scales}."
    return Section("fig-training", "Training", aid, panels)


def confusion_section(metrics: Metrics, network: str) -> Section:
    """What ``network``, as it is called within a sentence, predicts for the measured images of every class."""
    split, classes = metrics["split"], len(metrics["per_class"])
    together = ""
    if classes > CELLS:
        together = f"; {-(-classes // CELLS)} classes next in size share a row and a column"
    aid = (
        f"A row is a true class and shows as which classes its {split} images were predicted, in percent; "
        f"the diagonal is right{together}."
    )
    drawn = plot(
        confusion_matrix(metrics),
        f"Confusion matrix of {network} on the {split} split",
        style="named" if WRITTEN < classes <= NAMED_CLASSES else "",
    )
    return Section("fig-confusion", f"What {network} confuses", aid, [Panel(drawn)])


def plot(drawn: go.Figure, description: str, style: str = "") -> Markup:
    """A plotly figure as JSON beside the empty element that the page's script draws it in.

    Args:
        drawn: the figure.
        description: what screen readers say in its place.
        style: a further class of the element for the style sheet.
    """
    return Markup(
        '<script type="application/json">{}</script>\n<div class="chart {}" role="img" aria-label="{}"></div>'
    ).format(script_json(drawn.to_json()), style, description)


def script_json(json: str) -> Markup:
    """JSON text that can stand inside a ``<script>`` element: no letter of it can end or open one."""
    for letter in "<>&\u2028\u2029":
        json = json.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(json)


def fitted_text(data: Data, metrics: Metrics) -> str:
    """What the networks of a search are fitted to where that is more than the training split; empty where it is not."""
    if [entry["train"] for entry in metrics["per_class"]] == data["train_counts"]:
        return ""
    return (
        "The final networks are fitted to the training and the selection images together, and both count as training "
        "images beside their recalls."
    )


def limits_text(limits: Limits) -> str:
    """The limits in words: ``30 M MACs, 0.5 M parameters``, or ``none``."""
    parts = []
    if limits["macs"] is not None:
        parts.append(f"{count(limits['macs'])} MACs")
    if limits["params"] is not None:
        parts.append(f"{count(limits['params'])} parameters")
    if limits["latency_ms"] is not None:
        parts.append(f"{milliseconds(limits['latency_ms'])} latency")
    return ", ".join(parts) or "none"


def _history(report: Report) -> Section:
    heading = "The search, trial by trial"
    if not report.candidates:
        return Section("fig-history", heading, "This run scored no candidates.")
    aid = (
        "A dot is a trial at its score, which is balanced accuracy on the selection split: a ring repeats a "
        "network scored before, a cross is infeasible and not scored, the numbered bands are generations."
    )
    drawn = plot(search_history(report.candidates), "Score of every trial, and the best so far")
    return Section("fig-history", heading, aid, [Panel(drawn)])


def _candidates(report: Report) -> Section:
    heading = "Score against cost"
    if not report.candidates:
        return Section("fig-candidates", heading, "This run scored no candidates.")
    aid = (
        "Higher is better, further left is cheaper, and no network beats one on the Pareto front in both; "
        f"hovering shows standard errors (limits: {limits_text(report.limits)}). {choice_text(report.candidates)}"
    )
    costs = candidate_costs(report.candidates, report.found, report.limits)
    drawn = plot(costs, "Score of every network against its multiply-accumulates")
    return Section("fig-candidates", heading, aid, [Panel(drawn)])


def choice_text(candidates: Sequence[Candidate]) -> str:
    """How surely the selection split tells the best score from the others; empty where nothing was scored."""
    scored = [c for c in candidates if c["score"] is not None and c["score_se"] is not None and c["repeated"] is None]
    if not scored:
        return ""
    best, *others = sorted(scored, key=lambda c: (-(c["score"] or 0), c["macs"]))
    score, error = best["score"] or 0.0, best["score_se"] or 0.0
    near = [c for c in others if (c["score"] or 0) >= score - error]
    within = f"{len(near):,} of the {len(others):,} other networks {'lies' if len(near) == 1 else 'lie'}"
    cheapest = f", the cheapest with {count(min(c['macs'] for c in near))} MACs" if near else ""
    return (
        f"The best score is {with_error(percent(score), error)}, and {within} within that error of it{cheapest}; all "
        "were scored on the same images, so differences are surer than the errors."
    )


def _architecture(report: Report) -> Section:
    heading = "The found architecture"
    if not report.picture:
        return Section("fig-architecture", heading, "There is no picture of it.")
    # An image of its own, so that its style sheet is not the page's.
    source = b64encode(report.picture.encode()).decode()
    image = Markup('<img class="picture" alt="{}" src="data:image/svg+xml;base64,{}">')
    aid = "What the search chose; parts that cannot reach the output are left out."
    return Section("fig-architecture", heading, aid, [Panel(image.format(report.found["architecture"], source))])
