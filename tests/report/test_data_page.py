import base64
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tailornas.data import DataConfig, inspect, read
from tailornas.data.stored import ImageArrays, ImageFiles, StoredSource, StoredSplit
from tailornas.report import data_page
from tailornas.report.data_page import render_data, sample_classes
from tailornas.report.data_values import data_values

EVIL = "</script><script>window.hacked = 1</script><img src=x onerror=alert(1)>"


def page_of(source: StoredSource, **options: Any) -> str:
    config = DataConfig.model_validate({"data": "pets", "profile": "as-is", **options})
    found = inspect(source, config, seed=0)
    return render_data(found, data_values(found, "pets"))


def arrays(counts: list[int], names: tuple[str, ...] | None = None, size: int = 8) -> StoredSource:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), size, size, 3), dtype=np.uint8)
    names = names or tuple(f"class {label}" for label in range(len(counts)))
    return StoredSource(StoredSplit(ImageArrays(pixels, "a test"), labels), None, names, "pets")


@pytest.fixture
def files(tmp_path: Path) -> StoredSource:
    """Files of many sizes and of hostile names, some of them broken and some equal."""
    paths = []
    for number in range(24):
        paths.append(tmp_path / f"<b>{number}<b>.png")
        Image.new("RGB", (20 + 30 * number, 90), (number, 0, 0)).save(paths[-1])
    paths[3].write_bytes(b"")
    shutil.copy(paths[4], paths[5])
    shutil.copy(paths[0], paths[23])
    labels = torch.tensor([0] * 14 + [1] * 7 + [2] * 3)
    return StoredSource(StoredSplit(ImageFiles(paths), labels), None, (f"{EVIL}0", f"{EVIL}1", "caf\udce9"), EVIL)


def without_code(page: str) -> str:
    return re.sub(r"<script>.*?</script>", "", page, flags=re.S)


def thumbnails(page: str) -> list[Image.Image]:
    found = re.findall(r'src="data:image/\w+;base64,([^"]+)"', page)
    return [Image.open(io.BytesIO(base64.b64decode(encoded))) for encoded in found]


def test_the_page_has_everything_and_loads_nothing(files: StoredSource) -> None:
    rest = without_code(page_of(files))
    assert re.findall(r'<section id="([a-z-]+)"', rest) == [
        "warnings",
        "figures",
        "fig-classes",
        "fig-sizes",
        "samples",
        "duplicates",
    ]
    assert rest.count("empty: 0 bytes") == 1
    assert "default-src 'none'" in rest
    assert all(address.startswith("data:image/") for address in re.findall(r'src="([^"]*)"', rest))
    assert not re.search(r"@import|url\((?!#)", rest)


def test_names_are_shown_letter_by_letter(files: StoredSource) -> None:
    rest = without_code(page_of(files))
    assert "<img src=x" not in rest
    assert "<b>3" not in rest
    assert rest.count("&lt;img src=x") >= 6
    assert "&lt;b&gt;3&lt;b&gt;.png" in rest
    assert "caf?" in rest


def test_images_of_one_size_need_no_histogram() -> None:
    rest = without_code(page_of(arrays([9, 5])))
    assert "fig-sizes" not in rest
    assert "8 pixels" in rest
    assert "<dt>A run sees</dt><dd>8 x 8 pixels (--image-size of a run for another)</dd>" in rest
    assert "Equal images" not in rest


def test_an_imbalance_of_thousands_is_written_out() -> None:
    found = inspect(arrays([9, 5]), DataConfig(data="pets", profile="as-is"), seed=0)
    rest = without_code(render_data(found, {**data_values(found, "pets"), "imbalance_factor": 12345.6}))
    assert "the largest class has 12,346 times as many" in rest
    assert "<dt>Imbalance factor</dt><dd>12,346</dd>" in rest


def test_small_images_are_not_enlarged_and_large_ones_are_small() -> None:
    small = thumbnails(without_code(page_of(arrays([20, 3]))))
    assert [(image.size, image.format) for image in small] == [((8, 8), "PNG")] * (8 + 3)
    large = thumbnails(without_code(page_of(arrays([9, 5], size=200))))
    assert {(image.size, image.format) for image in large} == {((64, 64), "JPEG")}


@pytest.mark.parametrize("size", [1, 7, 8, 9, 12, 17, 20])
def test_a_class_shows_eight_images_from_all_over_it(size: int) -> None:
    source = arrays([size, 1], size=4)
    found = inspect(source, DataConfig(data="pets", profile="as-is"), seed=0)
    shown = data_page.samples(found, data_values(found, "pets"))[0]
    assert len(shown.thumbnails) == min(size, 8)


def test_head_middle_and_tail_are_shown() -> None:
    config = DataConfig(data="pets", profile="as-is")
    counts = [3 + label for label in range(30)]
    found = inspect(arrays(counts, size=4), config, seed=0)
    values = data_values(found, "pets")
    assert sample_classes(values["per_class"]) == [29, 28, 27, 26, 16, 15, 14, 13, 3, 2, 1, 0]
    assert sample_classes(values["per_class"][:12]) == list(range(11, -1, -1))


def test_long_lists_say_how_many_more_there_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(data_page, "LISTED", 2)
    paths = [tmp_path / f"{number}.png" for number in range(12)]
    for path in paths[:5]:
        Image.new("RGB", (8, 8)).save(path)
    labels = torch.tensor([0, 1] * 6)
    rest = without_code(page_of(StoredSource(StoredSplit(ImageFiles(paths), labels), None, ("a", "b"), "pets")))
    assert rest.count("missing: no such file") == 2
    assert "And 5 more" in rest


def test_a_group_of_many_copies_is_shortened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(data_page, "COPIES", 3)
    for number in range(9):
        (tmp_path / "ab"[number % 2]).mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), "red").save(tmp_path / "ab"[number % 2] / f"{number}.png")
    Path(tmp_path / "a" / "0.heic").touch()
    rest = without_code(page_of(read(tmp_path)))
    assert rest.count(f'<th scope="row" class="path">{tmp_path}') == 3
    assert "and 6 more, which the JSON output lists" in rest
    assert re.search(r'id="passed-over".*\.heic</th><td>1</td><td>a 1</td>', rest, re.DOTALL)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on the path")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


def show(browser: Browser, file: Path, page: str, width: int, scheme: Literal["light", "dark"]) -> Page:
    file.write_text(page, encoding="utf-8")
    shown = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    complaints: list[str] = []
    shown.on("console", lambda message: complaints.append(message.text))
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    shown.goto(file.as_uri())
    expect(shown.locator(".chart:not(.js-plotly-plot)")).to_have_count(0)
    assert complaints == []
    return shown


@pytest.mark.parametrize(("width", "scheme"), [(1200, "dark"), (400, "light")])
def test_it_is_whole_on_a_screen_and_a_phone(
    browser: Browser, files: StoredSource, tmp_path: Path, width: int, scheme: Literal["light", "dark"]
) -> None:
    shown = show(browser, tmp_path / "data.html", page_of(files), width, scheme)
    assert shown.locator(".chart .main-svg").count() >= 2
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert shown.evaluate("window.hacked") is None
    assert shown.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
    assert shown.locator("#samples img").count() == 8 + 7 + 3
    shown.close()


def test_a_thousand_classes_are_a_curve(browser: Browser, tmp_path: Path) -> None:
    source = arrays([max(1, 300 // (1 + label)) for label in range(1000)], size=4)
    shown = show(browser, tmp_path / "data.html", page_of(source), 400, "light")
    assert shown.locator("#fig-classes .barlayer path").count() == 1000
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert shown.locator(".samples").count() == 12
    shown.close()
