"""The configuration of a run: one frozen model, read from TOML and from the command line."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Self, TypeVar, Union, final, get_args, get_origin

import tomli_w
from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from tailornas.adaptation import HeadConfig
from tailornas.data import AugmentConfig, DataConfig
from tailornas.errors import ConfigError, meant, naming
from tailornas.metrics import GroupConfig
from tailornas.search import Limits, SearchConfig
from tailornas.settings import SettingsModel
from tailornas.spaces import DEFAULT_SPACE, BackboneConfig, SpaceSection, space_config, space_of
from tailornas.training import PUBLISHED_RECIPE, DeviceConfig, PretrainConfig, TrainConfig
from tailornas.units import Duration

__all__ = ["RunConfig", "SourceConfig", "StandaloneConfig", "read_config", "to_toml"]


@final
class SourceConfig(SettingsModel):
    """The balanced images that the supernet is trained on."""

    data: str | None = Field(
        None, description="dataset name or path, or a published supernet's file; none: from the target's own data"
    )
    data_dir: Path | None = Field(None, description="folder with the named dataset's files")


@final
class RunConfig(SettingsModel):
    """Everything that ``tailornas run`` can be told."""

    method: Literal["imb-nas"] = Field("imb-nas", description="search method")
    seed: int = Field(0, ge=0, description="everything random follows from it")
    time_limit: Duration | None = Field(
        None, gt=0, description="time the run may take, such as 30m; none: default epochs"
    )
    init: Literal["scratch", "inherit"] = Field(
        "scratch", description="first weights of the found network: new ones, or the adapted supernet's"
    )
    device: DeviceConfig = DeviceConfig()
    data: DataConfig = DataConfig()
    source: SourceConfig = SourceConfig()
    space: SpaceSection = space_config(DEFAULT_SPACE, {})
    limits: Limits = Limits()
    augment: AugmentConfig = AugmentConfig()
    pretrain: PretrainConfig = PretrainConfig()
    adapt: HeadConfig = HeadConfig()
    search: SearchConfig = SearchConfig()
    train: TrainConfig = TrainConfig()
    groups: GroupConfig = GroupConfig()


@final
class StandaloneConfig(SettingsModel):
    """Everything that ``tailornas train`` can be told.

    By default networks are trained by :data:`~tailornas.training.PUBLISHED_RECIPE`, and :func:`read_config` changes
    single keys of it: ``read_config(StandaloneConfig, None, ["train.loss=ce"])``. A whole ``TrainConfig`` is taken as
    it is, and its own defaults are those of a search.

    Raises:
        ConfigError: no number of epochs.
    """

    seed: int = Field(0, ge=0, description="everything random follows from it")
    device: DeviceConfig = DeviceConfig()
    data: DataConfig = DataConfig()
    backbone: BackboneConfig = BackboneConfig()
    space: SpaceSection | None = Field(None, description="parameters of the space, for the backbone SPACE:ARCHITECTURE")
    augment: AugmentConfig = AugmentConfig()
    train: TrainConfig = PUBLISHED_RECIPE
    groups: GroupConfig = GroupConfig()

    @model_validator(mode="before")
    @classmethod
    def _space_of_the_backbone(cls, values: Any) -> Any:
        """Parameters of a space need not repeat its name, and every key of it is told, whether or not it was given."""
        backbone = values.get("backbone") if isinstance(values, Mapping) else None
        name = backbone.get("name") if isinstance(backbone, Mapping) else None
        space = space_of(name) if isinstance(name, str) else None
        section = values.get("space") or {} if space else None
        return {**values, "space": {"name": space, **section}} if isinstance(section, Mapping) else values

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.train.epochs is None:
            raise ConfigError(
                "train.epochs: expected a number, got none, which only a search can plan: give it, or change "
                "tailornas.training.PUBLISHED_RECIPE by keys (`read_config`)"
            )
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """What tells this training from others on the same data, in words: parts of its folder's name."""
        special = {
            "autoaugment": self.augment.policy == "autoaugment",
            f"cutout {self.augment.cutout}": self.augment.cutout > 0,
            f"seed {self.seed}": self.seed > 0,
        }
        return (self.backbone.name, self.train.title, *(name for name, holds in special.items() if holds))


ConfigT = TypeVar("ConfigT", bound=BaseModel)


def read_config(
    model: type[ConfigT],
    file: Path | None = None,
    assignments: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
) -> ConfigT:
    """Reads a configuration; later sources win: the file, then ``key=value`` assignments, then flags.

    TOML has no none: the text ``none`` stands for it where a key may be none.

    Args:
        model: the command's configuration.
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
    tree = _with_defaults(model, _read_none(model, tree))
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(_one_line(model, error)) from error
    except ConfigError as error:
        with naming(_section_of(model, tree, str(error))):
            raise


def to_toml(config: BaseModel) -> str:
    """The configuration as TOML, every value spelt out; what is none is left out, unless its default is not."""
    return tomli_w.dumps(_write_none(config, config.model_dump(mode="json"), type(config)))


def _read_none(model: type[BaseModel], tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with None for the text ``none`` of keys that may be none."""
    values = dict(tree)
    for name, value in tree.items():
        annotation = model.model_fields[name].annotation if name in model.model_fields else None
        if value == "none" and type(None) in get_args(annotation):
            values[name] = None
        elif isinstance(value, Mapping) and (section := _model(annotation)) is not None:
            values[name] = _read_none(section, value)
    return values


def _write_none(config: BaseModel, values: Mapping[str, Any], default: Any) -> dict[str, Any]:
    """The values with the text ``none`` where None is not what :func:`read_config` takes for a key left out.

    Args:
        config: the configuration, or a section of it.
        values: the same as JSON values.
        default: what a reader begins with, a model of the same type; or the type, for its fields' own defaults.
    """
    written: dict[str, Any] = {}
    for name, value in values.items():
        field = type(config).model_fields.get(name)  # none: an argument of a user's own space
        usual = getattr(default, name) if isinstance(default, type(config)) else field and field.get_default()
        if value is None:
            if usual is not None:
                written[name] = "none"
        elif isinstance(section := getattr(config, name), BaseModel):
            written[name] = _write_none(section, value, usual if isinstance(usual, type(section)) else type(section))
        else:
            written[name] = value
    return written


def _with_defaults(model: type[BaseModel], tree: dict[str, Any]) -> dict[str, Any]:
    """Completes sections that the user gave in part by what the command's own defaults for them spell out."""
    for name, field in model.model_fields.items():
        if isinstance(field.default, BaseModel) and isinstance(tree.get(name), dict):
            tree = {**tree, name: _merged(_spelt_out(field.default, tree[name]), tree[name])}
    return tree


def _spelt_out(default: BaseModel, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a section's default says of itself, and of every section inside it that the user gave in part."""
    values = default.model_dump(exclude_unset=True)
    for name, part in given.items():
        nested = getattr(default, name, None)
        if isinstance(nested, BaseModel) and isinstance(part, Mapping):
            values[name] = _spelt_out(nested, part)
    return values


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = {
        k: _merged(under[k], v) if isinstance(under.get(k), dict) and isinstance(v, dict) else v
        for k, v in over.items()
    }
    return {**under, **both}


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


def _one_line(config: type[BaseModel], error: ValidationError) -> str:
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
    # A key of several types has one problem a type.
    messages = dict.fromkeys(d["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ") for d in details)
    message = " or ".join(text[0].lower() + text[1:] for text in messages)
    more = f" ({len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{key}: {message}, got {details[0]['input']!r}{more}"


def _section_of(model: type[BaseModel], tree: Mapping[str, Any], message: str) -> str:
    """The full path of the section that is refused with ``message`` without the others; empty if none is."""
    for name, values in tree.items():
        if not isinstance(values, Mapping):
            continue
        try:
            model.model_validate({name: values})
        except (ConfigError, ValidationError) as error:
            if str(error) == message:
                section = _model(model.model_fields[name].annotation)
                inner = _section_of(section, values, message) if section else ""
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
        model = None if entries else _model(model.model_fields[part].annotation)
        if model is None and not entries:
            break
    return path


def _keys(model: type[BaseModel], section: str = "") -> list[str]:
    """The full path of every key, those of sections included."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(f"{section}{name}")
        if (inner := _model(field.annotation)) is not None:
            keys += _keys(inner, f"{section}{name}.")
    return keys


def _section(model: type[BaseModel], path: Sequence[str]) -> type[BaseModel]:
    """The model at a path of field names."""
    for name in path:
        inner = _model(model.model_fields[name].annotation)
        assert inner is not None
        model = inner
    return model


def _model(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds, if any."""
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return next((o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), None)
