"""What every group of settings is, and what is said of one that is wrong."""

from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict
from pydantic_core import ErrorDetails

__all__ = ["SettingsModel", "expected", "section_type"]


class SettingsModel(BaseModel):
    """Base of everything that can be told: frozen, without unknown keys, and without NaN and infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def first_given(self, settings: Iterable[str]) -> str | None:
        """The first of these settings that has another value than its default; None where none has."""
        fields = type(self).model_fields
        return next((name for name in settings if getattr(self, name) != fields[name].default), None)


def expected(details: Sequence[ErrorDetails]) -> str:
    """What was expected of one key and what came: ``input should be greater than 0, got -1``.

    Args:
        details: pydantic's errors of the key, at least one; a key of several types has one a type.
    """
    messages = dict.fromkeys(
        detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ") for detail in details
    )
    return " or ".join(text[0].lower() + text[1:] for text in messages) + f", got {details[0]['input']!r}"


def section_type(annotation: Any) -> type[BaseModel] | None:
    """The model that a field of this type holds; None for a field that holds none."""
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    types = (get_args(option)[0] if get_origin(option) is Annotated else option for option in options)
    return next((kind for kind in types if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
