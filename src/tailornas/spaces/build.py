"""Search spaces by name, and the settings of each."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, final

import torch
from pydantic import BeforeValidator, ConfigDict, Field, SerializeAsAny, ValidationError

from tailornas.errors import ConfigError, UnknownNameError
from tailornas.settings import SettingsModel, expected
from tailornas.spaces.darts import darts, genotype_of
from tailornas.spaces.darts_network import darts_network
from tailornas.spaces.elastic_resnet import elastic_resnet
from tailornas.spaces.mobilenet import mobilenet
from tailornas.spaces.nasbench201 import nasbench201
from tailornas.spaces.nats_size import nats_size
from tailornas.spaces.network import Backbone
from tailornas.spaces.own import check_own, digest, is_own, own_space
from tailornas.spaces.space import SearchSpace
from tailornas.types import Architecture

__all__ = [
    "DEFAULT_SPACE",
    "SPACES",
    "DARTSConfig",
    "ElasticResNetConfig",
    "MobileNetConfig",
    "NASBench201Config",
    "NATSSizeConfig",
    "OwnConfig",
    "SpaceConfig",
    "SpaceSection",
    "build_space",
    "check_space",
    "identify",
    "kept_space",
    "space_config",
]


class SpaceConfig(SettingsModel, ABC):
    """Which architectures are searched, and the parameters of the networks that all of them share."""

    image_size: ClassVar[int] = 32
    """Height and width in pixels of the images that the space was published with."""

    name: str = Field(description="search space, by name")

    @abstractmethod
    def build(self, classes: int, generator: torch.Generator, image_size: int) -> SearchSpace[Backbone]:
        """The space with a supernet for a number of classes, its weights drawn from ``generator``."""

    def network(
        self, space: SearchSpace[Backbone], arch: Architecture, classes: int, generator: torch.Generator
    ) -> Backbone:
        """The network that an architecture of ``space`` is trained as in the end, with new weights."""
        return space.derive(arch, generator=generator)


@final
class NASBench201Config(SpaceConfig):
    """NAS-Bench-201: a cell of six edges with five operations each, repeated in three stages."""

    name: Literal["nasbench201"] = "nasbench201"
    channels: int = Field(16, ge=1, description="channels of the first of three stages (C)")
    cells_per_stage: int = Field(1, ge=1, description="cells in each stage (N); the benchmark has 5")

    def build(self, classes: int, generator: torch.Generator, image_size: int) -> SearchSpace[Backbone]:
        """See :func:`~tailornas.spaces.nasbench201.nasbench201`."""
        return nasbench201(
            channels=self.channels, cells_per_stage=self.cells_per_stage, classes=classes, generator=generator
        )


@final
class DARTSConfig(SpaceConfig):
    """DARTS: a normal and a reduction cell of four nodes, two of eight operations into each; FairDARTS too."""

    name: Literal["darts"] = "darts"
    channels: int = Field(16, ge=1, description="channels of the nodes of the first cells (C)")
    cells: int = Field(8, ge=3, description="how many cells; those after one and two thirds reduce")
    auxiliary: bool = Field(False, description="a second head, after two thirds, while the final network is trained")
    form: Literal["search", "evaluation"] = Field(
        "evaluation",
        description="operations of the supernet: those of the final network, or those published for gradient search",
    )

    def build(self, classes: int, generator: torch.Generator, image_size: int) -> SearchSpace[Backbone]:
        """See :func:`~tailornas.spaces.darts.darts`."""
        return darts(channels=self.channels, cells=self.cells, form=self.form, classes=classes, generator=generator)

    def network(
        self, space: SearchSpace[Backbone], arch: Architecture, classes: int, generator: torch.Generator
    ) -> Backbone:
        """The evaluation network; see :func:`~tailornas.spaces.darts_network.darts_network`."""
        return darts_network(
            genotype_of(arch),
            channels=self.channels,
            cells=self.cells,
            auxiliary=self.auxiliary,
            classes=classes,
            generator=generator,
        )


@final
class MobileNetConfig(SpaceConfig):
    """MobileNetV3, the once-for-all space: depth a stage, expansion and kernel a block (after ~: not run)."""

    image_size: ClassVar[int] = 224

    name: Literal["mobilenet"] = "mobilenet"
    width: float = Field(1.0, gt=0, le=4, description="multiplies all channels; 1.0 and 1.2 were published")
    resolutions: tuple[int, ...] = Field(
        (), description="input sizes in pixels that architectures choose from; none: images as they come"
    )

    def build(self, classes: int, generator: torch.Generator, image_size: int) -> SearchSpace[Backbone]:
        """See :func:`~tailornas.spaces.mobilenet.mobilenet`."""
        return mobilenet(width=self.width, resolutions=self.resolutions, classes=classes, generator=generator)


@final
class NATSSizeConfig(SpaceConfig):
    """NATS-Bench, the size space: five widths around a fixed cell."""

    name: Literal["nats-size"] = "nats-size"

    def build(self, classes: int, generator: torch.Generator, image_size: int) -> SearchSpace[Backbone]:
        """See :func:`~tailornas.spaces.nats_size.nats_size`."""
        return nats_size(classes=classes, generator=generator)


@final
class ElasticResNetConfig(SpaceConfig):
    """Residual networks for small images: depth, width and kernel size of each of three stages."""

    name: Literal["resnet"] = "resnet"
    channels: int = Field(
        16, ge=4, multiple_of=4, description="widths of the first stage surround it, of the others 2 and 4 times it"
    )
    depths: tuple[int, ...] = Field(
        (1, 2, 3, 5, 7), description="numbers of blocks to choose from; the first stage can have none as well"
    )
    kernels: tuple[int, ...] = Field((3, 5), description="kernel sizes to choose from, odd")

    def build(self, classes: int, generator: torch.Generator, image_size: int) -> SearchSpace[Backbone]:
        """See :func:`~tailornas.spaces.elastic_resnet.elastic_resnet`."""
        return elastic_resnet(
            channels=self.channels, depths=self.depths, kernels=self.kernels, classes=classes, generator=generator
        )


@final
class OwnConfig(SpaceConfig):
    """A user's own space; every further key is an argument of its constructor."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(description="FILE.py:Class")

    def build(self, classes: int, generator: torch.Generator, image_size: int) -> SearchSpace[Backbone]:
        """See :func:`~tailornas.spaces.own.own_space`."""
        return own_space(self.name, self.model_extra or {}, classes=classes, generator=generator, image_size=image_size)


SPACES: dict[str, type[SpaceConfig]] = {
    "darts": DARTSConfig,
    "mobilenet": MobileNetConfig,
    "nasbench201": NASBench201Config,
    "nats-size": NATSSizeConfig,
    "resnet": ElasticResNetConfig,
}
"""Name -> settings."""

DEFAULT_SPACE = "resnet"
"""The space of a run that names none."""


def space_config(name: str, settings: Mapping[str, Any]) -> SpaceConfig:
    """Reads the settings of the space ``name``.

    Args:
        name: a name of :data:`SPACES`, or ``FILE.py:Class``.
        settings: the space's own parameters. Those of a user's class are checked when it is built.

    Raises:
        UnknownNameError: no such space.
        ConfigError: a parameter that the space does not have, or a value that it cannot take.
    """
    if is_own(name):
        return OwnConfig(name=name, **settings)
    if name not in SPACES:
        raise UnknownNameError("space", name, [*SPACES, "FILE.py:Class"])
    model = SPACES[name]
    try:
        return model(name=name, **settings)
    except ValidationError as error:
        first = error.errors()[0]
        parameter, known = ".".join(map(str, first["loc"])), [key for key in model.model_fields if key != "name"]
        if first["type"] == "extra_forbidden":
            listed = f"its parameters are {', '.join(known)}" if known else "it has none"
            raise ConfigError(f"space {name!r} has no parameter {parameter!r}: {listed}") from error
        raise ConfigError(f"space.{parameter}: {expected([first])}") from error


def _read_section(section: object) -> object:
    if not isinstance(section, Mapping):
        return section
    name = section.get("name", DEFAULT_SPACE)
    if not isinstance(name, str):
        raise ConfigError(f"space.name: expected the name of a space, got {name!r}")
    return space_config(name, {key: value for key, value in section.items() if key != "name"})


SpaceSection = Annotated[SerializeAsAny[SpaceConfig], BeforeValidator(_read_section)]
"""The type of a configuration's field for any space: a table with ``name`` and the parameters of that space."""


def build_space(
    config: SpaceConfig, classes: int, generator: torch.Generator, image_size: int = 32
) -> SearchSpace[Backbone]:
    """Builds a space for a number of classes, its weights drawn from ``generator``.

    Args:
        config: which space.
        classes: outputs of the head.
        generator: draws the weights.
        image_size: height and width in pixels of the images that the networks are for.

    Raises:
        ConfigError: a user's own space cannot be loaded.
        ArchitectureError: a user's own space cannot be built or run.
    """
    return config.build(classes, generator, image_size)


def check_space(config: SpaceConfig) -> None:
    """Refuses, before images are there, a user's own space that could not be built for any.

    Raises:
        ConfigError: no such file or class, it cannot be imported, or a setting is missing or unknown.
        ArchitectureError: the class is no module.
    """
    if isinstance(config, OwnConfig):
        check_own(config.name, config.model_extra or {})


def identify(config: SpaceConfig) -> dict[str, Any]:
    """JSON values that change whenever the space does; of a user's own they hold the file's content, not its path."""
    values = config.model_dump(mode="json")
    if isinstance(config, OwnConfig):
        values.update(name=config.name.rpartition(":")[2], sha256=digest(config.name))
    return values


def kept_space(settings: Mapping[str, Any], identity: Mapping[str, Any], made: str) -> SpaceConfig:
    """The settings of a space as a run folder keeps them.

    Args:
        settings: all of them, the name included.
        identity: what :func:`identify` said of the space at that time.
        made: what the folder holds, for a message: ``"search in runs/photos"``.

    Raises:
        ConfigError: the file of a user's own space is another by now, or cannot be read.
    """
    own = {key: value for key, value in settings.items() if key != "name"}
    space = space_config(settings["name"], own)
    if identify(space).get("sha256") != identity.get("sha256"):
        raise ConfigError(
            f"{space.name} has changed since the {made}: expected the file that was used; restore it, or start anew"
        )
    return space
