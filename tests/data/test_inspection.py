import math
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tailornas.data import DataConfig, gini, inspect, prepare, read
from tailornas.data.inspection import Inspection
from tailornas.errors import DataError
from tailornas.types import ClassCounts


def lay(root: Path, counts: dict[str, int], first: int = 0) -> Path:
    """Images that differ, so many of each class."""
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (12, 10), (label, first + number, 0)).save(root / name / f"{number:03}.png")
    return root


def look(path: Path, seed: int = 0, **options: object) -> Inspection:
    config = DataConfig.model_validate({"data": str(path), "profile": "as-is", **options})
    return inspect(read(config.data, config.data_dir), config, seed)


def test_gini_by_hand() -> None:
    # Mean absolute difference over all 9 ordered pairs of (1, 2, 6): 2 (1 + 5 + 4) / 9; over twice the mean of 3.
    assert gini(ClassCounts((6, 1, 2))) == pytest.approx(20 / 9 / 6)
    assert gini(ClassCounts((5, 5, 5, 5))) == pytest.approx(0, abs=1e-12)
    assert gini(ClassCounts((0, 0, 0, 9))) == pytest.approx(3 / 4)
    assert gini(ClassCounts((0, 0))) == 0


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=30).filter(any))
def test_gini_is_half_the_relative_mean_difference(numbers: list[int]) -> None:
    mean = sum(numbers) / len(numbers)
    difference = sum(abs(a - b) for a, b in product(numbers, numbers)) / len(numbers) ** 2
    value = gini(ClassCounts(tuple(numbers)))
    assert value == pytest.approx(difference / (2 * mean), abs=1e-9)
    assert -1e-9 <= value <= 1 - 1 / len(numbers) + 1e-9


def test_counts_are_of_the_images_as_they_lie(tmp_path: Path) -> None:
    found = look(lay(tmp_path, {"cat": 30, "dog": 6, "eel": 2}))
    assert found.classes == ("cat", "dog", "eel")
    assert found.counts.counts == found.parts["train"].counts.counts == (30, 6, 2)
    assert found.counts.imbalance_factor == 15
    assert set(found.parts) == {"train"}
    assert found.sizes.shape == (38, 2)
    assert found.duplicates == ()


@pytest.mark.parametrize("options", [{}, {"profile": "exp", "imbalance_factor": 5}, {"profile": "step"}])
def test_the_division_is_that_of_a_run(tmp_path: Path, options: dict[str, object]) -> None:
    counts = {"cat": 30, "dog": 16, "eel": 12} if options.get("profile") != "step" else dict.fromkeys("ab", 130)
    root = lay(tmp_path / "images", counts)
    (root / next(iter(counts)) / "000.png").write_text("no image")
    for number in range(5):  # copies stay together, whatever their bytes
        with Image.open(root / next(iter(counts)) / "001.png") as image:
            image.save(root / next(iter(counts)) / f"copy {number}.{'bmp' if number % 2 else 'png'}")
    config = DataConfig.model_validate({"data": str(root), "skip_bad": True, **options})
    run = prepare(config, seed=3)
    found = inspect(read(str(root)), config, seed=3)
    assert found.division is not None
    assert found.division.fit == run.fit.counts
    assert found.division.selection == run.selection.counts
    assert found.division.test == run.test.counts
    if options:
        assert found.counts == run.fit.counts
        assert found.profile == options["profile"]


def test_the_division_keeps_copies_together_as_a_run_does(tmp_path: Path) -> None:
    root = lay(tmp_path, {"cat": 30, "dog": 1})
    for form in ("bmp", "gif", "tiff"):
        with Image.open(root / "dog" / "000.png") as image:
            image.save(root / "dog" / f"copy.{form}")
    config = DataConfig(data=str(root))
    run, found = prepare(config, seed=0), inspect(read(str(root)), config, seed=0)
    assert found.division is not None
    assert found.division.fit == run.fit.counts
    assert found.division.fit.counts == (24, 4)  # one picture four times, of which none is left to test on


def test_unusable_images_do_not_count(tmp_path: Path) -> None:
    root = lay(tmp_path, {"cat": 9, "dog": 9})
    (root / "dog" / "003.png").write_bytes(b"")
    found = look(root)
    assert found.counts.counts == (9, 8)
    assert [problem.row for problem in found.parts["train"].scan.bad] == [12]
    assert found.parts["train"].label(12) == 1
    assert found.parts["train"].name(12) == str(root / "dog" / "003.png")


def test_duplicates_by_what_is_worst_about_them(tmp_path: Path) -> None:
    lay(tmp_path / "train", {"cat": 9, "dog": 9})
    lay(tmp_path / "test", {"cat": 3, "dog": 3}, first=100)
    shutil.copy(tmp_path / "train" / "cat" / "001.png", tmp_path / "train" / "cat" / "other.png")
    shutil.copy(tmp_path / "train" / "cat" / "002.png", tmp_path / "train" / "dog" / "other.png")
    shutil.copy(tmp_path / "train" / "dog" / "003.png", tmp_path / "test" / "dog" / "other.png")
    shutil.copy(tmp_path / "train" / "dog" / "003.png", tmp_path / "train" / "dog" / "third.png")
    found = look(tmp_path)
    described = [
        (group.kind, [(part, Path(found.parts[part].name(row)).name) for part, row in group.images])
        for group in found.duplicates
    ]
    assert described == [
        ("parts", [("train", "003.png"), ("train", "third.png"), ("test", "other.png")]),
        ("classes", [("train", "002.png"), ("train", "other.png")]),
        ("class", [("train", "001.png"), ("train", "other.png")]),
    ]


def test_a_list_of_images_to_choose_by_is_a_part(tmp_path: Path) -> None:
    lay(tmp_path, {"cat": 6, "dog": 6})
    for name, numbers in (("train", (0, 1, 2)), ("val", (3, 4)), ("test", (5,))):
        lines = [f"{pet}/{n:03}.png {label}" for label, pet in enumerate(("cat", "dog")) for n in numbers]
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
    found = look(tmp_path / "train.txt")
    assert {name: part.counts.counts for name, part in found.parts.items()} == {
        "train": (3, 3),
        "selection": (2, 2),
        "test": (1, 1),
    }
    assert found.division is not None
    assert (found.division.fit.counts, found.division.selection.counts) == ((3, 3), (2, 2))


def test_what_a_run_refuses_is_told_not_raised(tmp_path: Path) -> None:
    found = look(lay(tmp_path, {"cat": 2, "dog": 1}))
    assert found.division is None
    assert found.refusal is not None
    assert "no class of at least 3 images that differ" in found.refusal


def test_a_class_without_a_readable_image(tmp_path: Path) -> None:
    root = lay(tmp_path, {"cat": 9, "dog": 1})
    (root / "dog" / "000.png").write_text("no image")
    found = look(root)
    assert found.refusal is not None
    assert found.refusal.startswith("class 'dog' has no training image that can be read")
    assert math.isinf(found.counts.imbalance_factor)


def test_a_test_part_without_a_readable_image(tmp_path: Path) -> None:
    lay(tmp_path / "train", {"cat": 9, "dog": 4})
    (lay(tmp_path / "test", {"cat": 1}) / "cat" / "000.png").write_text("no image")
    found = look(tmp_path)
    assert found.refusal is not None
    assert found.refusal.startswith("the test part has no image that can be read")


def test_a_profile_that_the_images_cannot_take_on_is_an_error(tmp_path: Path) -> None:
    root = lay(tmp_path, {"cat": 9, "dog": 4})
    with pytest.raises(DataError, match="imbalance_factor 500 leaves class 'dog' with 0"):
        look(root, profile="exp", imbalance_factor=500)


def test_no_pixels_are_kept(tmp_path: Path) -> None:
    found = look(lay(tmp_path, {"cat": 9, "dog": 4}))
    kept = [value for value in vars(found.parts["train"].scan).values() if isinstance(value, np.ndarray | torch.Tensor)]
    assert sum(array.nbytes for array in kept) == 24 * 13


def test_progress_is_over_all_parts(tmp_path: Path) -> None:
    lay(tmp_path / "train", {"cat": 9, "dog": 4})
    lay(tmp_path / "test", {"cat": 1})
    told: list[tuple[int, int]] = []
    config = DataConfig(data=str(tmp_path), profile="as-is")
    inspect(read(tmp_path), config, 0, lambda done, total: told.append((done, total)))
    assert told == [(13, 14), (14, 14)]


def test_a_profile_is_refused_before_an_image_is_opened(tmp_path: Path) -> None:
    root = lay(tmp_path, {"cat": 9, "dog": 4})
    told: list[int] = []
    config = DataConfig(data=str(root), imbalance_factor=500)
    with pytest.raises(DataError, match="imbalance_factor 500"):
        inspect(read(str(root)), config, 0, lambda done, total: told.append(done))
    assert told == []
