"""The command ``tailornas``."""

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import psutil
import typer

from tailornas.errors import TailorNASError
from tailornas.version import __version__

if TYPE_CHECKING:
    from tailornas.config import RunConfig

__all__ = ["app", "default_folder", "main"]

# Click's, or by typer's version its own copy of click's: the one name for both is the base of a public error.
_UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    name="tailornas",
    help="Find, train and hand over the best backbone for a long-tailed image dataset.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"tailornas {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


# An option whose parameter is called `section__field` sets that configuration key; what a value may be is decided
# where the key is defined, so that every way to give it meets the same checks and messages.
@app.command()
def run(
    context: typer.Context,
    data__data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="NAME|PATH",
            help="digits, cifar10, cifar100, fashion-mnist, a folder with one sub-folder a class, a list file, "
            "or Parquet. Default: digits.",
        ),
    ] = None,
    data__data_dir: Annotated[
        str | None, typer.Option("--data-dir", metavar="DIR", help="Folder with the files of the named dataset.")
    ] = None,
    data__imbalance_factor: Annotated[
        str | None,
        typer.Option("--imbalance-factor", metavar="IF", help="Largest class over smallest class."),
    ] = None,
    data__profile: Annotated[
        str | None, typer.Option("--profile", metavar="NAME", help="How class sizes fall off: exp, step or as-is.")
    ] = None,
    data__image_size: Annotated[
        str | None, typer.Option("--image-size", metavar="PIXELS", help="Height and width. Default: from the data.")
    ] = None,
    data__skip_bad: Annotated[
        bool | None, typer.Option("--skip-bad", help="Leave out images that cannot be read, and list them.")
    ] = None,
    source__data: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="NAME|PATH",
            help="Balanced images for the supernet. Default: images of the same dataset that the target leaves over.",
        ),
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option("--time-limit", metavar="TIME", help="The run ends within it: 90s, 30m, 1h30m.")
    ] = None,
    limits__macs: Annotated[
        str | None, typer.Option("--max-macs", metavar="N", help="Most multiply-accumulates an image, such as 15M.")
    ] = None,
    limits__params: Annotated[
        str | None, typer.Option("--max-params", metavar="N", help="Most parameters, such as 300k.")
    ] = None,
    limits__latency_ms: Annotated[
        str | None, typer.Option("--max-latency", metavar="MS", help="Most milliseconds an image on this device.")
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", metavar="NAME", help="Search method. Default: imb-nas.")
    ] = None,
    space__name: Annotated[
        str | None, typer.Option("--space", metavar="NAME", help="Search space. Default: nasbench201.")
    ] = None,
    train__loss: Annotated[
        str | None, typer.Option("--loss", metavar="NAME", help="Loss of the final training. Default: ldam.")
    ] = None,
    train__init: Annotated[
        str | None,
        typer.Option("--init", metavar="NAME", help="First weights of the found network: scratch or inherit."),
    ] = None,
    seed: Annotated[str | None, typer.Option("--seed", metavar="N", help="Everything random follows from it.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Run folder. Default: runs/ and the data's name.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="TOML file with any configuration key.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any configuration key, such as search.population=30."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the summary only.")] = False,
) -> None:
    """Search a backbone for a long-tailed dataset, train it and its baseline, and report.

    Started again with the same options, it goes on where it ended.
    """
    # Imported here, so that --help and --version answer at once.
    from tailornas.config import read_config
    from tailornas.pipeline import STAGES
    from tailornas.pipeline import run as run_pipeline
    from tailornas.runs import make_console

    flags = {
        name.replace("__", "."): value
        for name, value in context.params.items()
        if value is not None and name not in {"out", "config", "assignments", "quiet"}
    }
    resolved = read_config(config, assignments or (), flags)
    folder = out or default_folder(resolved)
    command = shlex.join(["tailornas", *sys.argv[1:]])
    console = make_console(STAGES, quiet=quiet)
    try:
        outcome = run_pipeline(resolved, folder, console, command=command, started=_process_start())
    except KeyboardInterrupt:
        typer.echo(f"stopped; to go on where it ended: {command}", err=True)
        raise typer.Exit(130) from None
    console.table(
        "Result",
        ("", outcome.found["name"], outcome.baseline["name"], "difference"),
        [(row.label, row.found, row.baseline, row.difference) for rows in outcome.summary.values() for row in rows],
        summary=True,
    )
    console.note(outcome.verdict.sentence, summary=True)
    console.note(f"report   {outcome.report}", summary=True)
    console.note(f"weights  {outcome.weights}", summary=True)


def default_folder(config: "RunConfig") -> Path:
    """``runs/cifar10-if100``: the data's name and, where a profile is applied, its imbalance factor."""
    _, factor = config.data.long_tail()
    stem = Path(config.data.data).resolve().stem
    return Path("runs") / (stem if factor is None else f"{stem}-if{factor:g}")


def _process_start() -> float:
    """The ``time.monotonic()`` at which this process started."""
    return time.monotonic() - time.time() + float(psutil.Process().create_time())


def main() -> None:
    """Runs the command; a mistake in the input is one line and exit code 2."""
    try:
        code = app(standalone_mode=False)
    except TailorNASError as error:
        code = _fail(str(error))
    except _UsageError as error:
        code = _fail(error.format_message())
    sys.exit(code)


def _fail(message: str) -> int:
    typer.echo(f"error: {message}", err=True)
    return 2
