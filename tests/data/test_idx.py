import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailornas.data.idx import parse_idx, read_fashion_mnist
from tailornas.errors import DataError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def idx(array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def lay(folder: Path, ending: str = "", labels: int = 20) -> None:
    generator = np.random.default_rng(0)
    for prefix in ("train", "t10k"):
        images = generator.integers(0, 256, (20, 28, 28), dtype=np.uint8)
        for name, content in (
            (f"{prefix}-images-idx3-ubyte", idx(images)),
            (f"{prefix}-labels-idx1-ubyte", idx(np.arange(labels, dtype=np.uint8) % 10)),
        ):
            (folder / f"{name}{ending}").write_bytes(gzip.compress(content) if ending else content)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_arrays_survive_the_format(shape: list[int]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(parse_idx(idx(array), len(shape)), array)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=40), st.integers(1, 3))
def test_other_bytes_are_refused_or_fit_their_header(content: bytes, dimensions: int) -> None:
    for candidate in (content, bytes((0, 0, 8, dimensions)) + content):
        try:
            array = parse_idx(candidate, dimensions)
        except DataError:
            continue
        assert array.ndim == dimensions
        assert array.size == len(candidate) - 4 - 4 * dimensions


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "1-dimensional unsigned bytes, got ''"),
        (bytes((0, 0, 9, 1)) + bytes(8), "got '00 00 09 01'"),
        (bytes((0, 0, 8, 3)) + bytes(12), "got '00 00 08 03'"),
        (idx(np.zeros(5, np.uint8))[:-1], r"expected 5 elements for the shape \(5,\), got 4"),
        (idx(np.zeros(5, np.uint8)) + b"x", "got 6"),
    ],
)
def test_malformed_files_are_refused(content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        parse_idx(content, 1)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_fashion_mnist_is_read_plain_and_compressed(tmp_path: Path, ending: str) -> None:
    lay(tmp_path, ending)
    source = read_fashion_mnist(tmp_path)
    assert source is not None
    assert source.test is not None
    assert (len(source.train.images), len(source.test.images)) == (20, 20)
    assert source.classes[0] == "T-shirt/top"
    with source.train.images.open(0) as image:
        assert image.size == (28, 28)


def test_nothing_there_is_none(tmp_path: Path) -> None:
    assert read_fashion_mnist(tmp_path) is None


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    lay(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"has no t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte\.gz"):
        read_fashion_mnist(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"no gzip", gzip.compress(b"no idx"), gzip.compress(bytes(99))[:-9]],
    ids=["no gzip", "no idx", "truncated"],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    lay(tmp_path, ".gz")
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz is damaged"):
        read_fashion_mnist(tmp_path)


def test_images_and_labels_have_to_fit(tmp_path: Path) -> None:
    lay(tmp_path, labels=19)
    with pytest.raises(DataError, match="has 20 train images and 19 train labels"):
        read_fashion_mnist(tmp_path)


def test_labels_have_to_be_classes(tmp_path: Path) -> None:
    lay(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.full(20, 10, np.uint8)))
    with pytest.raises(DataError, match="has the t10k label 10: expected 0 to 9"):
        read_fashion_mnist(tmp_path)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_the_real_fashion_mnist() -> None:
    source = read_fashion_mnist(DEBIAN)
    assert source is not None
    assert source.test is not None
    assert source.train.labels.bincount().tolist() == [6000] * 10
    assert source.test.labels.bincount().tolist() == [1000] * 10
    # The published first labels: ankle boot, T-shirt, T-shirt, dress, T-shirt.
    assert source.train.labels[:5].tolist() == [9, 0, 0, 3, 0]
    with source.train.images.open(0) as image:
        assert (image.mode, image.size) == ("L", (28, 28))
        assert np.asarray(image).mean() == pytest.approx(97.25, abs=0.05)
