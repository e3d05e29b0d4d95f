import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from tailornas.data.images import MemoryImages, StreamedImages
from tailornas.data.sources import PartName
from tailornas.data.splits import DataConfig, Dataset, pixel_statistics, prepare
from tailornas.errors import ConfigError, DataError
from tailornas.types import SelectionSplit, Split, TestSplit, TrainSplit


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return prepare(DataConfig(), 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Classes of 10, 4, 2 and 1 images."""
    return lay(tmp_path / "pets", {"ant": 10, "bee": 4, "cat": 2, "dog": 1})


def lay(root: Path, counts: dict[str, int], blue: int = 0) -> Path:
    for name, images in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(images):
            Image.new("RGB", (8, 8), (number, images, blue)).save(root / name / f"{number}.png")
    return root


def rows(*splits: Split) -> list[int]:
    return [row for split in splits for row in split.rows.tolist()]


def test_digits_by_default(digits: Dataset) -> None:
    # A fifth of 178 and so on for test leaves at least 139; class 0 keeps 142, the last class a tenth of it.
    assert digits.test.counts.counts == (36, 36, 35, 37, 36, 36, 36, 36, 35, 36)
    whole = digits.train.with_selection(digits.selection).counts
    assert whole.counts == (142, 109, 85, 65, 51, 39, 30, 23, 18, 14)
    assert digits.selection.counts.counts == (28, 22, 17, 13, 10, 8, 6, 5, 4, 3)
    assert digits.imbalance_factor == pytest.approx(142 / 14)
    assert (digits.profile, digits.image_size, digits.flip) == ("exp", 8, False)
    assert digits.classes == tuple("0123456789")
    assert digits.unscored == ()


def test_several_seeds_can_have_the_same_images(digits: Dataset) -> None:
    """Those of the data's own seed, whatever the run's is."""
    same = [prepare(DataConfig(seed=0), seed) for seed in (1, 2)]
    assert {dataset.fingerprint for dataset in same} == {digits.fingerprint}
    assert [dataset.seed for dataset in same] == [0, 0]
    assert prepare(DataConfig(), 1).fingerprint != digits.fingerprint


def test_splits_have_their_types_and_share_no_image(digits: Dataset) -> None:
    assert type(digits.train) is TrainSplit
    assert type(digits.selection) is SelectionSplit
    assert type(digits.test) is TestSplit
    parts = (digits.train, digits.selection, digits.test, digits.leftover)
    assert sorted(rows(*parts)) == list(range(1797))
    everything = prepare(DataConfig(profile="as-is"), 0)
    truth = torch.empty(1797, dtype=torch.int64)
    for part in (everything.train, everything.selection, everything.test):
        truth[part.rows] = part.labels
    for part in parts:
        assert torch.equal(part.labels, truth[part.rows])


def test_the_seed_decides(digits: Dataset) -> None:
    again, other = prepare(DataConfig(), 0), prepare(DataConfig(), 1)
    assert rows(again.train, again.selection, again.test) == rows(digits.train, digits.selection, digits.test)
    assert again.fingerprint == digits.fingerprint
    assert again.values() == digits.values()
    for part in ("train", "selection", "test"):
        assert rows(getattr(other, part)) != rows(getattr(digits, part))
    assert other.fingerprint != digits.fingerprint
    assert other.train.counts == digits.train.counts


def test_test_images_do_not_depend_on_the_profile(digits: Dataset) -> None:
    for config in (DataConfig(profile="step"), DataConfig(imbalance_factor=2), DataConfig(profile="as-is")):
        assert rows(prepare(config, 0).test) == rows(digits.test)


def test_fingerprint_follows_division_and_images(digits: Dataset, folder: Path) -> None:
    prints = {digits.fingerprint}
    for config in (
        DataConfig(imbalance_factor=9),
        DataConfig(selection_fraction=0.3),
        DataConfig(image_size=9),
        DataConfig(data=str(folder)),
    ):
        prints.add(prepare(config, 0).fingerprint)
    Image.new("RGB", (8, 8), "blue").save(folder / "ant" / "3.png")
    prints.add(prepare(DataConfig(data=str(folder)), 0).fingerprint)
    (folder / "dog").rename(folder / "doe")
    prints.add(prepare(DataConfig(data=str(folder)), 0).fingerprint)
    assert len(prints) == 7


def test_normalization_is_of_the_training_pixels_alone(digits: Dataset) -> None:
    pixels = digits.train.images.take(digits.train.rows).double() / 255
    assert digits.normalization.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), rel=1e-12)
    assert digits.normalization.std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist(), rel=1e-12)
    assert pixel_statistics(digits.test) != digits.normalization


def test_statistics_by_hand() -> None:
    pixels = torch.zeros((2500, 3, 4, 4), dtype=torch.uint8)  # more than two chunks
    pixels[:1250, 0] = 255
    pixels[:, 1] = 51
    pixels[2499] = 77
    split = TrainSplit(MemoryImages(pixels), torch.arange(2499), torch.zeros(2499, dtype=torch.int64), ("a",))
    statistics = pixel_statistics(split)
    assert statistics.mean == pytest.approx((1250 / 2499, 0.2, 0))
    assert statistics.std == pytest.approx(((1250 * 1249) ** 0.5 / 2499, 1, 1))


def test_users_images_are_kept_as_they_are(folder: Path) -> None:
    dataset = prepare(DataConfig(data=str(folder)), 3)
    assert dataset.profile == "as-is"
    assert dataset.test.counts.counts == (2, 1, 0, 0)
    assert dataset.selection.counts.counts == (2, 1, 1, 0)
    assert dataset.train.counts.counts == (6, 2, 1, 1)
    assert dataset.unscored == ("dog",)
    assert len(dataset.leftover) == 0
    assert dataset.imbalance_factor == 8
    assert dataset.flip


def test_a_profile_is_applied_to_users_images_on_request(folder: Path) -> None:
    dataset = prepare(DataConfig(data=str(folder), imbalance_factor=4), 0)
    assert dataset.profile == "exp"
    # Without test images there are 8, 3, 2 and 1; the last, a quarter of the head's number, allows a head of
    # 4.
    assert dataset.train.with_selection(dataset.selection).counts.counts == (4, 2, 1, 1)
    assert dataset.leftover.counts.counts == (4, 1, 1, 0)


def test_the_sources_own_test_part_is_used(tmp_path: Path) -> None:
    lay(tmp_path / "train", {"ant": 10, "bee": 5})
    lay(tmp_path / "test", {"ant": 3, "bee": 4})
    dataset = prepare(DataConfig(data=str(tmp_path), test_fraction=0.5), 0)
    assert dataset.test.counts.counts == (3, 4)
    assert dataset.test.images is not dataset.train.images
    assert dataset.train.with_selection(dataset.selection).counts.counts == (10, 5)


def test_flip_can_be_set(folder: Path) -> None:
    assert not prepare(DataConfig(data=str(folder), flip=False), 0).flip
    assert prepare(DataConfig(flip=True), 0).flip


def test_streamed_images_give_the_same_dataset(folder: Path) -> None:
    memory = prepare(DataConfig(data=str(folder)), 0)
    streamed = prepare(DataConfig(data=str(folder), memory_cap_mb=0), 0)
    assert isinstance(memory.train.images, MemoryImages)
    assert isinstance(streamed.train.images, StreamedImages)
    assert memory.values() == streamed.values()
    assert memory.fingerprint == streamed.fingerprint


def test_skipped_images_are_reported(folder: Path) -> None:
    (folder / "ant" / "0.png").write_bytes(b"")
    dataset = prepare(DataConfig(data=str(folder), skip_bad=True), 0)
    assert dataset.values()["skipped"] == [str(folder / "ant" / "0.png")]
    assert sum(len(split) for split in (dataset.train, dataset.selection, dataset.test)) == 16


def contents_of(dataset: Dataset, *splits: Split) -> set[int]:
    return set(dataset.contents["train"][rows(*splits)].tolist())


def test_copies_stay_on_one_side_of_every_division(folder: Path) -> None:
    for number in range(5):
        for copy in "ab":
            with Image.open(folder / "ant" / f"{number}.png") as image:
                image.save(folder / "ant" / f"{number}{copy}.bmp")  # other bytes, equal pixels
    shutil.copy(folder / "ant" / "9.png", folder / "bee" / "wrong.png")
    for seed in range(8):
        for factor in (None, 4):
            dataset = prepare(DataConfig(data=str(folder), imbalance_factor=factor), seed)
            test, selection = contents_of(dataset, dataset.test), contents_of(dataset, dataset.selection)
            assert test
            assert selection
            assert not test & contents_of(dataset, dataset.train, dataset.selection, dataset.leftover)
            assert not selection & contents_of(dataset, dataset.train, dataset.leftover)
            # "wrong.png", where it was drawn; nothing is in two parts.
            assert all("under several labels" in note for note in dataset.notes)


def test_the_supernets_images_hold_no_copy_of_what_is_judged(folder: Path, tmp_path: Path) -> None:
    """Neither of the test images that the source came with."""
    for number in range(6):
        target = tmp_path / "parts" / "test" / "ant" / f"{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "ant" / f"{number}.png", target)
    shutil.copytree(folder, tmp_path / "parts" / "train")
    (tmp_path / "parts" / "test" / "bee").mkdir()
    shutil.copy(folder / "bee" / "0.png", tmp_path / "parts" / "test" / "bee" / "0.png")
    for seed in range(4):
        dataset = prepare(DataConfig(data=str(tmp_path / "parts"), imbalance_factor=4), seed)
        test = set(dataset.contents["test"][dataset.test.rows].tolist())
        assert len(test) == 7
        assert not test & contents_of(dataset, dataset.leftover)


def test_names_may_be_no_text(folder: Path) -> None:
    for path in (folder / "ant" / "0.png", folder / "bee"):
        path.rename(path.with_name(f"{path.stem} caf\udce9{path.suffix}"))
    dataset = prepare(DataConfig(data=str(folder), memory_cap_mb=0), 0)
    assert "bee caf\\udce9" in dataset.classes
    assert sum(dataset.fit.counts) + len(dataset.test) == 17


def test_values_are_json_and_complete(digits: Dataset) -> None:
    values = digits.values()
    assert json.loads(json.dumps(values)) == values
    assert list(values) == [
        "source",
        "description",
        "profile",
        "imbalance_factor",
        "image_size",
        "classes",
        "train_counts",
        "selection_counts",
        "test_counts",
        "unscored",
        "skipped",
        "mean",
        "std",
        "flip",
    ]
    assert values["train_counts"] == list(digits.train.counts)
    assert values["unscored"] == []


def test_too_few_images_for_a_test_split(tmp_path: Path) -> None:
    lay(tmp_path, {"ant": 2, "bee": 1})
    with pytest.raises(DataError, match="has no class of at least 3 images that differ: a test split expects one"):
        prepare(DataConfig(data=str(tmp_path)), 0)


def test_too_few_images_for_a_selection_split(tmp_path: Path) -> None:
    lay(tmp_path / "train", {"ant": 1, "bee": 1})
    lay(tmp_path / "test", {"ant": 1})
    with pytest.raises(DataError, match="no class has 2 images that differ: a selection split expects"):
        prepare(DataConfig(data=str(tmp_path)), 0)


def test_an_impossible_factor_is_an_error() -> None:
    with pytest.raises(DataError, match=r"imbalance_factor 200 leaves class '.*' with 0 of .* at most 142"):
        prepare(DataConfig(imbalance_factor=200), 0)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (DataConfig(), ("exp", 10)),
        (DataConfig(data="cifar10"), ("exp", 100)),
        (DataConfig(data="fashion-mnist"), ("exp", 100)),
        (DataConfig(data="cifar100", imbalance_factor=50), ("exp", 50)),
        (DataConfig(data="cifar100", profile="step"), ("step", 100)),
        (DataConfig(data="cifar10", profile="as-is"), ("as-is", None)),
        (DataConfig(data="some/folder"), ("as-is", None)),
        (DataConfig(data="some/folder", imbalance_factor=20), ("exp", 20)),
        (DataConfig(data="some/folder", profile="exp"), ("exp", 100)),
    ],
)
def test_defaults_of_the_long_tail(config: DataConfig, expected: tuple[str, float | None]) -> None:
    assert config.long_tail() == expected


def test_a_factor_without_effect_is_an_error() -> None:
    with pytest.raises(ConfigError, match="imbalance_factor 10 has no effect with profile 'as-is'"):
        DataConfig(profile="as-is", imbalance_factor=10)


@pytest.mark.parametrize(
    "wrong",
    [
        {"imbalance_factor": 0.5},
        {"imbalance_factor": float("inf")},
        {"image_size": 3},
        {"image_size": 513},
        {"selection_fraction": 0},
        {"selection_fraction": 0.6},
        {"test_fraction": 1},
        {"memory_cap_mb": -1},
        {"profile": "linear"},
        {"batch_size": 3},
    ],
)
def test_configuration_is_bounded(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        DataConfig.model_validate(wrong)


def test_a_class_without_selection_image_is_unscored(digits: Dataset) -> None:
    kept = (digits.selection.labels % 4 != 0).nonzero().flatten()
    assert replace(digits, selection=digits.selection.subset(kept)).unscored == ("0", "4", "8")


def test_a_selection_part_of_the_sources_own(tmp_path: Path) -> None:
    for name, numbers in (("train", range(40)), ("val", range(40, 44)), ("test", range(44, 50))):
        lines = []
        for number in numbers:
            Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number}.png")
            lines.append(f"{number}.png {number % 2}")
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
    dataset = prepare(DataConfig(data=str(tmp_path / "train.txt"), imbalance_factor=10), seed=0)
    assert dataset.own_selection
    assert dataset.selection.counts.counts == (2, 2)
    assert dataset.test.counts.counts == (3, 3)
    # The final networks stay comparable with published ones: they are not fitted to it.
    assert dataset.fit is dataset.train
    assert dataset.fit.counts.counts == (20, 2)
    assert dataset.imbalance_factor == 10
    assert len(dataset.leftover) == 18


@pytest.mark.parametrize("part", ["val", "test"])
def test_the_supernets_images_hold_no_copy_of_a_selection_part_of_the_sources_own(tmp_path: Path, part: str) -> None:
    """Twelve of the forty training images are in the other part too, in files of their own."""
    parts = {"train": range(40), "val": range(40, 44), "test": range(44, 50)}
    for name, numbers in parts.items():
        lines = []
        for number in [*numbers, *(range(28, 40) if name == part else ())]:
            Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{name}{number}.bmp")
            lines.append(f"{name}{number}.bmp {number % 2}")
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
    for seed in range(4):
        dataset = prepare(DataConfig(data=str(tmp_path / "train.txt"), imbalance_factor=10), seed)
        kind: PartName = "selection" if part == "val" else "test"
        judged = {"selection": dataset.selection, "test": dataset.test}[kind]
        copies = set(dataset.contents[kind][judged.rows].tolist())
        assert len(copies & set(dataset.contents["train"].tolist())) == 12
        assert len(dataset.leftover) > 4
        assert not copies & contents_of(dataset, dataset.leftover)


def test_the_final_networks_see_a_selection_split_that_was_held_out() -> None:
    dataset = prepare(DataConfig(), seed=0)
    assert not dataset.own_selection
    assert len(dataset.fit) == len(dataset.train) + len(dataset.selection)
