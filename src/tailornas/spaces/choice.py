"""What an architecture decides: the choice between modules, and the protocols that all decisions share."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, final, runtime_checkable

from torch import Tensor, nn

from tailornas.errors import ArchitectureError
from tailornas.spaces.copying import copy_module

__all__ = [
    "Choice",
    "Conditions",
    "Deciding",
    "Decision",
    "Mode",
    "met",
    "nothing_active",
    "run_unchanging",
    "walk",
    "weighted_sum",
]

Mode = str | tuple[Tensor, ...] | None
"""What runs: one option (*path*), all under scalar weights, one an option (*mixture*), or nothing."""

Conditions = tuple[tuple[str, frozenset[str]], ...]
"""``(decision, options)`` pairs: a part of a network exists where each decision takes one of its options."""


class Decision(Protocol):
    """Something to which an architecture gives an option; those that share a ``key`` share the decision."""

    key: str
    active: Mode

    @property
    def names(self) -> tuple[str, ...]:
        """The options' names in the order of mixture weights."""


@runtime_checkable
class Deciding(Protocol):
    """A module that runs as decisions tell it to: a :class:`Choice`, or an elastic layer."""

    def decisions(self) -> tuple[Decision, ...]:
        """The decisions that the module itself reads, not those of modules inside it."""

    def parts(self) -> Iterable[tuple[str, nn.Module, Conditions]]:
        """The modules inside it that architectures contain: qualified name, module, where it exists.

        A module that exists under either of several conditions comes once for each; they must exclude each other.
        """

    def plain(self, choices: Mapping[str, str], copies: dict[int, object]) -> nn.Module:
        """The module of one architecture: what the active path runs, and nothing that could decide.

        Args:
            choices: the option of every decision.
            copies: what :func:`~tailornas.spaces.copying.copy_module` takes; holds the copies of all deciding
                modules inside this one.
        """


@final
class Choice(nn.Module):
    """Named candidate operations of which an architecture selects one.

    Choices that share a ``key`` share the decision, as the cells of a network do. :attr:`active` says what runs:

    * an option's name (*path*): that option alone; the others cost neither time nor gradient;
    * a tuple of scalar tensors, one an option (*mixture*, DARTS, arXiv 1806.09055, eq. 2): the options' sum under
      those weights. Softmax or sigmoid of the architecture parameters is the caller's;
    * None: nothing, running it is an error.

    :class:`~tailornas.spaces.space.SearchSpace` sets it. An option may contain further choices, and may return
    None for an output that is exactly zero: a mixture leaves it out, and so has whoever sums such outputs.

    Args:
        key: the decision's name.
        options: the candidates by name, in the order of mixture weights. They take the same inputs. To run in a mixture
            they must leave them unchanged and return tensors of one shape.

    Raises:
        ArchitectureError: no options, or a name that a module cannot have.
    """

    def __init__(self, key: str, options: Mapping[str, nn.Module]) -> None:
        super().__init__()
        if not options:
            raise ArchitectureError(f"choice {key!r} has no options: expected at least one named module")
        self.key = key
        self.active: Mode = None
        try:
            self.options = nn.ModuleDict(options)
        except KeyError as error:
            raise ArchitectureError(f"choice {key!r} has an unusable option name: {error.args[0]}") from None

    @property
    def names(self) -> tuple[str, ...]:
        """The options' names in the order of mixture weights."""
        return tuple(self.options)

    def forward(self, *inputs: Any) -> Any:
        """Runs the active option, or the weighted sum of all.

        Raises:
            ArchitectureError: no mode is active; in a mixture, outputs of different shapes, which addition would
                broadcast without a word, or an option that changes a tensor of its inputs in place.
        """
        if isinstance(self.active, str):
            return self.options[self.active](*inputs)
        if self.active is None:
            raise nothing_active("choice", self.key)
        outputs = {
            name: run_unchanging(option, inputs, f"option {name!r} of choice {self.key!r}")
            for name, option in self.options.items()
        }
        return weighted_sum("choice", self.key, self.active, outputs)

    def decisions(self) -> tuple[Decision, ...]:
        """The choice itself."""
        return (self,)

    def parts(self) -> Iterator[tuple[str, nn.Module, Conditions]]:
        """Each option, where it is chosen."""
        for name, option in self.options.items():
            yield f"options.{name}", option, ((self.key, frozenset({name})),)

    def plain(self, choices: Mapping[str, str], copies: dict[int, object]) -> nn.Module:
        """A copy of the chosen option."""
        return copy_module(self.options[choices[self.key]], copies)

    def extra_repr(self) -> str:
        """The key, for the printed network."""
        return repr(self.key)


def run_unchanging(module: nn.Module, inputs: tuple[Any, ...], label: str) -> Any:
    """Runs one of several modules that read the same inputs.

    Raises:
        ArchitectureError: it changed a tensor of them in place, so that the others would read something else. Tensors
            of inference mode do not tell.
    """
    watched = [x for x in inputs if isinstance(x, Tensor) and not x.is_inference()]
    before = [x._version for x in watched]
    output = module(*inputs)
    if [x._version for x in watched] != before:
        raise ArchitectureError(
            f"{label} changes its input in place, which others of the mixture read too: expected an operation that "
            "returns a new tensor, such as nn.ReLU() without inplace=True"
        )
    return output


def weighted_sum(kind: str, key: str, weights: Iterable[Tensor], outputs: Mapping[str, Tensor | None]) -> Any:
    """The sum of the options' outputs under their weights; None counts as zero, and of nothing else is the sum.

    Raises:
        ArchitectureError: an output is no tensor, or of another shape than the others.
    """
    shapes = {name: getattr(output, "shape", None) for name, output in outputs.items() if output is not None}
    if len(set(shapes.values())) > 1 or None in shapes.values():
        listed = ", ".join(f"{name} {tuple(s) if s is not None else 'no tensor'}" for name, s in shapes.items())
        raise ArchitectureError(
            f"{kind} {key!r} cannot run in a mixture: its options return {listed}; expected tensors of one shape"
        )
    total: Tensor | None = None
    for weight, output in zip(weights, outputs.values(), strict=True):
        if output is not None:
            total = output * weight if total is None else total + output * weight
    return total


def nothing_active(kind: str, key: str) -> ArchitectureError:
    """The error of running a network outside of any mode."""
    return ArchitectureError(
        f"{kind} {key!r} has nothing active: run the network inside `with space.activate(arch):` "
        "or `with space.mix(weights):`, or run `space.derive(arch)`"
    )


def met(conditions: Conditions, choices: Mapping[str, str]) -> bool:
    """Whether a part of a network under these conditions exists where these options are chosen."""
    return all(choices[key] in options for key, options in conditions)


def walk(module: nn.Module, name: str = "", conditions: Conditions = ()) -> Iterator[tuple[str, nn.Module, Conditions]]:
    """Yields every module that architectures contain, outer before inner, with its qualified name and conditions."""
    yield name, module, conditions
    if isinstance(module, Deciding):
        parts = module.parts()
    else:
        parts = ((child_name, child, ()) for child_name, child in module.named_children())
    for part_name, part, held in parts:
        yield from walk(part, f"{name}.{part_name}" if name else part_name, (*conditions, *held))
