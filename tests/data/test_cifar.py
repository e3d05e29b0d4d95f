import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tailornas.data.cifar import read_cifar10, read_cifar100
from tailornas.data.stored import StoredSource
from tailornas.errors import DataError

NAMES10 = [f"name {label}" for label in range(10)]
NAMES100 = [f"fine {label}" for label in range(100)]


def records(labels: list[int], seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (len(labels), 3072), dtype=np.uint8)


def cifar10_files(form: str) -> dict[str, bytes]:
    """CIFAR-10 with ten images a batch, whose pixels depend on the batch alone, not on the form."""
    files = {}
    labels = list(range(10))
    for number, name in enumerate(
        ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]
    ):
        pixels = records(labels, number)
        if form == "bin":
            column = np.array(labels, np.uint8)[:, None]
            files[f"{name}.bin"] = np.hstack([column, pixels]).tobytes()
        else:
            files[name] = pickle.dumps({"batch_label": name, "labels": labels, "data": pixels}, 4)
    if form == "bin":
        files["batches.meta.txt"] = ("\n".join(NAMES10) + "\n\n").encode()
    else:
        files["batches.meta"] = pickle.dumps({"label_names": NAMES10, "num_vis": 3072}, 4)
    return files


def cifar100_files(form: str) -> dict[str, bytes]:
    files = {}
    labels = list(range(100))
    coarse = [label // 5 for label in labels]
    for number, name in enumerate(["train", "test"]):
        pixels = records(labels, number)
        if form == "bin":
            columns = np.array([coarse, labels], np.uint8).T
            files[f"{name}.bin"] = np.hstack([columns, pixels]).tobytes()
        else:
            files[name] = pickle.dumps({"coarse_labels": coarse, "fine_labels": labels, "data": pixels}, 4)
    if form == "bin":
        files["fine_label_names.txt"] = "\n".join(NAMES100).encode()
    else:
        files["meta"] = pickle.dumps({"fine_label_names": NAMES100, "coarse_label_names": ["x"] * 20}, 4)
    return files


def lay(place: Path, folder: str, files: dict[str, bytes]) -> None:
    (place / folder).mkdir()
    for name, content in files.items():
        (place / folder / name).write_bytes(content)


def pack(archive: Path, folder: str, files: dict[str, bytes], prefix: str = "") -> None:
    with tarfile.open(archive, "w:gz") as members:
        for name, content in {"readme.html": b"<p>", **files}.items():
            member = tarfile.TarInfo(f"{prefix}{folder}/{name}")
            member.size = len(content)
            members.addfile(member, io.BytesIO(content))


def check_cifar10(source: StoredSource | None) -> None:
    assert source is not None
    assert source.test is not None
    assert source.classes == tuple(NAMES10)
    assert source.description == "CIFAR-10"
    assert source.flip
    assert source.train.labels.tolist() == list(range(10)) * 5
    assert source.test.labels.tolist() == list(range(10))
    for images, row, seed, place in ((source.train.images, 23, 2, 3), (source.test.images, 9, 5, 9)):
        with images.open(row) as image:
            expected = records(list(range(10)), seed)[place].reshape(3, 32, 32)
            assert np.array_equal(np.asarray(image).transpose(2, 0, 1), expected)


@pytest.mark.parametrize(
    ("form", "folder", "archive"),
    [
        ("bin", "cifar-10-batches-bin", "cifar-10-binary.tar.gz"),
        ("py", "cifar-10-batches-py", "cifar-10-python.tar.gz"),
    ],
)
def test_cifar10_is_read_from_folder_and_archive(tmp_path: Path, form: str, folder: str, archive: str) -> None:
    for place in ("folder", "archive", "dotted"):
        (tmp_path / place).mkdir()
    lay(tmp_path / "folder", folder, cifar10_files(form))
    pack(tmp_path / "archive" / archive, folder, cifar10_files(form))
    pack(tmp_path / "dotted" / archive, folder, cifar10_files(form), prefix="./")
    for place in ("folder", "archive", "dotted"):
        check_cifar10(read_cifar10(tmp_path / place))


@pytest.mark.parametrize(
    ("form", "folder", "archive"),
    [
        ("bin", "cifar-100-binary", "cifar-100-binary.tar.gz"),
        ("py", "cifar-100-python", "cifar-100-python.tar.gz"),
    ],
)
def test_cifar100_has_fine_labels(tmp_path: Path, form: str, folder: str, archive: str) -> None:
    lay(tmp_path, folder, cifar100_files(form))
    (tmp_path / "packed").mkdir()
    pack(tmp_path / "packed" / archive, folder, cifar100_files(form))
    for place in (tmp_path, tmp_path / "packed"):
        source = read_cifar100(place)
        assert source is not None
        assert source.test is not None
        assert source.classes == tuple(NAMES100)
        assert source.train.labels.tolist() == source.test.labels.tolist() == list(range(100))
        with source.test.images.open(42) as image:
            expected = records(list(range(100)), 1)[42].reshape(3, 32, 32)
            assert np.array_equal(np.asarray(image).transpose(2, 0, 1), expected)


def test_nothing_there_is_none(tmp_path: Path) -> None:
    assert read_cifar10(tmp_path) is None
    assert read_cifar10(tmp_path / "missing") is None
    lay(tmp_path, "cifar-100-python", cifar100_files("py"))
    assert read_cifar10(tmp_path) is None


def test_missing_files_are_named(tmp_path: Path) -> None:
    files = cifar10_files("bin")
    del files["data_batch_4.bin"], files["test_batch.bin"]
    lay(tmp_path, "cifar-10-batches-bin", files)
    with pytest.raises(DataError, match=r"batches-bin has no data_batch_4\.bin, test_batch\.bin: expected all files"):
        read_cifar10(tmp_path)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    archive = tmp_path / "cifar-10-python.tar.gz"
    pack(archive, "cifar-10-batches-py", cifar10_files("py"))
    for content in (b"no archive", archive.read_bytes()[:20_000]):
        archive.write_bytes(content)
        with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz is a damaged archive"):
            read_cifar10(tmp_path)


def test_links_in_an_archive_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(cifar10_files("bin")["test_batch.bin"])
    archive = tmp_path / "cifar-10-binary.tar.gz"
    files = cifar10_files("bin")
    del files["test_batch.bin"]
    with tarfile.open(archive, "w:gz") as members:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            members.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        members.addfile(link)
    with pytest.raises(DataError, match=r"has no test_batch\.bin"):
        read_cifar10(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("data_batch_2", pickle.dumps({"data": 3}, 4), "expected the entries 'data' and 'labels', got data"),
        (
            "data_batch_2",
            pickle.dumps({"data": np.zeros((2, 5), np.uint8), "labels": [1, 2]}, 4),
            r"3072 pixels an image, got pixels \(2, 5\)",
        ),
        (
            "test_batch",
            pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [10]}, 4),
            "labels from 10 to 10 for 10 classes",
        ),
        (
            "test_batch",
            pickle.dumps({"data": np.zeros((0, 3072), np.uint8), "labels": []}, 4),
            "expected an integer label",
        ),
        ("batches.meta", pickle.dumps({"label_names": np.float64(1)}, 4), "scalar, which CIFAR's files do not need"),
    ],
)
def test_wrong_contents_are_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    lay(tmp_path, "cifar-10-batches-py", {**cifar10_files("py"), name: content})
    with pytest.raises(DataError, match=rf"holds a {name} that is not CIFAR-10's \(.*{said}"):
        read_cifar10(tmp_path)


@pytest.mark.parametrize("content", [b"", bytes(3072)])
def test_wrong_binary_records_are_named(tmp_path: Path, content: bytes) -> None:
    lay(tmp_path, "cifar-10-batches-bin", {**cifar10_files("bin"), "data_batch_1.bin": content})
    with pytest.raises(DataError, match=rf"data_batch_1\.bin .*records of 3073 bytes, got {len(content)} bytes"):
        read_cifar10(tmp_path)
