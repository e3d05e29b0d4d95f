"""One process at a time in a run folder, and an orderly end when that process is asked to end."""

import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tailornas.errors import RunFolderError
from tailornas.runs.files import disk_errors

__all__ = ["locked", "terminable"]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file ``path``, with the process id in it, until the block or the process ends.

    Raises:
        RunFolderError: another process holds it; names that process.
        DiskError: the lock file could not be written.
    """
    with disk_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        # Forked workers share the lock and outlive a killed parent by seconds: they must not keep it.
        os.register_at_fork(after_in_child=file.close)
        with disk_errors(path):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = file.read().decode().strip()
                raise RunFolderError(
                    f"{path.parent} is in use by process {holder or '(starting)'}: "
                    "wait until it ends, or choose another --out"
                ) from None
            file.truncate(0)
            file.write(f"{os.getpid()}\n".encode())
        yield


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
