import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailornas.data.annotations import parse_annotations
from tailornas.errors import DataError


def content(**changes: Any) -> str:
    """Two images of iNaturalist 2018's layout, the second of the first category."""
    whole: dict[str, Any] = {
        "info": {"year": 2018},
        "images": [
            {"id": 7, "width": 800, "height": 600, "file_name": "train_val2018/Aves/9/a.jpg", "license": 1},
            {"id": 3, "width": 600, "height": 800, "file_name": "train_val2018/Fungi/4/b.jpg", "license": 1},
        ],
        "categories": [
            {"id": 9, "name": "Turdus merula", "supercategory": "Aves"},
            {"id": 4, "name": "Boletus edulis", "supercategory": "Fungi"},
        ],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 9}, {"id": 2, "image_id": 3, "category_id": 4}],
        "licenses": [],
    }
    return json.dumps(whole | changes)


def test_labels_number_the_categories_by_id() -> None:
    assert parse_annotations(content(), "train2018.json") == (
        ["train_val2018/Aves/9/a.jpg", "train_val2018/Fungi/4/b.jpg"],
        [1, 0],
        ("Boletus edulis", "Turdus merula"),
    )


def test_images_without_annotations_list_nothing() -> None:
    images = json.dumps({"images": [{"id": 1, "file_name": "test2018/a.jpg"}]})
    assert parse_annotations(images, "test2018.json") == ([], [], ())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": None}, "has no list 'images'"),
        ({"images": [{"id": 7}]}, r"entry 0 of images is .*: expected 'id' \(int\) and 'file_name' \(str\)"),
        ({"images": [3]}, "entry 0 of images is '3'"),
        (
            {"images": [{"id": 7, "file_name": "/etc/passwd"}]},
            "image 7 lists /etc/passwd, which leaves the root folder",
        ),
        ({"images": [{"id": 7, "file_name": "a"}, {"id": 7, "file_name": "b"}]}, "lists an image twice"),
        ({"images": [{"id": 7, "file_name": "a"}, {"id": 8, "file_name": "./a"}]}, "lists an image twice"),
        ({"categories": [{"id": 9, "name": "a"}, {"id": 9, "name": "b"}]}, "two categories of one id"),
        ({"annotations": [{"image_id": 8, "category_id": 9}]}, "annotates image 8 with category 9: expected ids that"),
        ({"annotations": [{"image_id": 7, "category_id": 5}]}, "annotates image 7 with category 5: expected ids that"),
        ({"annotations": [{"image_id": 7, "category_id": 9}] * 2}, "annotates image 7 twice"),
    ],
)
def test_what_does_not_fit_together(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=rf"train\.json .*{said}"):
        parse_annotations(content(**changes), "train.json")


@pytest.mark.parametrize("text", ["", "{", "[" * 5000 + "]" * 5000, "3", "[]", "{}", '{"annotations": 3}'])
def test_text_of_another_layout(text: str) -> None:
    try:
        assert parse_annotations(text, "train.json") == ([], [], ())
    except DataError as problem:
        assert str(problem).startswith("train.json ")
        assert "\n" not in str(problem)


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["images", "annotations", "categories", "id", "name"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=100)
@given(JSON)
def test_any_json_is_read_or_refused_in_one_line(value: Any) -> None:
    try:
        parse_annotations(json.dumps(value), "train.json")
    except DataError as problem:
        assert "\n" not in str(problem)
