"""One process at a time in a run folder, and an orderly end when that process is asked to end."""

import errno
import fcntl
import os
import platform
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from types import FrameType

from tailornas.errors import DiskError, RunFolderError
from tailornas.runs.files import disk_errors

__all__ = ["locked", "terminable"]

NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP})


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file ``path``, with ``process id@host`` in it, until the block or the process ends.

    Raises:
        RunFolderError: another process holds it; names that process, and its host if it is another.
        DiskError: the lock file could not be written, or its file system has no locks.
    """
    while True:
        with disk_errors(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            # Forked workers share the lock and outlive a killed parent by seconds: they must not keep it.
            os.register_at_fork(after_in_child=file.close)
            with disk_errors(path):
                _lock(file, path)
                if not _leads_to(path, file):
                    continue
                file.truncate(0)
                file.write(f"{os.getpid()}@{platform.node()}\n".encode())
            yield
            return


def _lock(file: FileIO, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        process, _, host = file.read().decode(errors="replace").strip().partition("@")
        where = f" on {host}" if host not in ("", platform.node()) else ""
        raise RunFolderError(
            f"{path.parent} is in use by process {process or '(starting)'}{where}: "
            "wait until it ends, or choose another --out"
        ) from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        raise DiskError(
            f"cannot lock {path}: {error.strerror}: expected a file system with locks; choose another --out or "
            "have its locks switched on"
        ) from error


def _leads_to(path: Path, file: FileIO) -> bool:
    """False where another process deleted the file after this one had opened it: nobody else would meet its lock."""
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


@contextmanager
def terminable() -> Iterator[None]:
    """Lets SIGTERM end the block as Ctrl-C does, by a KeyboardInterrupt, so that open work is put in order.

    A handler that the application has set stays; so does everything in threads, which cannot set one.
    """
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt("terminated")
