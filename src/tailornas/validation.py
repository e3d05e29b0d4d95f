"""Mistakes in a configuration, told in one line with the key's full path."""

from collections.abc import Mapping, Sequence
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tailornas.errors import ConfigError, meant
from tailornas.settings import expected, section_type

__all__ = ["one_line", "section_of"]


def one_line(config: type[BaseModel], error: ValidationError) -> str:
    """The first problem of a validation: the key's full path, what was expected, what came."""
    problems: dict[str, list[ErrorDetails]] = {}
    for detail in error.errors():
        problems.setdefault(".".join(_path(config, detail["loc"])), []).append(detail)
    key, details = next(iter(problems.items()))
    if details[0]["type"] == "extra_forbidden":
        known = _section(config, _path(config, details[0]["loc"])[:-1]).model_fields
        elsewhere = [path for path in _keys(config) if path.endswith(f".{key}")]
        nearest = f"; did you mean {' or '.join(map(repr, elsewhere))}?" if elsewhere else meant(key, _keys(config))
        return f"unknown configuration key {key!r}: expected one of {', '.join(known)}{nearest}"
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{key}: {expected(details)}{more}"


def section_of(model: type[BaseModel], tree: Mapping[str, Any], message: str) -> str:
    """The full path of the section that is refused with ``message`` without the others; empty if none is."""
    for name, values in tree.items():
        if not isinstance(values, Mapping):
            continue
        try:
            model.model_validate({name: values})
        except (ConfigError, ValidationError) as error:
            if str(error) == message:
                section = section_type(model.model_fields[name].annotation)
                inner = section_of(section, values, message) if section else ""
                return f"{name}.{inner}" if inner else name
    return ""


def _path(config: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The part of pydantic's location that the user wrote: without the names of the types that were tried."""
    model: type[BaseModel] | None = config
    path: list[str] = []
    for part in map(str, location):
        path.append(part)
        if model is None or part not in model.model_fields:
            break
        entries = get_origin(model.model_fields[part].annotation) is dict
        model = None if entries else section_type(model.model_fields[part].annotation)
        if model is None and not entries:
            break
    return path


def _keys(model: type[BaseModel], section: str = "") -> list[str]:
    """The full path of every key, those of sections included."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(f"{section}{name}")
        if (inner := section_type(field.annotation)) is not None:
            keys += _keys(inner, f"{section}{name}.")
    return keys


def _section(model: type[BaseModel], path: Sequence[str]) -> type[BaseModel]:
    """The model at a path of field names."""
    for name in path:
        inner = section_type(model.model_fields[name].annotation)
        assert inner is not None
        model = inner
    return model
