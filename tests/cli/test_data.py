"""``tailornas data inspect``, as a shell would see it."""

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from tailornas.cli.data import app
from tailornas.data import DataConfig
from tailornas.errors import ConfigError, DataError, DiskError, TailorNASError, UnknownNameError


def run(*arguments: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["inspect", *map(str, arguments)])
    if isinstance(result.exception, TailorNASError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Three classes of 40, 12 and 3 images, one of them broken, in a folder; the last name would ring a bell."""
    for label, (name, count) in enumerate({"cat": 40, "dog": 12, "e\ael": 3}.items()):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (12, 10), (label, number, 0)).save(tmp_path / "pets" / name / f"{number:02}.png")
    (tmp_path / "pets" / "cat" / "03.png").write_bytes(b"")
    return tmp_path / "pets"


def rows(output: str, title: str) -> list[list[str]]:
    """The rows of one of the printed tables, by columns."""
    lines = output.split(f"\n{title}\n", 1)[1].split("\n\n", 1)[0].splitlines()[1:]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_everything_is_printed(pets: Path) -> None:
    output = run(pets)
    assert rows(output, "Classes") == [
        ["cat", "39", "medium", "█" * 20],
        ["dog", "12", "few", "█" * 6],
        ["e\N{REPLACEMENT CHARACTER}el", "3", "few", "██"],
    ]
    assert rows(output, "Shot groups") == [
        ["many", "more than 100", "1", "39"],
        ["medium", "20 to 100", "1", "39", "1", "12"],
        ["few", "fewer than 20", "2", "15", "1", "3"],
    ]
    figures: dict[str, str] = {row[0]: row[1] for row in rows(output, "In numbers")}
    assert figures["imbalance factor"] == "13"
    assert figures["Gini coefficient"] == "0.444"
    assert figures["part train"] == "55 images, 1 of them cannot be read"
    assert figures["width"] == "12 pixels"
    assert figures["a run sees"].startswith("10 x 10 pixels, the centre: 83% of the median image (--image-size ")
    assert figures["formats"] == "PNG 54"
    assert rows(output, "Images that cannot be read") == [[str(pets / "cat" / "03.png"), "empty: 0 bytes"]]
    assert "! 1 of 55 images cannot be read" in output
    assert "Judge by balanced accuracy" in output
    assert "55/55 images" in output
    assert "\a" not in output


def test_files_passed_over_are_told(pets: Path) -> None:
    for name in ("1.heic", "2.HEIC", "README"):
        (pets / "cat" / name).touch()
    (pets / "dog" / "3.heic").touch()
    assert rows(run(pets), "Files passed over") == [[".heic", "3", "cat 2, dog 1"], ["none", "1", "cat 1"]]


def test_names_that_are_no_text_are_told(pets: Path) -> None:
    (pets / "dog").rename(pets / "d\udce9g")
    (pets / "cat" / "03.png").rename(pets / "cat" / "\udce9.png")
    output = run(pets)
    assert "\\udce9.png" in output
    assert "d\\udce9g" in output


def test_json_is_all_there_is_on_standard_output(pets: Path) -> None:
    values: dict[str, Any] = json.loads(run(pets, "--json"))
    assert values["data"] == values["description"] == str(pets)
    assert [entry["images"] for entry in values["per_class"]] == [39, 12, 3]
    assert values["profile"] == "as-is"


def test_a_profile_means_what_it_means_in_a_run(pets: Path) -> None:
    values = json.loads(run(pets, "--imbalance-factor", "2", "--seed", "4", "--json"))
    assert values["profile"] == "exp"
    # A fifth is set apart to test; of 31, 10 and 2 images left, the last allows a head of 4.
    assert [entry["images"] for entry in values["per_class"]] == [4, 2, 2]
    assert json.loads(run("digits", "--profile", "step", "--json"))["imbalance_factor"] >= 10


def test_benchmarks_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[DataConfig] = []

    def look(stored: object, config: DataConfig, *others: object) -> None:
        asked.append(config)
        raise KeyboardInterrupt

    monkeypatch.setattr("tailornas.data.inspect", look)
    assert "stopped" in run("digits", code=130)
    assert asked[0].profile == "as-is"


def test_an_interruption_is_one_word_and_leaves_no_file(
    pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tailornas.report.data_page.render_data", interrupt)
    output = run(pets, "--html", tmp_path / "data.html", code=130)
    assert output.endswith("stopped\n")
    assert "Traceback" not in output
    assert not (tmp_path / "data.html").exists()


def test_a_page_is_written(pets: Path, tmp_path: Path) -> None:
    output = run(pets, "--html", tmp_path / "data.html")
    assert output.endswith(f"page  {tmp_path / 'data.html'}\n")
    assert (tmp_path / "data.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize("option", [None, "--json"])
def test_what_was_found_is_told_where_the_page_cannot_be_written(
    pets: Path, monkeypatch: pytest.MonkeyPatch, option: str | None
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tailornas.runs.files.os.fsync", full)
    result = CliRunner().invoke(app, ["inspect", str(pets), "--html", "data.html", *([option] if option else [])])
    assert '"per_class"' in result.stdout if option else rows(result.stdout, "Classes")
    assert isinstance(result.exception, DiskError)
    assert str(result.exception) == (
        "cannot write data.html: No space left on device: expected --html to name a file in a folder that can be "
        "written to"
    )
    assert not Path("data.html").exists()


def test_long_lists_are_shortened(tmp_path: Path) -> None:
    for label in range(40):
        (tmp_path / "many" / f"class {label:02}").mkdir(parents=True)
        for number in range(2):
            path = tmp_path / "many" / f"class {label:02}" / f"{number}.png"
            if number and label < 12:
                path.write_bytes(b"")
            else:
                Image.new("RGB", (4, 4), (label, number, 0)).save(path)
    output = run(tmp_path / "many")
    classes = rows(output, "Classes")
    assert len(classes) == 31
    assert classes[15] == ["... 10 more"]
    bad = rows(output, "Images that cannot be read")
    assert len(bad) == 11
    assert bad[-1] == ["... 2 more", "see --html or --json"]


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (["digitz"], UnknownNameError, "unknown data source 'digitz'"),
        ([""], ConfigError, r"data is empty: expected NAME\|PATH"),
        (["digits", "--html", ""], ConfigError, "--html is empty: expected FILE"),
        (["./nowhere"], DataError, "no such file or folder: nowhere"),
        (["digits", "--profile", "log"], ConfigError, r"data\.profile: .*'exp', 'step' or 'as-is', got 'log'"),
        (["digits", "--imbalance-factor", "0.5"], ConfigError, r"data\.imbalance_factor: .*, got '0\.5'"),
        (["digits", "--imbalance-factor", "5", "--profile", "as-is"], ConfigError, "no effect with profile 'as-is'"),
        (["digits", "--imbalance-factor", "90000"], DataError, "leaves class '4' with 0 of its"),
        (["digits", "--seed", "lucky"], ConfigError, "seed: .*, got 'lucky'"),
        (["digits", "--data-dir", "."], ConfigError, r"data_dir \. has no effect with digits"),
        (["digits", "--html", "nowhere/data.html"], ConfigError, "cannot write nowhere/data.html: expected --html to"),
        (["digits", "--html", "."], ConfigError, r"cannot write \.: expected --html to name a file"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], kind: type[TailorNASError], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        run(*arguments)
    assert "\n" not in str(caught.value)


def test_the_help_speaks_of_every_option() -> None:
    output = run("--help")
    for option in ("--data-dir", "--profile", "--imbalance-factor", "--seed", "--html", "--json"):
        assert option in output
