"""The networks that a job trains on the target: in a search the found one and its baseline."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import nn

from tailornas.errors import ConfigError, naming
from tailornas.heads import build_head
from tailornas.losses import LongTailLoss, build_loss
from tailornas.methods.context import Context
from tailornas.methods.fitting import Fitting
from tailornas.methods.supernet import Supernet
from tailornas.search import Candidate, Costs
from tailornas.seeding import generator
from tailornas.spaces import (
    DEPTHS,
    Backbone,
    CifarResNet,
    Cost,
    DARTSNetwork,
    SearchSpace,
    cifar_resnet,
    count,
    nearest_depth,
)
from tailornas.stages import Artifact
from tailornas.training import Objective, ObjectiveConfig, TrainConfig, TwoBranchNetwork, check_two_branch

__all__ = [
    "Contender",
    "baseline_network",
    "check_training",
    "found_network",
    "make_contender",
    "specimens",
    "with_heads",
]


@final
@dataclass(frozen=True)
class Contender:
    """A network that is trained on the target and measured on its test split.

    Args:
        stage: name of its training stage.
        name: what users read: ``"found network"``, ``"ResNet-8"``.
        architecture: the text form of a searched one.
        network: on the device.
        loss: what its head is fitted by, which says what probabilities its logits stand for.
        costs: what it costs.
        identity: JSON values that the network and its weights, so far, depend on.
    """

    stage: str
    name: str
    architecture: str | None
    network: Backbone
    loss: LongTailLoss
    costs: Costs
    identity: Mapping[str, Any]


def check_training(fitting: Fitting, *networks: Backbone) -> None:
    """Makes sure, before anything is computed, that the target, networks, head and class weights fit each other.

    Args:
        fitting: the target and how networks are fitted to it.
        networks: of the kinds that are trained: a network itself, or the supernet that it comes from.

    Raises:
        ConfigError: settings that these counts cannot have, a head that needs longer features, training that none of
            the networks can have, or images that an auxiliary head cannot be trained with.
        DataError: class weights or counts that do not fit the classes.
    """
    settings, counts, rng = fitting.train, fitting.split.counts, generator(fitting.seed, "check")
    objectives: dict[str, ObjectiveConfig] = {"train": settings, "train.second_stage": settings.second_stage}
    for section, objective in objectives.items():
        with naming(section):
            Objective(objective, counts, seed=fitting.seed, stage=("check",), device=torch.device("cpu"))
    for network in networks:
        with naming("train"):
            build_head(settings.resolved_head, network.least_feature_dim, len(counts), rng)
        if settings.two_branch:
            check_two_branch(network)
        if isinstance(network, DARTSNetwork):
            network.check_image_size(fitting.target.image_size)
    if settings.drop_path and not any(isinstance(network, DARTSNetwork) for network in networks):
        raise ConfigError(
            f"train.drop_path drops edges of cells and {type(networks[0]).__name__} has none: leave it out, or use the "
            "space 'darts'"
        )


def found_network(context: Context, winner: Candidate, supernet: Supernet) -> Contender:
    """The winner as a plain network, with new weights or, by ``init``, with the supernet's.

    Args:
        context: the job.
        winner: the architecture.
        supernet: adapted to the target.
    """
    space = supernet.space
    architecture = space.from_text(winner.architecture)
    identity: dict[str, Any] = {"space": context.space_id, "architecture": winner.architecture}
    classes, inherits = len(context.target.classes), context.settings.init == "inherit"
    if inherits:
        network = space.derive(architecture)
        identity["supernet"] = dict(supernet.identity)
    else:
        network = context.space.network(space, architecture, classes, generator(context.seed, "train", "weights"))
    network.head_trained = inherits and isinstance(network.head, nn.Linear)
    if inherits and not network.head_trained:  # the supernet was adapted with another head
        network.head = network.new_head(classes, generator(context.seed, "train", "head"))
    return make_contender(context.fitting, "train", "found network", winner.architecture, network, identity)


def baseline_network(fitting: Fitting, winner: Candidate) -> Contender:
    """The largest CIFAR ResNet within the limits; without any, the one nearest to the winner.

    Where even ResNet-8 is above a limit it is taken all the same, and the run says so.
    """
    limits, target = fitting.limits, fitting.target
    depth = _baseline_depth(fitting, winner)
    rng = generator(fitting.seed, "baseline", "weights")
    network, name = cifar_resnet(depth, len(target.classes), generator=rng), f"ResNet-{depth}"
    baseline = make_contender(fitting, "baseline", name, None, network, {"network": name})
    if depth == min(DEPTHS) and not limits.met(baseline.costs):
        fitting.run.note(f"The baseline {name} is above the limits: no smaller ResNet is known for these images.")
    return baseline


def specimens(context: Context, space: SearchSpace[Backbone]) -> list[Backbone]:
    """Networks of the kinds that are trained, to check settings with: the supernet, a found network, a baseline."""
    rng, classes = generator(context.seed, "check"), len(context.target.classes)
    networks = [space.network, cifar_resnet(min(DEPTHS), classes, generator=rng)]
    if context.settings.init == "scratch":  # an inherited one is a part of the supernet
        networks.append(context.space.network(space, space.sample(rng), classes, rng))
    return networks


def _baseline_depth(fitting: Fitting, winner: Candidate) -> int:
    """Kept as a stage where latency is limited: a run that is started again might measure another one."""
    limits, size, classes = fitting.limits, fitting.target.image_size, len(fitting.target.classes)

    def fits(network: CifarResNet) -> bool:
        network.to(fitting.fabric.device).to(memory_format=torch.channels_last)
        return limits.met(fitting.costs(count(network, size), lambda: network))

    def depth(fits: Callable[[CifarResNet], bool] | None) -> int:
        reference = Cost(winner.params, winner.macs)
        return nearest_depth(reference, size, classes, max_params=limits.params, max_macs=limits.macs, fits=fits)

    if limits.latency_ms is None:
        return depth(None)
    inputs = {
        "limits": limits.model_dump(mode="json"),
        "image_size": size,
        "classes": classes,
        "clock": fitting.clock,
    }
    found = fitting.run.stage("plan-baseline", inputs, lambda stage: Artifact({"depth": depth(fits)}))
    return int(found.values["depth"])


def make_contender(
    fitting: Fitting,
    stage: str,
    name: str,
    architecture: str | None,
    network: Backbone,
    identity: Mapping[str, Any],
) -> Contender:
    """Gives a network the heads it is trained with, unless it has them already, and puts it on the device.

    Args:
        fitting: the target and how networks are fitted to it.
        stage: name of its training stage; new numbers of the head are drawn by it.
        name: what users read.
        architecture: the text form of a searched network.
        network: with linear heads for the target's classes.
        identity: JSON values that the network and its first weights depend on.

    Raises:
        ConfigError: the head needs longer features.
    """
    settings, counts = fitting.train, fitting.split.counts
    loss = build_loss(settings.loss, counts, None, **settings.loss_settings)
    network = with_heads(network, settings, loss, len(counts), fitting.seed, stage)
    network.to(fitting.fabric.device).to(memory_format=torch.channels_last)
    costs = fitting.costs(count(network, fitting.target.image_size), lambda: network)
    return Contender(stage, name, architecture, network, loss, costs, identity)


def with_heads(
    network: Backbone, settings: TrainConfig, loss: LongTailLoss, classes: int, seed: int, stage: str
) -> Backbone:
    """The network with the branches and heads that it is trained with, in place as far as that can be.

    Args:
        network: with linear heads.
        settings: how it is trained.
        loss: that of the settings.
        classes: outputs of the heads.
        seed: the run's seed.
        stage: name of the training stage; new numbers are drawn by it.

    Raises:
        ConfigError: the head needs longer features, or the network cannot have two branches.
    """
    if settings.two_branch:
        network = TwoBranchNetwork(network, classes, generator(seed, stage, "branch"))
    if settings.resolved_head != "linear":
        rng = generator(seed, stage, "head")
        network.head = build_head(settings.resolved_head, network.feature_dim, classes, rng)
    elif not network.head_trained:
        loss.begin(network.head)
    if isinstance(network, DARTSNetwork) and network.auxiliary is not None:
        if loss.head == "cosine":
            rng = generator(seed, stage, "auxiliary")
            network.auxiliary.head = build_head("cosine", network.auxiliary.feature_dim, classes, rng)
        if not network.head_trained:  # they are read from one file
            loss.begin(network.auxiliary.head)
    return network
