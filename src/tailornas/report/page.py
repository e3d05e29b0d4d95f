"""The report as one HTML file that needs nothing else: no network, no second file, no server."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Any, final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from tailornas.report.figures import by_size
from tailornas.report.formats import count, duration, percent, ratio
from tailornas.report.glossary import explained
from tailornas.report.recognition import most_confused
from tailornas.report.sections import fitted_text, limits_text, sections
from tailornas.report.summary import summarize, verdict
from tailornas.report.use import advice, preparation
from tailornas.report.values import Plan, Report

__all__ = ["StageTime", "render", "render_template", "stage_times"]

# A finger on a figure scrolls the page, a mouse zooms. Paper is narrower than the window was.
DRAW = """
"use strict";
const touch = matchMedia("(pointer: coarse)").matches;
const charts = [...document.querySelectorAll(".chart")];
for (const chart of charts) {
  const figure = JSON.parse(chart.previousElementSibling.textContent);
  if (touch) figure.layout.dragmode = false;
  const config = {responsive: true, displayModeBar: false, typesetMath: false};
  Plotly.newPlot(chart, figure.data, figure.layout, config);
}
const fit = () => charts.forEach((chart) => Plotly.Plots.resize(chart));
addEventListener("beforeprint", fit);
addEventListener("afterprint", fit);
"""

# A sentence's order is its own: that of a name in it would go on to the sentence's end.
TURNING = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)])


@final
@dataclass(frozen=True)
class StageTime:
    """One line of the table of times.

    Args:
        stage: name of the stage.
        plan: expected work and speed, ``30 epochs at 2,140 images/s``; empty where not planned.
        planned: planned time.
        taken: time that it took; a dash where that is not known.
    """

    stage: str
    plan: str
    planned: str
    taken: str


def own_words(rows: Iterable[tuple[str, str]]) -> list[str]:
    """What a summary says in the page's own words: a path that weights came from is not among them."""
    starts = "scratch", "supernet"  # else a path
    return [f"{label} {value}" if label != "Starts from" or value in starts else label for label, value in rows]


def render(report: Report) -> str:
    """Returns the page as HTML text, to be written as UTF-8.

    Every text of the report, class names included, is shown letter by letter: neither the browser nor plotly
    reads it as markup. Beyond that, the page's content security policy forbids every connection, and every
    script but the two that the page brings.
    """
    found, baseline = report.found["metrics"]["per_class"], report.baseline["metrics"]["per_class"]
    judged, summary = verdict(report.found, report.baseline), summarize(report.found, report.baseline)
    figures = sections(report)
    words = own_words((row.label, row.found) for rows in summary.values() for row in rows)
    words += [text for figure in figures for text in (figure.aid, *(panel.title for panel in figure.panels))]
    return render_template(
        "page.html.j2",
        title=report.title,
        report=report,
        verdict=judged,
        summary=summary,
        terms=explained(words, [report.found["loss"], report.baseline["loss"]]),
        sections=figures,
        classes=[(found[i], baseline[i]) for i in by_size([entry["train"] for entry in found])],
        confusions=most_confused(report.found["metrics"]),
        limits=limits_text(report.limits),
        fitted=fitted_text(report.data, report.found["metrics"]),
        stages=stage_times(report.seconds, report.plan),
        prepared=preparation(report.data),
        advice=advice(judged, report.found, report.baseline),
    )


def render_template(name: str, *, title: str, **values: Any) -> str:
    """Returns the page that a template of this folder makes, whole: style sheet, figures' code and policy included.

    Texts lose the letters that would turn round the order in which what follows them is read.

    Args:
        name: the template, which extends ``base.html.j2``.
        title: the page's title.
        values: what the template speaks of.
    """
    environment = Environment(
        loader=PackageLoader("tailornas", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_in_order,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"count": count, "percent": percent, "ratio": ratio}
    scripts = get_plotlyjs(), DRAW
    html = environment.get_template(name).render(
        title=title,
        css=Markup(files("tailornas.report").joinpath("page.css").read_text(encoding="utf-8")),
        scripts=[Markup(script) for script in scripts],
        script_hashes=" ".join(f"'sha256-{_hash(script)}'" for script in scripts),
        **values,
    )
    # File names may hold bytes that are no text, which UTF-8 cannot say.
    return html.encode(errors="replace").decode()


def stage_times(seconds: Mapping[str, float], plan: Sequence[Plan] = ()) -> list[StageTime]:
    """Planned and real times of all stages, those that ran first, in their order."""
    plans = {planned["stage"]: planned for planned in plan}
    lines = []
    for stage in dict.fromkeys([*seconds, *plans]):
        work = planned = ""
        if stage in plans:
            expected = plans[stage]
            work = f"{_work(expected)} at {expected['images_per_second']:,.0f} images/s"
            planned = duration(expected["seconds"])
        taken = duration(seconds.get(stage))
        lines.append(StageTime(stage, work, planned, taken))
    return lines


def _work(plan: Plan) -> str:
    if "epochs" in plan:
        return f"{plan['epochs']:,} {'epoch' if plan['epochs'] == 1 else 'epochs'}"
    return f"{plan['candidates']:,} {'candidate' if plan['candidates'] == 1 else 'candidates'}"


def _in_order(value: Any) -> Any:
    """A template's value without embeddings, overrides and isolates of the bidirectional algorithm."""
    # What is markup has been through here text by text; the page's policy holds the hashes of its scripts.
    return value.translate(TURNING) if isinstance(value, str) and not isinstance(value, Markup) else value


def _hash(script: str) -> str:
    return b64encode(sha256(script.encode()).digest()).decode()
