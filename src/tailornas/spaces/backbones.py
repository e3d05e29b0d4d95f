"""Backbones by name: CIFAR ResNets, timm's models and architectures of search spaces; and weights from files."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import final

import torch
from pydantic import Field
from torch import Tensor

from tailornas.errors import CheckpointError, ConfigError, UnknownNameError
from tailornas.settings import SettingsModel
from tailornas.spaces.build import SPACES, SpaceConfig, build_space, check_space, space_config
from tailornas.spaces.network import Backbone
from tailornas.spaces.resnet import cifar_resnet
from tailornas.spaces.weights import read_weights

__all__ = ["BackboneConfig", "build_backbone", "check_backbone", "load_weights", "space_of"]

KNOWN = ("resnet20", "resnet32", "resnet44", "resnet56", "timm:NAME", "SPACE:ARCHITECTURE", "the folder of a search")


@final
class BackboneConfig(SettingsModel):
    """Which network is trained, and from which weights."""

    name: str = Field(
        "resnet32", description="resnet20, resnet32, resnet44, resnet56, timm:NAME, or SPACE:ARCHITECTURE"
    )
    weights: str | None = Field(
        None, description="first weights: a file, or online for those that timm publishes; none: new ones"
    )


def _warn(sentence: str) -> None:
    mend = "tailornas.load_classifier rebuilds the network of a run folder with the head that was trained"
    warnings.warn(f"{sentence} {mend}.", stacklevel=3)


def build_backbone(
    config: BackboneConfig,
    space: SpaceConfig | None,
    image_size: int,
    classes: int,
    generator: torch.Generator,
    *,
    tell: Callable[[str], object] = _warn,
) -> Backbone:
    """Builds a backbone by name, with a linear head.

    Args:
        config: its name and weights.
        space: parameters of the space, for an architecture.
        image_size: height and width in pixels of the images it will see.
        classes: outputs of the head.
        generator: draws the weights.
        tell: called with what :func:`load_weights` says; by default a warning.

    Raises:
        UnknownNameError: no such backbone.
        ConfigError: a depth that no CIFAR ResNet has, or settings that belong to another kind of backbone.
        ArchitectureError: the architecture is malformed.
        CheckpointError: the file cannot be read, or holds another network.
    """
    network = _new(config, _space(config, space), image_size, classes, generator)
    if config.weights not in (None, "online") and (left_out := load_weights(network, Path(config.weights))):
        tell(left_out)
    return network


def check_backbone(config: BackboneConfig, space: SpaceConfig | None) -> None:
    """Refuses, before images are there, what :func:`build_backbone` would refuse for images of any size and classes.

    Networks of timm and of a user's own space are not built: they may be for some images alone.

    Raises:
        UnknownNameError: no such backbone.
        ConfigError: a depth that no CIFAR ResNet has, or settings that belong to another kind of backbone.
        ArchitectureError: the architecture is malformed.
        CheckpointError: the file of weights cannot be read.
    """
    searched = _space(config, space)
    kind, _, rest = config.name.partition(":")
    if searched is not None and searched.name not in SPACES:
        check_space(searched)
    elif kind == "timm":
        from tailornas.spaces.timm_backbone import check_timm

        check_timm(rest)
    else:
        _new(config, searched, 32, 2, torch.Generator())
    if config.weights not in (None, "online"):
        read_weights(Path(config.weights))


def space_of(backbone: str) -> str | None:
    """The space of a backbone that is named ``SPACE:ARCHITECTURE``; None for one of another kind."""
    if (own := re.match(r".+?\.py:\w+(?=:)", backbone)) is not None:  # FILE.py:Class:ARCHITECTURE
        return own[0]
    space, _, architecture = backbone.partition(":")
    return space if space in SPACES and architecture else None


def load_weights(network: Backbone, path: Path) -> str | None:
    """Puts the weights of a file into ``network``, in place; the head stays new where the file's does not fit.

    A head for other classes does not fit, which is how a backbone goes on to other data, and a head of another kind.

    Args:
        network: any backbone.
        path: safetensors by the suffix, else what ``torch.save`` wrote of a state dict. Names are this network's, as a
            run writes them, or for timm's models timm's.

    Returns:
        A sentence for people where the file's head is for as many classes but not linear.

    Raises:
        CheckpointError: the file cannot be read, or holds another network; nothing is changed then.
    """
    found, own = network.own_names(read_weights(path)), network.state_dict()
    body = [name for name in own if not name.startswith("head.")]
    missing = [name for name in body if name not in found]
    beyond = [name for name in found if name not in own and not name.startswith("head.")]
    for problem, names in (("lacks", missing), ("has, beyond this network's,", beyond)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise CheckpointError(f"{path} {problem} {names[0]!r}{more}: expected weights of the same backbone")
    for name in body:
        if found[name].shape != own[name].shape:
            raise CheckpointError(
                f"{path}: {name!r} is {tuple(found[name].shape)}, expected {tuple(own[name].shape)}: expected weights "
                "of the same backbone"
            )
    kept: dict[str, Tensor] = {name: found[name] for name in body}
    head, new = ({name: t for name, t in tensors.items() if name.startswith("head.")} for tensors in (found, own))
    fits = {name: tensor.shape for name, tensor in head.items()} == {name: tensor.shape for name, tensor in new.items()}
    if fits:
        kept.update(head)
        network.head_trained = True
    network.load_state_dict(kept, strict=False)
    # Heads of all kinds hold one matrix (classes, features).
    if fits or not {t.shape for t in head.values() if t.ndim == 2} & {t.shape for t in new.values()}:
        return None
    return f"The head in {path} is not a linear one with a bias, and only such a head is gone on from: this one is new."


def _space(config: BackboneConfig, space: SpaceConfig | None) -> SpaceConfig | None:
    """The space of an architecture; None for another kind of backbone. Refuses settings that belong to another kind."""
    if config.weights == "online" and not config.name.startswith("timm:"):
        raise ConfigError(f"only timm's models have weights online, not {config.name!r}: give a file")
    searched = space_of(config.name)
    if searched is None:
        if space is not None:
            raise ConfigError(f"the backbone {config.name!r} is of no search space: leave the section 'space' out")
        return None
    space = space or space_config(searched, {})
    if space.name != searched:
        raise ConfigError(f"the backbone is of the space {searched!r} but the section 'space' is of {space.name!r}")
    return space


def _new(
    config: BackboneConfig, space: SpaceConfig | None, image_size: int, classes: int, generator: torch.Generator
) -> Backbone:
    kind, _, rest = config.name.partition(":")
    if space is not None:
        built = build_space(space, classes, generator, image_size)
        return space.network(built, built.from_text(config.name.removeprefix(f"{space.name}:")), classes, generator)
    if kind == "timm":
        # Imported here: timm takes a second, and most networks are not its.
        from tailornas.spaces.timm_backbone import timm_backbone

        return timm_backbone(rest, image_size, classes, generator=generator, online=config.weights == "online")
    if (depth := re.fullmatch(r"resnet(\d+)", config.name)) is not None:
        return cifar_resnet(int(depth[1]), classes, generator=generator)
    raise UnknownNameError("backbone", config.name, KNOWN)
