import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from tailornas.config import StandaloneConfig, read_config
from tailornas.data import prepare
from tailornas.pipeline import train, train_stages
from tailornas.report import Network, NetworkReport, render_network
from tailornas.report.network_page import network_sections
from tailornas.runs import make_console, read_json

MakeReport = Callable[..., NetworkReport]

FIGURES = ["fig-classes", "fig-per-class", "fig-training", "fig-confusion"]


def text_of(page: str) -> str:
    """What is read on the page, its scripts left out: one line, no-break spaces as spaces."""
    rest = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", page, flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", rest)).split())


def test_the_page_says_how_good_the_network_is_and_how_it_was_made(network_reports: MakeReport) -> None:
    report = network_reports(["a", "b", "c"])
    metrics = report.network["metrics"]
    metrics["balanced_accuracy"], metrics["balanced_se"], metrics["accuracy"] = 0.6543, 0.0112, 0.7111
    metrics["per_class"][1] = {"name": "b", "train": 1234, "n": 200, "recall": 0.1, "low": 0.066, "high": 0.149}
    text = text_of(render_network(report))
    assert text.count("65.4% ± 1.1") == 2  # in the sentence and in the table
    for words in (
        "its top-1 accuracy is 71.1%, and of the worst class, b, it recognises 10.0%.",
        "Loss ldam + drw + crt",
        "Architecture: resnet32",
        "b 1,234 200 10.0% 6.6% to 14.9%",
        "Training 555 images Test 300 images",
        "train 3 min 12 s train-head 9.0 s evaluate 1.2 s",
        "torch 2.14.1 commit \N{EN DASH} capabilities avx2, amx_bf16",
        "To repeat it tailornas train --data cifar10 --second-stage crt",
        'name = "resnet32"',
        "1 file left out, because unreadable cat/broken.jpg: not an image",
        "1 note on this run is further down.",
        "Notes The training of the ResNet-32 ended early.",
    ):
        assert words in text
    assert not re.search(r"baseline|selection|Limits|Planned", text, flags=re.I)


def test_its_figures_stand_in_order_and_nothing_is_loaded(network_reports: MakeReport) -> None:
    page = render_network(network_reports())
    rest = re.sub(r"<script>.*?</script>", "", page, flags=re.S)
    assert re.findall(r'<section id="(fig-[a-z-]+)"', rest) == FIGURES
    assert not re.search(r"\b(src|srcset)=|<link(?! rel=\"icon\" href=\"data:,\")|@import|url\((?!#)", rest)
    assert "default-src 'none'" in rest


def test_hostile_text_is_escaped_wherever_it_may_stand(network_reports: MakeReport) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    base = network_reports([f"{evil}{i}" for i in range(3)])
    base.data["source"] = base.data["description"] = base.data["profile"] = evil
    base.data["skipped"] = [evil]
    base.network["metrics"]["unscored"] = [evil]
    network: Network = {**base.network, "name": evil, "architecture": evil, "init": evil, "loss": evil}
    environment = {evil: evil, "list": [evil]}
    report = replace(
        base,
        title=evil,
        command=evil,
        config_toml=evil,
        network=network,
        environment=environment,
        seconds={evil: 1.0},
        notes=[evil],
    )
    page = re.sub(r"<script>.*?</script>", "", render_network(report), flags=re.S)
    assert "<img" not in page
    assert "alert(1)</script>" not in page
    assert page.count("&lt;img src=x") >= 20


def test_the_second_stage_has_a_curve_where_it_was_trained(network_reports: MakeReport) -> None:
    def training(**changes: object) -> tuple[str, list[str]]:
        section = network_sections(network_reports(**changes))[2]
        return section.aid, [panel.title for panel in section.panels]

    aid = "The line is the training loss by epoch, the shade the learning rate"
    titles = ["First stage: the network", "Second stage: its head, the rest frozen"]
    assert training() == (f"{aid}, each stage on its own scales.", titles)
    assert training(head_log=[]) == (f"{aid}.", [""])
    assert training(train_log=[], head_log=[]) == ("No training was logged.", [])


@pytest.mark.parametrize(
    ("classes", "aid"),
    [
        (10, "bars are 95% Wilson intervals."),
        (100, "bars are 95% Wilson intervals, the line is the mean over tenths of the classes."),
    ],
)
def test_reading_aids_follow_what_is_drawn(network_reports: MakeReport, classes: int, aid: str) -> None:
    sections = {section.id: section for section in network_sections(network_reports(classes=classes))}
    assert sections["fig-classes"].aid.startswith("Images of each class in the training and test split, from")
    assert sections["fig-per-class"].aid.endswith(aid)
    assert sections["fig-confusion"].heading == "What ResNet-32 confuses"


def test_a_training_leaves_the_page_in_its_folder(tmp_path: Path) -> None:
    settings = ["backbone.name=resnet8", "train.epochs=1", "train.loss=ce", "train.second_stage.name=crt"]
    config = read_config(StandaloneConfig, None, [*settings, "train.second_stage.epochs=2"])
    trained = train(
        config, tmp_path / "run", make_console(train_stages(config), quiet=True), command="tailornas <train>"
    )
    assert trained.report == tmp_path / "run" / "report.html"
    page = trained.report.read_text(encoding="utf-8")
    text = text_of(page)
    assert "ResNet-8 on digits" in text
    assert trained.result.sentence.replace("\N{NO-BREAK SPACE}", " ").partition(": ")[2] in text
    for rows in trained.summary.values():
        for label, value in rows:
            assert f"{label} {value}".replace("\N{NO-BREAK SPACE}", " ") in text
    counts = sum(entry["train"] for entry in trained.network["metrics"]["per_class"])
    assert f"Training {counts:,} images Test" in text
    assert "Epochs 1, then 2 of the head" in text
    first = read_json(tmp_path / "run/stages/train/result.json")["values"]["seconds"]
    second = read_json(tmp_path / "run/run.json")["stages"]["train-head"]
    assert second > 0
    assert trained.network["seconds"] == pytest.approx(first + second)
    assert re.search(r"train [0-9.]+ s train-head [0-9.]+ s latency [0-9.]+ s evaluate [0-9.]+ s", text)
    assert "To repeat it tailornas <train>" in text
    assert page.count('aria-label="Training loss by epoch') == 2


def test_a_training_to_choose_by_never_speaks_of_a_test_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["backbone.name=resnet8", "train.epochs=1", "train.loss=ce", "data.selection_fraction=0.3"]
    config = read_config(StandaloneConfig, None, [*settings, "evaluate_on=selection", "data.imbalance_factor=50"])
    console = make_console(train_stages(config), quiet=False)
    trained = train(config, tmp_path / "run", console, command="tailornas train")
    told = f"{trained.result.sentence} {trained.summary} {capsys.readouterr().out}"
    data = prepare(config.data, config.seed)
    assert f"digits: {len(data.train)} training and {len(data.selection)} selection images of" in told
    page = trained.report.read_text(encoding="utf-8")
    hidden = re.sub(r"<script>.*?</script>|<style>.*?</style>|<pre>.*?</pre>", "", page, flags=re.S)
    for text in (told, hidden):
        said = re.sub(r"no test\s+image was looked at", "", text)
        assert re.search(r"balanced\saccuracy on the selection\ssplit", said)
        assert not re.findall(r".{0,40}\btest.{0,40}", said, flags=re.I)
    assert hidden.count("selection split") >= 3  # sentence, confusions and recalls beside notes
    assert "Selection images</th>" in hidden
    assert "train what you choose once more, without --evaluate-on, and use that" in hidden


def test_what_a_path_or_a_class_is_called_explains_no_word(network_reports: MakeReport) -> None:
    report = network_reports(["scratch", "supernet", "c"])
    report.network["init"] = "scratch"
    assert "first weights were random" in render_network(report)
    report.network["init"] = "/scratch/supernet.safetensors"
    page = render_network(report)
    assert "first weights were random" not in page
    assert "contains every architecture" not in page


def test_the_page_ends_with_how_the_network_is_used_and_explains_its_words(network_reports: MakeReport) -> None:
    report = network_reports(["a", "b", "c"])
    text = text_of(render_network(report))
    assert "To use it Weights stages/train/result.safetensors in the run folder" in text
    assert 'In Python tailornas.load_classifier("FOLDER") with the run folder does all of what follows Images' in text
    assert "less 0.4914, 0.4822, 0.4465, divided by" in text
    assert "Probabilities the softmax of 30 times the outputs" in text
    assert text.endswith("order of the outputs a b c The figures need JavaScript; nothing is loaded from anywhere.")
    explained = text.partition("What the words mean")[2].partition("The classes Images")[0]
    for term in ("MACs multiply-", "balanced accuracy mean", "few-shot", "ldam loss", "drw deferred", "crt afterwards"):
        assert term in explained
    assert "supernet" not in text
