import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tailornas.report import Candidate, Plan, Report, render
from tailornas.report.page import stage_times
from tailornas.report.sections import choice_text, limits_text, script_json, sections

MakeReport = Callable[..., Report]

FIGURES = [
    "fig-classes",
    "fig-history",
    "fig-candidates",
    "fig-architecture",
    "fig-per-class",
    "fig-training",
    "fig-confusion",
]


def without_plotly(page: str) -> str:
    """The page without its scripts of code, in which anything may stand."""
    return re.sub(r"<script>.*?</script>", "", page, flags=re.S)


def test_json_in_a_script_element_cannot_leave_it_and_means_the_same() -> None:
    text = json.dumps({"</script><!-- & \u2028": "]]>"}, ensure_ascii=False)
    safe = script_json(text)
    assert not re.search("[<>&\u2028]", safe)
    assert json.loads(safe) == json.loads(text)


def test_the_page_has_every_figure_in_order_and_loads_nothing(reports: MakeReport) -> None:
    page = render(reports())
    rest = without_plotly(page)
    assert re.findall(r'<section id="(fig-[a-z-]+)"', rest) == FIGURES
    assert not re.search(r"\b(src|srcset)=(?!\"data:)|<link(?! rel=\"icon\" href=\"data:,\")|@import|url\((?!#)", rest)
    assert "default-src 'none'" in rest
    assert page.count("* plotly.js v") == 1


def test_hostile_text_is_escaped_wherever_it_may_stand(reports: MakeReport) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    base = reports([f"{evil}{i}" for i in range(3)])
    base.data["source"] = base.data["description"] = evil
    base.data["skipped"] = base.data["unscored"] = [evil]
    base.found["metrics"]["unscored"] = [evil]
    for network in (base.found, base.baseline):
        network["name"] = network["architecture"] = network["init"] = network["loss"] = evil
    base.candidates[0]["architecture"] = evil
    changes: dict[str, Any] = {
        "title": evil,
        "command": evil,
        "config_toml": evil,
        "environment": {evil: evil, "list": [evil]},
    }
    report = Report(**{**vars(base), **changes, "notes": [evil], "seconds": {evil: 1.0}, "picture": evil})
    page = without_plotly(render(report))
    assert re.findall("<img [a-z]+", page) == ["<img class"]  # the picture
    assert "alert(1)</script>" not in page
    assert page.count("&lt;img src=x") >= 20


def test_bytes_that_are_no_text_do_not_keep_the_page_from_being_written(reports: MakeReport) -> None:
    assert "caf?" in render(reports(["caf\udce9", "b"])).encode().decode()


def test_the_order_of_a_sentence_is_its_own(reports: MakeReport) -> None:
    """Embeddings, overrides and isolates go; letters, joiners and marks stay."""
    name, kept = "\u202eevil\u2066\u2069", "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 \u200e"
    base = reports([name, kept, "c"], title=f"{kept}{name}", command=name, notes=[name])
    base.found["init"] = base.data["description"] = base.baseline["name"] = name
    page = without_plotly(render(base))
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", page)
    assert f"<title>{kept}evil</title>" in page
    assert f'<th scope="row">{kept}</th>' in page
    assert page.count("evil") >= 8


def test_what_the_final_networks_are_fitted_to_is_said_where_it_is_more_than_the_training_split(
    reports: MakeReport,
) -> None:
    sentence = "The final networks are fitted to the training and the selection images together, and both count as "
    report = reports(["a", "b", "c"])
    assert sentence not in render(report)
    for network in (report.found, report.baseline):
        chosen = report.data["selection_counts"] or []
        for entry, images in zip(network["metrics"]["per_class"], chosen, strict=True):
            entry["train"] += images
    page = without_plotly(render(report))
    assert page.count(sentence) == 2
    assert sections(report)[0].aid.endswith(f"axis. {sentence}training images beside their recalls.")


def test_confusions_are_listed_where_the_figure_does_not_write_them(reports: MakeReport) -> None:
    report = reports(classes=13)
    names = [entry["name"] for entry in report.found["metrics"]["per_class"]]
    report.found["metrics"]["confusion"] = [[0, 1, 1234], [2, 2, 7]]
    report.found["metrics"]["per_class"][0]["n"] = 2000
    page = without_plotly(render(report))
    row = f'<tr><th scope="row">{names[0]}</th><td>{names[1]}</td><td>1,234</td><td>61.7%</td></tr>'
    assert page.count(row) == 1
    assert "The most frequent confusions" not in render(reports(classes=12))


def test_what_scrolls_can_be_scrolled_by_keyboard(reports: MakeReport) -> None:
    page = without_plotly(render(reports(classes=13)))
    boxes = re.findall(r'<[^>]*class="scroll tall"[^>]*>', page)
    assert len(boxes) == 4  # recalls, confusions, files left out, classes in order
    assert all(re.search(r'^<div .* tabindex="0" role="region" aria-label="[A-Z][^"]+">$', box) for box in boxes)


def test_a_run_without_search_or_logs_says_so(reports: MakeReport) -> None:
    report = reports(candidates=[], picture="", pretrain_log=[], adapt_log=[], train_log=[], baseline_log=[], plan=[])
    empty = {section.id: section.aid for section in sections(report) if not section.panels}
    assert empty == {
        "fig-history": "This run scored no candidates.",
        "fig-candidates": "This run scored no candidates.",
        "fig-architecture": "There is no picture of it.",
        "fig-training": "No training was logged.",
    }
    assert render(report)


def test_how_surely_the_best_candidate_is_told_from_the_others(reports: MakeReport) -> None:
    trial = reports().candidates[0]
    scores = [(0.427, 15_000_000), (0.423, 7_800_000), (0.403, 9_000_000), (0.402, 1_000_000)]
    scored: list[Candidate] = [
        {**trial, "number": at, "score": score, "score_se": 0.024, "macs": macs, "repeated": None}
        for at, (score, macs) in enumerate(scores)
    ]
    again: list[Candidate] = [{**scored[1], "repeated": 1}, {**trial, "score": None, "score_se": None}]
    assert choice_text([*again, *scored]).replace("\N{NO-BREAK SPACE}", " ") == (
        "The best score is 42.7% ± 2.4, and 2 of the 3 other networks lie within that error of it, the cheapest with "
        "7.8 M MACs; all were scored on the same images, so differences are surer than the errors."
    )
    assert "0 of the 1 other networks lie within that error of it; all" in choice_text([scored[0], scored[3]])
    assert choice_text([]) == choice_text(again[1:]) == ""


@pytest.mark.parametrize(
    ("classes", "aid"),
    [
        (10, "bars are 95% Wilson intervals."),
        (100, "bars are 95% Wilson intervals, lines are means over tenths of the classes."),
        (1000, "hovering shows 95% Wilson intervals, lines are means over tenths of the classes."),
    ],
)
def test_reading_aids_follow_what_is_drawn(reports: MakeReport, classes: int, aid: str) -> None:
    aids = {section.id: section.aid for section in sections(reports(classes=classes))}
    assert aids["fig-per-class"].endswith(aid)
    assert ("10 classes next in size share" in aids["fig-confusion"]) == (classes == 1000)


def test_planned_and_real_times_stand_side_by_side() -> None:
    plan: list[Plan] = [
        {"stage": "train", "epochs": 1, "images_per_second": 2140.4, "seconds": 60.0},
        {"stage": "search", "candidates": 1200, "images_per_second": 10.0, "seconds": 5.0},
    ]
    times = stage_times({"data": 1.0, "train": 61.0}, plan)
    rows = [(line.stage, line.plan, line.planned, line.taken) for line in times]
    assert [tuple(cell.replace("\N{NO-BREAK SPACE}", " ") for cell in row) for row in rows] == [
        ("data", "", "", "1.0 s"),
        ("train", "1 epoch at 2,140 images/s", "1 min 00 s", "1 min 01 s"),
        ("search", "1,200 candidates at 10 images/s", "5.0 s", "\N{EN DASH}"),
    ]


def test_an_imbalance_of_thousands_is_written_out(reports: MakeReport) -> None:
    report = reports(["a", "b"])
    report.data["imbalance_factor"] = 12345.6
    assert "imbalance factor 12,346:" in without_plotly(render(report))


def test_limits_are_put_in_words() -> None:
    assert limits_text({"macs": None, "params": None, "latency_ms": None}) == "none"
    text = limits_text({"macs": 24_000_000, "params": 300_000, "latency_ms": 5.0})
    assert text.replace("\N{NO-BREAK SPACE}", " ") == "24 M MACs, 0.3 M parameters, 5.00 ms latency"


def test_the_page_says_how_both_networks_are_used_and_explains_its_words(reports: MakeReport) -> None:
    report = reports(["a", "b", "c"])
    metrics = report.baseline["metrics"]
    metrics["balanced_accuracy"] = report.found["metrics"]["balanced_accuracy"]
    page = without_plotly(render(report))
    use = page.partition('<section id="use">')[2]
    assert "take the one that is cheaper for you: the found network has " in use
    assert re.findall(r"<dt>Weights of the (\w+)</dt><dd><code>(.+?)</code>", use) == [
        ("found", "stages/train/result.safetensors"),
        ("resnet20", "stages/baseline/result.safetensors"),
    ]
    assert '<code>tailornas.load_classifier("FOLDER", "baseline")</code> for the resnet20' in use
    terms = re.findall(r"<dt>(.+?)</dt>", page.partition("What the words mean")[2].partition("</dl>")[0])
    assert {"MACs", "supernet", "Pareto front", "harmonic mean", "AUROC", "ECE", "ldam"} <= set(terms)
