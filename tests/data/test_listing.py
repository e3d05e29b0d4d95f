import pytest
import torch

from tailornas.data.listing import listing_notes
from tailornas.data.stored import ImageFiles, StoredSource, StoredSplit


def told(*classes: str, **found: tuple[str, ...]) -> list[str]:
    train = StoredSplit(ImageFiles([]), torch.arange(len(classes)))
    return list(listing_notes(StoredSource(train, None, classes, "pets", **found)))  # type: ignore[arg-type]


def test_nothing_is_told_where_nothing_is_odd() -> None:
    assert told("cat", "dog", "cats") == []


def test_images_in_no_class_folder() -> None:
    assert told("cat", "dog", loose=("pets/1.png",)) == [
        "1 image lies in no class folder, so it is not used: pets/1.png."
    ]
    assert told("cat", "dog", loose=tuple("abcdef")) == [
        "6 images lie in no class folder, so they are not used: a, b, c, d, e and 1 more."
    ]


def test_linked_folders() -> None:
    assert told("cat", "dog", links=("pets/cat/more",)) == [
        "1 folder inside a class is a link and not followed: pets/cat/more."
    ]
    assert told("cat", "dog", links=("a", "b")) == ["2 folders inside classes are links and not followed: a, b."]


@pytest.mark.parametrize("other", ["cat", "Cat", " CAT "])
def test_names_that_look_alike(other: str) -> None:
    assert told("cat", "dog", other) == [
        f"Names of classes look alike ('cat' and {other!r}): each is a class of its own, so put their images together "
        "where they are one."
    ]


def test_accents_in_either_encoding_look_alike() -> None:
    assert len(told("\N{LATIN CAPITAL LETTER E WITH ACUTE}t", "e\N{COMBINING ACUTE ACCENT}t", "et")) == 1


def test_many_that_look_alike_are_one_sentence() -> None:
    (note,) = told(*"ABCDEFabcdef")
    assert note.startswith("Names of classes look alike ('A' and 'a', 'B' and 'b', ")
    assert "'E' and 'e' and 1 more): each" in note
