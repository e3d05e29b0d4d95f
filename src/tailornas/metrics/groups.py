"""Many-, medium- and few-shot classes: which classes count as large and which as small."""

from typing import Literal, Self, final

from pydantic import Field, model_validator

from tailornas.errors import ConfigError
from tailornas.settings import SettingsModel
from tailornas.types import ClassCounts

__all__ = ["GroupConfig", "shot_groups", "tercile_groups"]


@final
class GroupConfig(SettingsModel):
    """How a report groups classes by their training images.

    Raises:
        ConfigError: thresholds out of order, or given where the groups are terciles.
    """

    by: Literal["thresholds", "terciles"] = Field(
        "thresholds",
        description="thresholds: by the two numbers below; terciles: into thirds of the classes, equal ones together",
    )
    many: int = Field(100, description="a many-shot class has more training images than this")
    few: int = Field(20, description="a few-shot class has fewer training images than this")

    @model_validator(mode="after")
    def _numbers_fit(self) -> Self:
        if self.by == "terciles" and (setting := self.first_given(("many", "few"))):
            raise ConfigError(
                f"{setting} has no effect with groups by 'terciles': leave it out, or set by to 'thresholds'"
            )
        _refuse_disorder(self.many, self.few)
        return self

    def groups(self, counts: ClassCounts) -> dict[str, tuple[int, ...]]:
        """Labels of the groups ``many``, ``medium`` and ``few``; a group without classes is absent."""
        return tercile_groups(counts) if self.by == "terciles" else shot_groups(counts, self.many, self.few)


def shot_groups(counts: ClassCounts, many: int = 100, few: int = 20) -> dict[str, tuple[int, ...]]:
    """Groups classes by their training images: more than ``many``, fewer than ``few``, and those between.

    The thresholds of Liu et al. 2019 (1904.05160), section 4.1.

    Args:
        counts: training images a class.
        many: a many-shot class has more than this.
        few: a few-shot class has fewer than this.

    Returns:
        Labels of the groups ``many``, ``medium`` and ``few``; a group without classes is absent.

    Raises:
        ConfigError: ``few`` is negative or above ``many``.
    """
    _refuse_disorder(many, few)
    groups = {
        "many": [label for label, count in enumerate(counts) if count > many],
        "medium": [label for label, count in enumerate(counts) if few <= count <= many],
        "few": [label for label, count in enumerate(counts) if count < few],
    }
    return {name: tuple(labels) for name, labels in groups.items() if labels}


def tercile_groups(counts: ClassCounts) -> dict[str, tuple[int, ...]]:
    """Groups classes into thirds by their training images, for datasets that fixed thresholds do not divide.

    Where three does not divide the classes, the bigger groups come first. Classes with equal counts stay together: each
    of the two cuts is where counts change, nearest to the third. Two groups that this leaves are many and few; one is
    medium.

    Args:
        counts: training images a class.

    Returns:
        Labels of the groups ``many``, ``medium`` and ``few``; a group without classes is absent.
    """
    order = sorted(range(len(counts)), key=lambda label: -counts[label])
    third, rest = divmod(len(order), 3)
    changes = [0, *(at for at in range(1, len(order)) if counts[order[at - 1]] > counts[order[at]]), len(order)]
    many = min(changes, key=lambda at: abs(at - third - (rest > 0)))
    few = min(reversed(changes), key=lambda at: abs(at - 2 * third - rest))
    parts = [tuple(sorted(labels)) for labels in (order[:many], order[many:few], order[few:]) if labels]
    names = {1: ("medium",), 2: ("many", "few"), 3: ("many", "medium", "few")}
    return dict(zip(names[len(parts)], parts, strict=True))


def _refuse_disorder(many: int, few: int) -> None:
    if not 0 <= few <= many:
        raise ConfigError(
            f"group thresholds are out of order: expected 0 <= few <= many, got few {few}, many {many}: set both"
        )
