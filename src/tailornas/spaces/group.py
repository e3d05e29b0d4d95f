"""Decisions that random methods draw, change and inherit together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

from tailornas.errors import ArchitectureError

__all__ = ["Group", "Pairs", "group_decisions"]

Pairs = tuple[tuple[str, str], ...]
"""Decisions with an option each."""


@final
@dataclass(frozen=True)
class Group:
    """Decisions that random methods draw, change and inherit together.

    Args:
        keys: the decisions.
        options: their admissible joint options, each in the order of the keys.
    """

    keys: tuple[str, ...]
    options: tuple[tuple[str, ...], ...]

    @cached_property
    def pairs(self) -> list[Pairs]:
        """The joint options, each with its decisions."""
        return [tuple(zip(self.keys, options, strict=True)) for options in self.options]

    @cached_property
    def _places(self) -> dict[Pairs, int]:
        return {pairs: place for place, pairs in enumerate(self.pairs)}

    def current(self, choices: Mapping[str, str]) -> Pairs:
        """What an architecture has chosen, admissible or not."""
        return tuple([(key, choices[key]) for key in self.keys])

    def others(self, choices: Mapping[str, str]) -> list[Pairs]:
        """The joint options that an architecture has not chosen."""
        current = self.current(choices)
        return [pairs for pairs in self.pairs if pairs != current]

    def other(self, choices: Mapping[str, str], u: float) -> Pairs:
        """One of :meth:`others`: the one that ``u``, in [0, 1), falls on if all are equally likely."""
        current = self._places.get(self.current(choices))
        if current is None:
            return self.pairs[int(u * len(self.pairs))]
        place = int(u * (len(self.pairs) - 1))
        return self.pairs[place + (place >= current)]


def group_decisions(groups: Sequence[Group], decisions: Mapping[str, tuple[str, ...]]) -> list[Group]:
    """The groups with one for every decision that is in none of them, in the order of decisions.

    Raises:
        ArchitectureError: a group with an unknown or another group's decision, with an unknown option, without joint
            options, or with one that is repeated or does not have an option for each decision.
    """
    grouped: dict[str, Group] = {}
    for group in groups:
        if not group.options or any(len(options) != len(group.keys) for options in group.options):
            raise ArchitectureError(
                f"group of {', '.join(group.keys)}: expected one or more joint options of {len(group.keys)} each"
            )
        if len(set(group.options)) != len(group.options):
            raise ArchitectureError(f"group of {', '.join(group.keys)}: expected joint options that all differ")
        for position, key in enumerate(group.keys):
            if key not in decisions or key in grouped:
                raise ArchitectureError(f"group of {', '.join(group.keys)}: expected decisions that no other group has")
            if not {options[position] for options in group.options} <= set(decisions[key]):
                raise ArchitectureError(f"group of {', '.join(group.keys)}: expected options that {key!r} has")
            grouped[key] = group
    for key, names in decisions.items():
        grouped.setdefault(key, Group((key,), tuple((name,) for name in names)))
    return list({id(grouped[key]): grouped[key] for key in decisions}.values())
