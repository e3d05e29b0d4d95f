from pathlib import Path

import pytest
from PIL import Image

from tailornas.data.folder import EXTENSIONS, read_folder
from tailornas.data.stored import ImageFiles, StoredSource, StoredSplit
from tailornas.errors import DataError


def lay(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(root / file, "PNG")


def names(split: StoredSplit, root: Path) -> list[str]:
    assert isinstance(split.images, ImageFiles)
    return [path.relative_to(root).as_posix() for path in split.images.paths]


def test_a_sub_folder_is_a_class(tmp_path: Path) -> None:
    lay(tmp_path, "dog/2.png", "dog/10.png", "cat/a b.png", "Zebra/x.png")
    source = read_folder(tmp_path)
    assert isinstance(source, StoredSource)
    assert source.classes == ("Zebra", "cat", "dog")
    assert names(source.train, tmp_path) == ["Zebra/x.png", "cat/a b.png", "dog/10.png", "dog/2.png"]
    assert source.train.labels.tolist() == [0, 1, 2, 2]
    assert source.test is None
    assert source.description == str(tmp_path)


def test_hidden_and_other_files_are_passed_over(tmp_path: Path) -> None:
    lay(tmp_path, "cat/1.png", "dog/1.png", "cat/.2.png", ".git/1.png", "dog/.thumbs/1.png")
    (tmp_path / "cat" / "notes.txt").write_text("meow")
    (tmp_path / "list.csv").write_text("1")
    source = read_folder(tmp_path)
    assert names(source.train, tmp_path) == ["cat/1.png", "dog/1.png"]


def test_images_may_lie_deeper(tmp_path: Path) -> None:
    lay(tmp_path, "cat/2024/may/1.png", "cat/1.png", "dog/1.png")
    assert names(read_folder(tmp_path).train, tmp_path) == ["cat/1.png", "cat/2024/may/1.png", "dog/1.png"]


@pytest.mark.parametrize("ending", sorted(EXTENSIONS))
def test_endings_in_any_case(tmp_path: Path, ending: str) -> None:
    lay(tmp_path, f"cat/1{ending}", f"cat/2{ending.upper()}", "dog/1.png")
    assert len(read_folder(tmp_path).train.images) == 3


def test_train_and_test_are_splits(tmp_path: Path) -> None:
    lay(tmp_path, "train/cat/1.png", "train/dog/1.png", "train/eel/1.png", "test/dog/2.png", "test/eel/3.png")
    source = read_folder(tmp_path)
    assert source.classes == ("cat", "dog", "eel")
    assert source.train.labels.tolist() == [0, 1, 2]
    assert source.test is not None
    assert names(source.test, tmp_path) == ["test/dog/2.png", "test/eel/3.png"]
    assert source.test.labels.tolist() == [1, 2]


def test_train_alone_is_a_split_too(tmp_path: Path) -> None:
    lay(tmp_path, "train/cat/1.png", "train/dog/1.png")
    assert read_folder(tmp_path).test is None


def test_train_can_be_a_class(tmp_path: Path) -> None:
    lay(tmp_path, "plane/1.png", "train/1.png")
    assert read_folder(tmp_path).classes == ("plane", "train")


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    lay(tmp_path, "elsewhere/cats/1.png", "elsewhere/2.png", "root/dog/1.png")
    (tmp_path / "root" / "cat").symlink_to(tmp_path / "elsewhere" / "cats")
    (tmp_path / "root" / "dog" / "2.png").symlink_to(tmp_path / "elsewhere" / "2.png")
    (tmp_path / "root" / "dog" / "circle").symlink_to(tmp_path / "root")
    source = read_folder(tmp_path / "root")
    assert names(source.train, tmp_path / "root") == ["cat/1.png", "dog/1.png", "dog/2.png"]


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no sub-folders: expected one sub-folder of images a class"):
        read_folder(tmp_path)


def test_images_without_classes(tmp_path: Path) -> None:
    lay(tmp_path, "1.png", "2.png")
    with pytest.raises(DataError, match="has no sub-folders"):
        read_folder(tmp_path)


def test_a_single_class(tmp_path: Path) -> None:
    lay(tmp_path, "cat/1.png")
    with pytest.raises(DataError, match="has 1 class: expected at least 2"):
        read_folder(tmp_path)


@pytest.mark.parametrize("place", ["", "train/", "test/"])
def test_a_class_without_images(tmp_path: Path, place: str) -> None:
    lay(
        tmp_path,
        *(
            f"{part}{name}/1.png"
            for part in ({"", place} if not place else {"train/", place})
            for name in ("cat", "dog")
        ),
    )
    (tmp_path / place / "dog" / "1.png").rename(tmp_path / place / "dog" / "1.webm")
    with pytest.raises(DataError, match=rf"{place}dog holds no image: expected files ending in \.bmp \.gif"):
        read_folder(tmp_path)


def test_a_class_of_the_test_images_alone(tmp_path: Path) -> None:
    lay(tmp_path, "train/cat/1.png", "train/dog/1.png", "test/cow/1.png")
    with pytest.raises(DataError, match=r"test has the class 'cow', which the training images have not"):
        read_folder(tmp_path)


def test_an_empty_test_folder(tmp_path: Path) -> None:
    lay(tmp_path, "train/cat/1.png", "train/dog/1.png")
    (tmp_path / "test").mkdir()
    with pytest.raises(DataError, match="test has no sub-folders"):
        read_folder(tmp_path)


def test_other_splits_are_not_dropped_silently(tmp_path: Path) -> None:
    lay(tmp_path, "train/cat/1.png", "train/dog/1.png", "val/cat/1.png")
    with pytest.raises(DataError, match="has the sub-folders val beside train: expected only train and test"):
        read_folder(tmp_path)


def test_a_folder_that_cannot_be_listed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be listed"):
        read_folder(tmp_path / "missing")
