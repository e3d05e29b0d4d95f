"""What a run folder says of a network that was trained and measured in it."""

from pathlib import Path
from typing import Any

from tailornas.report import Network
from tailornas.runs import RunFolder
from tailornas.training import TrainConfig

__all__ = ["network_values", "weights_path"]


def network_values(folder: RunFolder, stage: str, settings: TrainConfig, init: str) -> Network:
    """A trained network, its training and its test metrics. The time of its training is that of both stages.

    Args:
        folder: where it was trained, after its last stage was met in this start.
        stage: the stage that trained it.
        settings: how.
        init: where its first weights came from, in a word.
    """
    trained, timed, tested = folder.artifact(stage), folder.artifact("latency"), folder.artifact("evaluate")
    assert trained is not None and timed is not None and tested is not None
    values: dict[str, Any] = {**trained.values, **timed.values[stage], **tested.values[stage]}
    second = settings.second_stage
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
        metrics=values["metrics"],
        difference_se=values.get("difference_se"),  # of the found one of two
    )


def weights_path(folder: RunFolder, stage: str, settings: TrainConfig) -> Path:
    """The file with the weights of a trained network, those of its second stage if there was one."""
    last = stage if settings.second_stage.name == "none" else f"{stage}-head"
    return folder.path / "stages" / last / "result.safetensors"
