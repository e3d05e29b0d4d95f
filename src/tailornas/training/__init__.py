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
from tailornas.training.objective import Objective, ObjectiveConfig, epoch_sampler, new_head
from tailornas.training.second_stage import SecondStageConfig, fit_head, replace_head, second_stage
from tailornas.training.standalone import PUBLISHED_RECIPE, TrainConfig, train
from tailornas.training.supernet import PretrainConfig, give_source_head, pretrain
from tailornas.training.throughput import images_per_second
from tailornas.training.two_branch import PairedBatches, TwoBranchNetwork, check_two_branch, two_branch_loss

__all__ = [
    "PUBLISHED_RECIPE",
    "DeviceConfig",
    "EpochBatches",
    "Fitted",
    "Objective",
    "ObjectiveConfig",
    "OptimizerConfig",
    "PairedBatches",
    "Position",
    "PretrainConfig",
    "SecondStageConfig",
    "Step",
    "TrainConfig",
    "TwoBranchNetwork",
    "batch_statistics",
    "check_two_branch",
    "epoch_sampler",
    "fit",
    "fit_head",
    "give_source_head",
    "images_per_second",
    "learning_rate_at",
    "make_fabric",
    "make_optimizer",
    "native_bf16",
    "new_head",
    "predict",
    "pretrain",
    "recalibrate",
    "replace_head",
    "second_stage",
    "train",
    "two_branch_loss",
]
