"""What the owner of a collection must know of how it lies there, in sentences."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from tailornas.data.stored import StoredSource

__all__ = ["listing_notes"]

_NAMED = 5  # names that a sentence lists


def listing_notes(stored: StoredSource) -> Iterator[str]:
    """Yields a sentence on each kind of thing that a run passes over, and one on class names that look alike.

    Such classes are told, not refused: letters are told apart by their case, and two of ImageNet's classes are called
    ``crane``.
    """
    if stored.passed_over:
        yield _passed_over(stored.passed_over)
    if stored.loose:
        lie, they = ("image lies", "it is") if len(stored.loose) == 1 else ("images lie", "they are")
        yield f"{len(stored.loose):,} {lie} in no class folder, so {they} not used: {_some(stored.loose)}."
    if stored.links:
        are = "folder inside a class is a link" if len(stored.links) == 1 else "folders inside classes are links"
        yield f"{len(stored.links):,} {are} and not followed: {_some(stored.links)}."
    alike = [" and ".join(map(repr, names)) for names in _alike(stored.classes)]
    if alike:
        yield (
            f"Names of classes look alike ({_some(alike)}): each is a class of its own, so put their images together "
            "where they are one."
        )


def _passed_over(passed_over: Mapping[str, Mapping[str, int]]) -> str:
    files = [
        f"{sum(of_class.values()):,} {f'ending in {ending}' if ending else 'without an ending'}"
        for ending, of_class in passed_over.items()
    ]
    return f"Files passed over, because their names are not those of images: {', '.join(files)}."


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _alike(classes: Sequence[str]) -> list[list[str]]:
    """The names that are equal but for case, white space around them and the encoding of their accents."""
    groups: dict[str, list[str]] = {}
    for name in classes:
        groups.setdefault(unicodedata.normalize("NFC", name.strip()).casefold(), []).append(name)
    return [names for names in groups.values() if len(names) > 1]
