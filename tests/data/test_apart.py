import shutil
from pathlib import Path

import pytest
from PIL import Image

from tailornas.data.apart import apart_from
from tailornas.data.splits import DataConfig, Dataset, prepare
from tailornas.errors import DataError
from tailornas.types import Split


def lay(root: Path, green: int) -> Path:
    for label, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (8, 8), (number, green, label)).save(root / name / f"{number}.png")
    return root


def contents(dataset: Dataset, *splits: Split) -> set[int]:
    return {number for split in splits for number in dataset.contents["train"][split.rows].tolist()}


def test_what_judges_the_target_is_left_out_of_the_source(tmp_path: Path) -> None:
    target = prepare(DataConfig(data=str(lay(tmp_path / "target", 0))), 0)
    lay(tmp_path / "source", 100)
    for number in range(20):  # half of the cats of the source are the target's, under other bytes
        with Image.open(tmp_path / "target" / "cat" / f"{number}.png") as image:
            image.save(tmp_path / "source" / "cat" / f"copy {number}.bmp")
    source = prepare(DataConfig(data=str(tmp_path / "source")), 0)
    judged = contents(target, target.selection, target.test)
    shared = judged & contents(source, source.train, source.selection)
    assert shared
    apart = apart_from(source, target)
    assert contents(apart, apart.train, apart.selection) == contents(source, source.train, source.selection) - judged
    assert apart.description == (
        f"{tmp_path / 'source'} but the {len(shared)} that are in the target's selection or test split"
    )
    assert apart.fingerprint != source.fingerprint
    assert apart.train.counts.counts < source.train.counts.counts


def test_a_source_of_other_images_stays_as_it_is(tmp_path: Path) -> None:
    target, source = (
        prepare(DataConfig(data=str(lay(tmp_path / name, green))), 0) for name, green in (("a", 0), ("b", 9))
    )
    assert apart_from(source, target) is source


def test_parts_of_their_own_judge_too(tmp_path: Path) -> None:
    for part, green in (("train", 0), ("val", 10), ("test", 20)):
        lay(tmp_path / "target" / part, green)
    target = prepare(DataConfig(data=str(tmp_path / "target")), 0)
    lay(tmp_path / "source", 100)
    for part in ("train", "val", "test"):
        shutil.copy(tmp_path / "target" / part / "cat" / "0.png", tmp_path / "source" / "cat" / f"{part}.png")
    source = prepare(DataConfig(data=str(tmp_path / "source"), test_fraction=0.01), 1)
    with_them = contents(source, source.train, source.selection)
    apart = apart_from(source, target)
    assert len(with_them - contents(apart, apart.train, apart.selection)) == 2


def test_a_source_without_images_of_its_own(tmp_path: Path) -> None:
    lay(tmp_path / "target" / "train", 0)
    lay(tmp_path / "target" / "test", 50)
    lay(tmp_path / "source", 50)
    target, source = (prepare(DataConfig(data=str(tmp_path / name)), 0) for name in ("target", "source"))
    with pytest.raises(DataError, match=r"all training images of class 'cat' of .*source are in the target's"):
        apart_from(source, target)
