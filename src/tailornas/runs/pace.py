"""How far a stage is and how fast it goes, as text."""

from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from typing import final

__all__ = ["Pace", "Shown", "duration"]

Shown = Mapping[str, float | int | str]
"""Figures beside a bar, by name."""

SAMPLE_SECONDS = 0.25
"""Rates are computed from samples that are at least this far apart."""

WINDOW_SECONDS = 30.0
"""Rates are of this last time, so that what a resumed stage repeats in a moment is soon forgotten."""


@final
class Pace:
    """How far a stage is and how fast it goes.

    Args:
        started: the clock's time when the stage began.
    """

    def __init__(self, started: float) -> None:
        self.started, self.done, self.total = started, 0, 0
        self._unit = ""
        self._shown: dict[str, float | int | str] = {}
        self._samples: deque[tuple[float, int]] = deque()

    def update(self, now: float, done: int, total: int, unit: str, shown: Shown) -> None:
        """Takes over what a stage reports at the clock's time ``now``; figures left out stay as they were."""
        self.done, self.total, self._unit = done, total, unit
        self._shown |= shown
        samples = self._samples
        if not samples or now - samples[-1][0] >= SAMPLE_SECONDS:
            samples.append((now, done))
            # The last sample older than the window stays: it is where the window begins.
            while len(samples) > 2 and now - samples[1][0] >= WINDOW_SECONDS:
                samples.popleft()

    def figures(self, now: float) -> list[str]:
        """Done units, rate, time left and the shown figures, as far as they are known."""
        return [*self._done(), *self._rate(now), *self._shown_figures()]

    def result(self) -> list[str]:
        """Done units and the shown figures."""
        return [*self._done(), *self._shown_figures()]

    def _done(self) -> list[str]:
        return [f"{self.done:,}/{self.total:,} {self._unit}"] if self.total else []

    def _rate(self, now: float) -> list[str]:
        if len(self._samples) < 2:
            return []
        (first, before), (last, after) = self._samples[0], self._samples[-1]
        if after <= before:
            return []
        rate = (after - before) / (last - first)
        figure = f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}" if rate >= 1 else f"{rate:.2g}"
        left = max(0.0, (self.total - after) / rate - (now - last))
        return [f"{figure} {self._unit}/s", f"{duration(left)} left"]

    def _shown_figures(self) -> list[str]:
        return [
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in self._shown.items()
        ]


def duration(seconds: float) -> str:
    """Hours, minutes and seconds: ``0:12:04``."""
    return str(timedelta(seconds=round(seconds)))
