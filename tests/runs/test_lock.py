import errno
import fcntl
import os
import platform
import signal
import threading
from io import FileIO
from pathlib import Path

import pytest

from tailornas.errors import DiskError, RunFolderError
from tailornas.runs.lock import locked, terminable


def test_the_lock_names_its_process_and_is_free_again_afterwards(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    path.write_text("999999999999@elsewhere\n")
    for _ in range(2):
        with locked(path):
            assert path.read_text() == f"{os.getpid()}@{platform.node()}\n"
            with pytest.raises(RunFolderError, match=rf"^{tmp_path} is in use by process {os.getpid()}: wait until"):
                locked(path).__enter__()


def test_a_process_on_another_machine_is_named_with_it(tmp_path: Path) -> None:
    with locked(tmp_path / ".lock"):
        (tmp_path / ".lock").write_text("17@node-3.cluster\n")
        with pytest.raises(RunFolderError, match=r"is in use by process 17 on node-3\.cluster: wait until it ends"):
            locked(tmp_path / ".lock").__enter__()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named_as_the_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(
        DiskError, match=r"^cannot lock .*/\.lock: .*: expected a file system with locks; choose another"
    ):
        locked(tmp_path / ".lock").__enter__()


@pytest.mark.parametrize("made_anew", [False, True])
def test_a_lock_file_that_is_deleted_before_it_is_locked_locks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_anew: bool
) -> None:
    """A start that is refused deletes the file that another start, this one, has just opened."""
    path, really_lock = tmp_path / ".lock", fcntl.flock
    orphans: list[int] = []

    def delete_and_lock(file: FileIO, operation: int) -> None:
        if not orphans:
            orphans.append(os.fstat(file.fileno()).st_ino)
            path.unlink()
            if made_anew:
                path.touch()
        really_lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", delete_and_lock)
    with locked(path):
        assert path.read_text() == f"{os.getpid()}@{platform.node()}\n"
        with pytest.raises(RunFolderError, match="is in use by process"):
            locked(path).__enter__()
    assert len(orphans) == 1


def test_the_lock_is_free_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), locked(tmp_path / ".lock"):
        raise ValueError("inside")
    with locked(tmp_path / ".lock"):
        pass


def test_a_lock_that_cannot_be_written_is_an_error_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="No such file or directory"):
        locked(tmp_path / "missing" / ".lock").__enter__()


def test_sigterm_interrupts_and_the_handler_is_put_back() -> None:
    with pytest.raises(KeyboardInterrupt), terminable():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_handler_of_the_application_stays() -> None:
    came: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        with terminable():
            os.kill(os.getpid(), signal.SIGTERM)
        assert came == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_a_thread_sets_no_handler() -> None:
    handlers: list[object] = []

    def work() -> None:
        with terminable():
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.SIG_DFL]
