"""The decisions that a network contains, where it reads them, and what an architecture says of them."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Self, final

from torch import Tensor, nn

from tailornas.errors import ArchitectureError
from tailornas.spaces.choice import Conditions, Deciding, Decision, Mode, met, walk
from tailornas.spaces.dimension import Dimension
from tailornas.spaces.group import Pairs
from tailornas.types import Architecture

__all__ = ["Decisions"]


@final
class Decisions:
    """What an architecture of a network decides.

    Args:
        reads: every decision object of the network with the conditions under which it is read; several may share a key.
        kept: decision objects that modules keep as mere numbers. Those among them that no module reads in ``reads``
            cannot run in a mixture.

    Raises:
        ArchitectureError: decisions of one key have different options.
    """

    def __init__(
        self, reads: Sequence[tuple[Decision, Conditions]], kept: Sequence[tuple[Decision, Conditions]]
    ) -> None:
        mixable = {id(decision) for decision, _ in reads}
        self._numbers = [decision.key for decision, _ in kept if id(decision) not in mixable]
        reads = [*reads, *kept]
        self.sites = tuple({id(decision): decision for decision, _ in reads}.values())
        options: dict[str, tuple[str, ...]] = {}
        for site in self.sites:
            if options.setdefault(site.key, site.names) != site.names:
                raise ArchitectureError(
                    f"decisions that share the key {site.key!r} must have the same options in the same order: "
                    f"one has {', '.join(options[site.key])}, another {', '.join(site.names)}"
                )
        self.options = MappingProxyType(options)
        self._allowed = [frozenset((key, name) for name in names) for key, names in options.items()]
        places: dict[str, set[Conditions]] = {}
        for decision, held in reads:
            places.setdefault(decision.key, set()).add(held)
        self._conditional = {key: found for key, found in places.items() if () not in found}

    @classmethod
    def of(cls, network: nn.Module) -> Self:
        """The decisions of a network.

        Raises:
            ArchitectureError: there is none, or those of one key have different options.
        """
        # The head comes last, wherever it is registered: what it decides, layers before it have decided.
        modules = sorted(walk(network), key=lambda found: found[0].partition(".")[0] == "head")
        deciding = [(module, held) for _, module, held in modules if isinstance(module, Deciding)]
        reads = [(decision, held) for module, held in deciding for decision in module.decisions()]
        kept = [(v, held) for _, module, held in modules for v in vars(module).values() if isinstance(v, Dimension)]
        if not reads and not kept:
            raise ArchitectureError(
                f"{type(network).__name__} contains no Choice and no Dimension: expected at least one decision"
            )
        return cls(reads, kept)

    def architecture(self, choices: Mapping[str, str]) -> Architecture:
        """Checks a mapping from decisions to options and puts it in the order of the decisions.

        Raises:
            ArchitectureError: a decision is missing or unknown, or an option is unknown.
        """
        pairs = choices.choices if isinstance(choices, Architecture) else tuple(choices.items())
        if self._in_order(pairs):
            return choices if isinstance(choices, Architecture) else Architecture(pairs)
        choices = dict(pairs)
        for position, key in enumerate(choices, start=1):
            if key not in self.options:
                raise ArchitectureError(
                    f"unknown decision {key!r} at position {position}: expected {', '.join(self.options)}"
                )
        for position, (key, options) in enumerate(self.options.items(), start=1):
            if choices.get(key) not in options:
                came = f"has the unknown option {choices[key]!r}" if key in choices else "is missing"
                raise ArchitectureError(
                    f"decision {key!r} (position {position} of {len(self.options)}) {came}: "
                    f"expected one of {', '.join(options)}"
                )
        return Architecture(tuple((key, choices[key]) for key in self.options))

    def _in_order(self, pairs: Pairs) -> bool:
        return len(pairs) == len(self._allowed) and all(map(frozenset.__contains__, self._allowed, pairs))

    def ordered(self, pairs: Pairs) -> Architecture:
        """The architecture of known decisions and options in any order."""
        if not self._in_order(pairs):
            choices = dict(pairs)
            pairs = tuple((key, choices[key]) for key in self.options)
        return Architecture(pairs)

    def mixture(self, weights: Mapping[str, Tensor]) -> dict[str, Mode]:
        """The mode of every decision in a mixture.

        Args:
            weights: ``(options,)`` for every decision.

        Raises:
            ArchitectureError: a decision is missing or unknown, a shape is wrong, or a decision is only a number.
        """
        if weights.keys() != self.options.keys():
            raise ArchitectureError(f"weights for {', '.join(weights)}: expected all of {', '.join(self.options)}")
        for key, names in self.options.items():
            if weights[key].shape != (len(names),):
                raise ArchitectureError(
                    f"weights of decision {key!r} have shape {tuple(weights[key].shape)}: expected ({len(names)},), "
                    f"one for each of {', '.join(names)}"
                )
        if self._numbers:
            raise ArchitectureError(
                f"decision {self._numbers[0]!r} can only be searched by paths, since no elastic layer reads its "
                "Dimension: expected a method that samples architectures instead of weighting options"
            )
        return {key: weights[key].unbind() for key in self.options}

    def settled(self, arch: Architecture) -> Architecture:
        """A decision inside parts that do not exist decides nothing: it takes its first option."""
        if not self._conditional:
            return arch
        choices = dict(arch.choices)
        for key, places in self._conditional.items():
            if not any(met(held, choices) for held in places):
                choices[key] = self.options[key][0]
        return Architecture.of(choices)
