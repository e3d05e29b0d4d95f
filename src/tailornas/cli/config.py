"""``tailornas config``: every configuration key, with its default, its type and what it means, as TOML."""

import json
import textwrap
from collections.abc import Iterator
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

__all__ = ["COMMANDS", "app"]

COMMANDS = ("run", "train")
"""The commands that have a configuration."""

app = typer.Typer(name="config", help="Print every configuration key, as TOML.", no_args_is_help=True)


@app.command()
def run() -> None:
    """Print the keys of `run` and their defaults: a file for --config."""
    from tailornas.config import RunConfig

    typer.echo("\n".join(_section(RunConfig())))


@app.command()
def train() -> None:
    """Print the keys of `train` and their defaults: a file for --config."""
    from tailornas.config import StandaloneConfig

    typer.echo("\n".join(_section(StandaloneConfig())))


def _section(config: "BaseModel", path: str = "") -> Iterator[str]:
    """The lines of a model: what it is, its values, then the models in it."""
    from pydantic import BaseModel

    for line in (type(config).__doc__ or "").strip().split("\n\n")[0].splitlines():
        yield f"# {line.strip()}"
    values = config.model_dump(mode="json")
    fields = {name: (field, getattr(config, name)) for name, field in type(config).model_fields.items()}
    for name, (field, value) in fields.items():
        if isinstance(value, BaseModel):
            continue
        if _optional_section(field.annotation):
            continue
        yield ""
        yield from _meaning(field)
        if values[name] is not None:
            yield f"{name} = {_toml(values[name])}"
        else:  # where being left out means something, none means another thing
            yield f"# {name} =" if "left out:" in (field.description or "") else f'# {name} = "none"'
    for name, (field, value) in fields.items():
        if isinstance(value, BaseModel):
            yield from ("", f"[{path}{name}]")
            yield from _section(value, f"{path}{name}.")
        elif section := _optional_section(field.annotation):
            # Commented out as a whole: that it is there has a meaning.
            usual = getattr(config, f"resolved_{name}", None) or section()
            lines = (*_meaning(field), f"[{path}{name}]", *_section(usual, f"{path}{name}."))
            yield from ("", *(line if not line or line.startswith("#") else f"# {line}" for line in lines))


def _optional_section(annotation: Any) -> "type[BaseModel] | None":
    """The model that a key may hold instead of none, if it has a default for everything."""
    from tailornas.settings import section_type

    model = section_type(annotation)
    return None if model is None or any(field.is_required() for field in model.model_fields.values()) else model


def _meaning(field: "FieldInfo") -> list[str]:
    """What a key means and its type, as comments."""
    meaning = " ".join(filter(None, [field.description, f"({_type(field.annotation)})"]))
    return textwrap.wrap(meaning, 120, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False)


def _toml(value: Any) -> str:
    """A JSON value on one line, which JSON and TOML write alike but for tables."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def _type(annotation: Any) -> str:
    """A type as a reader of TOML would say it."""
    from pydantic import BaseModel

    origin, options = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(json.dumps(option) for option in options)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(_type, options)))
    if origin is Annotated:
        return _type(options[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    plain = origin or annotation
    words = {bool: "true or false", int: "integer", float: "number", type(None): "none", dict: "table"}
    if isinstance(plain, type) and issubclass(plain, list | tuple):
        return f"list of {_type(options[0])}" if options else "list"
    return words.get(plain, "text")
