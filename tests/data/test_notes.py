import shutil
from pathlib import Path

from PIL import Image

from tailornas.data.splits import DataConfig, prepare


def lay(root: Path, counts: dict[str, int], blue: int) -> None:
    for name, images in counts.items():
        (root / name).mkdir(parents=True)
        for number in range(images):
            Image.new("RGB", (8, 8), (number, images, blue)).save(root / name / f"{number}.png")


def test_what_is_passed_over_or_in_two_parts_is_noted(tmp_path: Path) -> None:
    for part, blue in (("train", 0), ("val", 50), ("test", 100)):
        lay(tmp_path / part, {"ant": 9, "bee": 5} if part == "train" else {"ant": 3, "bee": 4}, blue)
    for number in range(2):
        shutil.copy(tmp_path / "train" / "bee" / f"{number}.png", tmp_path / "test" / "bee" / f"copy {number}.png")
    shutil.copy(tmp_path / "val" / "ant" / "0.png", tmp_path / "test" / "ant" / "copy.png")
    (tmp_path / "train" / "ant" / "1.heic").touch()
    (tmp_path / "test" / "bee" / "2.heic").touch()
    (tmp_path / "test" / "bee" / "notes").touch()
    dataset = prepare(DataConfig(data=str(tmp_path)), 0)
    assert dataset.test.counts.counts == (4, 6)
    assert dataset.notes == (
        "Files passed over, because their names are not those of images: 2 ending in .heic, 1 without an ending.",
    )
    assert dataset.overlaps == (
        ("test", "1 test image is in the selection part, too: results on it are too good."),
        ("test", "2 test images are in the train part, too: results on them are too good."),
    )


def test_images_that_are_not_trained_on_are_in_no_part(tmp_path: Path) -> None:
    """Of 20 copies in the test part, a profile leaves those of 2 training images to fit to."""
    lay(tmp_path / "train", {"ant": 21, "bee": 20}, 0)
    lay(tmp_path / "test", {"ant": 3, "bee": 4}, 100)
    for number in range(20):
        shutil.copy(tmp_path / "train" / "bee" / f"{number}.png", tmp_path / "test" / "bee" / f"copy {number}.png")
    whole = prepare(DataConfig(data=str(tmp_path)), 0)
    assert whole.overlaps == (("test", "20 test images are in the train part, too: results on them are too good."),)
    tail = prepare(DataConfig(data=str(tmp_path), imbalance_factor=10), 0)
    assert tail.fit.counts.counts == (21, 2)
    # One of the two is in the selection split, which the final networks are fitted to as well.
    assert tail.selection.counts.counts == (4, 1)
    assert tail.overlaps == (("test", "2 test images are in the train part, too: results on them are too good."),)


def test_images_under_several_labels_are_noted(tmp_path: Path) -> None:
    lay(tmp_path, {"ant": 9, "Ant": 5, "bee": 6}, 0)
    for number in range(2):
        shutil.copy(tmp_path / "ant" / f"{number}.png", tmp_path / "bee" / f"copy {number}.png")
    shutil.copy(tmp_path / "ant" / "0.png", tmp_path / "Ant" / "copy.png")
    shutil.copy(tmp_path / "ant" / "2.png", tmp_path / "ant" / "copy.png")
    shutil.copy(tmp_path / "ant" / "0.png", tmp_path / "loose.png")
    dataset = prepare(DataConfig(data=str(tmp_path)), 0)
    assert dataset.notes == (
        f"1 image lies in no class folder, so it is not used: {tmp_path / 'loose.png'}.",
        "Names of classes look alike ('Ant' and 'ant'): each is a class of its own, so put their images together "
        "where they are one.",
        "2 images are there under several labels, of which at most one is right.",
    )


def test_a_test_image_under_another_label_is_noted(tmp_path: Path) -> None:
    lay(tmp_path / "train", {"ant": 9, "bee": 5}, 0)
    lay(tmp_path / "test", {"ant": 3, "bee": 4}, 100)
    shutil.copy(tmp_path / "train" / "bee" / "1.png", tmp_path / "test" / "ant" / "copy.png")
    dataset = prepare(DataConfig(data=str(tmp_path)), 0)
    assert dataset.notes == ("1 image is there under several labels, of which at most one is right.",)
    assert dataset.overlaps == (("test", "1 test image is in the train part, too: results on it are too good."),)
