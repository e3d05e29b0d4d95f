"""Networks that were really trained, loaded from their run folders: they predict what the run measured, exactly."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

import tailornas
from tailornas.config import RunConfig, StandaloneConfig, read_config
from tailornas.data import MemoryImages, prepare, read
from tailornas.data.stored import ImageFiles
from tailornas.errors import CheckpointError, ConfigError, DataError, RunFolderError, UnknownNameError
from tailornas.metrics import report
from tailornas.pipeline import run, train
from tailornas.predict import Classifier, load_classifier
from tailornas.runs import make_console
from tailornas.runs.files import read_json, write_json
from tailornas.types import ClassCounts

QUIET = make_console({}, quiet=True)

TINY = [
    "backbone.name=resnet8",
    "data.imbalance_factor=50",
    "train.epochs=1",
    "train.batch_size=64",
    "train.optimizer.decay=cosine",
]

OWN = """
from torch import nn
from tailornas.spaces import Choice

class Small(nn.Module):
    def __init__(self, classes, width=4):
        super().__init__()
        kinds = {"a": nn.Conv2d(3, width, 1), "b": nn.Conv2d(3, width, 3, padding=1)}
        self.body = nn.Sequential(Choice("op", kinds), nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.last = nn.Linear(width, classes)

    def forward(self, x):
        return self.last(self.body(x).flatten(1))
"""


def trained(folder: Path, *assignments: str) -> StandaloneConfig:
    config = read_config(StandaloneConfig, None, [*TINY, *assignments])
    train(config, folder, QUIET, command="")
    return config


def check(folder: Path, config: StandaloneConfig | RunConfig, network: Any = "train") -> Classifier:
    """Loads a network and measures it again: every metric, calibration too, must be the run's to the last bit."""
    classifier = load_classifier(folder, network)
    target = prepare(config.data, config.seed)
    images = target.test.images.take(target.test.rows)
    probabilities = classifier.probabilities(images)
    assert (probabilities.dtype, probabilities.shape) == (torch.float32, (len(images), len(target.classes)))
    measured = read_json(folder / "stages/evaluate/result.json")["values"][network]["metrics"]
    counts = ClassCounts(tuple(row["train"] for row in measured["per_class"]))
    found = report(probabilities, target.test.labels, counts, target.classes)
    assert json.loads(json.dumps(found.values())) == measured
    assert classifier.classes == target.classes
    assert not classifier.network.training
    return classifier


@pytest.mark.parametrize(
    "assignments",
    [
        pytest.param(["train.loss=ldam", "device.precision=bf16"], id="ldam, in bf16"),
        pytest.param(["train.loss=ldam", "train.loss_settings.scale=8", "train.second_stage=ncm"], id="ncm"),
        pytest.param(["train.loss=class_balanced_focal", "train.head=scaled_cosine"], id="scaled cosine, sigmoids"),
        pytest.param(["train.loss=ce", "train.head=etf"], id="etf"),
        pytest.param(["train.loss=focal", "train.second_stage=tau_norm"], id="tau_norm"),
        pytest.param(["train.loss=ce", "train.second_stage=logit_adjustment"], id="logit_adjustment"),
        pytest.param(["train.loss=ce", "train.second_stage=lws", "train.second_stage.epochs=1"], id="lws"),
        pytest.param(
            [
                "train.loss=ce",
                "train.two_branch=true",
                "train.second_stage=crt",
                "train.second_stage.loss=ldam",
                "train.second_stage.epochs=1",
            ],
            id="two branches, crt by ldam",
        ),
        pytest.param(
            [
                "backbone.name=darts:SNAS",
                "space.channels=4",
                "space.cells=3",
                "space.auxiliary=true",
                "data.image_size=32",
                "device.precision=fp32",
            ],
            id="darts, auxiliary head",
        ),
        pytest.param(["backbone.name=timm:test_resnet", "data.image_size=32", "train.loss=ce"], id="timm"),
    ],
)
def test_a_training(tmp_path: Path, assignments: list[str]) -> None:
    check(tmp_path / "run", trained(tmp_path / "run", *assignments))


SEARCH = [
    "data.imbalance_factor=50",
    "pretrain.epochs=1",
    "adapt.epochs=1",
    "search.population=2",
    "search.generations=1",
    "train.epochs=1",
]


def searched(folder: Path, *assignments: str) -> RunConfig:
    config = read_config(RunConfig, None, [*SEARCH, *assignments])
    run(config, folder, QUIET, command="")
    return config


def test_a_search(tmp_path: Path) -> None:
    config = searched(tmp_path / "run", "space.channels=4", "train.second_stage=ncm")
    found, baseline = (check(tmp_path / "run", config, network) for network in ("train", "baseline"))
    assert type(found.network) is not type(baseline.network)


def test_a_search_of_a_space_of_ones_own(tmp_path: Path) -> None:
    """The found network goes on from the supernet; what trains it again is named by the folder of the search."""
    (tmp_path / "own.py").write_text(OWN)
    own, folder = f"space.name={tmp_path / 'own.py'}:Small", tmp_path / "run"
    config = searched(folder, own, "space.width=6", "init=inherit", "train.loss=ce", "train.second_stage=tau_norm")
    check(folder, config)
    again = trained(tmp_path / "again", f"backbone.name={folder}", "train.loss=ldam")
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    check(tmp_path / "again", again)
    (tmp_path / "own.py").write_text(OWN.replace("ReLU", "Sigmoid"))
    for name, made in (("elsewhere", "search"), ("again", "training")):
        with pytest.raises(ConfigError, match=rf"own\.py:Small has changed since the {made} in .*{name}: expected the"):
            load_classifier(tmp_path / name)


def photos(folder: Path) -> None:
    """Photos of two classes, of every kind that decoding has to know."""
    rng = torch.Generator().manual_seed(0)
    for name, level in (("cat", 60), ("dog", 160)):
        (folder / name).mkdir(parents=True)
        for number in range(30):
            noise = torch.randint(0, 96, (20 + number, 24, 3), generator=rng, dtype=torch.uint8)
            image = Image.fromarray((noise + level).numpy())
            exif = Image.Exif()
            exif[0x0112] = 1 + number % 8
            mode, suffix = (("RGB", "jpg"), ("L", "png"), ("CMYK", "jpg"), ("RGBA", "png"))[number % 4]
            image.convert(mode).save(folder / name / f"{number}.{suffix}", exif=exif)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photos and a training on them."""
    home = tmp_path_factory.mktemp("home")
    photos(home / "photos")
    trained(home / "runs/photos", f"data.data={home / 'photos'}", "data.imbalance_factor=3", "train.loss=ldam")
    return home


def test_photos(home: Path) -> None:
    """The files of the test split, decoded here, are recognised exactly as the run recognised them."""
    classifier = load_classifier(home / "runs/photos")
    config = read_config(StandaloneConfig, home / "runs/photos/config.toml")
    test, stored = prepare(config.data, config.seed).test, read(config.data.data).train.images
    assert isinstance(stored, ImageFiles)
    files = [stored.paths[row] for row in test.rows.tolist()]
    probabilities = classifier.classify(files)
    assert torch.equal(probabilities, classifier.probabilities(test.images.take(test.rows)))
    assert isinstance(test.images, MemoryImages)
    measured = read_json(home / "runs/photos/stages/evaluate/result.json")["values"]["train"]["metrics"]
    pairs = torch.stack([test.labels, probabilities.argmax(dim=1)], dim=1).tolist()
    assert sorted(pairs) == sorted([t, p] for t, p, images in measured["confusion"] for _ in range(images))
    assert torch.equal(classifier.classify(files[0]), classifier.classify([str(files[0])]))
    assert classifier.classify([]).shape == (0, 2)


def test_the_example_in_the_documentation(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[1] / "docs/how-to/results.md").read_text()
    (code,) = [part.split("```")[0] for part in page.split("```python\n")[1:]]
    monkeypatch.chdir(home)
    shutil.copy(home / "photos/cat/0.jpg", home / "new.jpg")
    exec(code, {})
    lines = [line.rsplit(" ", 1) for line in capsys.readouterr().out.splitlines()]
    expected = dict(zip(("cat", "dog"), load_classifier("runs/photos").classify("new.jpg")[0].tolist(), strict=True))
    assert dict(lines) == {name: f"{share:.1%}" for name, share in expected.items()}
    assert "`values.train.metrics` of `stages/evaluate/result.json`" in page
    assert read_json(home / "runs/photos/stages/evaluate/result.json")["values"]["train"]["metrics"]


def test_images_that_are_refused(home: Path, tmp_path: Path) -> None:
    classifier = load_classifier(home / "runs/photos")
    size = classifier.image_size
    wrong: list[Tensor] = [torch.zeros(1, 3, size, size), torch.zeros(3, size, size, dtype=torch.uint8)]
    wrong.append(torch.zeros(1, 3, size, size + 1, dtype=torch.uint8))
    for images in wrong:
        with pytest.raises(DataError, match=rf"expected uint8 images \(images, 3, {size}, {size}\), got torch"):
            classifier.probabilities(images)
    (tmp_path / "text.jpg").write_text("no image")
    for name in ("text.jpg", "none.jpg"):
        with pytest.raises(DataError, match=rf"cannot read image .*{name} \(.*\): leave it out"):
            classifier.classify([tmp_path / name])


def edited(folder: Path, stage: str, *keys: str, to: Any) -> None:
    """Changes a value in the result of a stage; None: takes it out."""
    file = folder / "stages" / stage / "result.json"
    result = at = read_json(file)
    for key in keys[:-1]:
        at = at[key]
    if to is None:
        del at[keys[-1]]
    else:
        at[keys[-1]] = to
    write_json(file, result)


def test_folders_that_are_refused(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"

    def message(kind: type[Exception], network: Any = "train") -> str:
        with pytest.raises(kind) as caught:
            load_classifier(folder, network)
        assert "\n" not in str(caught.value)
        shutil.rmtree(folder)
        shutil.copytree(home / "runs/photos", folder)
        return str(caught.value)

    folder.mkdir()
    unfinished = f"{folder} holds no finished run: expected {folder}/stages/evaluate/result.json, which its last stage"
    assert message(RunFolderError).startswith(unfinished)
    assert message(UnknownNameError, "baseline") == "unknown network of this run 'baseline': expected one of train"
    (folder / "stages/evaluate/result.json").unlink()
    assert message(RunFolderError).startswith(unfinished)
    write_json(folder / "run.json", {"project": "another"})
    assert "belongs to another program" in message(RunFolderError)
    edited(folder, "train", "inputs", "settings", "loss", to="focal")  # trained anew, and killed before measuring
    assert "run: stage 'train' is not the one that was measured; start its command again" in message(RunFolderError)
    edited(folder, "train", "values", "epochs", to=2)
    assert "stage 'train' is not the one that was measured" in message(RunFolderError)
    edited(folder, "evaluate", "inputs", "train", "second_stage", "name", to="ncm")
    assert "stage 'train-head' is not the one that was measured" in message(RunFolderError)
    edited(folder, "train", "values", "image_size", to=None)
    assert "of an earlier version, which did not keep the size of its images" in message(RunFolderError)
    for stage, keys in (("train", ("inputs",)), ("evaluate", ("inputs", "train"))):
        edited(folder, stage, *keys, "settings", "of_later", to=1)
    assert "is of another version of TailorNAS (ValidationError): expected results as this" in message(RunFolderError)
    edited(folder, "evaluate", "inputs", to=None)
    assert "is of another version of TailorNAS (KeyError)" in message(RunFolderError)
    (folder / "stages/train/result.safetensors").write_bytes(b"")
    assert "result.safetensors as the run wrote it" in message(RunFolderError)
    for stage, keys in (("train", ("inputs",)), ("evaluate", ("inputs", "train"))):
        edited(folder, stage, *keys, "network", "backbone", to="resnet14")
    lacks = message(CheckpointError)
    assert "stages/train: the weights are of another network (" in lacks
    assert lacks.endswith("of timm by which it was trained (tailornas " + tailornas.__version__ + ")")


def test_the_package_exports_it_and_imports_it_when_it_is_asked_for() -> None:
    assert tailornas.load_classifier is load_classifier
    assert tailornas.Classifier is Classifier
    assert not hasattr(tailornas, "load_network")
    code = "import sys, tailornas; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
