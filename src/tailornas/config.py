"""The configuration of a run: one frozen model, read from TOML and from the command line."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, final, get_args, get_origin

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tailornas.adaptation import HeadConfig
from tailornas.data import AugmentConfig, DataConfig
from tailornas.errors import ConfigError
from tailornas.search import Limits, SearchConfig
from tailornas.spaces import SpaceConfig
from tailornas.training import DeviceConfig, PretrainConfig, TrainConfig
from tailornas.units import Duration

__all__ = ["RunConfig", "SourceConfig", "read_config", "to_toml"]


@final
class SourceConfig(BaseModel):
    """The balanced images that the supernet is trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    data: str | None = Field(None, description="dataset name or path; none: taken from the target's own data")
    data_dir: Path | None = Field(None, description="folder with the named dataset's files")


@final
class RunConfig(BaseModel):
    """Everything that ``tailornas run`` can be told."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: Literal["imb-nas"] = Field("imb-nas", description="search method")
    seed: int = Field(0, ge=0, description="everything random follows from it")
    time_limit: Duration | None = Field(
        None, gt=0, description="time the run may take, such as 30m; none: default epochs"
    )
    device: DeviceConfig = DeviceConfig()
    data: DataConfig = DataConfig()
    source: SourceConfig = SourceConfig()
    space: SpaceConfig = SpaceConfig()
    limits: Limits = Limits()
    augment: AugmentConfig = AugmentConfig()
    pretrain: PretrainConfig = PretrainConfig()
    adapt: HeadConfig = HeadConfig()
    search: SearchConfig = SearchConfig()
    train: TrainConfig = TrainConfig()


def read_config(
    file: Path | None = None, assignments: Sequence[str] = (), flags: Mapping[str, Any] | None = None
) -> RunConfig:
    """Reads a configuration; later sources win: the file, then ``key=value`` assignments, then flags.

    Args:
        file: a TOML file.
        assignments: ``stage.field=value``, the value as in TOML; text needs no quotes.
        flags: values by dotted key.

    Raises:
        ConfigError: the file cannot be read, a key is unknown or a value is wrong; names the key's full path.
    """
    tree: dict[str, Any] = {}
    if file is not None:
        try:
            tree = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"cannot read the configuration {file}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file} is not TOML: {error}") from error
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"expected stage.field=value, got {assignment!r}")
        _put(tree, key.strip(), _toml_value(text.strip()))
    for key, value in (flags or {}).items():
        _put(tree, key, value)
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_one_line(error)) from error


def to_toml(config: BaseModel) -> str:
    """The configuration as TOML, every value spelt out; options that are none are left out."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _put(tree: dict[str, Any], key: str, value: Any) -> None:
    *sections, name = key.split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{key}: {section} is a value, not a section")
    tree[name] = value


def _one_line(error: ValidationError) -> str:
    """The first problem of a validation: the key's full path, what was expected, what came."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        section = _section(RunConfig, path[:-1])
        return f"unknown configuration key {key!r}: expected one of {', '.join(section.model_fields)}"
    message = first["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{key}: {message[0].lower()}{message[1:]}, got {first['input']!r}{more}"


def _section(model: type[BaseModel], path: Sequence[str]) -> type[BaseModel]:
    """The model at a path of field names."""
    for name in path:
        annotation = model.model_fields[name].annotation
        options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
        model = next(option for option in options if isinstance(option, type) and issubclass(option, BaseModel))
    return model
