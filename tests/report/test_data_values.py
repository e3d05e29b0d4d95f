import json
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tailornas.data import DataConfig, inspect, prepare, read
from tailornas.losses import LOSSES, SCHEDULES
from tailornas.report.data_values import DataValues, data_values


def lay(root: Path, counts: dict[str, int], first: int = 0) -> Path:
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (12, 10), (label, first + number, 0)).save(root / name / f"{number:03}.png")
    return root


def tell(path: Path, **options: object) -> DataValues:
    config = DataConfig.model_validate({"data": str(path), "profile": "as-is", **options})
    values = data_values(inspect(read(config.data), config, seed=0), config.data)
    assert json.loads(json.dumps(values)) == values
    return values


def test_values_by_hand(tmp_path: Path) -> None:
    root = lay(tmp_path / "pets", {"cat": 101, "dog": 20, "eel": 4})
    values = tell(root)
    assert (values["classes"], values["images"], values["imbalance_factor"]) == (3, 125, 25.25)
    assert values["groups"] == {
        "many": {"classes": 1, "images": 101},
        "medium": {"classes": 1, "images": 20},
        "few": {"classes": 1, "images": 4},
    }
    # A fifth of each class goes to test: 81, 16 and 3 are left, of which the first is no longer many-shot.
    assert values["fit_groups"] == {
        "medium": {"classes": 1, "images": 81},
        "few": {"classes": 2, "images": 19},
    }
    assert values["per_class"][2] == {
        "name": "eel",
        "label": 2,
        "usable": 4,
        "bad": 0,
        "images": 4,
        "group": "few",
        "tercile": "few",
        "fit": 3,
        "selection": 1,
        "test": 1,
    }
    assert values["sizes"] == {
        "width": {"min": 12, "median": 12, "max": 12},
        "height": {"min": 10, "median": 10, "max": 10},
    }
    assert values["common_sizes"] == [[12, 10, 125]]
    assert (values["modes"], values["formats"]) == ({"RGB": 125}, {"PNG": 125})
    assert values["small_classes"] == ["eel"]
    assert values["warnings"] == ["1 class (eel) has fewer than 5 images."]
    assert (values["bad"], values["duplicates"], values["refusal"]) == ([], [], None)


def test_everything_broken_is_listed_with_its_reason(tmp_path: Path) -> None:
    lay(tmp_path / "train", {"cat": 9, "dog": 9})
    lay(tmp_path / "test", {"cat": 3, "dog": 3}, first=100)
    (tmp_path / "train" / "cat" / "004.png").write_bytes(b"")
    frames = [Image.new("RGB", (9, 7), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "test" / "dog" / "a.gif", save_all=True, append_images=frames[1:])
    shutil.copy(tmp_path / "train" / "cat" / "001.png", tmp_path / "train" / "cat" / "other.png")
    shutil.copy(tmp_path / "train" / "cat" / "002.png", tmp_path / "train" / "dog" / "other.png")
    shutil.copy(tmp_path / "train" / "dog" / "003.png", tmp_path / "test" / "dog" / "other.png")
    values = tell(tmp_path)
    assert values["parts"] == {"train": {"images": 20, "usable": 19}, "test": {"images": 8, "usable": 8}}
    assert values["bad"] == [
        {
            "part": "train",
            "name": str(tmp_path / "train" / "cat" / "004.png"),
            "class_name": "cat",
            "kind": "empty",
            "reason": "0 bytes",
        }
    ]
    assert [entry["kind"] for entry in values["animated"]] == ["animated"]
    assert values["duplicates"][0] == {
        "kind": "parts",
        "images": [
            {"part": "train", "class": "dog", "name": str(tmp_path / "train" / "dog" / "003.png")},
            {"part": "test", "class": "dog", "name": str(tmp_path / "test" / "dog" / "other.png")},
        ],
    }
    assert values["warnings"] == [
        "1 of 28 images cannot be read: a run stops there, unless --skip-bad leaves them out.",
        "1 image has several frames: a run uses the first.",
        "1 image is in more than one part (train, test): results on them would be too good, so remove them from all "
        "but one.",
        "1 image is there under several labels, of which at most one is right.",
        "1 image is there more than once in a class.",
    ]
    assert values["passed_over"] == {}


def test_copies_that_a_run_divides_by_itself(tmp_path: Path) -> None:
    root = lay(tmp_path / "pets", {"cat": 9, "dog": 9})
    shutil.copy(root / "cat" / "001.png", root / "cat" / "other.png")
    shutil.copy(root / "cat" / "002.png", root / "dog" / "other.png")
    (root / "cat" / "a.HEIC").touch()
    values = tell(root)
    assert values["passed_over"] == {".heic": {"cat": 1}}
    assert values["warnings"] == [
        "1 image is there under several labels, of which at most one is right; a run tests on none of them.",
        "1 image is there more than once in a class; a run tests on all copies of one or on none.",
        "Files passed over, because their names are not those of images: 1 ending in .heic.",
    ]


def test_classes_that_no_split_can_serve(tmp_path: Path) -> None:
    values = tell(lay(tmp_path / "pets", {"cat": 30, "dog": 2, "eel": 1}))
    assert values["small_classes"] == ["dog", "eel"]
    assert values["without_selection"] == ["eel"]
    assert values["without_test"] == ["dog", "eel"]
    assert values["warnings"] == [
        "2 classes (dog, eel) have fewer than 5 images.",
        "1 class (eel) has no selection image to choose by, so no selection figure includes it.",
        "2 classes (dog, eel) have no test image to test on, so no test figure includes them.",
    ]


def test_a_refusal_is_told_first(tmp_path: Path) -> None:
    values = tell(lay(tmp_path / "pets", {"cat": 2, "dog": 1}))
    assert values["warnings"][0].startswith("A run would refuse these images: ")
    assert values["per_class"][0]["fit"] is None
    assert values["without_test"] == []
    assert values["fit_groups"] is None


def test_an_empty_class_has_no_imbalance_factor_and_no_advice(tmp_path: Path) -> None:
    root = lay(tmp_path / "pets", {"cat": 9, "dog": 1})
    (root / "dog" / "000.png").write_text("no image")
    values = tell(root)
    assert values["imbalance_factor"] is None
    assert values["advice"] == []
    assert values["per_class"][1]["bad"] == 1


def test_of_no_image_a_run_sees_nothing(tmp_path: Path) -> None:
    root = lay(tmp_path / "pets", {"cat": 1, "dog": 1})
    for name in ("cat", "dog"):
        (root / name / "000.png").write_text("no image")
    values = tell(root)
    assert (values["sizes"], values["seen"]) == (None, None)


def test_advice_follows_the_class_sizes(tmp_path: Path) -> None:
    balanced = tell(lay(tmp_path / "balanced", {"cat": 30, "dog": 20}))
    assert balanced["advice"] == ["The classes are nearly equal in size: plain cross-entropy and accuracy are enough."]
    long_tailed = tell(lay(tmp_path / "long-tailed", {"cat": 60, "dog": 20}))
    assert long_tailed["advice"] == [
        "Judge by balanced accuracy (always answering 'cat' would be right for 75% of the images, but for 1 class of "
        "2), and train with a loss that knows the class sizes, such as ldam with drw or balanced_softmax.",
        "By the fixed thresholds no class is many-shot or few-shot: to compare large classes with small ones, "
        "let a run group by terciles (--set groups.by=terciles).",
    ]


def test_advice_names_what_there_is(tmp_path: Path) -> None:
    sentence = tell(lay(tmp_path, {"cat": 60, "dog": 20}))["advice"][0]
    named = re.search(r"class sizes, such as (\w+) with (\w+) or (\w+)\.$", sentence)
    assert named is not None
    assert {named[1], named[3]} <= set(LOSSES)
    assert named[2] in SCHEDULES


@pytest.mark.parametrize(
    ("width", "height", "seen"),
    [
        (40, 40, {"size": 32, "kept": 1.0, "text": "32 x 32 pixels (--image-size of a run for another)"}),
        (
            30,
            40,
            {
                "size": 32,
                "kept": 0.75,
                "text": "32 x 32 pixels, the centre: 75% of the median image (--image-size of a run for another)",
            },
        ),
        (
            900,
            60,
            {
                "size": 64,
                "kept": pytest.approx(1 / 15),
                "text": "64 x 64 pixels, the centre: 7% of the median image (--image-size of a run for another)",
            },
        ),
    ],
)
def test_what_a_run_sees_of_an_image(tmp_path: Path, width: int, height: int, seen: dict[str, object]) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(6):
            Image.new("RGB", (width, height), (number, len(name), ord(name[0]))).save(tmp_path / name / f"{number}.png")
    Image.new("RGB", (4000, 20)).save(tmp_path / "cat" / "odd.png")  # one is not the median
    values = tell(tmp_path)
    assert values["seen"] == seen
    assert values["seen"] is not None
    assert values["seen"]["size"] == prepare(DataConfig(data=str(tmp_path)), 0).image_size
    warning = (
        "The centred square, which is all that a run sees of an image, is 7% of the median image: cut the images or "
        "pad them to squares, where what matters may lie outside of it."
    )
    assert values["warnings"] == ([warning] if width == 900 else [])


def test_what_lies_oddly_is_told(tmp_path: Path) -> None:
    root = lay(tmp_path / "pets", {"cat": 9, "Cat": 9})
    shutil.copy(root / "cat" / "000.png", root / "loose.png")
    assert tell(root)["warnings"][-2:] == [
        f"1 image lies in no class folder, so it is not used: {root / 'loose.png'}.",
        "Names of classes look alike ('Cat' and 'cat'): each is a class of its own, so put their images together "
        "where they are one.",
    ]


@pytest.mark.parametrize("profile", ["exp", "step"])
def test_a_profile_is_what_the_figures_speak_of(tmp_path: Path, profile: str) -> None:
    values = tell(lay(tmp_path / "pets", {"cat": 100, "dog": 100}), profile=profile, imbalance_factor=8)
    assert [entry["images"] for entry in values["per_class"]] == [80, 10]
    assert [entry["usable"] for entry in values["per_class"]] == [100, 100]
    assert values["imbalance_factor"] == 8
    assert values["profile"] == profile
