"""Training one network on a long-tailed dataset, without a search."""

from dataclasses import dataclass
from pathlib import Path
from typing import final

from tailornas.config import StandaloneConfig, to_toml
from tailornas.data import prepare
from tailornas.methods import Fitting, TrainPlan, check_training, evaluate, make_contender
from tailornas.methods import train as train_contender
from tailornas.pipeline.networks import network_values
from tailornas.report import Network, summarize
from tailornas.runs import Console, RunFolder
from tailornas.search import Limits
from tailornas.seeding import generator
from tailornas.spaces import build_backbone
from tailornas.training import make_fabric

__all__ = ["TRAIN_STAGES", "Trained", "train"]

TRAIN_STAGES = {"train": "the network", "evaluate": "on the test split"}
"""What each stage does, for people."""


@final
@dataclass(frozen=True)
class Trained:
    """What the training of one network came to.

    Args:
        weights: path of its weights.
        network: the network, its costs and its test metrics.
    """

    weights: Path
    network: Network

    @property
    def rows(self) -> list[tuple[str, str]]:
        """What people read: label and value."""
        parts = summarize(self.network, self.network).values()
        return [(row.label, row.found) for rows in parts for row in rows]


def train(config: StandaloneConfig, out: Path, console: Console, *, started: float | None = None) -> Trained:
    """Trains a network on all images of the target that are not test, and measures the last epoch's on the test split.

    Args:
        config: everything that can be told.
        out: the run folder; an earlier start is gone on with.
        console: where progress is shown.
        started: the ``time.monotonic()`` from which time counts; None: now.

    Raises:
        TailorNASError: the input cannot be used, or the training diverged.
    """
    target = prepare(config.data, config.seed)
    fabric = make_fabric(config.device, target.image_size)
    rng = generator(config.seed, "train", "weights")
    network = build_backbone(config.backbone, config.space, len(target.classes), rng)
    with RunFolder.open(out, to_toml(config), console, started=started) as folder:
        fitting = Fitting(
            run=folder,
            fabric=fabric,
            target=target,
            train=config.train,
            augment=config.augment,
            seed=config.seed,
            limits=Limits(),
            compiled=config.device.compile,
        )
        check_training(fitting)
        console.note(
            f"{target.description}: {len(fitting.split):,} training and {len(target.test):,} test images of "
            f"{len(target.classes)} classes, {target.image_size} pixels, imbalance factor "
            f"{fitting.split.counts.imbalance_factor:.3g}."
        )
        identity = {
            "backbone": config.backbone.model_dump(mode="json"),
            "space": config.space and config.space.model_dump(mode="json"),
        }
        name = config.backbone.name
        contender = make_contender(fitting, "train", name, None, network, identity)
        assert config.train.epochs is not None
        plan = TrainPlan(config.train.epochs)
        train_contender(fitting, plan, contender)
        evaluate(fitting, plan, contender)
        weights = folder.path / "stages" / "train" / "result.safetensors"
        return Trained(weights, network_values(folder, "train", config.train, "scratch"))
