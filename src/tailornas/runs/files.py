"""Files that are there whole or not at all, whenever the process is killed."""

import errno
import io
import json
import math
import os
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from tailornas.errors import DiskError, RunFolderError

__all__ = [
    "LEFTOVER",
    "append",
    "disk_errors",
    "read_json",
    "read_json_lines",
    "read_state",
    "read_tensors",
    "read_toml",
    "remove_folder",
    "sweep",
    "sync",
    "to_json",
    "truncate",
    "write_bytes",
    "write_json",
    "write_state",
    "write_tensors",
    "write_text",
]

LEFTOVER = ".tmp"
"""Ending of files and folders that are being written or deleted; no finished one has it."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
NO_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})
"""What file systems answer whose folders cannot be synchronised: some of networks, and some of FUSE."""
DAMAGED = frozenset({errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.ELOOP})
"""Of an error of reading: the file is not what a run wrote, whoever reads it and whenever."""


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns an OSError of writing ``path`` into a :class:`DiskError` that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            mend = "free some space or raise the quota"
        elif error.errno in READ_ONLY:
            mend = "make the folder writable or choose another --out"
        else:
            mend = "check the disk and --out"
        raise DiskError(
            f"cannot write {path}: {error.strerror or error}; {mend}: nothing was lost that had been saved, "
            "start the same command again to go on"
        ) from error


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Writes a file at once: readers, and a start after a kill, find the old content or the new, not a part.

    Raises:
        DiskError: it could not be written; the old content is still there.
    """
    temporary = path.with_name(path.name + LEFTOVER)
    with disk_errors(path):
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text at once; see :func:`write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON value at once, indented for people; see :func:`write_bytes` and :func:`to_json`."""
    write_text(path, to_json(value, indent=2) + "\n")


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes tensors as safetensors at once, contiguous; see :func:`write_bytes`.

    Tensors may be in any memory format, on any device, require gradients and share memory with each other.
    """
    # safetensors refuses strided and shared memory, so each tensor becomes a plain copy.
    plain = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    write_bytes(path, safetensors.torch.save(plain))


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Writes nested dicts and lists of tensors, numbers and text at once; see :func:`write_bytes`.

    Raises:
        TypeError: the state holds anything else. It could be written, but not be read again by
            ``torch.load(weights_only=True)``.
    """
    # Written to memory first: torch reports a full disk as a RuntimeError without the reason.
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    if unsafe := torch.serialization.get_unsafe_globals_in_checkpoint(buffer):
        raise TypeError(
            "a checkpoint holds tensors, numbers, text, lists and dicts: "
            f"expected nothing else, found {', '.join(unsafe)}"
        )
    write_bytes(path, buffer.getbuffer())


def append(path: Path, line: str) -> None:
    """Adds one line to a text file. A kill may leave a part of it: :func:`truncate` takes that away.

    Raises:
        DiskError: it could not be written.
    """
    with disk_errors(path), path.open("ab") as file:
        file.write(line.encode() + b"\n")


def truncate(path: Path, length: int) -> None:
    """Cuts a file to its first ``length`` bytes; a missing file has none.

    Raises:
        RunFolderError: the file is shorter than that.
        DiskError: it could not be cut.
    """
    size = path.stat().st_size if path.exists() else 0
    if size < length:
        raise RunFolderError(
            f"{path} has {size} bytes, its checkpoint expects at least {length}: "
            f"delete {path.parent} to compute anew what it holds"
        )
    if size > length:
        with disk_errors(path):
            os.truncate(path, length)


def sync(path: Path) -> None:
    """Makes a file, or the names in a folder, survive a power failure; a folder as far as its file system can."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Deletes what a killed process was writing or deleting anywhere in ``folder``."""
    with disk_errors(folder):
        for leftover in list(folder.rglob(f"*{LEFTOVER}")):
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover)
            else:
                leftover.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Deletes a folder so that a kill leaves all of it or nothing of it (after :func:`sweep`)."""
    aside = folder.with_name(folder.name + LEFTOVER)
    with disk_errors(folder):
        folder.rename(aside)
        shutil.rmtree(aside)


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON text of a value: tuples become lists, and NaN and infinities, which JSON lacks, become null."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def read_json(path: Path, mend: str | None = None) -> Any:
    """The JSON value of a file.

    Args:
        path: the file.
        mend: what to do if it is damaged; None: to delete its folder.

    Raises:
        RunFolderError: the file is missing or damaged, or cannot be read now.
    """
    with _reading(path, mend):
        return json.loads(path.read_text(encoding="utf-8"))


def read_json_lines(path: Path) -> list[Any]:
    """The JSON values of a file's lines, but for a last one without its end: a kill, or a reader, came early.

    Raises:
        RunFolderError: the file is missing or damaged.
    """
    with _reading(path):
        whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU.

    Raises:
        RunFolderError: the file is missing or damaged.
    """
    with _reading(path):
        return safetensors.torch.load(path.read_bytes())


def read_state(path: Path) -> dict[str, Any]:
    """What :func:`write_state` wrote, with tensors on the CPU.

    Raises:
        RunFolderError: the file is missing or damaged.
    """
    with _reading(path):
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file.

    Raises:
        RunFolderError: the file is missing or damaged, or cannot be read now.
    """
    with _reading(path, "choose another --out"):
        return tomllib.loads(path.read_text(encoding="utf-8"))


@contextmanager
def _reading(path: Path, mend: str | None = None) -> Iterator[None]:
    mend = mend or f"delete {path.parent} to compute anew what it holds, or choose another --out"
    try:
        yield
    except Exception as error:  # readers raise RuntimeErrors, UnpicklingErrors, EOFErrors and more for damage
        # What the file holds is not to blame for these, and would be lost by the mend of damage.
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):  # torch's is a RuntimeError
            raise RunFolderError(f"cannot read {path}: not enough memory: end other programs, start again") from error
        if isinstance(error, OSError) and error.errno not in DAMAGED:
            raise RunFolderError(
                f"cannot read {path}: {error.strerror or error}: make it readable, or check the disk, and start again"
            ) from error
        raise RunFolderError(f"cannot read {path} as the run wrote it ({type(error).__name__}): {mend}") from error


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
