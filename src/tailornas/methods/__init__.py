"""Methods: pages of code that read like their papers, over stages that they share."""

from collections.abc import Callable

from tailornas.methods.context import Context, Settings
from tailornas.methods.imb_nas import imb_nas
from tailornas.methods.plan import SearchPlan, TrainPlan
from tailornas.methods.source import SupernetSource, choose_source
from tailornas.types import Artifact

__all__ = [
    "METHODS",
    "Context",
    "SearchPlan",
    "Settings",
    "SupernetSource",
    "TrainPlan",
    "choose_source",
    "imb_nas",
]

METHODS: dict[str, Callable[[Context], Artifact]] = {"imb-nas": imb_nas}
"""Name -> method."""
