"""Methods: pages of code that read like their papers, over stages that they share."""

from collections.abc import Callable

from tailornas.methods.contenders import check_training, make_contender, with_heads
from tailornas.methods.context import Context, Settings
from tailornas.methods.final import evaluate, measure_latency, retrain_head, train
from tailornas.methods.fitting import Fitting
from tailornas.methods.imb_nas import imb_nas
from tailornas.methods.plan import SearchPlan, TrainPlan
from tailornas.methods.source import SupernetSource, choose_source, published_source
from tailornas.stages import Artifact

__all__ = [
    "METHODS",
    "Context",
    "Fitting",
    "SearchPlan",
    "Settings",
    "SupernetSource",
    "TrainPlan",
    "check_training",
    "choose_source",
    "evaluate",
    "imb_nas",
    "make_contender",
    "measure_latency",
    "published_source",
    "retrain_head",
    "train",
    "with_heads",
]

METHODS: dict[str, Callable[[Context], Artifact]] = {"imb-nas": imb_nas}
"""Name -> method."""
