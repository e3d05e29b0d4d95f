"""Fitting weights: the training loop, the supernet, one network, and running what came of it."""

from tailornas.training.device import DeviceConfig, make_fabric, native_bf16
from tailornas.training.inference import batch_statistics, predict, recalibrate
from tailornas.training.loop import (
    EpochBatches,
    Fitted,
    OptimizerConfig,
    Position,
    Step,
    fit,
    learning_rate_at,
    make_optimizer,
)
from tailornas.training.objective import check_objective, new_head, new_objective
from tailornas.training.second_stage import SecondStageConfig, fit_head, replace_head, second_stage
from tailornas.training.standalone import PUBLISHED_RECIPE, TrainConfig, train, train_sampler
from tailornas.training.supernet import PretrainConfig, give_source_head, pretrain
from tailornas.training.throughput import images_per_second
from tailornas.training.two_branch import PairedBatches, TwoBranchNetwork, check_two_branch, two_branch_loss

__all__ = [
    "PUBLISHED_RECIPE",
    "DeviceConfig",
    "EpochBatches",
    "Fitted",
    "OptimizerConfig",
    "PairedBatches",
    "Position",
    "PretrainConfig",
    "SecondStageConfig",
    "Step",
    "TrainConfig",
    "TwoBranchNetwork",
    "batch_statistics",
    "check_objective",
    "check_two_branch",
    "fit",
    "fit_head",
    "give_source_head",
    "images_per_second",
    "learning_rate_at",
    "make_fabric",
    "make_optimizer",
    "native_bf16",
    "new_head",
    "new_objective",
    "predict",
    "pretrain",
    "recalibrate",
    "replace_head",
    "second_stage",
    "train",
    "train_sampler",
    "two_branch_loss",
]
