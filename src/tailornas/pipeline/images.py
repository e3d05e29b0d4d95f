"""Reading a dataset, for people who wait for it."""

import os
import shlex
import time
from pathlib import Path

from tailornas.data import SOURCES, DataConfig, Dataset, prepare
from tailornas.errors import RunFolderError
from tailornas.runs import Console

__all__ = ["READING", "check_apart", "read_images"]

READING = {"images": "every image, opened once"}
"""What reading is called on the console, as its stages are."""


def check_apart(out: Path, *data: str | None) -> None:
    """Refuses a run folder among the images, which the next start would take for one of their classes.

    Args:
        out: the run folder.
        data: the datasets of the run, by name or path. Lists and Parquet files name their images, so only folders of
            images count; in these hidden folders are passed over, and may hold a run.

    Raises:
        RunFolderError: says where else the run could be.
    """
    for place in data:
        if place is None or place in SOURCES or not (images := Path(place).expanduser().resolve()).is_dir():
            continue
        if any(images.glob("*.parquet")):
            continue
        run = out.resolve()
        if run.is_relative_to(images) and not any(part.startswith(".") for part in run.relative_to(images).parts):
            free = images.parent / "runs" / run.name
            shorter = min(os.path.relpath(free), str(free), key=len)
            raise RunFolderError(
                f"the run folder {out} lies in the folder of the images, {place}, where it would be taken for images: "
                f"give one outside, such as --out {shlex.quote(shorter)}"
            )


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
