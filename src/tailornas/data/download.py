"""Fetching a benchmark dataset's files, by torchvision, with the checksums that torchvision publishes."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from uuid import uuid4

from tailornas.errors import DataError

__all__ = ["download_cifar10", "download_cifar100", "download_fashion_mnist"]


def download_cifar10(folder: Path) -> None:
    """Fetches ``cifar-10-python.tar.gz`` (170 MB) into ``folder``; see :func:`download_fashion_mnist`."""
    from torchvision.datasets import CIFAR10

    _download(folder, [(CIFAR10.url, CIFAR10.filename, CIFAR10.tgz_md5)])


def download_cifar100(folder: Path) -> None:
    """Fetches ``cifar-100-python.tar.gz`` (169 MB) into ``folder``; see :func:`download_fashion_mnist`."""
    from torchvision.datasets import CIFAR100

    _download(folder, [(CIFAR100.url, CIFAR100.filename, CIFAR100.tgz_md5)])


def download_fashion_mnist(folder: Path) -> None:
    """Fetches the four compressed IDX files of Fashion-MNIST (31 MB) into ``folder``.

    Several processes may do so at once; a file that fails here but was finished by another meanwhile is used.

    Raises:
        DataError: a file cannot be fetched, or does not have its checksum, or cannot be written.
    """
    from torchvision.datasets import FashionMNIST

    _download(folder, [(FashionMNIST.mirrors[0] + name, name, md5) for name, md5 in FashionMNIST.resources])


def _download(folder: Path, files: Sequence[tuple[str, str, str]]) -> None:
    # torchvision takes seconds to import and most runs read local files.
    from torchvision.datasets.utils import download_url

    made = [place for place in (folder, *folder.parents) if not place.exists()]
    for url, name, md5 in files:
        part = folder / f"{name}.{uuid4().hex}.part"  # of this process alone: another may be fetching the same
        try:
            if not (folder / name).exists():
                # On standard error, where torchvision shows how far it is: what is asked for may be read by a program.
                sys.stderr.write(f"{name} is not in {folder}: downloading it from {url}\n")
                download_url(url, str(folder), part.name, md5)
                part.replace(folder / name)
        except BaseException as problem:
            with suppress(OSError):  # files that were fetched before, or that others put there, stay
                part.unlink(missing_ok=True)
                for place in made:
                    place.rmdir()
            if isinstance(problem, Exception) and (folder / name).exists():
                continue
            if not isinstance(problem, OSError | RuntimeError | HTTPException):
                raise
            raise DataError(
                f"cannot download {name} into {folder} ({' '.join(str(problem).split())}): fetch it from "
                f"{url} and put it there, or give the folder that holds it as --data-dir (data_dir)"
            ) from problem
