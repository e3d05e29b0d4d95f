from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tailornas.data import DataConfig, load, prepare
from tailornas.data.listfile import read_list
from tailornas.data.stored import ImageFiles, StoredSplit
from tailornas.data.table import label_order, parse_table
from tailornas.errors import DataError


def write(path: Path, *rows: str, header: str = "filename,label") -> Path:
    path.write_text("\n".join((header, *rows)))
    return path


def paths(split: StoredSplit) -> list[Path]:
    assert isinstance(split.images, ImageFiles)
    return list(split.images.paths)


def test_rows_are_a_path_and_a_label() -> None:
    text = 'Path,Class\r\n\r\na/1.jpg,red fox\r\n"b, c.jpg","say ""hi"""\n'
    assert list(parse_table(text, "labels.csv")) == [(3, "a/1.jpg", "red fox"), (4, "b, c.jpg", 'say "hi"')]


@pytest.mark.parametrize("header", [",label", ",0", "path,"])
def test_a_header_may_say_anything(header: str) -> None:
    assert list(parse_table(f"{header}\na.jpg,cat\n", "labels.csv")) == [(2, "a.jpg", "cat")]


def test_lines_of_nothing_are_passed_over() -> None:
    assert list(parse_table("\n   \nf,l\na.jpg,cat\n,\n \n", "labels.csv")) == [(4, "a.jpg", "cat")]


def test_space_around_fields_and_the_encoding_of_accents_count_for_nothing() -> None:
    rows = parse_table("f,l\n a.jpg , cafe\N{COMBINING ACUTE ACCENT}  noir \n", "labels.csv")
    assert list(rows) == [(2, "a.jpg", "caf\N{LATIN SMALL LETTER E WITH ACUTE} noir")]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("a.jpg,cat", r"line 1 is 'a\.jpg,cat', which lists an image: expected a header before it"),
        ("filename", "line 1 is 'filename': expected a header of two columns, path and label, such as 'filename,"),
        ("filename;label", "line 1 is 'filename;label': expected a header of two columns"),
        ("x/1,cat", "line 1 is 'x/1,cat', which lists an image: expected a header before it"),
        ("id,file,label", "line 1 is 'id,file,label': expected a header of two columns"),
    ],
)
def test_a_header_of_two_columns_comes_first(header: str, said: str) -> None:
    with pytest.raises(DataError, match=rf"^labels\.csv {said}"):
        list(parse_table(f"{header}\nb.jpg,dog\n", "labels.csv"))


@pytest.mark.parametrize(
    "row",
    [
        "a.jpg",
        "a, b.jpg,cat",
        "a.jpg,",
        ",cat",
        "cat,a.jpg",
        '"a.jpg,cat\nb.jpg",dog',
        'a.jpg,"cat\nb.jpg,dog"',
        '"a.jpg,cat',
        '"a"b,c',
    ],
)
def test_bad_rows_are_named_by_number(row: str) -> None:
    with pytest.raises(DataError, match=r"^labels\.csv line [34] is .*: expected 'path,label'") as caught:
        list(parse_table(f"filename,label\nb.jpg,dog\n{row}\n", "labels.csv"))
    assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet='ab,"\n\r .é/;\0\N{COMBINING ACUTE ACCENT}', max_size=40))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        rows = list(parse_table(f"f,l\n{text}", "labels.csv"))
    except DataError as problem:
        assert "\n" not in str(problem)
        return
    assert all(path and label for _, path, label in rows)


def test_labels_are_in_order_of_name_or_number() -> None:
    assert label_order({"dog", "Cat", "10", "9"}) == ("10", "9", "Cat", "dog")
    assert label_order({"10", "9", "1"}) == ("1", "9", "10")
    assert label_order({"1.0", "10.0", "2.0"}) == ("1.0", "10.0", "2.0")
    assert label_order({"9" * 5000, "10"}) == ("10", "9" * 5000)


@pytest.mark.parametrize("name", ["labels.csv", "labels.CSV"])
def test_a_table_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / "classes.txt").write_text("is for lists whose labels are numbers")
    table = write(tmp_path / name, "x/a.png,dog", "b.png,cat")
    source = read_list(table, None)
    assert paths(source.train) == [tmp_path / "x" / "a.png", tmp_path / "b.png"]
    assert source.classes == ("cat", "dog")
    assert source.train.labels.tolist() == [1, 0]
    assert source.test is None
    assert read_list(table, Path("images")).train.images.name(0) == str(Path("images", "x", "a.png"))


@pytest.mark.parametrize("path", ["/etc/passwd", "../a.jpg", "a/../../b.jpg", ".."])
def test_paths_stay_inside_the_root(tmp_path: Path, path: str) -> None:
    table = write(tmp_path / "labels.csv", "ok.jpg,cat", f"{path},dog")
    with pytest.raises(DataError, match=r"labels\.csv line 3 lists .* which leaves the root folder"):
        read_list(table, None)


def test_an_image_is_listed_once(tmp_path: Path) -> None:
    table = write(tmp_path / "labels.csv", "a.jpg,cat", "./a.jpg,dog")
    with pytest.raises(DataError, match=r"labels\.csv line 3 lists a\.jpg again, after line 2"):
        read_list(table, None)


def test_a_table_without_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels\.csv lists no image: expected lines of 'path,label'"):
        read_list(write(tmp_path / "labels.csv"), None)


def test_the_tables_beside_are_parts_with_the_same_labels(tmp_path: Path) -> None:
    train = write(tmp_path / "train.csv", "a.png,cat", "b.png,dog", "c.png,eel")
    test = write(tmp_path / "test.csv", "d.png,eel")
    source = read_list(train, None)
    assert source.test is not None
    assert source.test.labels.tolist() == [2]
    write(test, "d.png,cow")
    with pytest.raises(DataError, match=r"test\.csv has the label 'cow', which the list to train on has not"):
        read_list(train, None)
    write(test, "d.png", header="filename")  # as Kaggle's: without labels
    with pytest.raises(
        DataError, match=r"two columns.*; or move test\.csv elsewhere, if it is not the list of the test part$"
    ):
        read_list(train, None)


def test_a_table_of_real_images_is_read_divided_and_streamed(tmp_path: Path) -> None:
    rows = []
    for number in range(24):
        name = f"photos/{number:02}, {'big' if number < 15 else 'small'}.png"
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (9, 7), (number, 0, 0)).save(tmp_path / name)
        rows.append(f'"{name}",{"red fox" if number < 15 else "cat"}')
    table = write(tmp_path / "labels.csv", *rows)
    source = load(table, memory_cap=0)
    assert source.classes == ("cat", "red fox")
    assert source.train.counts.counts == (9, 15)
    assert source.train.images.take(torch.tensor([20, 3]))[:, 0, 0, 0].tolist() == [20, 3]
    dataset = prepare(DataConfig(data=str(table)), 0)
    assert dataset.test.counts.counts == (2, 3)
    (tmp_path / "lists").mkdir()
    elsewhere = table.rename(tmp_path / "lists" / "labels.csv")
    assert prepare(DataConfig(data=str(elsewhere), data_dir=tmp_path), 0).fingerprint == dataset.fingerprint
