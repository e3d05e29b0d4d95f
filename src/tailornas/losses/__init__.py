"""Long-tail losses, class weights and the schedules that bring them in."""

from tailornas.losses.balanced_softmax import BalancedSoftmax
from tailornas.losses.build import LOSSES, LossName, build_loss, check_head, loss_settings
from tailornas.losses.class_balanced_focal import (
    ClassBalancedFocal,
    ClassBalancedFocalSettings,
    sigmoid_focal_loss,
)
from tailornas.losses.cross_entropy import CrossEntropy
from tailornas.losses.equalization import Equalization, EqualizationSettings
from tailornas.losses.focal import Focal, FocalSettings, focal_loss
from tailornas.losses.label_aware_smoothing import (
    LabelAwareSmoothing,
    LabelAwareSmoothingSettings,
    smoothing_factors,
)
from tailornas.losses.ldam import LDAM, LDAMSettings, ldam_margins
from tailornas.losses.logit_adjustment import (
    LogitAdjustment,
    LogitAdjustmentSettings,
    adjust_logits,
    class_priors,
)
from tailornas.losses.loss import LongTailLoss, NoSettings, target_mask
from tailornas.losses.mixup import MixConfig, MixedBatch, mix, mixed_loss, mixup, remix
from tailornas.losses.reweight import (
    WEIGHTING_FORMS,
    WEIGHTINGS,
    Weighting,
    check_weighting,
    class_weights,
    effective_number,
    inverse_frequency,
    smoothed_power,
)
from tailornas.losses.schedule import SCHEDULES, ScheduleConfig, sampler_at, weights_at

__all__ = [
    "LDAM",
    "LOSSES",
    "SCHEDULES",
    "WEIGHTINGS",
    "WEIGHTING_FORMS",
    "BalancedSoftmax",
    "ClassBalancedFocal",
    "ClassBalancedFocalSettings",
    "CrossEntropy",
    "Equalization",
    "EqualizationSettings",
    "Focal",
    "FocalSettings",
    "LDAMSettings",
    "LabelAwareSmoothing",
    "LabelAwareSmoothingSettings",
    "LogitAdjustment",
    "LogitAdjustmentSettings",
    "LongTailLoss",
    "LossName",
    "MixConfig",
    "MixedBatch",
    "NoSettings",
    "ScheduleConfig",
    "Weighting",
    "adjust_logits",
    "build_loss",
    "check_head",
    "check_weighting",
    "class_priors",
    "class_weights",
    "effective_number",
    "focal_loss",
    "inverse_frequency",
    "ldam_margins",
    "loss_settings",
    "mix",
    "mixed_loss",
    "mixup",
    "remix",
    "sampler_at",
    "sigmoid_focal_loss",
    "smoothed_power",
    "smoothing_factors",
    "target_mask",
    "weights_at",
]
