"""The whole job without a search: one network, trained on a long-tailed dataset, and its report."""

import re
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import cast, final

from tailornas.config import StandaloneConfig, to_toml
from tailornas.errors import ConfigError
from tailornas.methods import (
    Fitting,
    TrainPlan,
    check_training,
    evaluate,
    make_contender,
    measure_latency,
    retrain_head,
)
from tailornas.methods import train as train_contender
from tailornas.pipeline.images import READING, check_apart, read_images
from tailornas.pipeline.introduction import introduce
from tailornas.pipeline.networks import network_values, weights_path
from tailornas.report import Data, LogLine, Network, NetworkReport, Verdict, render_network, result, summarize_one
from tailornas.report.formats import ratio
from tailornas.runs import Console, RunFolder, read_json, recorded_job
from tailornas.search import Limits
from tailornas.seeding import generator
from tailornas.spaces import BackboneConfig, SpaceConfig, build_backbone, check_backbone, identify, kept_space
from tailornas.training import make_fabric

__all__ = ["Trained", "train", "train_stages"]


@final
@dataclass(frozen=True)
class Trained:
    """What the training of one network came to.

    Args:
        report: path of the report.
        weights: path of its weights.
        network: the network, its costs and its metrics.
    """

    report: Path
    weights: Path
    network: Network

    @property
    def summary(self) -> dict[str, list[tuple[str, str]]]:
        """The network in numbers: label and value, in parts."""
        return summarize_one(self.network)

    @property
    def result(self) -> Verdict:
        """How it does on the split that it was measured on."""
        return result(self.network)


def train_stages(config: StandaloneConfig) -> dict[str, str]:
    """What each stage does, for people."""
    return READING | {
        "train": "the network",
        "train-head": "its head, the rest frozen",
        "latency": "its milliseconds",
        "evaluate": f"on the {config.evaluate_on} split",
    }


def train(
    config: StandaloneConfig,
    out: Path,
    console: Console,
    *,
    command: str,
    overwrite: bool = True,
    started: float | None = None,
) -> Trained:
    """Trains a network on the training images of the target, and measures and reports the last epoch's.

    Args:
        config: everything that can be told.
        out: the run folder; an earlier start is gone on with.
        console: where progress is shown.
        command: the shell command that repeats the training, for the report.
        overwrite: whether results in ``out`` of other settings are replaced; else they are an error.
        started: the ``time.monotonic()`` from which time counts; None: now.

    Raises:
        TailorNASError: the input cannot be used, or the training diverged.
    """
    backbone, space = _found(config.backbone, config.space)
    check_backbone(backbone, space)
    check_apart(out, config.data.data)
    RunFolder.check(out, to_toml(config), job="training", overwrite=overwrite)
    target = read_images(config.data, config.seed, console)
    fabric = make_fabric(config.device, target.image_size)
    rng = generator(config.seed, "train", "weights")
    told: list[str] = []
    network = build_backbone(backbone, space, target.image_size, len(target.classes), rng, tell=told.append)
    if network.head_trained and (config.train.two_branch or config.train.resolved_head != "linear"):
        told.append(f"The linear head in {backbone.weights} is left out: another head is trained.")
    if backbone.weights is not None and network.pretrained_normalization is not None:
        # Weights that were fitted to pixels of some statistics go on from pixels of the same.
        target = replace(target, normalization=network.pretrained_normalization)
    with RunFolder.open(out, to_toml(config), console, job="training", overwrite=overwrite, started=started) as folder:
        fitting = Fitting(
            run=folder,
            fabric=fabric,
            target=target,
            train=config.train,
            augment=config.augment,
            seed=config.seed,
            limits=Limits(),
            groups=config.groups,
            compiled=config.device.compile,
            evaluate_on=config.evaluate_on,
        )
        check_training(fitting, network)
        console.note(
            f"{target.description}: {len(fitting.split):,} training and {len(fitting.measured):,} "
            f"{config.evaluate_on} images of {len(target.classes)} classes, {target.image_size} pixels, imbalance "
            f"factor {ratio(fitting.split.counts.imbalance_factor)}."
        )
        if config.evaluate_on == "selection":
            folder.note(
                "Measured on the selection split, to choose by: it was kept out of training, and no test image was "
                "looked at. Train what you choose once more without --evaluate-on, and report that."
            )
        for sentence in told:
            folder.note(sentence)
        introduce(folder, target, config.evaluate_on)
        identity = {
            "backbone": backbone.name,
            "space": space and identify(space),
            "weights": backbone.weights and _content(backbone.weights),
        }
        contender = make_contender(fitting, "train", _title(backbone.name), backbone.name, network, identity)
        assert config.train.epochs is not None
        plan = TrainPlan(config.train.epochs)
        contender = retrain_head(fitting, train_contender(fitting, plan, contender))
        measure_latency(fitting, contender)
        evaluate(fitting, contender)
        trained = network_values(folder, "train", config, backbone.weights or "scratch")
        report = _report(config, folder, fitting, trained, command)
        return Trained(
            report=folder.write("report.html", render_network(report)),
            weights=weights_path(folder, "train", config.train),
            network=trained,
        )


def _report(
    config: StandaloneConfig, folder: RunFolder, fitting: Fitting, trained: Network, command: str
) -> NetworkReport:
    """Gathers what the stages left in the run folder."""
    target, counts = fitting.target, fitting.split.counts
    # Of the splits to choose by and to test on one is used: measured on the test split, the images that were held out
    # to choose by are trained on, and a list of the source's is left alone.
    unused = "selection_counts" if config.evaluate_on == "test" else "test_counts"
    data = {
        **target.values(),
        "imbalance_factor": counts.imbalance_factor,
        "train_counts": list(counts),
        unused: None,
        "unscored": [],
    }
    second = config.train.second_stage.name != "none"
    return NetworkReport(
        title=f"{trained['name']} on {target.source}",
        command=command,
        config_toml=to_toml(config),
        data=cast(Data, data),
        network=trained,
        environment=folder.environment,
        seconds=folder.seconds,
        notes=folder.notes,
        train_log=cast(list[LogLine], folder.logs("train")),
        head_log=cast(list[LogLine], folder.logs("train-head")) if second else [],
    )


def _found(backbone: BackboneConfig, space: SpaceConfig | None) -> tuple[BackboneConfig, SpaceConfig | None]:
    """The architecture that a search found, and its space, where the backbone is the folder of one."""
    folder = Path(backbone.name)
    if re.fullmatch(r"resnet\d+", backbone.name) or not folder.is_dir():  # a name's own run folder may be called so
        return backbone, space
    if space is not None:
        raise ConfigError(f"the space is that of the search in {folder}: leave the section 'space' out")
    if recorded_job(folder) == "training":
        raise ConfigError(f"{folder} is the folder of a training: expected that of a search (`tailornas run`)")
    result = folder / "stages" / "search" / "result.json"
    if not result.is_file():
        raise ConfigError(f"{folder} holds no finished search: expected {result}")
    values = read_json(result)["values"]
    if (kept := values.get("space")) is None:
        raise ConfigError(
            f"{result} is of an earlier version, which did not keep the space: name what was found as the backbone "
            "SPACE:ARCHITECTURE"
        )
    searched = kept_space(kept["settings"], kept["identity"], f"search in {folder}")
    architecture = values["candidates"][values["winner"]]["architecture"]
    return backbone.model_copy(update={"name": f"{searched.name}:{architecture}"}), searched


def _content(weights: str) -> str:
    """What the file's weights are, wherever it lies."""
    return weights if weights == "online" else sha256(Path(weights).read_bytes()).hexdigest()


def _title(name: str) -> str:
    """What people read: ``ResNet-32``, ``nasbench201``, ``resnet18``."""
    if (depth := re.fullmatch(r"resnet(\d+)", name)) is not None:
        return f"ResNet-{depth[1]}"
    kind, _, rest = name.partition(":")
    return rest if kind == "timm" else kind
