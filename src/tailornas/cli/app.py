"""The command ``tailornas`` and how it ends."""

import sys
from io import TextIOWrapper
from typing import Annotated, Any

import typer

from tailornas.cli.config import COMMANDS
from tailornas.cli.config import app as config
from tailornas.cli.data import app as data
from tailornas.cli.options import complain
from tailornas.cli.run import run
from tailornas.cli.space import app as space
from tailornas.cli.train import train
from tailornas.errors import TailorNASError
from tailornas.version import __version__

__all__ = ["app", "main"]

# Click's, or by typer's version its own copy of click's: the one name for both is the base of a public error.
_UsageError: Any = typer.BadParameter.__base__

app = typer.Typer(
    name="tailornas",
    help="Find, train and hand over the best backbone for a long-tailed image dataset.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # a help text that has brackets is shown whole
)
app.command()(run)
app.command()(train)
app.add_typer(space)
app.add_typer(data)
app.add_typer(config)


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


def main() -> None:
    """Runs the command; a mistake in the input is one line and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a minus sign that a terminal does not have must not end a run
    try:
        code = app(standalone_mode=False)
    except TailorNASError as error:
        code = _fail(str(error))
    except _UsageError as error:
        code = _fail(error.format_message() + _hint(error))
    sys.exit(code)


def _hint(error: Any) -> str:
    """What an option that does not exist may be as a key of the configuration."""
    command = error.ctx.command.name if error.ctx else None
    if command not in COMMANDS or not hasattr(error, "possibilities"):
        return ""
    return (
        f"; settings without an option are --set KEY=VALUE, such as --set train.epochs=3, or a --config FILE: "
        f"`tailornas config {command}` lists them"
    )


def _fail(message: str) -> int:
    complain(f"error: {message}")
    return 2
