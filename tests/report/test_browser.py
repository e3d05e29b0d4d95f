"""The page in a real browser: everything is drawn, nothing is loaded, nothing is complained about."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tailornas.report import NetworkReport, Report, render, render_network

MakeReport = Callable[..., Report]
MakeNetworkReport = Callable[..., NetworkReport]

CHARTS = {
    "fig-classes": 1,
    "fig-history": 1,
    "fig-candidates": 1,
    "fig-architecture": 0,
    "fig-per-class": 1,
    "fig-training": 4,
    "fig-confusion": 1,
}
NETWORK_CHARTS = {"fig-classes": 1, "fig-per-class": 1, "fig-training": 2, "fig-confusion": 1}

HOSTILE = [
    "</script><script>window.hacked = 1</script>",
    "<!--<script>",
    "<b>bold</b>",
    '<a href="https://example.org">link</a>',
    "<br><sub>2</sub>",
    "&lt;i&gt; &amp; &#66;",
    "$\\alpha$",
    "%{x} %{customdata}",
    "{{ 7 * 7 }} {% x %}",
    '"\' onmouseover="window.hacked = 1',
]

UNDRAWN = """() => [...document.querySelectorAll(".chart")].flatMap((chart) => {
  const frame = chart.querySelector("svg.main-svg").getBoundingClientRect();
  const marks = [...chart.querySelectorAll(".scatterlayer path, .barlayer path, .heatmaplayer image")];
  const seen = marks.map((mark) => mark.getBoundingClientRect()).some((box) => box.width > 2 || box.height > 2);
  return seen && frame.width > 200 && frame.height > 200 ? [] : [chart.closest("section").id];
})"""

# Text may stand out of its chart by less than a pixel's rounding; it must not be cut off.
CLIPPED = """() => [...document.querySelectorAll(".chart")].flatMap((chart) => {
  const box = chart.getBoundingClientRect();
  return [...chart.querySelectorAll("svg text")].filter((text) => {
    const at = text.getBoundingClientRect();
    return at.width && (at.left < box.left - 1 || at.right > box.right + 1 ||
                        at.top < box.top - 1 || at.bottom > box.bottom + 1);
  }).map((text) => `${chart.closest("section").id}: ${text.textContent}`);
})"""

OVERLAPPING = """() => [...document.querySelectorAll(".chart")].flatMap((chart) =>
  [".xtick text", ".ytick text", ".legendtext"].flatMap((kind) => {
    const texts = [...chart.querySelectorAll(kind)].filter((text) => !text.getAttribute("transform")?.includes("-45"));
    const boxes = texts.map((text) => text.getBoundingClientRect());
    return boxes.flatMap((a, i) => boxes.slice(0, i).filter((b) =>
      a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3
    ).map(() => `${chart.closest("section").id}: ${texts[i].textContent}`));
  }))"""


@dataclass
class Opened:
    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on the path")
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
    ]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield running
        running.close()


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Opens a report; at the end fails on any complaint of the browser and on any request but the file."""
    opened: list[Opened] = []

    def open_report(report: Report | NetworkReport, width: int, scheme: Literal["light", "dark"] = "light") -> Opened:
        file = tmp_path / "report.html"
        page = render(report) if isinstance(report, Report) else render_network(report)
        file.write_text(page, encoding="utf-8")
        one = Opened(browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme))
        opened.append(one)

        def on_console(message: ConsoleMessage) -> None:
            one.complaints.append(f"{message.type}: {message.text}")

        one.page.on("console", on_console)
        one.page.on("pageerror", lambda error: one.complaints.append(str(error)))
        one.page.on("request", lambda request: one.requests.append(request.url))
        one.page.goto(file.as_uri())
        expect(one.page.locator(".chart:not(.js-plotly-plot)")).to_have_count(0)
        return one

    yield open_report
    for one in opened:
        assert one.complaints == []
        assert [url for url in one.requests if not url.startswith("data:")] == [one.page.url]
        one.page.close()


def refuse_defects(page: Page, charts: dict[str, int] = CHARTS) -> None:
    """Every figure is drawn with marks in it, no text is cut off or overlaps, and the page is not too wide."""
    assert {figure: page.locator(f"#{figure} .chart").count() for figure in charts} == charts
    assert page.evaluate(UNDRAWN) == []
    if "fig-architecture" in charts:
        assert page.locator("#fig-architecture img").evaluate("image => image.naturalWidth") == 300
    assert page.evaluate(CLIPPED) == []
    assert page.evaluate(OVERLAPPING) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def refuse_markup_on_hover(page: Page, recall_curve: int) -> None:
    """Every hostile name is shown letter by letter wherever a figure is pointed at."""
    for number, name in enumerate(HOSTILE):
        hovered = {
            "fig-classes": f"[{{curveNumber: 0, pointNumber: {number}}}]",
            "fig-per-class": f"[{{curveNumber: {recall_curve}, pointNumber: {number}}}]",
            "fig-confusion": f"{{xval: {number}, yval: {number}}}",
        }
        for figure, point in hovered.items():
            page.evaluate(f"Plotly.Fx.hover(document.querySelector('#{figure} .chart'), {point}, 'xy')")
            expect(page.locator(f"#{figure} .hoverlayer")).to_contain_text(name)
    assert page.locator(".chart a, .chart b, .chart sub, .hoverlayer a").count() == 0


def test_a_page_is_whole_on_a_screen_a_phone_and_paper(reports: MakeReport, show: Callable[..., Opened]) -> None:
    page = show(reports(), 1200, "dark").page
    refuse_defects(page)
    colour = "getComputedStyle(document.querySelector('#fig-classes .ytick text')).fill"
    assert page.evaluate(colour) == "rgb(164, 174, 184)"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 26)"
    page.emulate_media(media="print")
    assert page.evaluate(colour) == "rgb(87, 96, 106)"
    page.emulate_media(media="screen", color_scheme="light")
    assert page.evaluate(colour) == "rgb(87, 96, 106)"
    page.set_viewport_size({"width": 400, "height": 900})
    for chart in page.locator(".chart").all():
        expect(chart.locator(".main-svg").first).to_have_attribute("width", "368")
    refuse_defects(page)


@pytest.mark.parametrize("classes", [20, 1000])
def test_many_classes_fit_a_phone(reports: MakeReport, show: Callable[..., Opened], classes: int) -> None:
    refuse_defects(show(reports(classes=classes), 400).page)


def test_class_names_are_shown_letter_by_letter(reports: MakeReport, show: Callable[..., Opened]) -> None:
    page = show(reports(HOSTILE), 1200).page
    refuse_defects(page)
    assert page.evaluate("window.hacked") is None
    assert page.locator("#fig-per-class tbody th").all_text_contents() == HOSTILE
    short = [text for text in page.locator("#fig-classes .ytick text").all_text_contents() if "…" not in text]
    assert sorted(short) == sorted(name for name in HOSTILE if len(name) <= 18)
    refuse_markup_on_hover(page, recall_curve=1)


def test_a_page_on_one_network_is_whole_and_escapes_its_names(
    network_reports: MakeNetworkReport, show: Callable[..., Opened]
) -> None:
    report = network_reports(HOSTILE)
    report.network["name"] = HOSTILE[0]
    page = show(report, 1200, "dark").page
    refuse_defects(page, NETWORK_CHARTS)
    page.set_viewport_size({"width": 400, "height": 900})
    expect(page.locator("#fig-per-class .main-svg").first).to_have_attribute("width", "368")
    refuse_defects(page, NETWORK_CHARTS)
    assert page.evaluate("window.hacked") is None
    assert page.locator("#fig-confusion h2").text_content() == f"What {HOSTILE[0]} confuses"
    assert page.locator("#fig-per-class tbody th").all_text_contents() == HOSTILE
    refuse_markup_on_hover(page, recall_curve=0)


def test_a_page_on_one_network_of_many_classes_fits_a_phone(
    network_reports: MakeNetworkReport, show: Callable[..., Opened]
) -> None:
    refuse_defects(show(network_reports(classes=100), 400).page, NETWORK_CHARTS)
