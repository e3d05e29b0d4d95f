"""The rules of a space's architectures, as pure functions, and the JSON form that every space reads."""

import json
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from tailornas.errors import ArchitectureError
from tailornas.spaces.group import Group
from tailornas.types import Architecture

__all__ = ["Grammar", "from_json", "to_json"]

FORM = '{"decision": "option", ...}'


def to_json(arch: Architecture) -> str:
    """Returns ``{"decision": "option", ...}`` on one line."""
    return json.dumps(dict(arch.choices))


def from_json(text: str) -> Architecture:
    """Reads what :func:`to_json` wrote.

    Raises:
        ArchitectureError: not JSON, or not an object of strings with every decision once.
    """
    try:
        pairs = json.loads(text, object_pairs_hook=lambda pairs: pairs)
    except json.JSONDecodeError as error:
        raise ArchitectureError(f"architecture at position {error.pos}: {error.msg}; expected JSON, {FORM}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits; brackets nested as deep
        pairs = None
    if not isinstance(pairs, list):
        raise ArchitectureError(f"architecture {text[:40]!r}: expected an object, {FORM}")
    for position, pair in enumerate(pairs, start=1):
        if not (isinstance(pair, tuple) and isinstance(pair[1], str)):
            raise ArchitectureError(
                f'architecture, entry {position}: expected "decision": "option", got {reprlib.repr(pair)}'
            )
    return Architecture(tuple(pairs))


@final
@dataclass(frozen=True)
class Grammar:
    """What a space knows about its architectures beyond their decisions; the defaults know nothing.

    Args:
        simplify: replaces parts that cannot reach the output by the cheapest equivalent. The result is what is built
            and run, so it must compute what the argument computes; applied twice it changes nothing more.
        identity: a text for a simplified architecture, equal for two that compute the same function under some renaming
            of weights, and for no others.
        canonical: the key by which the space's publication counts its distinct architectures, of any architecture;
            None: the identity.
        valid: whether the architecture is worth building at all.
        to_text: the space's own text form; must not start with a brace.
        from_text: reads it; raises :class:`~tailornas.errors.ArchitectureError` with the position of a mistake.
        sizing: decisions that set the sizes of feature maps, an input resolution for example: the costs of the others
            add up under each of their options.
        groups: decisions that are admissible in some combinations only, too few to be found by chance. A decision in
            no group is one of its own. Architectures outside of them can be built all the same, but are never drawn.
    """

    simplify: Callable[[Architecture], Architecture] = lambda arch: arch
    identity: Callable[[Architecture], str] = to_json
    canonical: Callable[[Architecture], str] | None = None
    valid: Callable[[Architecture], bool] = lambda arch: True
    to_text: Callable[[Architecture], str] = to_json
    from_text: Callable[[str], Architecture] = from_json
    sizing: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()
