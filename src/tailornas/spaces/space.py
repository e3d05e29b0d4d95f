"""A search space: a network with decisions, and the algebra of its architectures."""

import copy
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from itertools import chain
from typing import Any, Generic, Self, TypeVar, cast, final

import torch
from torch import Tensor, nn

from tailornas.errors import ArchitectureError
from tailornas.spaces.choice import Conditions, Deciding, Mode, met, walk
from tailornas.spaces.copying import copy_module
from tailornas.spaces.cost import Cost
from tailornas.spaces.cost_model import CostModel
from tailornas.spaces.decisions import Decisions
from tailornas.spaces.dimension import Dimension
from tailornas.spaces.grammar import Grammar, from_json
from tailornas.spaces.group import Pairs, group_decisions
from tailornas.spaces.operations import initialise
from tailornas.types import Architecture

__all__ = ["SearchSpace"]

NetT_co = TypeVar("NetT_co", bound=nn.Module, covariant=True)

DRAWS = 1000
"""Draws after which a random search for a valid architecture gives up."""

CACHED = 2**14
"""Architectures whose simplified form and identity are remembered: a few kilobytes each."""


@final
class _Known:
    """What is remembered of an architecture; its identity from when somebody asks."""

    __slots__ = ("_identity", "architecture", "simplified", "valid")

    def __init__(self, architecture: Architecture, simplified: Architecture, grammar: Grammar) -> None:
        self.architecture, self.simplified = architecture, simplified
        self.valid = grammar.valid(simplified)
        self._identity: str | None = None

    def identity(self, grammar: Grammar) -> str:
        if self._identity is None:
            self._identity = grammar.identity(self.simplified)
        return self._identity


@final
class SearchSpace(Generic[NetT_co]):
    """All architectures that the decisions of a network can be set to: its choices and its elastic layers.

    Parts of an architecture that cannot reach the output are dead: they are not run, not built and cost nothing, so
    architectures of one identity are one network in every respect. Random methods draw from the passed CPU
    generator alone. Every method that takes an architecture raises
    :class:`~tailornas.errors.ArchitectureError` where a decision is missing or unknown, or an option is unknown.

    Args:
        network: an ordinary module that contains :class:`~tailornas.spaces.choice.Choice` modules or elastic layers:
            the supernet. It is kept, not copied. Of its modules only ``head`` may be replaced afterwards.
        grammar: the rules of this space; by default all architectures are valid and no two are equal.

    Raises:
        ArchitectureError: there is no decision, decisions of one key have different options, or a group of the grammar
            does not fit.
    """

    def __init__(self, network: NetT_co, grammar: Grammar | None = None) -> None:
        self._network = network
        self.grammar = grammar or Grammar()
        self._decisions = Decisions.of(network)
        self._groups = group_decisions(self.grammar.groups, self.decisions)
        self._free = [group for group in self._groups if len(group.options) > 1]
        # By choices, not by architectures, whose hash and equality are Python's: a search asks at every step.
        self._known = lru_cache(CACHED)(self._know)
        self._canonical = lru_cache(CACHED)(self._canonicalise)
        self._deciding = lru_cache(8)(self._find_deciding)
        self._costs = CostModel(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return type(self)(copy.deepcopy(self._network, memo), self.grammar)

    @property
    def network(self) -> NetT_co:
        """The supernet."""
        return self._network

    @property
    def decisions(self) -> Mapping[str, tuple[str, ...]]:
        """Option names by decision key, in the order in which the network contains them."""
        return self._decisions.options

    @property
    def size(self) -> int:
        """Number of architectures that can be drawn, with invalid and equal ones."""
        return math.prod(len(group.options) for group in self._groups)

    def architecture(self, choices: Mapping[str, str]) -> Architecture:
        """Checks a mapping from decisions to options and puts it in the space's order."""
        return self._decisions.architecture(choices)

    def to_text(self, arch: Architecture) -> str:
        """The space's own text form of an architecture."""
        return self.grammar.to_text(self.architecture(arch))

    def from_text(self, text: str) -> Architecture:
        """Reads the space's own text form, or JSON: ``{"decision": "option", ...}``.

        Raises:
            ArchitectureError: the text is malformed; says where and what was expected.
        """
        text = text.strip()
        return self.architecture(from_json(text) if text.startswith("{") else self.grammar.from_text(text))

    def valid(self, arch: Architecture) -> bool:
        """Whether the architecture is worth building."""
        return self._known(arch.choices).valid

    def simplify(self, arch: Architecture) -> Architecture:
        """The same network with dead parts replaced by their cheapest equivalent."""
        return self._known(arch.choices).simplified

    def identity(self, arch: Architecture) -> str:
        """A key that equal networks, and only these, share: what a search remembers its scores by."""
        return self._known(arch.choices).identity(self.grammar)

    def canonical(self, arch: Architecture) -> str:
        """The key by which the space's publication counts distinct architectures; without one, :meth:`identity`."""
        return self._canonical(arch)

    def _canonicalise(self, arch: Architecture) -> str:
        if self.grammar.canonical is None:
            return self._known(arch.choices).identity(self.grammar)
        return self.grammar.canonical(self.architecture(arch))

    def _know(self, choices: Pairs) -> "_Known":
        arch = self.architecture(Architecture(choices))
        settled = self._decisions.settled(arch)
        simple = self.grammar.simplify(settled)
        # Where the grammar has left out something, decisions inside it decide nothing any more.
        return _Known(arch, simple if simple is settled else self._decisions.settled(simple), self.grammar)

    def sample(self, generator: torch.Generator) -> Architecture:
        """Draws uniformly among the valid architectures."""
        for _ in range(DRAWS):
            draws = zip(self._groups, _uniform(len(self._groups), generator), strict=True)
            arch = self._joined(group.pairs[int(u * len(group.pairs))] for group, u in draws)
            if self.valid(arch):
                return arch
        raise ArchitectureError(f"no valid architecture in {DRAWS} draws: expected a space with more valid ones")

    def mutate(self, arch: Architecture, generator: torch.Generator, rate: float = 0.0) -> Architecture:
        """Draws a valid architecture near another one that is not the same network.

        Args:
            arch: where to start.
            generator: source of the draws.
            rate: one decision, drawn uniformly, always changes; each other one with this probability. A decision
                changes to any of its other options, uniformly. Decisions that the grammar groups count as one.

        Raises:
            ArchitectureError: no such architecture was found.
        """
        parent, free = self._known(arch.choices), self._free
        start, identity = parent.architecture.choices, parent.identity(self.grammar)
        for _ in range(DRAWS if free else 0):
            forced, u, *draws = _uniform(2 + 2 * len(free) if rate else 2, generator)
            at = int(forced * len(free))
            choices = dict(start)
            choices.update(free[at].other(choices, u))
            for position, group in enumerate(free if rate else ()):
                if draws[2 * position] < rate and position != at:
                    choices.update(group.other(choices, draws[2 * position + 1]))
            child = self._known(tuple(choices.items()))
            if child.valid and child.identity(self.grammar) != identity:
                return child.architecture
        raise ArchitectureError(f"no other valid network near {self.to_text(arch)}: expected a larger space")

    def crossover(self, a: Architecture, b: Architecture, generator: torch.Generator) -> Architecture:
        """Draws a valid architecture that takes each decision, or group of them, from either parent, equally likely.

        Raises:
            ArchitectureError: a parent is invalid, or no valid child was found.
        """
        for parent in (a, b):
            if not self.valid(parent):
                raise ArchitectureError(f"crossover of the invalid architecture {self.to_text(parent)}")
        parents = [dict(self.architecture(parent)) for parent in (a, b)]
        for _ in range(DRAWS):
            draws = zip(self._groups, _uniform(len(self._groups), generator), strict=True)
            child = self._joined(group.current(parents[u >= 0.5]) for group, u in draws)
            if self.valid(child):
                return child
        raise ArchitectureError(f"no valid architecture in {DRAWS} crossovers: expected a space with more valid ones")

    def neighbours(self, arch: Architecture) -> list[Architecture]:
        """All valid architectures that differ in one decision or group, in the order of decisions and options."""
        choices = dict(self.architecture(arch).choices)
        near = (
            Architecture(tuple({**choices, **dict(other)}.items()))
            for group in self._groups
            for other in group.others(choices)
        )
        return [other for other in near if self.valid(other)]

    def _joined(self, options: Iterable[Pairs]) -> Architecture:
        """The architecture made of one joint option of every group."""
        return self._decisions.ordered(tuple(chain.from_iterable(options)))

    def activate(self, arch: Architecture) -> AbstractContextManager[None]:
        """Inside ``with space.activate(arch):`` the network runs this path. Nests; restores what was active before."""
        return self.running(dict(self.simplify(arch).choices))

    def mix(self, weights: Mapping[str, Tensor]) -> AbstractContextManager[None]:
        """Inside ``with space.mix(weights):`` every option runs, weighted. Nests; restores what was active before.

        Args:
            weights: ``(options,)`` for every decision; gradients flow to them.

        Raises:
            ArchitectureError: a decision is missing, unknown or can only be searched by paths, or a shape is wrong.
        """
        return self.running(self._decisions.mixture(weights))

    @contextmanager
    def running(self, active: Mapping[str, Mode]) -> Iterator[None]:
        """Inside ``with space.running(modes):`` each decision runs in its mode: an option's name, or weights.

        What :meth:`activate` and :meth:`mix` share; it checks nothing.
        """
        # Not by nn.Module's own __setattr__, which looks for parameters: `active` is none, and this runs every step.
        before = [site.active for site in self._decisions.sites]
        try:
            for site in self._decisions.sites:
                object.__setattr__(site, "active", active[site.key])
            yield
        finally:
            for site, previous in zip(self._decisions.sites, before, strict=True):
                object.__setattr__(site, "active", previous)

    def derive(self, arch: Architecture, *, generator: torch.Generator | None = None) -> NetT_co:
        """Builds the plain network of an architecture: a copy without decisions, which shares no tensor with it.

        Args:
            arch: what to build, simplified first.
            generator: draws new weights; all are trainable and in training mode then. None: the supernet's weights,
                statistics, mode and ``requires_grad`` are kept, and outputs are the active path's to the last bit.
        """
        choices = dict(self.simplify(arch).choices)
        # The plain form of each deciding module is made before the network's copy, so that nothing else is visited.
        copies: dict[int, object] = {
            id(site): site.values[choices[site.key]] for site in self._decisions.sites if isinstance(site, Dimension)
        }
        for module, held in reversed(self._deciding(getattr(self.network, "head", None))):  # inner ones first
            if id(module) not in copies and met(held, choices):
                copies[id(module)] = module.plain(choices, copies)
        network = cast(NetT_co, copy_module(self.network, copies))
        if generator is not None:
            network.train().requires_grad_(True)
            initialise(network, generator)
        return network

    def _find_deciding(self, _head: nn.Module | None) -> list[tuple[Deciding, Conditions]]:
        """Deciding modules, outer before inner; the replaceable head is an argument to be part of the cache's key."""
        return [(module, held) for _, module, held in walk(self.network) if isinstance(module, Deciding)]

    def cost(self, arch: Architecture, image_size: int, *, named: bool = False) -> Cost:
        """The cost of the network that :meth:`derive` builds, exactly.

        The first call for an image size runs the supernet and a few derived networks once; if the costs of the
        options add up, as those networks tell, later calls only add. Otherwise each architecture is built and counted.

        Args:
            arch: the architecture.
            image_size: height and width in pixels.
            named: count every operation that the architecture names, dead ones too, as the tables published for
                NAS-Bench-201 do.

        Raises:
            ArchitectureError: ``named`` in a space whose options' costs do not add up.
        """
        return self._costs.cost(arch, image_size, named=named)


def _uniform(draws: int, generator: torch.Generator) -> list[float]:
    """Numbers in [0, 1), fine enough that no list of options is long enough to notice."""
    numbers: list[float] = torch.rand(draws, dtype=torch.float64, generator=generator).tolist()
    return numbers
