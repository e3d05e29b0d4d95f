from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Literal

from tailornas.data import DataConfig, Dataset, prepare
from tailornas.pipeline.introduction import first, introduce
from tailornas.runs import PlainConsole, RunFolder


def told(folder: Path, target: Dataset, name: Literal["test", "selection"] = "test", *others: str) -> list[str]:
    with RunFolder.open(folder, "", PlainConsole({}, StringIO())) as run:
        introduce(run, target, name, *others)
    return run.notes


def without(target: Dataset, classes: int) -> Dataset:
    """The target without a test image of its first classes."""
    test, kept = target.test, target.test.labels >= classes
    return replace(target, test=replace(test, rows=test.rows[kept], labels=test.labels[kept]))


def test_classes_that_nothing_measures_bad_images_and_notes(tmp_path: Path) -> None:
    target = prepare(DataConfig(), 0)
    assert told(tmp_path / "0", target) == []
    assert told(tmp_path / "1", without(target, 1)) == [
        "1 of 10 classes has no test image, so test figures do not include it: 0."
    ]
    target = replace(without(target, 7), skipped=tuple(f"{number}.png" for number in range(5000)), notes=("Odd.",))
    assert told(tmp_path / "7", target) == [
        "7 of 10 classes have no test image, so test figures do not include them: 0, 1, 2, 3, 4 and 2 more.",
        "Images left out because they cannot be read: 0.png, 1.png, 2.png, 3.png, 4.png and 4,995 more.",
        "Odd.",
    ]
    assert [note for note in told(tmp_path / "s", target, "selection") if "selection" in note] == []


def test_of_images_in_two_parts_those_are_told_of_that_something_is_judged_by(tmp_path: Path) -> None:
    target = replace(prepare(DataConfig(), 0), overlaps=(("test", "Test."), ("selection", "Selection.")))
    assert told(tmp_path / "test", target) == ["Test."]
    assert told(tmp_path / "selection", target, "selection") == ["Selection."]
    assert told(tmp_path / "search", target, "test", "selection") == ["Test.", "Selection."]


def test_five_names_are_told() -> None:
    assert first("abcde") == "a, b, c, d, e"
