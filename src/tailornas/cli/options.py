"""The command-line options that several commands share.

An option whose parameter is called ``section__field`` sets that configuration key; what a value may be is decided where
the key is defined, so that every way to give it meets the same checks and messages.
"""

import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import psutil
import typer

from tailornas.errors import ConfigError, DiskError
from tailornas.text import printable

if TYPE_CHECKING:
    from pydantic import BaseModel

    from tailornas.config import RunConfig, StandaloneConfig
    from tailornas.data import DataConfig
    from tailornas.runs import Console

__all__ = [
    "Assignments",
    "Config",
    "Data",
    "DataDir",
    "ImageSize",
    "ImbalanceFactor",
    "Loss",
    "Out",
    "Profile",
    "Quiet",
    "Seed",
    "SkipBad",
    "TimeLimit",
    "complain",
    "configuration",
    "default_folder",
    "interruptible",
    "process_start",
    "refuse_empty",
    "start",
    "write_file",
]

ConfigT = TypeVar("ConfigT", bound="BaseModel")
OutcomeT = TypeVar("OutcomeT")

Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="NAME|PATH",
        help="digits, cifar10, cifar100, fashion-mnist, a folder with one sub-folder a class, a list file, "
        "an annotation file (.json), or Parquet. Default: digits.",
    ),
]
DataDir = Annotated[
    str | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Folder of a named dataset's files, or that a list file's paths are relative to. "
        "Default: ~/.cache/tailornas, or the list's own folder.",
    ),
]
ImbalanceFactor = Annotated[
    str | None,
    typer.Option(
        "--imbalance-factor",
        metavar="IF",
        help="Largest class over smallest class. Default: 100 under a profile, digits 10.",
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="How class sizes fall off: exp, step or as-is. Default: exp for benchmarks, as-is for your own images.",
    ),
]
ImageSize = Annotated[
    str | None,
    typer.Option("--image-size", metavar="PIXELS", help="Height and width. Default: from the data."),
]
SkipBad = Annotated[
    bool | None,
    typer.Option("--skip-bad", help="Leave out images that cannot be read, and list them."),
]
TimeLimit = Annotated[
    str | None,
    typer.Option("--time-limit", metavar="TIME", help="The run ends within it: 90s, 30m, 1h30m. Default: none."),
]
Loss = Annotated[
    str | None,
    typer.Option(
        "--loss",
        metavar="NAME",
        help="Loss of the final training: ce, focal, class_balanced_focal, ldam, balanced_softmax, logit_adjustment, "
        "label_aware_smoothing or seql. Default: ldam.",
    ),
]
Seed = Annotated[
    str | None,
    typer.Option("--seed", metavar="N", help="Everything random follows from it. Default: 0."),
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Run folder. If it holds a run, what your changes affect is computed again. Default: runs/NAME, where "
        "other settings are refused.",
    ),
]
Config = Annotated[
    str | None,
    typer.Option("--config", metavar="FILE", help="TOML file with any configuration key."),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any configuration key, such as search.population=30."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print the summary only.")]


def refuse_empty(context: typer.Context) -> None:
    """Refuses options and arguments without a value, such as those of a shell variable that is not set.

    Raises:
        ConfigError: names the first of them.
    """
    for parameter in context.command.params:
        if context.params.get(parameter.name or "") == "":
            raise ConfigError(f"{parameter.opts[0]} is empty: expected {getattr(parameter, 'metavar', 'a value')}")


def configuration(context: typer.Context, model: type[ConfigT]) -> ConfigT:
    """The configuration that a command's options, ``--config`` and ``--set`` give.

    Raises:
        ConfigError: an option has an empty value, or the configuration cannot be used.
    """
    from tailornas.config import read_config

    refuse_empty(context)
    given = {name: value for name, value in context.params.items() if value is not None}
    own = {"assignments", "config", "out", "quiet"}
    flags = {name.replace("__", "."): value for name, value in given.items() if name not in own}
    return read_config(model, Path(given["config"]) if "config" in given else None, given.get("assignments", ()), flags)


def start(
    context: typer.Context,
    job: Callable[..., OutcomeT],
    config: "RunConfig | StandaloneConfig",
    titles: Mapping[str, str],
    *names: str,
) -> "tuple[OutcomeT, Console]":
    """Does a whole job; stopped, it says how to go on and ends the command with code 130.

    Args:
        context: of a command with ``--out`` and ``--quiet``.
        job: a function of the configuration, the run folder, the console and what :func:`tailornas.pipeline.run` takes
            by name.
        config: what it is told.
        titles: what each of its stages does.
        names: parts of the run folder's name, unless ``--out`` names it.

    Returns:
        What the job came to, and the console.
    """
    from tailornas.runs import make_console

    out = context.params["out"]
    command = shlex.join(["tailornas", *sys.argv[1:]])
    console = make_console(titles, quiet=context.params["quiet"])
    with interruptible(f"stopped; to go on where it ended: {command}"):
        outcome = job(
            config,
            Path(out) if out else default_folder(config.data, *names),
            console,
            command=command,
            overwrite=out is not None,
            started=process_start(),
        )
    return outcome, console


@contextmanager
def interruptible(message: str = "stopped") -> Iterator[None]:
    """Ends the command with code 130 and a line on standard error where the block is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        complain(message)
        raise typer.Exit(130) from None


def write_file(path: Path, text: str, option: str) -> None:
    """Writes what an option asked for, at once.

    Raises:
        DiskError: it could not be written; names the option.
    """
    from tailornas.runs.files import write_text

    try:
        write_text(path, text)
    except DiskError as error:
        reason = getattr(error.__cause__, "strerror", None) or error.__cause__
        raise DiskError(
            f"cannot write {path}: {reason}: expected {option} to name a file in a folder that can be written to"
        ) from error


def default_folder(data: "DataConfig", *parts: str) -> Path:
    """``runs/cifar10-if100``: the data's name, where a profile is applied its imbalance factor, and ``parts``."""
    _, factor = data.long_tail()
    names = [Path(data.data).resolve().stem, *([] if factor is None else [f"if{factor:g}"])]
    return Path("runs") / "-".join([*names, *(re.sub(r"[^a-zA-Z0-9]+", "-", part).strip("-")[:100] for part in parts)])


def process_start() -> float:
    """The ``time.monotonic()`` at which this process started."""
    # A clock that was set back makes the start seem to lie ahead.
    return time.monotonic() - max(0.0, time.time() - float(psutil.Process().create_time()))


def complain(message: str) -> None:
    """Prints a line on standard error, if anybody still reads that: the exit code must not depend on it."""
    try:
        typer.echo(printable(message), err=True)
    except OSError:
        from tailornas.runs.printing import silence

        silence(sys.stderr)  # what is left in its buffer would fail again as Python exits
