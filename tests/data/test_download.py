import gzip
from collections.abc import Callable
from http.client import IncompleteRead
from pathlib import Path
from urllib.error import URLError

import pytest
from torchvision.datasets import utils

from tailornas.data.download import download_cifar10, download_cifar100, download_fashion_mnist
from tailornas.errors import DataError

FASHION = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}


@pytest.mark.parametrize(
    ("download", "files"),
    [
        (download_cifar10, {"cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a"}),
        (download_cifar100, {"cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85"}),
        (download_fashion_mnist, FASHION),
    ],
)
def test_files_come_whole_and_with_their_checksums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, download: Callable[[Path], None], files: dict[str, str]
) -> None:
    asked = {}

    def fetch(url: str, root: str, filename: str, md5: str) -> None:
        assert filename.endswith(".part")  # under its own name only once it is complete
        name = filename.removesuffix(".part").rpartition(".")[0]
        assert url.endswith(name)
        asked[name] = md5
        (Path(root) / filename).write_bytes(gzip.compress(name.encode()))

    monkeypatch.setattr(utils, "download_url", fetch)
    download(tmp_path)
    assert asked == files
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)
    asked.clear()
    download(tmp_path)
    assert not asked


@pytest.mark.parametrize(
    "problem",
    [URLError("no network"), RuntimeError("File not found or corrupted."), IncompleteRead(b"", 9), PermissionError()],
)
def test_failure_says_where_to_put_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    def fail(*_: object) -> None:
        raise problem

    monkeypatch.setattr(utils, "download_url", fail)
    with pytest.raises(
        DataError, match=r"cannot download cifar-10-python\.tar\.gz into .*: fetch it from https://.* and put it there"
    ):
        download_cifar10(tmp_path)
    assert not list(tmp_path.iterdir())


def test_two_processes_do_not_meet_in_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def fetch(url: str, root: str, filename: str, md5: str) -> None:
        (Path(root) / filename).write_bytes(b"half")
        written.append(filename)
        if len(written) == 1:  # meanwhile another process fetches the same, and finishes
            download_cifar10(tmp_path)
            raise URLError("connection lost")

    monkeypatch.setattr(utils, "download_url", fetch)
    download_cifar10(tmp_path)
    assert len(set(written)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-python.tar.gz"]


@pytest.mark.parametrize("problem", [URLError("no network"), KeyboardInterrupt()])
def test_it_is_announced_and_a_failure_leaves_no_folder_that_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], problem: BaseException
) -> None:
    def fail(url: str, root: str, filename: str, md5: str) -> None:
        assert capsys.readouterr().err == f"cifar-10-python.tar.gz is not in {root}: downloading it from {url}\n"
        Path(root).mkdir(parents=True)
        (Path(root) / filename).write_bytes(b"half")
        raise problem

    (tmp_path / "mine").mkdir()
    monkeypatch.setattr(utils, "download_url", fail)
    with pytest.raises(KeyboardInterrupt if isinstance(problem, KeyboardInterrupt) else DataError):
        download_cifar10(tmp_path / "mine" / "cache" / "cifar10")
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]
