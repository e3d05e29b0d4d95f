import errno
import json
import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tailornas.errors import DiskError, RunFolderError
from tailornas.runs.files import (
    append,
    read_json,
    read_json_lines,
    read_state,
    read_tensors,
    read_toml,
    remove_folder,
    sweep,
    sync,
    to_json,
    truncate,
    write_bytes,
    write_json,
    write_state,
    write_tensors,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_writing_replaces_the_whole_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_text(path, "a longer first text")
    write_text(path, "Größe")
    assert path.read_bytes() == "Größe".encode()
    assert names(tmp_path) == ["note.txt"]


def test_a_full_disk_keeps_the_old_file_and_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_text(path, "old")
    # The kernel's own full disk, in the place of the file that is written first.
    (tmp_path / "result.json.tmp").symlink_to("/dev/full")
    with pytest.raises(DiskError) as caught:
        write_text(path, "new")
    assert str(caught.value) == (
        f"cannot write {path}: No space left on device; free some space or raise the quota: nothing was lost that had "
        "been saved, start the same command again to go on"
    )
    assert path.read_text() == "old"
    assert names(tmp_path) == ["result.json"]


def test_a_full_disk_while_appending(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    with pytest.raises(DiskError, match="No space left on device; free some space"):
        append(tmp_path / "log.jsonl", "{}")


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder in which nobody can write")
def test_a_read_only_folder_says_so() -> None:
    with pytest.raises(DiskError, match=r"^cannot write /sys/kernel/x: .*; make the folder writable or choose another"):
        write_text(Path("/sys/kernel/x"), "")


def test_any_other_error_of_the_disk_gives_its_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiskError, match="file/x: Not a directory; check the disk and --out: nothing was lost"):
        write_text(tmp_path / "file" / "x", "")


def test_an_interrupted_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    write_text(path, "old")

    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["result.json"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EIO])
def test_a_folder_need_not_be_synchronised_but_a_file_must(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    really_sync = os.fsync

    def refuse(descriptor: int, *, kind: Callable[[int], bool]) -> None:
        if kind(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        really_sync(descriptor)

    monkeypatch.setattr(os, "fsync", partial(refuse, kind=stat.S_ISDIR))
    if number == errno.EIO:
        with pytest.raises(DiskError, match="Input/output error"):
            write_text(tmp_path / "note.txt", "text")
    else:
        write_text(tmp_path / "note.txt", "text")
    assert names(tmp_path) == ["note.txt"]
    monkeypatch.setattr(os, "fsync", partial(refuse, kind=stat.S_ISREG))
    with pytest.raises(DiskError):
        write_text(tmp_path / "other.txt", "text")
    with pytest.raises(OSError, match=os.strerror(number)):
        sync(tmp_path / "note.txt")
    assert names(tmp_path) == ["note.txt"]


def test_tensors_of_every_kind_come_back_with_their_bits(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    tensors = {
        "z_first": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "transposed": torch.randn(3, 4).t(),
        "shared": shared,
        "part": shared[2:4],
        "parameter": torch.nn.Parameter(torch.randn(2)),
        "bf16": torch.randn(5).bfloat16(),
        "scalar": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "mask": torch.tensor([True, False]),
        "special": torch.tensor([float("nan"), float("inf"), -0.0]),
    }
    write_tensors(tmp_path / "t.safetensors", tensors)
    read = read_tensors(tmp_path / "t.safetensors")
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].is_contiguous()
        assert not read[name].requires_grad
        assert read[name].dtype == tensor.dtype
        torch.testing.assert_close(read[name], tensor.detach(), rtol=0, atol=0, equal_nan=True)
    read["scalar"].add_(1)


def test_state_comes_back(tmp_path: Path) -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    state = {"optimizer": optimizer.state_dict(), "epoch": 3, "names": ["a", None], "scores": {"k": (0.5, 2)}}
    write_state(tmp_path / "c.pt", state)
    read = read_state(tmp_path / "c.pt")
    assert read["scores"] == {"k": (0.5, 2)}
    assert read["names"] == ["a", None]
    momentum = read["optimizer"]["state"][0]["momentum_buffer"]
    assert torch.equal(momentum, optimizer.state[model.weight]["momentum_buffer"])


def test_state_that_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"expected nothing else, found .*numpy"):
        write_state(tmp_path / "c.pt", {"loss": np.float64(0.5)})
    assert names(tmp_path) == []


def test_appended_lines_are_read_and_a_line_without_end_is_not(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append(path, '{"epoch": 1}')
    append(path, '{"epoch": 2}')
    with path.open("a") as file:
        file.write('{"epo')
    assert read_json_lines(path) == [{"epoch": 1}, {"epoch": 2}]


def test_truncate_cuts_and_refuses_to_stretch(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    truncate(path, 0)
    assert not path.exists()
    path.write_bytes(b"12345")
    truncate(path, 5)
    truncate(path, 2)
    assert path.read_bytes() == b"12"
    with pytest.raises(RunFolderError, match=rf"log.jsonl has 2 bytes, .* at least 9: delete {tmp_path} to compute"):
        truncate(path, 9)


def test_sweep_deletes_leftovers_in_all_folders_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "stages/a.tmp/deep.tmp").mkdir(parents=True)
    (tmp_path / "stages/a.tmp/deep.tmp/file").touch()
    (tmp_path / "stages/b").mkdir()
    (tmp_path / "stages/b/result.json").touch()
    (tmp_path / "stages/b/checkpoint.pt.tmp").touch()
    (tmp_path / "run.json.tmp").touch()
    (tmp_path / "outside").mkdir()
    (tmp_path / "stages/link.tmp").symlink_to(tmp_path / "outside")
    sweep(tmp_path)
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert files == ["outside", "stages", "stages/b", "stages/b/result.json"]


def test_a_removed_folder_is_gone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").touch()
    remove_folder(tmp_path / "a")
    assert names(tmp_path) == []


@pytest.mark.parametrize("read", [read_json, read_json_lines, read_state, read_tensors])
@pytest.mark.parametrize("content", [None, b"\xff{ no\n", b""])
def test_a_damaged_or_missing_file_names_the_mend(tmp_path: Path, read: Any, content: bytes | None) -> None:
    if read is read_json_lines and content == b"":
        assert read_json_lines(Path(os.devnull)) == []
        return
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunFolderError, match=rf"^cannot read {path} as the run wrote it \(.*\): delete {tmp_path} to"):
        read(path)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "not enough memory: end other programs, start again"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            "not enough memory: end other programs, start again",
        ),
        (
            OSError(errno.EIO, "Input/output error"),
            "Input/output error: make it readable, or check the disk, and start",
        ),
        (OSError(errno.ESTALE, "Stale file handle"), "Stale file handle: make it readable, or check the disk"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied: make it readable, or check the disk"),
    ],
)
def test_a_file_that_cannot_be_read_now_is_not_to_be_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    def fail(path: Path, **options: Any) -> None:
        raise error

    monkeypatch.setattr(Path, "read_text", fail)
    with pytest.raises(RunFolderError, match=rf"^cannot read {tmp_path}/file: {message}") as caught:
        read_json(tmp_path / "file")
    assert "delete" not in str(caught.value)


def test_a_damaged_file_may_have_a_mend_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RunFolderError, match=r"\(JSONDecodeError\): write it anew$"):
        read_json(tmp_path / "run.json", "write it anew")
    (tmp_path / "config.toml").write_text("seed")
    with pytest.raises(RunFolderError, match=r"\(TOMLDecodeError\): choose another --out$"):
        read_toml(tmp_path / "config.toml")
    (tmp_path / "config.toml").write_text("seed = 1")
    assert read_toml(tmp_path / "config.toml") == {"seed": 1}


def test_numbers_that_json_lacks_become_null(tmp_path: Path) -> None:
    write_json(tmp_path / "v.json", {"loss": float("nan"), "factors": (float("inf"), 1.5), "n": np.float64(2.5)})
    assert json.loads((tmp_path / "v.json").read_text()) == {"loss": None, "factors": [None, 1.5], "n": 2.5}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
)


@given(JSON)
@settings(deadline=None, max_examples=30)
def test_json_values_come_back_as_they_were(value: Any) -> None:
    text = to_json(value)
    assert json.loads(text) == value
    assert "\n" not in text


@given(JSON)
@settings(deadline=None, max_examples=10)
def test_json_files_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
    path = tmp_path_factory.mktemp("json") / "v.json"
    write_json(path, value)
    assert read_json(path) == value


def test_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    write_bytes(tmp_path / "b", memoryview(b"\x00\n"))
    assert (tmp_path / "b").read_bytes() == b"\x00\n"
