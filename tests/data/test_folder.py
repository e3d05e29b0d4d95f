from pathlib import Path

import pytest
from PIL import Image

from tailornas.data import DataConfig
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


def test_files_passed_over_are_counted_by_ending_and_class(tmp_path: Path) -> None:
    lay(tmp_path, "train/cat/1.png", "train/dog/1.png", "test/cat/2.png")
    for name in ("cat/1.HEIC", "cat/deep/2.heic", "dog/3.heic", "cat/README"):
        (tmp_path / "train" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "train" / name).touch()
    (tmp_path / "test" / "cat" / "4.heic").touch()
    passed_over = read_folder(tmp_path).passed_over
    assert passed_over == {".heic": {"cat": 3, "dog": 1}, "": {"cat": 1}}
    assert list(passed_over) == [".heic", ""]  # the most first


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


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("Training", None, "Testing"),
        ("Train", "valid", "Test"),
        ("training", "Validation", "TEST"),
        ("train", "val", None),
    ],
)
def test_parts_by_their_usual_names(tmp_path: Path, train: str, val: str | None, test: str | None) -> None:
    lay(tmp_path, *(f"{part}/{pet}/1.png" for part in (train, val, test) if part for pet in ("cat", "dog")))
    source = read_folder(tmp_path)
    assert source.classes == ("cat", "dog")
    assert names(source.train, tmp_path) == [f"{train}/cat/1.png", f"{train}/dog/1.png"]
    # As with lists: without a test part, the one to choose by becomes it.
    assert source.test is not None
    assert names(source.test, tmp_path) == [f"{test or val}/cat/1.png", f"{test or val}/dog/1.png"]
    assert (source.selection is None) == (val is None or test is None)
    if source.selection:
        assert names(source.selection, tmp_path) == [f"{val}/cat/1.png", f"{val}/dog/1.png"]


@pytest.mark.parametrize("parts", [("val", "test"), ("train", "Training"), ("train", "val", "valid")])
def test_parts_that_cannot_be_told_apart(tmp_path: Path, parts: tuple[str, ...]) -> None:
    lay(tmp_path, *(f"{part}/{pet}/1.png" for part in parts for pet in ("cat", "dog")))
    with pytest.raises(DataError, match=r"has the parts [^:]+: expected one to train on \(train\)"):
        read_folder(tmp_path)


def test_one_usual_name_of_a_part_can_be_a_class(tmp_path: Path) -> None:
    lay(tmp_path, "plane/1.png", "Training/1.png", "test/shoes/1.png")
    assert read_folder(tmp_path).classes == ("Training", "plane", "test")


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
    said = rf"{place}dog holds no image \(its files end in \.webm\): expected files ending in (\.avif )?\.bmp \.gif"
    with pytest.raises(DataError, match=said):
        read_folder(tmp_path)


def test_a_class_of_the_test_images_alone(tmp_path: Path) -> None:
    lay(tmp_path, "train/cat/1.png", "train/dog/1.png", "test/cow/1.png")
    with pytest.raises(DataError, match=r"test has the class 'cow', which the training images have not"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("parts", "flat", "way_on"),
    [
        (("Train",), "Test", r"or move Test elsewhere: a share of Train \(data\.test_fraction, a fifth unless set\)"),
        (("train", "val"), "test", "or move test elsewhere: val then becomes the test part"),
        (
            ("training", "test"),
            "Val",
            r"or move Val elsewhere: a share of training \(data\.selection_fraction, a fifth",
        ),
        (("train",), "val", r"or move val elsewhere: a share of train \(data\.test_fraction, a fifth unless set\)"),
        (("test",), "train", r"or the path of a list of the images .* labels\.csv; if train is a class, rename it"),
        ((), "train", r"or the path of a list of the images .* labels\.csv; if train is a class, rename it"),
    ],
)
def test_a_part_without_classes(tmp_path: Path, parts: tuple[str, ...], flat: str, way_on: str) -> None:
    """Kaggle's layout: the test images have no labels."""
    lay(tmp_path, *(f"{part}/{pet}/1.png" for part in parts for pet in ("cat", "dog")), f"{flat}/1.png")
    said = f"{flat} has no sub-folders, so images in it have no labels: expected one sub-folder of images a class, "
    with pytest.raises(DataError, match=said + way_on):
        read_folder(tmp_path)
    assert DataConfig().test_fraction == DataConfig().selection_fraction == 1 / 5


def test_parts_without_any_classes(tmp_path: Path) -> None:
    """Kaggle's other layout, with the labels in a file."""
    lay(tmp_path, "test/1.png", "train/1.png")
    (tmp_path / "train.csv").touch()
    with pytest.raises(DataError, match="train has no sub-folders, so images in it have no labels"):
        read_folder(tmp_path)


@pytest.mark.parametrize("train", ["Train", "training", "TRAIN"])
def test_train_alone_is_a_part_by_any_of_its_names(tmp_path: Path, train: str) -> None:
    lay(tmp_path, f"{train}/cat/1.png", f"{train}/dog/1.png")
    source = read_folder(tmp_path)
    assert source.classes == ("cat", "dog")
    assert source.test is None


COMPOSED, APART = "caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}"


@pytest.mark.parametrize(("train", "test"), [(COMPOSED, APART), (APART, COMPOSED)])
def test_classes_of_two_parts_are_matched_however_accents_are_encoded(tmp_path: Path, train: str, test: str) -> None:
    lay(tmp_path, f"train/{train}/1.png", "train/tea/1.png", f"test/{test}/1.png", "test/tea/1.png")
    source = read_folder(tmp_path)
    assert source.test is not None
    assert names(source.test, tmp_path) == [f"test/{test}/1.png", "test/tea/1.png"]
    assert source.test.labels.tolist() == [0, 1]


@pytest.mark.parametrize("part", ["", "train/", "test/"])
def test_classes_that_nobody_can_tell_apart(tmp_path: Path, part: str) -> None:
    if part:
        lay(tmp_path, f"train/{APART}/1.png", "train/tea/1.png")
    lay(tmp_path, f"{part}{APART}/1.png", f"{part}{COMPOSED}/1.png", f"{part}tea/1.png")
    with pytest.raises(DataError, match=rf"has two sub-folders '{COMPOSED}', whose names differ in the encoding of"):
        read_folder(tmp_path)


def test_images_in_no_class_and_linked_folders_are_told(tmp_path: Path) -> None:
    lay(tmp_path / "flat", "1.png", "2.JPG", ".3.png", "cat/1.png", "dog/1.png", "elsewhere/2.png")
    (tmp_path / "flat" / "notes.txt").touch()
    (tmp_path / "flat" / "cat" / "more").symlink_to(tmp_path / "flat" / "elsewhere")
    source = read_folder(tmp_path / "flat")
    assert source.loose == (str(tmp_path / "flat" / "1.png"), str(tmp_path / "flat" / "2.JPG"))
    assert source.links == (str(tmp_path / "flat" / "cat" / "more"),)
    lay(
        tmp_path / "parts", "1.png", "train/2.png", "train/cat/1.png", "train/dog/1.png", "test/3.png", "test/cat/1.png"
    )
    assert {Path(path).name for path in read_folder(tmp_path / "parts").loose} == {"1.png", "2.png", "3.png"}


def test_an_empty_test_folder(tmp_path: Path) -> None:
    lay(tmp_path, "train/cat/1.png", "train/dog/1.png")
    (tmp_path / "test").mkdir()
    with pytest.raises(DataError, match="test has no sub-folders"):
        read_folder(tmp_path)


def test_other_splits_are_not_dropped_silently(tmp_path: Path) -> None:
    lay(tmp_path, "train/cat/1.png", "train/dog/1.png", "extra/cat/1.png")
    with pytest.raises(
        DataError,
        match=r"has the sub-folders extra beside train: expected only parts \(train, val, test\), move or rename the "
        r"others, or rename train if it is a class",
    ):
        read_folder(tmp_path)


def test_a_folder_that_cannot_be_listed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be listed"):
        read_folder(tmp_path / "missing")
