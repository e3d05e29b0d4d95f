import json
import os.path
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailornas.data.listfile import parse_list, read_list
from tailornas.data.stored import ImageFiles, StoredSplit
from tailornas.errors import DataError


def paths(split: StoredSplit) -> list[Path]:
    assert isinstance(split.images, ImageFiles)
    return list(split.images.paths)


def test_lines_are_a_path_and_a_label() -> None:
    text = "# head\n\nn01/a.jpg 0\n  b/my cat.png\t 12 \r\nc#.gif 3\n"
    assert parse_list(text, "list.txt") == (["n01/a.jpg", "b/my cat.png", "c#.gif"], [0, 12, 3])


def test_dots_inside_the_root_are_resolved() -> None:
    assert parse_list("./a/../b.jpg 1", "list.txt")[0] == ["b.jpg"]


@pytest.mark.parametrize(
    "line", ["a.jpg", "a.jpg one", "a.jpg -1", "a.jpg 1.0", "7", "a.jpg,1", "a.jpg 1 2x", "a.jpg 9999999999", "a.jpg ²"]
)
def test_bad_lines_are_named_by_number(line: str) -> None:
    with pytest.raises(DataError, match=r"list\.txt line 3 is '.*': expected 'relative/path label'"):
        parse_list(f"# head\nb.jpg 0\n{line}\n", "list.txt")


@pytest.mark.parametrize("path", ["/etc/passwd", "../a.jpg", "a/../../b.jpg", ".."])
def test_paths_stay_inside_the_root(path: str) -> None:
    with pytest.raises(DataError, match=r"list\.txt line 2 lists .* which leaves the root folder"):
        parse_list(f"ok.jpg 0\n{path} 1", "list.txt")


def test_labels_stay_below_the_number_of_classes() -> None:
    with pytest.raises(DataError, match=r"line 2 has the label 5: expected 0 to 4"):
        parse_list("a.jpg 4\nb.jpg 5", "list.txt", 5)


def test_an_image_is_listed_once() -> None:
    with pytest.raises(DataError, match=r"line 3 lists a\.jpg again, after line 1"):
        parse_list("a.jpg 0\nb.jpg 1\n./a.jpg 1", "list.txt")


@pytest.mark.parametrize("text", ["", "\n# nothing\n"])
def test_an_empty_list(text: str) -> None:
    with pytest.raises(DataError, match=r"list\.txt lists no image"):
        parse_list(text, "list.txt")


NAMES = st.text(st.characters(exclude_characters="/\\\r\n\0", exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: name == name.strip() and not name.startswith("#") and name not in (".", "..")
)


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.integers(0, 999_999_999), min_size=1))
def test_any_list_is_read_back(listed: dict[str, int]) -> None:
    text = "".join(f"{path} {label}\n" for path, label in listed.items())
    assert parse_list(text, "list.txt") == (list(listed), list(listed.values()))


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        files, labels = parse_list(text, "list.txt")
    except DataError as problem:
        assert "\n" not in str(problem)
        return
    assert len(files) == len(set(files)) == len(labels)
    assert all(os.path.commonpath(["/root", os.path.normpath(f"/root/{file}")]) == "/root" for file in files)


def test_a_list_alone(tmp_path: Path) -> None:
    (tmp_path / "all.txt").write_text("x/a.png 1\nb.png 0\n")
    source = read_list(tmp_path / "all.txt", None)
    assert paths(source.train) == [tmp_path / "x" / "a.png", tmp_path / "b.png"]
    assert source.train.labels.tolist() == [1, 0]
    assert source.classes == ("0", "1")
    assert source.test is None
    assert read_list(tmp_path / "all.txt", Path("images")).train.images.name(0) == str(Path("images", "x", "a.png"))


@pytest.mark.parametrize("name", ["train.txt", "ImageNet_LT_train.txt"])
def test_the_test_list_beside_is_used(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("a.png 1\nb.png 0\n")
    (tmp_path / name.replace("train", "test")).write_text("c.png 1\n")
    (tmp_path / "other_test.txt").write_text("no list")
    source = read_list(tmp_path / name, None)
    assert source.test is not None
    assert paths(source.test) == [tmp_path / "c.png"]
    assert source.test.labels.tolist() == [1]


@pytest.mark.parametrize(
    ("name", "val", "test"),
    [
        ("Train.txt", "Val.txt", "Test.txt"),
        ("TRAIN.TXT", "val.txt", "Test.TXT"),
        ("LT_train.txt", "lt_VAL.txt", "LT_Test.txt"),
    ],
)
def test_lists_beside_differ_in_case(tmp_path: Path, name: str, val: str, test: str) -> None:
    for number, file in enumerate((name, val, test)):
        (tmp_path / file).write_text(f"{number}a.png 1\n{number}b.png 0\n")
    source = read_list(tmp_path / name, None)
    assert source.selection is not None
    assert source.test is not None
    assert paths(source.selection) == [tmp_path / "1a.png", tmp_path / "1b.png"]
    assert paths(source.test) == [tmp_path / "2a.png", tmp_path / "2b.png"]


def test_two_lists_of_one_part(tmp_path: Path) -> None:
    for number, file in enumerate(("train.txt", "Test.txt", "TEST.txt")):
        (tmp_path / file).write_text(f"{number}a.png 1\n{number}b.png 0\n")
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("the file system takes both names for one")
    with pytest.raises(
        DataError, match=r"train\.txt has TEST\.txt and Test\.txt beside it: expected one list of the test part"
    ):
        read_list(tmp_path / "train.txt", None)


def test_a_list_without_the_word_has_none_beside(tmp_path: Path) -> None:
    for name in ("all.txt", "ALL.txt", "val.txt", "test.txt"):
        (tmp_path / name).write_text(f"{name}.png 1\nb.png 0\n")
    source = read_list(tmp_path / "all.txt", None)
    assert source.selection is None
    assert source.test is None


def test_class_names_beside(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("black cat\n dog \n\n")
    (tmp_path / "train.txt").write_text("a.png 1\nb.png 0\n")
    assert read_list(tmp_path / "train.txt", None).classes == ("black cat", "dog")
    (tmp_path / "test.txt").write_text("c.png 2\n")
    with pytest.raises(DataError, match=r"test\.txt line 1 has the label 2: expected 0 to 1"):
        read_list(tmp_path / "train.txt", None)


def test_a_named_class_needs_images(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("cat\ndog\neel\n")
    (tmp_path / "train.txt").write_text("a.png 2\nb.png 0\n")
    with pytest.raises(DataError, match=r"class 'dog' \(label 1\) of .*train\.txt has no training image"):
        read_list(tmp_path / "train.txt", None)


def test_labels_have_no_gap(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("a.png 2\nb.png 0\n")
    with pytest.raises(DataError, match=r"train\.txt has the label 2 but not 1"):
        read_list(tmp_path / "train.txt", None)


def test_one_class(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("a.png 0\nb.png 0\n")
    with pytest.raises(DataError, match="has 1 class: expected at least 2"):
        read_list(tmp_path / "train.txt", None)


def test_test_images_are_apart(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("a.png 1\nb.png 0\n")
    (tmp_path / "test.txt").write_text("./b.png 0\n")
    with pytest.raises(DataError, match=r"both list b\.png: expected the parts to be apart"):
        read_list(tmp_path / "train.txt", None)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"train\.txt cannot be read .*: expected a UTF-8 text file"):
        read_list(tmp_path / "train.txt", None)


def test_a_byte_order_mark_is_no_part_of_a_path(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes("a.png 0\nb.png 1".encode("utf-8-sig"))
    assert paths(read_list(tmp_path / "train.txt", None).train)[0] == tmp_path / "a.png"


def published(place: Path, lists: dict[str, dict[str, int]]) -> None:
    """List files of a published layout."""
    for name, listed in lists.items():
        (place / name).write_text("".join(f"{path} {label}\n" for path, label in listed.items()))


def test_imagenet_lt(tmp_path: Path) -> None:
    published(
        tmp_path,
        {
            "ImageNet_LT_train.txt": {"train/n01440764/n01440764_190.JPEG": 0, "train/n01443537/n01443537_2.JPEG": 1},
            "ImageNet_LT_val.txt": {"train/n01440764/n01440764_8.JPEG": 0},
            "ImageNet_LT_test.txt": {"val/n01440764/ILSVRC2012_val_00000293.JPEG": 0},
            "ImageNet_LT_open.txt": {"test/ILSVRC2010_val_00000001.JPEG": -1},  # is of no use here
        },
    )
    root = Path("/data/imagenet")
    source = read_list(tmp_path / "ImageNet_LT_train.txt", root)
    assert source.selection is not None
    assert source.test is not None
    assert paths(source.train)[0] == root / "train" / "n01440764" / "n01440764_190.JPEG"
    assert paths(source.selection) == [root / "train" / "n01440764" / "n01440764_8.JPEG"]
    assert paths(source.test) == [root / "val" / "n01440764" / "ILSVRC2012_val_00000293.JPEG"]


def test_places_lt(tmp_path: Path) -> None:
    published(
        tmp_path,
        {
            "Places_LT_train.txt": {"train/airfield/00000001.jpg": 0, "train/airplane_cabin/00000009.jpg": 1},
            "Places_LT_val.txt": {"train/airfield/00000002.jpg": 0},
            "Places_LT_test.txt": {"val/airfield/Places365_val_00003597.jpg": 0},
        },
    )
    source = read_list(tmp_path / "Places_LT_train.txt", None)
    assert source.selection is not None
    assert source.test is not None
    assert (len(source.train.images), len(source.selection.images), len(source.test.images)) == (2, 1, 1)


def test_inaturalist_has_no_public_test_labels(tmp_path: Path) -> None:
    image = "train_val2018/Plantae/7477/3b60c9486db1d2ee875f11a669fbde4a.jpg"
    published(
        tmp_path,
        {
            "iNaturalist18_train.txt": {image: 0, "train_val2018/Aves/1/b.jpg": 1},
            "iNaturalist18_val.txt": {"train_val2018/Aves/1/c.jpg": 1},
        },
    )
    source = read_list(tmp_path / "iNaturalist18_train.txt", None)
    assert source.selection is None
    assert source.test is not None
    assert paths(source.test) == [tmp_path / "train_val2018/Aves/1/c.jpg"]


def annotated(place: Path, images: dict[str, int], categories: dict[int, str]) -> None:
    """An annotation file as iNaturalist 2018 publishes them."""
    content = {
        "info": {"year": 2018, "version": "1"},
        "images": [{"id": i, "file_name": path, "width": 8, "height": 8} for i, path in enumerate(images)],
        "categories": [{"id": i, "name": name, "supercategory": "Aves"} for i, name in categories.items()],
        "annotations": [{"id": i, "image_id": i, "category_id": c} for i, c in enumerate(images.values())],
        "licenses": [],
    }
    place.write_text(json.dumps(content))


def test_inaturalist_annotations(tmp_path: Path) -> None:
    names = {1: "merula", 0: "edulis"}
    annotated(tmp_path / "train2018.json", {"train_val2018/Aves/1/a.jpg": 1, "train_val2018/Fungi/0/b.jpg": 0}, names)
    annotated(tmp_path / "val2018.json", {"train_val2018/Aves/1/c.jpg": 1}, names)
    (tmp_path / "test2018.json").write_text(json.dumps({"images": [{"id": 1, "file_name": "test2018/d.jpg"}]}))
    source = read_list(tmp_path / "train2018.json", Path("/data"))
    assert source.classes == ("edulis", "merula")
    assert source.train.labels.tolist() == [1, 0]
    assert source.selection is None
    assert source.test is not None
    assert paths(source.test) == [Path("/data/train_val2018/Aves/1/c.jpg")]


def test_annotations_of_other_categories(tmp_path: Path) -> None:
    annotated(tmp_path / "train2018.json", {"a.jpg": 1, "b.jpg": 0}, {0: "x", 1: "y"})
    annotated(tmp_path / "val2018.json", {"c.jpg": 1}, {0: "x", 1: "z"})
    with pytest.raises(DataError, match=r"val2018\.json has other categories than the list to train on"):
        read_list(tmp_path / "train2018.json", None)


def test_a_list_to_train_on_needs_annotations(tmp_path: Path) -> None:
    (tmp_path / "test2018.json").write_text(json.dumps({"images": [{"id": 1, "file_name": "a.jpg"}]}))
    with pytest.raises(DataError, match=r"test2018\.json has no annotations: expected a category"):
        read_list(tmp_path / "test2018.json", None)


@pytest.mark.parametrize(("first", "second"), [("train", "val"), ("val", "test"), ("train", "test")])
def test_every_two_parts_are_apart(tmp_path: Path, first: str, second: str) -> None:
    lists = {"train": {"a.png": 0, "b.png": 1}, "val": {"c.png": 0}, "test": {"d.png": 0}}
    lists[second] |= dict(list(lists[first].items())[:1])
    published(tmp_path, {f"{name}.txt": listed for name, listed in lists.items()})
    with pytest.raises(DataError, match=rf"{first}\.txt and .*{second}\.txt both list"):
        read_list(tmp_path / "train.txt", None)


def test_listing_opens_no_image(tmp_path: Path) -> None:
    published(tmp_path, {"train.txt": {f"missing/{number}.jpg": number % 2 for number in range(1000)}})
    assert len(read_list(tmp_path / "train.txt", None).train.images) == 1000
