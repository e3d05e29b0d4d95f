"""Reading a dataset, for people who wait for it."""

import time

from tailornas.data import DataConfig, Dataset, prepare
from tailornas.runs import Console

__all__ = ["READING", "read_images"]

READING = {"images": "every image, opened once"}
"""What reading is called on the console, as its stages are."""


def read_images(config: DataConfig, seed: int, console: Console) -> Dataset:
    """Prepares a dataset and shows how far that is; see :func:`tailornas.data.prepare`.

    Nothing is shown before the first images are read, so that a mistake in the configuration is told alone.
    """
    (name,) = READING
    started: float | None = None

    def show(done: int, total: int) -> None:
        nonlocal started
        if started is None:
            started = time.monotonic()
            console.stage_started(name, resumed=False)
        console.progress(name, done, total, "images", {})

    try:
        dataset = prepare(config, seed, show)
    except BaseException:
        if started is not None:
            console.stage_stopped(name)
        raise
    if started is not None:
        console.stage_finished(name, time.monotonic() - started)
    return dataset
