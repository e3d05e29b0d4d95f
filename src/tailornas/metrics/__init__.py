"""Metrics: recognition with every class counted alike, calibration, and rank agreement."""

from tailornas.metrics.auroc import auroc
from tailornas.metrics.calibration import expected_calibration_error
from tailornas.metrics.groups import GroupConfig, shot_groups, tercile_groups
from tailornas.metrics.ranking import kendall_tau, spearman_rho, top_k_overlap
from tailornas.metrics.recognition import (
    accuracy,
    balanced_accuracy,
    class_recalls,
    confusion,
    difference_variances,
    geometric_mean,
    group_recalls,
    harmonic_mean,
    macro_f1,
    mean_error,
    recall_variances,
    wilson_interval,
    worst_class,
)
from tailornas.metrics.summary import ClassResult, GroupResult, RecognitionReport, report

__all__ = [
    "ClassResult",
    "GroupConfig",
    "GroupResult",
    "RecognitionReport",
    "accuracy",
    "auroc",
    "balanced_accuracy",
    "class_recalls",
    "confusion",
    "difference_variances",
    "expected_calibration_error",
    "geometric_mean",
    "group_recalls",
    "harmonic_mean",
    "kendall_tau",
    "macro_f1",
    "mean_error",
    "recall_variances",
    "report",
    "shot_groups",
    "spearman_rho",
    "tercile_groups",
    "top_k_overlap",
    "wilson_interval",
    "worst_class",
]
