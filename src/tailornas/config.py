"""The configuration of a run: one frozen model, read from TOML and from the command line."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, final

import tomli_w
from pydantic import BaseModel, Field, ValidationError, model_validator

from tailornas.adaptation import HeadConfig
from tailornas.data import AugmentConfig, DataConfig
from tailornas.errors import ConfigError, naming
from tailornas.metrics import GroupConfig
from tailornas.overrides import assigned, given_keys
from tailornas.search import Limits, SearchConfig
from tailornas.settings import SettingsModel
from tailornas.spaces import DEFAULT_SPACE, BackboneConfig, SpaceSection, space_config, space_of
from tailornas.training import PUBLISHED_RECIPE, DeviceConfig, ObjectiveConfig, PretrainConfig, TrainConfig
from tailornas.units import Duration
from tailornas.validation import one_line, section_of

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
        ConfigError: no number of epochs, or a share of images to choose by where nothing is chosen.
    """

    seed: int = Field(0, ge=0, description="everything random follows from it")
    evaluate_on: Literal["test", "selection"] = Field(
        "test",
        description="images that the network is measured on; selection: to choose by, kept out of training, and no "
        "test image is looked at",
    )
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
        share = self.data.selection_fraction
        # Its default is no mistake: the configuration that a run folder keeps spells out every key.
        if self.evaluate_on == "test" and share != DataConfig.model_fields["selection_fraction"].default:
            raise ConfigError(
                f"data.selection_fraction {share:g} has no effect in a training that is measured on the test split, "
                "which keeps no images to choose by: leave it out, or measure on those images (--evaluate-on selection)"
            )
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """What tells this training from others on the same data, in words: parts of its folder's name."""
        special = {
            "autoaugment": self.augment.policy == "autoaugment",
            f"cutout {self.augment.cutout}": self.augment.cutout > 0,
            f"seed {self.seed}": self.seed > 0,
            f"data seed {self.data.seed}": self.data.seed is not None,
            "on selection": self.evaluate_on == "selection",
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

    TOML has no none: the text ``none`` stands for it where a key may be none. A text for a section that has a ``name``
    is that name: ``train.schedule=drw``, and ``none`` too where that is one of the names.

    Args:
        model: the command's configuration.
        file: a TOML file.
        assignments: ``stage.field=value``, the value as in TOML; text needs no quotes.
        flags: values by dotted key.

    Raises:
        ConfigError: the file cannot be read, a key is unknown or a value is wrong; names the key's full path.
    """
    told: dict[str, Any] = {}
    if file is not None:
        try:
            told = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"cannot read the configuration {file}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file} is not TOML: {error}") from error
    given = given_keys(model, told, [*map(assigned, assignments), *(flags or {}).items()])
    tree = _with_defaults(model, given)
    try:
        config = model.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(one_line(model, error)) from error
    except ConfigError as error:
        with naming(section_of(model, tree, str(error))):
            raise
    _refuse_no_weights(config, given)
    return config


def to_toml(config: BaseModel) -> str:
    """The configuration as TOML, every value spelt out; what is none is left out, unless its default is not."""
    return tomli_w.dumps(_write_none(config, config.model_dump(mode="json"), type(config)))


def _refuse_no_weights(config: BaseModel, given: Mapping[str, Any], path: str = "") -> None:
    """Refuses class weights that are named as none under deferred re-weighting, which would bring in ``auto``.

    Where class weights are there by default (the adaptation), none is what leaves them out, and what written
    configurations say.
    """
    for name, values in given.items():
        part = getattr(config, name, None)
        if isinstance(part, BaseModel) and isinstance(values, Mapping):
            _refuse_no_weights(part, values, f"{path}{name}.")
    if not isinstance(config, ObjectiveConfig) or type(config).model_fields["class_weights"].default is not None:
        return
    if "class_weights" in given and given["class_weights"] is None and config.resolved_schedule.name == "drw":
        raise ConfigError(
            f"{path}class_weights: expected weights that schedule 'drw' can bring in, got none: leave them out for "
            f"'auto', or set {path}schedule to none"
        )


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
