import io
import json
import mmap
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tailornas.data.images import load_images
from tailornas.data.parquet import ParquetImages, find_shards, read_parquet
from tailornas.data.profiles import class_counts
from tailornas.data.stored import StoredImages
from tailornas.errors import DataError, DiskError
from tailornas.types import ClassCounts

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def png(colour: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(file, "PNG")
    return file.getvalue()


def write(
    path: Path,
    labels: list[int | None],
    metadata: dict[str, str] | None = None,
    first: int = 0,
    images: list[bytes | None] | None = None,
    label_type: pa.DataType | None = None,
    **options: Any,
) -> Path:
    encoded = images or [png(first + row) for row in range(len(labels))]
    table = pa.table(
        {
            "image": pa.array([{"bytes": image, "path": f"{row}.png"} for row, image in enumerate(encoded)], IMAGE),
            "label": pa.array(labels, label_type or pa.int64()),
        }
    ).replace_schema_metadata(metadata)
    pq.write_table(table, path, **options)
    return path


def reds(images: StoredImages) -> list[int]:
    found = []
    for row in range(len(images)):
        with images.open(row) as image:
            found.append(int(np.asarray(image)[0, 0, 0]))
    return found


@pytest.mark.parametrize("memory_cap", [2**20, 0])
def test_shards_are_one_collection(tmp_path: Path, memory_cap: int) -> None:
    train = [
        write(tmp_path / "train-0.parquet", [0, 1, 1], row_group_size=2),
        write(tmp_path / "train-1.parquet", [2, 0], first=3, compression="zstd"),
    ]
    test = [write(tmp_path / "test.parquet", [2], first=9, label_type=pa.int8())]
    source = read_parquet(train, test, memory_cap)
    assert reds(source.train.images) == [0, 1, 2, 3, 4]
    assert source.train.labels.tolist() == [0, 1, 1, 2, 0]
    assert source.test is not None
    assert reds(source.test.images) == [9]
    assert source.test.labels.tolist() == [2]
    assert source.classes == ("0", "1", "2")
    assert source.description == str(tmp_path)
    assert source.train.images.name(2) == f"{train[0]} row 2"
    assert source.train.images.name(3) == f"{train[1]} row 0"
    assert isinstance(source.train.images, ParquetImages)
    assert isinstance(source.train.images.buffer, bytes if memory_cap else mmap.mmap)


def test_one_file_is_described_by_its_path(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [0, 1])
    assert read_parquet([path], [], 2**20).description == str(path)


def test_class_names_of_the_schema_metadata(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [0, 1], {"class_names": "cat, big dog"})
    assert read_parquet([path], [], 2**20).classes == ("cat", "big dog")


def test_class_names_of_hugging_face_features(tmp_path: Path) -> None:
    features = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    path = write(tmp_path / "a.parquet", [0, 1], {"huggingface": json.dumps(features)})
    assert read_parquet([path], [], 2**20).classes == ("cat", "dog")


def test_features_without_names(tmp_path: Path) -> None:
    features = {"info": {"features": {"label": {"dtype": "int64", "_type": "Value"}}}}
    path = write(tmp_path / "a.parquet", [0, 1], {"huggingface": json.dumps(features)})
    assert read_parquet([path], [], 2**20).classes == ("0", "1")


@pytest.mark.parametrize("features", ["no json", "[1]", '{"info": 3}', '{"info":{"features":{"label":{"names":3}}}}'])
def test_unreadable_features_are_an_error(tmp_path: Path, features: str) -> None:
    path = write(tmp_path / "a.parquet", [0, 1], {"huggingface": features})
    with pytest.raises(DataError, match=r"a\.parquet has class names in its schema metadata that cannot be read"):
        read_parquet([path], [], 2**20)


def test_a_row_without_image_is_a_bad_image(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [0, 1, 0, 1], images=[png(5), b"junk", None, png(6)])
    images = read_parquet([path], [], 2**20).train.images
    with pytest.raises(DataError, match=r"cannot read image .*a\.parquet row 1 "):
        load_images(images, 8, stream=False, skip_bad=False)
    _, rows, _, skipped = load_images(images, 8, stream=False, skip_bad=True)
    assert rows.tolist() == [0, 3]
    assert skipped == (f"{path} row 1", f"{path} row 2")


def test_formats_that_are_not_documented_are_not_tried(tmp_path: Path) -> None:
    encoded = io.BytesIO()
    Image.new("RGB", (4, 4)).save(encoded, "EPS")
    path = write(tmp_path / "a.parquet", [0, 1], images=[png(5), encoded.getvalue()])
    with pytest.raises(DataError, match=r"a\.parquet row 1 \(its format is none of JPEG, PNG, "):
        load_images(read_parquet([path], [], 2**20).train.images, 8, stream=False, skip_bad=False)


def test_a_null_image_is_a_bad_image(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    images = pa.array([{"bytes": png(1), "path": ""}, None], IMAGE)
    pq.write_table(pa.table({"image": images, "label": [0, 1]}), path)
    _, _, _, skipped = load_images(read_parquet([path], [], 2**20).train.images, 8, stream=False, skip_bad=True)
    assert skipped == (f"{path} row 1",)


@pytest.mark.parametrize("label", [2, -1])
def test_labels_have_to_be_classes(tmp_path: Path, label: int) -> None:
    good = write(tmp_path / "train.parquet", [0, 1], {"class_names": "cat,dog"})
    bad = write(tmp_path / "test.parquet", [0, 1, label])
    with pytest.raises(DataError, match=rf"test\.parquet row 2 has the label {label}: expected 0 to 1"):
        read_parquet([good], [bad], 2**20)
    write(good, [0, 1, label], {"class_names": "cat,dog"})
    with pytest.raises(DataError, match=rf"train\.parquet row 2 has the label {label}"):
        read_parquet([good], [], 2**20)


def test_labels_without_names_have_no_gap(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [0, 10**12])
    with pytest.raises(DataError, match="has the label 1000000000000 but not 1"):
        read_parquet([path], [], 2**20)


def test_a_missing_label_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [0, 1, None])
    with pytest.raises(DataError, match=r"a\.parquet row 2 has no label"):
        read_parquet([path], [], 2**20)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"img": [b"x"], "label": [0]}, r"has the columns img \(binary\), label \(int64\): expected 'image', a struct"),
        ({"image": [b"x"], "label": [0]}, "expected 'image', a struct"),
        ({"image": [{"path": "x"}], "label": [0]}, "expected 'image', a struct with the field 'bytes'"),
        ({"image": [{"bytes": b"x"}]}, "expected 'label', an integer"),
        ({"image": [{"bytes": b"x"}], "label": ["cat"]}, r"label \(string\): expected 'label', an integer"),
    ],
)
def test_other_columns_are_refused(tmp_path: Path, columns: dict[str, list[Any]], said: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=said):
        read_parquet([tmp_path / "a.parquet"], [], 2**20)


def test_no_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [])
    with pytest.raises(DataError, match=r"a\.parquet has no rows"):
        read_parquet([path], [], 2**20)


@pytest.mark.parametrize("content", [b"", b"no parquet", None])
def test_other_files_are_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet cannot be read as a Parquet file"):
        read_parquet([path], [], 2**20)


def test_a_damaged_page_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [row % 2 for row in range(300)], compression="gzip")
    content = bytearray(path.read_bytes())
    content[50:300] = bytes(250)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet is damaged after row 0"):
        read_parquet([path], [], 2**20)


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    path = write(tmp_path / "a.parquet", [0, 1])
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(DiskError, match=r"No space left on device\): set TMPDIR to a folder with room"):
        read_parquet([path], [], 0)


def test_shards_are_found_by_name(tmp_path: Path) -> None:
    for name in ("train-00001-of-00002", "train-00000-of-00002", "test"):
        (tmp_path / f"{name}.parquet").touch()
    (tmp_path / "README.md").touch()
    train, test = find_shards(tmp_path)
    assert [path.name for path in train] == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    assert [path.name for path in test] == ["test.parquet"]
    assert find_shards(tmp_path / "missing") == ([], [])


@pytest.mark.parametrize(
    ("names", "said"),
    [(["train", "validation"], r"holds validation\.parquet: expected"), (["test"], "only test shards")],
)
def test_other_shards_are_not_dropped_silently(tmp_path: Path, names: list[str], said: str) -> None:
    for name in names:
        (tmp_path / f"{name}.parquet").touch()
    with pytest.raises(DataError, match=said):
        find_shards(tmp_path)


@pytest.mark.parametrize("memory_cap", [2**30, 0])
def test_the_real_cifar10(cifar10_dir: Path, memory_cap: int) -> None:
    source = read_parquet(*find_shards(cifar10_dir), memory_cap)
    assert source.test is not None
    assert source.classes[0] == "airplane"
    assert source.classes[-1] == "truck"
    assert source.train.labels.bincount().tolist() == [5000] * 10
    assert source.test.labels.bincount().tolist() == [1000] * 10
    counts = class_counts("exp", ClassCounts.of(source.train.labels, 10), 100)
    assert counts.counts == (5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50)
    with source.train.images.open(49_999) as image:
        assert (image.format, image.size) == ("JPEG", (32, 32))
