"""The keys that a configuration is given, from several sources, as one tree."""

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from tailornas.errors import ConfigError
from tailornas.settings import section_type

__all__ = ["assigned", "given_keys"]


def given_keys(model: type[BaseModel], file: Mapping[str, Any], over: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The tree of a file with keys and values set over it, one after the other.

    The text ``none`` becomes None for keys that may be none, and a text for a section that has a ``name`` its name.

    Args:
        model: what is configured.
        file: a tree as TOML has it.
        over: dotted keys with their values.

    Raises:
        ConfigError: a key lies within a value that is no section.
    """
    pairs = list(over)
    alone = _with(model, {}, pairs)
    return _with(model, _still_on(model, _read_text(model, file), alone), pairs)


def assigned(assignment: str) -> tuple[str, Any]:
    """Key and value of ``stage.field=value``, the value as in TOML; text needs no quotes.

    Raises:
        ConfigError: there is no key, or no ``=``.
    """
    key, equals, text = assignment.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"expected stage.field=value, got {assignment!r}")
    try:
        return key.strip(), tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), text.strip()


def _with(model: type[BaseModel], tree: dict[str, Any], pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    for key, value in pairs:
        _put(model, tree, key, value)
        tree = _read_text(model, tree)
    return tree


def _still_on(model: type[BaseModel], file: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A file's tree without the settings of sections that are switched off over it: they could not be taken back."""
    kept = dict(file)
    for name, values in over.items():
        section, under = _section(model, name), file.get(name)
        if section and isinstance(values, Mapping) and isinstance(under, Mapping):
            off = (
                "name" in section.model_fields and values.get("name") == "none" == section.model_fields["name"].default
            )
            kept[name] = {} if off else _still_on(section, under, values)
    return kept


def _read_text(model: type[BaseModel], tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with a table for every text that is a section's name, and None for ``none`` of keys that may be none."""
    values = dict(tree)
    for name, value in tree.items():
        field, section = model.model_fields.get(name), _section(model, name)
        if _is_name(section, value):
            values[name] = {"name": value}
        elif value == "none" and field and type(None) in get_args(field.annotation):
            values[name] = None
        elif isinstance(value, Mapping) and section is not None:
            values[name] = _read_text(section, value)
    return values


def _section(model: type[BaseModel] | None, name: str) -> type[BaseModel] | None:
    """The model of a section of ``model``; None for any other key."""
    return section_type(model.model_fields[name].annotation) if model and name in model.model_fields else None


def _is_name(section: type[BaseModel] | None, value: Any) -> bool:
    """Whether a value for a section is the section's name alone. ``none`` is a name where it is the default one."""
    name = section.model_fields.get("name") if section else None
    return isinstance(value, str) and name is not None and (value != "none" or name.default == "none")


def _put(model: type[BaseModel], tree: dict[str, Any], key: str, value: Any) -> None:
    """Sets a dotted key; a text for a section that has a name sets the name and leaves the section's other keys."""
    *sections, name = key.split(".")
    at: type[BaseModel] | None = model
    for section in sections:
        tree, at = tree.setdefault(section, {}), _section(at, section)
        if not isinstance(tree, dict):
            raise ConfigError(f"{key}: {section} is a value, not a section")
    if _is_name(_section(at, name), value):
        there = tree.get(name)
        value = {**(there if isinstance(there, dict) else {}), "name": value}
    tree[name] = value
