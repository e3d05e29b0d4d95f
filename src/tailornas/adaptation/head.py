"""P1, the recommended adaptation: freeze the backbone, retrain the linear head on the target with a re-weighted loss.

IMB-NAS (2210.00136), section 3.2. The supernet keeps its source features; only its decision boundary moves.
"""

from typing import Self, final

import torch
from lightning_fabric import Fabric
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from tailornas.errors import UnknownNameError
from tailornas.heads import build_head
from tailornas.losses import WEIGHTINGS, class_weights
from tailornas.seeding import generator
from tailornas.spaces import Backbone, SearchSpace
from tailornas.training import EpochBatches, Fitted, OptimizerConfig, Position, batch_statistics, fit
from tailornas.types import ClassCounts, Stage

__all__ = ["HeadConfig", "adapt_head"]


@final
class HeadConfig(BaseModel):
    """How the head is retrained on the target.

    Raises:
        UnknownNameError: no such weighting.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int | None = Field(None, ge=1, description="none: planned from the time limit, else 20")
    batch_size: int = Field(128, ge=2)
    weighting: str = Field("effective", description="class weights of the cross-entropy, by name")
    optimizer: OptimizerConfig = OptimizerConfig(weight_decay=5e-4)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.weighting not in WEIGHTINGS:
            raise UnknownNameError("weighting", self.weighting, list(WEIGHTINGS))
        return self


def adapt_head(
    fabric: Fabric,
    space: SearchSpace[Backbone],
    batches: EpochBatches,
    counts: ClassCounts,
    *,
    epochs: int,
    weighting: str,
    optimizer: OptimizerConfig,
    seed: int,
    stage: Stage,
) -> Fitted:
    """Gives ``space.network`` a linear head for the target's classes, fitted over uniformly drawn architectures.

    The backbone runs without a graph and its weights stay as they are. Its batch norms use the statistics of the
    target's batches, as they will when candidates are scored.

    Args:
        fabric: device and precision.
        space: the supernet trained on the source.
        batches: the target's training images.
        counts: the target's training images a class, for the weights of the loss.
        epochs: how many epochs.
        weighting: name of the class weighting (see :data:`tailornas.losses.WEIGHTINGS`).
        optimizer: its settings.
        seed: the run's seed.
        stage: checkpoints, log and progress.
    """
    network = space.network
    head = build_head("linear", network.feature_dim, len(counts), generator(seed, "adapt", "head")).to(fabric.device)
    network.head = head
    weights = class_weights(weighting, counts).to(fabric.device)

    def step(images: Tensor, labels: Tensor, at: Position) -> Tensor:
        architecture = space.simplify(space.sample(generator(seed, "adapt", "path", at.step)))
        with torch.inference_mode(), space.activate(architecture):
            features = network.features(images)
        return F.cross_entropy(head(features.clone()), labels, weights)

    key = "adapt.optimizer.learning_rate"
    with batch_statistics(network):
        return fit(fabric, head, step, batches, epochs=epochs, optimizer=optimizer, stage=stage, key=key)
