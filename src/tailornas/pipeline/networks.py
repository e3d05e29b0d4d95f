"""What a run folder says of a network that was trained and measured in it."""

from pathlib import Path
from typing import Any, cast

from tailornas.config import RunConfig, StandaloneConfig
from tailornas.losses import loss_settings
from tailornas.report import Metrics, Network
from tailornas.runs import RunFolder
from tailornas.training import TrainConfig
from tailornas.types import ClassCounts

__all__ = ["network_values", "weights_path"]


def network_values(folder: RunFolder, stage: str, config: RunConfig | StandaloneConfig, init: str) -> Network:
    """A trained network, its training and its metrics. The time of its training is that of both stages.

    Args:
        folder: where it was trained, after its last stage was met in this start.
        stage: the stage that trained it.
        config: the configuration of the job.
        init: where its first weights came from, in a word.
    """
    trained, timed, tested = folder.artifact(stage), folder.artifact("latency"), folder.artifact("evaluate")
    assert trained is not None and timed is not None and tested is not None
    values: dict[str, Any] = {**trained.values, **timed.values[stage], **tested.values[stage]}
    settings, second = config.train, config.train.second_stage
    sizes = ClassCounts(tuple(entry["train"] for entry in values["metrics"]["per_class"]))
    metrics = {
        **values["metrics"],
        "split": config.evaluate_on if isinstance(config, StandaloneConfig) else "test",
        "group_sizes": {name: len(labels) for name, labels in config.groups.groups(sizes).items()},
    }
    head_seconds = 0.0 if second.name == "none" else folder.seconds.get(f"{stage}-head")
    return Network(
        name=values["name"],
        architecture=values["architecture"],
        params=values["costs"]["params"],
        macs=values["costs"]["macs"],
        latency_ms=values["latency_ms"],
        epochs=values["epochs"],
        head_epochs=second.epochs if second.trained else 0,
        seconds=None if head_seconds is None else values["seconds"] + head_seconds,
        init=init,
        loss=settings.title,
        weights=weights_path(folder, stage, settings).relative_to(folder.path).as_posix(),
        probabilities=_probabilities(settings),
        metrics=cast(Metrics, metrics),
        difference_se=values.get("difference_se"),  # of the found one of two
    )


def weights_path(folder: RunFolder, stage: str, settings: TrainConfig) -> Path:
    """The file with the weights of a trained network, those of its second stage if there was one."""
    last = stage if settings.second_stage.name == "none" else f"{stage}-head"
    return folder.path / "stages" / last / "result.safetensors"


def _probabilities(settings: TrainConfig) -> str:
    """How the outputs of a network that was trained so become probabilities, which its last loss says."""
    last = settings.last_objective
    if last.loss == "ldam":
        scale = loss_settings(last.loss, last.loss_settings).model_dump()["scale"]
        return f"the softmax of {scale:g} times the outputs"
    if last.loss == "class_balanced_focal":
        return "the sigmoids of the outputs, divided by their sum"
    return "the softmax of the outputs"
