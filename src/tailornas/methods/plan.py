"""Planning a run: how many epochs fit into the time that the user gave."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

from tailornas.errors import ConfigError

__all__ = ["MOST_EPOCHS", "SearchPlan", "TrainPlan", "plan_search", "plan_training"]

DEFAULT_EPOCHS: Mapping[str, int] = {"pretrain": 100, "adapt": 20, "generations": 10, "train": 100}
"""What a run without a time limit does."""

MOST_EPOCHS: Mapping[str, int] = {"pretrain": 600, "adapt": 100, "generations": 50, "train": 600}
"""More than this never pays: with a small dataset a long time limit is not used up."""

SHARES: Mapping[str, float] = {"pretrain": 0.33, "adapt": 0.05, "generations": 0.12}
"""Of the time limit; the rest trains the found network and the baseline."""

USABLE = 0.90
"""Share of the time limit that is planned; the rest covers test, report and a machine that slows down."""


@final
@dataclass(frozen=True)
class SearchPlan:
    """Epochs of the stages up to the search, and what was measured to find them (None: not measured)."""

    pretrain_epochs: int
    adapt_epochs: int
    generations: int
    pretrain_rate: float | None = None
    adapt_rate: float | None = None
    candidate_seconds: float | None = None

    def values(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@final
@dataclass(frozen=True)
class TrainPlan:
    """Epochs of the found network and of the baseline, which are the same, and the measured images a second."""

    epochs: int
    found_rate: float | None = None
    baseline_rate: float | None = None

    def values(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)
