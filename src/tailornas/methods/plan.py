"""Planning a run: how many epochs fit into the time that the user gave."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from tailornas.errors import ConfigError

__all__ = [
    "DEFAULT_EPOCHS",
    "MOST_EPOCHS",
    "SearchPlan",
    "TrainPlan",
    "divide_search_time",
    "divide_training_time",
    "measuring_seconds",
    "warning",
]

DEFAULT_EPOCHS: Mapping[str, int] = {"pretrain": 60, "adapt": 20, "generations": 10, "train": 100}
"""What a run without a time limit does."""

MOST_EPOCHS: Mapping[str, int] = {"pretrain": 600, "adapt": 100, "generations": 50, "train": 600}
"""More than this never pays: with a small dataset a long time limit is not used up."""

FEW_EPOCHS = 20
"""With fewer a supernet hardly tells architectures apart.

After 8 on CIFAR-10 cells without convolutions scored as well as cells with a large one (docs/results); 20 is a guess.
"""

SHARES: Mapping[str, float] = {"pretrain": 0.33, "adapt": 0.05, "generations": 0.12}
"""Of the time limit; the rest trains the found network and the baseline."""

MOST_SHARE = 0.6
"""Share of the planned time that one epoch of each stage and one generation may take: else the limit is refused."""

USABLE = 0.90
"""Share of the time limit that is planned; the rest covers test, report and a machine that slows down."""

SLACK = 0.05
"""Share of the time limit by which pre-training may overrun its plan.

Adaptation and search are short, and cut short they spoil what comes after them: they run to their end, and the final
training, which is planned after them, has the less time.
"""

MEASURING = 0.0135
"""Share of the time limit that a measurement of throughput may take: of four, of six with a trained second stage.

Its warm-up takes a fifth of it on top, so that six take 9.7% of the limit.
"""

LONGEST_MEASUREMENT = 8.0
"""Seconds that are enough for one."""

LATEST = 0.96
"""Share of the time limit after which no epoch of the final training may end."""


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
    pretrain_until: float | None = None
    """Seconds of the run after which the stage stops at the end of an epoch, whatever was planned."""


@final
@dataclass(frozen=True)
class TrainPlan:
    """Epochs of the found network and of the baseline, which are the same, and the measured images a second."""

    epochs: int
    found_rate: float | None = None
    baseline_rate: float | None = None
    found_until: float | None = None
    """Seconds of the run after which the stage stops at the end of an epoch, whatever was planned."""
    baseline_until: float | None = None


def measuring_seconds(limit: float) -> float:
    """How long one throughput is measured under a time limit in seconds."""
    return min(LONGEST_MEASUREMENT, MEASURING * limit)


def warning(plan: SearchPlan, source_images: int, elapsed: float) -> str | None:
    """A sentence, with its mend, where the time limit leaves the supernet too few epochs to learn from; else None.

    Args:
        plan: made for a time limit.
        source_images: images an epoch of pre-training.
        elapsed: seconds of the time limit that were gone.
    """
    if plan.pretrain_rate is None or plan.pretrain_epochs >= FEW_EPOCHS:
        return None
    # Two epochs more: whole units, and the first ones of the other stages, go off first.
    seconds = (((FEW_EPOCHS + 2) * source_images / plan.pretrain_rate) / SHARES["pretrain"] + elapsed) / USABLE
    return (
        f"A supernet of {plan.pretrain_epochs} epoch{'s' if plan.pretrain_epochs > 1 else ''} hardly tells "
        f"architectures apart, so that the search may well lose to the baseline: {FEW_EPOCHS} epochs need a time limit "
        f"of about {math.ceil(seconds / 60)}m here, a smaller image size, or a space of smaller networks."
    )


def divide_search_time(
    limit: float,
    elapsed: float,
    *,
    fixed: Mapping[str, int | None],
    source_images: int,
    target_images: int,
    population: int,
    pretrain_rate: float | None,
    adapt_rate: float,
    candidate_seconds: float,
) -> SearchPlan:
    """Plans the stages before the final training by their share of the time limit.

    Args:
        limit: the time limit in seconds.
        elapsed: seconds of it that are gone.
        fixed: epochs (``pretrain``, ``adapt``) and ``generations`` that the user set; None: to be planned.
        source_images: images an epoch of pre-training.
        target_images: images an epoch of adaptation.
        population: candidates a generation.
        pretrain_rate: measured images a second of supernet training; None: there is none.
        adapt_rate: measured images a second of head adaptation.
        candidate_seconds: measured seconds to score one candidate.

    Raises:
        ConfigError: one epoch does not fit; says how long the limit must be.
    """
    unit_seconds = {
        "pretrain": source_images / pretrain_rate if pretrain_rate else math.inf,
        "adapt": target_images / adapt_rate,
        "generations": population * candidate_seconds,
    }
    available = USABLE * limit - elapsed
    shares = {name: share for name, share in SHARES.items() if unit_seconds[name] < math.inf}
    units = {name: fixed[name] or 1 for name in shares}
    least = sum(units[name] * unit_seconds[name] for name in shares)
    if least > MOST_SHARE * available:
        raise ConfigError(
            f"a time limit of {limit:.0f} s is too short for this data on this machine: give at least "
            f"{math.ceil((least / MOST_SHARE + elapsed) / USABLE)} s, a smaller image size or fewer images; "
            f"{elapsed:.0f} s of it went into reading, measuring and earlier starts of this run"
        )
    # What the first epochs and the first generation leave of the shares is divided by the shares.
    left = max(0.0, sum(shares.values()) * available - least)
    for name, share in shares.items():
        if fixed[name] is None:
            more = int(share / sum(shares.values()) * left / unit_seconds[name])
            units[name] = min(MOST_EPOCHS[name], units[name] + more)
    return SearchPlan(
        pretrain_epochs=units.get("pretrain", 0),
        adapt_epochs=units["adapt"],
        generations=units["generations"],
        pretrain_rate=pretrain_rate,
        adapt_rate=adapt_rate,
        candidate_seconds=candidate_seconds,
        pretrain_until=None
        if pretrain_rate is None
        else elapsed + units["pretrain"] * unit_seconds["pretrain"] + SLACK * limit,
    )


def divide_training_time(
    limit: float,
    elapsed: float,
    *,
    fixed: int | None,
    images: int,
    found_rate: float,
    baseline_rate: float,
    heads_seconds: float = 0.0,
) -> TrainPlan:
    """Gives what is left of the time limit to the found network and the baseline, the same epochs each.

    The second stages of both follow the training of both and run to their end: their time is set aside.

    Args:
        limit: the time limit in seconds.
        elapsed: seconds of it that are gone.
        fixed: epochs that the user set, as far as they fit: cut short at its highest learning rate, a training of more
            would be worth less than a whole one of fewer. None: to be planned.
        images: images an epoch.
        found_rate: measured images a second of training the found network.
        baseline_rate: the same of the baseline.
        heads_seconds: seconds of the second stages of both.
    """
    found, baseline = images / found_rate, images / baseline_rate
    left = max(0.0, USABLE * limit - elapsed - heads_seconds)
    epochs = max(1, min(fixed or MOST_EPOCHS["train"], int(left / (found + baseline))))
    end = LATEST * limit - heads_seconds
    return TrainPlan(
        epochs=epochs,
        found_rate=found_rate,
        baseline_rate=baseline_rate,
        found_until=elapsed + (end - elapsed) * found / (found + baseline),
        baseline_until=end,
    )
