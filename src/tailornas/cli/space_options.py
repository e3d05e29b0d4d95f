"""What the commands of ``tailornas space`` share: their options, and how they come to a space and an architecture."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tailornas.errors import ConfigError

if TYPE_CHECKING:
    from tailornas.spaces import Backbone, SearchSpace, SpaceConfig
    from tailornas.types import Architecture

__all__ = [
    "Arch",
    "AsJson",
    "Classes",
    "Name",
    "Parameters",
    "Seed",
    "Size",
    "opened",
    "print_table",
    "read",
    "sampled",
]

Name = Annotated[str, typer.Argument(metavar="NAME|FILE.py:Class", help="A space that `list` shows, or your own.")]
Arch = Annotated[
    str,
    typer.Option(
        "--arch",
        metavar="TEXT|@FILE",
        help="The space's text form, JSON, or for darts a published genotype's name; @FILE reads it from there.",
    ),
]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A parameter of the space, such as channels=16; see `describe`."),
]
Classes = Annotated[int, typer.Option("--classes", min=1, help="Outputs of the head.")]
Size = Annotated[
    int | None,
    typer.Option("--image-size", min=1, metavar="PIXELS", help="Height and width. Default: as published, 32 or 224."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Which architectures are drawn.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


def _configured(name: str, assignments: list[str] | None) -> "SpaceConfig":
    from pydantic import BaseModel

    from tailornas.config import read_config
    from tailornas.spaces import SpaceSection

    class Section(BaseModel):
        space: SpaceSection

    for assignment in assignments or ():
        if not assignment.partition("=")[0].strip() or "=" not in assignment:
            raise ConfigError(f"expected --set KEY=VALUE, got {assignment!r}")
    given = [f"space.{assignment.strip()}" for assignment in assignments or ()]
    return read_config(Section, None, given, {"space.name": name}).space


def opened(
    name: str, parameters: list[str] | None, classes: int, image_size: int | None
) -> "tuple[SpaceConfig, SearchSpace[Backbone], int]":
    """The space's configuration, the space with a supernet of random weights, and the image size in pixels."""
    import torch

    from tailornas.spaces import build_space

    config = _configured(name, parameters)
    size = image_size or config.image_size
    return config, build_space(config, classes, torch.Generator().manual_seed(0), size), size


def sampled(space: "SearchSpace[Backbone]", number: int, seed: int) -> "list[Architecture]":
    """Architectures drawn uniformly."""
    import torch

    draws = torch.Generator().manual_seed(seed)
    return [space.sample(draws) for _ in range(number)]


def read(space: "SearchSpace[Backbone]", arch: str) -> "Architecture":
    """The architecture of ``--arch``: a text, or a file that holds one.

    Raises:
        ConfigError: the file cannot be read.
        ArchitectureError: it is no architecture of the space.
    """
    if not arch.startswith("@"):
        return space.from_text(arch)
    try:
        return space.from_text(Path(arch[1:]).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"cannot read the architecture in {arch[1:]}: {reason}") from error


def print_table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Prints a table as every command does."""
    from tailornas.runs import make_console

    make_console({}).table(title, columns, rows)
