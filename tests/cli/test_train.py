"""``tailornas train``, as a shell would see it: options are keys, and whatever is wrong with the input is one line."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from support.shell import Shell
from tailornas.config import StandaloneConfig
from tailornas.data import AugmentConfig
from tailornas.losses import ScheduleConfig
from tailornas.training import OptimizerConfig

PUBLISHED = OptimizerConfig(
    learning_rate=0.1,
    momentum=0.9,
    weight_decay=2e-4,
    decay_all=True,
    nesterov=False,
    warmup=5 / 200,
    decay="step",
    milestones=(160 / 200, 180 / 200),
    gamma=0.01,
    clip_norm=None,
)
"""How results on the long-tailed CIFARs are published (1906.07413)."""


@pytest.fixture
def shell(shell: Shell) -> Shell:
    return shell.within("train")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the pipeline is asked to do, which it does not do."""
    asked: dict[str, Any] = {}

    def train(config: StandaloneConfig, out: Path, console: object, **others: Any) -> None:
        asked.update(config=config, out=out)
        raise KeyboardInterrupt

    monkeypatch.setattr("tailornas.pipeline.train", train)
    return asked


def test_the_help_names_what_there_is(shell: Shell) -> None:
    assert shell("--help") == 0
    for option in ("--backbone", "--class-weights", "--schedule", "--second-stage", "--two-branch", "--mix"):
        assert option in shell.out
    assert shell.err == ""


def test_nothing_given_is_the_published_recipe(shell: Shell, asked: dict[str, Any]) -> None:
    assert shell() == 130
    config: StandaloneConfig = asked["config"]
    assert config == StandaloneConfig()
    assert (config.backbone.name, config.train.epochs, config.train.batch_size) == ("resnet32", 200, 128)
    assert config.train.optimizer == PUBLISHED
    assert config.augment == AugmentConfig(crop=True, cutout=0, policy="none")
    assert config.train.second_stage.name == "none"


def test_every_option_sets_its_key(shell: Shell, asked: dict[str, Any]) -> None:
    options = {
        "--backbone": "timm:resnet18",
        "--weights": "first.pt",
        "--data": "cifar10",
        "--data-dir": "sets",
        "--imbalance-factor": "50",
        "--profile": "step",
        "--image-size": "16",
        "--loss": "focal",
        "--class-weights": "inverse",
        "--schedule": "drw",
        "--sampler": "square_root",
        "--head": "scaled_cosine",
        "--mix": "remix",
        "--second-stage": "crt",
        "--augment": "autoaugment",
        "--cutout": "8",
        "--epochs": "7",
        "--precision": "bf16",
        "--seed": "3",
        "--evaluate-on": "selection",
    }
    assert shell(*(part for pair in options.items() for part in pair), "--skip-bad", "--compile") == 130
    expected = StandaloneConfig.model_validate(
        {
            "backbone": {"name": "timm:resnet18", "weights": "first.pt"},
            "data": {
                "data": "cifar10",
                "data_dir": "sets",
                "imbalance_factor": 50,
                "profile": "step",
                "image_size": 16,
                "skip_bad": True,
            },
            "train": {
                "loss": "focal",
                "class_weights": "inverse",
                "schedule": {"name": "drw"},
                "sampler": "square_root",
                "head": "scaled_cosine",
                "mix": {"name": "remix"},
                "second_stage": {"name": "crt"},
                "epochs": 7,
                "optimizer": PUBLISHED,
            },
            "augment": {"policy": "autoaugment", "cutout": 8},
            "seed": 3,
            "evaluate_on": "selection",
            "device": {"precision": "bf16", "compile": True},
        }
    )
    assert asked["config"] == expected
    method = "remix-focal-inverse-weights-drw-square-root-scaled-cosine-crt"
    assert asked["out"] == Path(f"runs/cifar10-if50-timm-resnet18-{method}-autoaugment-cutout-8-seed-3-on-selection")


def test_two_branches(shell: Shell, asked: dict[str, Any]) -> None:
    assert shell("--two-branch", "--loss", "ce") == 130
    assert asked["config"].train.two_branch
    assert asked["config"].train.loss == "cross_entropy"
    assert asked["config"].train.optimizer == PUBLISHED


@pytest.mark.parametrize(
    ("arguments", "folder"),
    [
        ((), "digits-if10-resnet32-ldam-drw"),
        (("--loss=ce",), "digits-if10-resnet32-cross-entropy"),
        (("--loss=ce", "--class-weights=auto"), "digits-if10-resnet32-cross-entropy-auto-weights"),
        (("--data=cifar10", "--backbone=timm:resnet18", "--loss=ce"), "cifar10-if100-timm-resnet18-cross-entropy"),
        (("--out=here",), None),
    ],
)
def test_the_default_folder_says_what_is_trained_and_how(
    shell: Shell, asked: dict[str, Any], arguments: tuple[str, ...], folder: str | None
) -> None:
    shell(*arguments)
    assert asked["out"] == (Path("here") if folder is None else Path("runs") / folder)


def test_a_part_of_a_section_leaves_the_rest_of_the_recipe(shell: Shell, asked: dict[str, Any]) -> None:
    Path("train.toml").write_text("[train.optimizer]\nlearning_rate = 0.05\n[train]\nbatch_size = 64\n")
    shell("--config", "train.toml", "--set", "train.optimizer.momentum=0.5", "--epochs", "3")
    config: StandaloneConfig = asked["config"]
    assert config.train.optimizer == PUBLISHED.model_copy(update={"learning_rate": 0.05, "momentum": 0.5})
    assert (config.train.epochs, config.train.batch_size) == (3, 64)
    shell("--set", "train.optimizer.decay=cosine")
    assert asked["config"].train.optimizer == PUBLISHED.model_copy(update={"decay": "cosine"})
    assert asked["config"].train.epochs == 200


def test_a_configuration_that_was_written_is_read_again(shell: Shell, asked: dict[str, Any]) -> None:
    """Even where a value is none, which TOML cannot say: the recipe's own gradients are not clipped."""
    from tailornas.config import to_toml

    shell("--loss=ce", "--class-weights=auto", "--mix=mixup", "--set=train.mix.alpha=0.2")
    config = asked["config"]
    Path("config.toml").write_text(to_toml(config))
    shell("--config", "config.toml")
    assert asked["config"] == config
    assert asked["config"].train.optimizer.clip_norm is None


def test_weights_a_class_as_a_list(shell: Shell, asked: dict[str, Any]) -> None:
    shell("--loss=ce", "--set=train.class_weights=[1, 2.5]", "--set=train.schedule={name='drw', start=0.5}")
    assert asked["config"].train.class_weights == (1.0, 2.5)
    assert asked["config"].train.schedule == ScheduleConfig(name="drw", start=0.5)


def test_an_interrupted_training_says_how_to_go_on(shell: Shell, asked: dict[str, Any]) -> None:
    assert shell("--data", "my images", "--seed", "3") == 130
    assert shell.err == "stopped; to go on where it ended: tailornas train --data 'my images' --seed 3\n"


def images(folder: Path, *counts: int) -> Path:
    """A folder of images, the given number of each class."""
    rng = np.random.default_rng(0)
    for label, count in enumerate(counts):
        (folder / f"class {label}").mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"class {label}" / f"{number}.png")
    return folder


def listed(folder: Path, *labels: int) -> Path:
    """A list file of images with these labels."""
    images(folder, len(labels))
    lines = [f"class 0/{number}.png {label}" for number, label in enumerate(labels)]
    (folder / "train.txt").write_text("\n".join(lines))
    return folder / "train.txt"


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def trained(folder: Path) -> Path:
    """What says that a folder is of a training."""
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"project": "tailornas", "format": 1, "job": "training"}))
    return folder


SMALL = ["--backbone=resnet8", "--imbalance-factor=10"]
CELL = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
OF_FOLDER = ["--backbone=resnet8", "--profile=as-is", "--loss=ce"]

MISTAKES: dict[str, tuple[Callable[[Path], list[str | Path]], str]] = {
    "class without images": (
        lambda here: ["--data", listed(here / "list", 0, 0, 0, 2, 2, 2), *OF_FOLDER],
        r".*list/train\.txt has the label 2 but not 1: expected labels from 0 without a gap, renumber them",
    ),
    "imbalance that leaves a class empty": (
        lambda here: ["--imbalance-factor=100000"],
        r".*imbalance_factor 100000 leaves class '\d' with 0 of its .*",
    ),
    "weights of the wrong length": (
        lambda here: [*SMALL, "--loss=ce", "--set=train.class_weights=[1, 2, 3]"],
        r"train: expected one class weight for each of 10 classes, got 3 weights: give one a class, in label order",
    ),
    "weights that are not positive": (
        lambda here: [*SMALL, "--loss=ce", "--set=train.class_weights=[1, 1, 1, 1, 1, 1, 1, 1, 1, -1]"],
        r"train: class weights must be positive numbers: class 9 has -1\.0",
    ),
    "linear head with LDAM": (
        lambda here: [*SMALL, "--loss=ldam", "--head=linear"],
        r"train: LDAM scales its logits itself and expects cosines in \[-1, 1\] but the head is LinearHead: use the "
        r"head 'cosine' or another loss",
    ),
    "plain cosines with another loss": (
        lambda here: [*SMALL, "--loss=ce", "--head=cosine"],
        r"train: CrossEntropy expects logits of any size but the head is CosineHead with scale 1, .*: use the head "
        r"'scaled_cosine' or the loss 'ldam'",
    ),
    "frame of more classes than features": (
        lambda here: ["--data", images(here / "many", *[3] * 65), *OF_FOLDER, "--head=etf"],
        r"train: an ETF head needs as many features as classes, got 64 features for 65 classes: .*",
    ),
    "DRW that never starts": (
        lambda here: ["--schedule=drw", "--set=train.schedule.start=1"],
        r"train\.schedule: start is a share of training in \[0, 1\) and is 1\.0: 0\.8 is usual",
    ),
    "DRW before the beginning": (
        lambda here: ["--schedule=drw", "--set=train.schedule.start=-0.2"],
        r"train\.schedule: start is a share of training in \[0, 1\) and is -0\.2: 0\.8 is usual",
    ),
    "start of no schedule": (
        lambda here: ["--loss=ce", "--schedule=none", "--set=train.schedule.start=0.5"],
        r"train\.schedule: schedule 'none' does not use 'start' and got 0\.5: leave it out or choose drw or drs",
    ),
    "balanced batches that are there already": (
        lambda here: [*SMALL, "--loss=ce", "--schedule=drs", "--sampler=class_balanced"],
        r".*schedule 'drs' brings in the sampler 'class_balanced', which is there from the beginning: leave out one .*",
    ),
    "balanced batches that never come": (
        lambda here: [*SMALL, "--loss=ce", "--schedule=drs", "--epochs=4"],
        r"train: schedule 'drs' comes in .* after 80% of training, and of 4 epochs none does: give at least 5, .*",
    ),
    "priors taken out twice": (
        lambda here: [*SMALL, "--loss=balanced_softmax", "--second-stage=logit_adjustment"],
        r".*takes out the class priors .*, which loss 'balanced_softmax' took out already: use the loss 'ce' .*",
    ),
    "rare classes that there are not": (
        lambda here: [*SMALL, "--loss=seql", "--set=train.loss_settings.rare=0.001"],
        r"train: the loss 'seql' treats classes with less than 0\.001 of the images as rare and that is no class: .*",
    ),
    "two branches, compiled": (
        lambda here: [*SMALL, "--loss=ce", "--two-branch", "--compile"],
        r"torch\.compile does not reach two-branch training: leave out device\.compile or two_branch",
    ),
    "weights in a loss that has them": (
        lambda here: ["--loss=class_balanced_focal", "--class-weights=auto"],
        r"train: the loss 'class_balanced_focal' has class weights of its own and class_weights 'auto' would .*",
    ),
    "two branches and mixup": (
        lambda here: ["--loss=ce", "--two-branch", "--mix=mixup"],
        r"train: two_branch has a schedule and samplers of its own and got mix 'mixup': leave it out, .*",
    ),
    "two branches of a network without a last block": (
        lambda here: [f"--backbone=nasbench201:{CELL}", "--loss=ce", "--two-branch"],
        r"two-branch training doubles the last block of a network and \w+ names none: train a CIFAR ResNet, .*",
    ),
    "second stage of a linear head after LDAM": (
        lambda here: ["--loss=ldam", "--second-stage=tau_norm"],
        r"train\.second_stage: second stage 'tau_norm' works on a linear head but the head is 'cosine': .*",
    ),
    "setting of another second stage": (
        lambda here: ["--loss=ce", "--second-stage=ncm", "--set=train.second_stage.epochs=3"],
        r"train\.second_stage: second stage 'ncm' does not use 'epochs' and got 3: leave it out or .*",
    ),
    "setting of another mix": (
        lambda here: ["--mix=mixup", "--set=train.mix.kappa=2"],
        r"train\.mix: mix 'mixup' does not use 'kappa' and got 2\.0: .*",
    ),
    "milestones out of order": (
        lambda here: ["--set=train.optimizer.milestones=[0.9, 0.8]"],
        r"train\.optimizer: milestones are rising shares of training in \(0, 1\), got \[0\.9, 0\.8\]",
    ),
    "milestones of the cosine": (
        lambda here: ["--set=train.optimizer.decay=cosine", "--set=train.optimizer.milestones=[0.5]"],
        r"train\.optimizer: decay 'cosine' does not use 'milestones': leave it out or set decay to 'step'",
    ),
    "unknown backbone": (lambda here: ["--backbone=vgg"], r"unknown backbone 'vgg': expected one of .*resnet32.*"),
    "impossible depth": (lambda here: ["--backbone=resnet18"], r"ResNet depth 18: expected 6n \+ 2 .*"),
    "unknown loss": (lambda here: ["--loss=lmad"], r"train: unknown loss 'lmad': expected one of .*ldam.*"),
    "unknown weighting": (
        lambda here: ["--class-weights=heavy"],
        r"train: unknown weighting 'heavy': expected one of \[one number a class\], auto, effective, effective:BETA, "
        r"inverse, smoothed, smoothed:GAMMA",
    ),
    "unknown schedule": (
        lambda here: ["--schedule=later"],
        r"train\.schedule: unknown schedule 'later': expected .* drs, drw, none",
    ),
    "unknown sampler": (
        lambda here: ["--sampler=uniform"],
        r"train: unknown sampler 'uniform': expected one of class_balanced, instance, progressive, .*",
    ),
    "unknown head": (
        lambda here: ["--head=square"],
        r"train: unknown head 'square': expected one of cosine, etf, linear, .*",
    ),
    "unknown mix": (
        lambda here: ["--mix=cutmix"],
        r"train\.mix: unknown mix 'cutmix': expected one of mixup, none, remix",
    ),
    "unknown second stage": (lambda here: ["--second-stage=mlp"], r"train\.second_stage\.name: .*'crt'.*, got 'mlp'"),
    "shot groups out of order": (
        lambda here: ["--set=groups.few=120"],
        r"groups: group thresholds are out of order: expected 0 <= few <= many, got few 120, many 100: set both",
    ),
    "unknown policy": (lambda here: ["--augment=rand"], r"augment\.policy: .*'autoaugment', got 'rand'"),
    "unknown setting of a loss": (
        lambda here: ["--loss=focal", "--set=train.loss_settings.beta=1"],
        r"train: the loss 'focal' has no setting 'beta': its settings are gamma",
    ),
    "unknown key": (
        lambda here: ["--set=train.optimizer.lr=1"],
        r"unknown configuration key 'train\.optimizer\.lr': expected one of learning_rate, .*",
    ),
    "no epoch": (lambda here: ["--epochs=0"], r"train\.epochs: .*greater than or equal to 1, got '0'"),
    "negative square": (lambda here: ["--cutout=-1"], r"augment\.cutout: .*greater than or equal to 0, got '-1'"),
    "folder without a search": (
        lambda here: ["--backbone", images(here / "photos", 1)],
        r".*photos holds no finished search: expected .*photos/stages/search/result\.json",
    ),
    "folder of a training": (
        lambda here: ["--backbone", trained(here / "trained")],
        r".*trained is the folder of a training: expected that of a search .*",
    ),
    "unknown option": (lambda here: ["--batch", "3"], r"No such option: --batch.*`tailornas config train` lists them"),
    "no such weights": (
        lambda here: ["--backbone=resnet8", "--weights", here / "none.pt"],
        r"cannot read the weights .*none\.pt: No such file or directory",
    ),
    "damaged weights": (
        lambda here: ["--backbone=resnet8", "--weights", written(here / "w.safetensors", b"\x00" * 50)],
        r"cannot read the weights .*w\.safetensors: it is damaged, cut short or no file of plain tensors .*",
    ),
    "weights online of no timm model": (
        lambda here: ["--weights=online"],
        r"only timm's models have weights online, not 'resnet32': give a file",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(shell: Shell, tmp_path: Path, mistake: str) -> None:
    arguments, pattern = MISTAKES[mistake]
    message = shell.error(*arguments(tmp_path))
    assert re.fullmatch(pattern, message), message
    assert not list(Path().glob("runs/*"))


def test_weights_of_another_backbone(shell: Shell, tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(2)}, tmp_path / "other.pt")
    message = shell.error("--backbone=resnet8", "--weights", tmp_path / "other.pt")
    assert re.fullmatch(r".*other\.pt lacks 'bn\.weight' and \d+ more: expected weights of the same backbone", message)


def test_a_training_that_diverges_names_the_key_to_change(shell: Shell) -> None:
    message = shell.error(*SMALL, "--loss=ce", "--epochs=1", "--set=train.optimizer.learning_rate=1e30")
    assert re.match(r"the loss became (nan|inf) at step \d+ of \d+ \(epoch 1, learning rate .*\)", message), message
    assert "lower train.optimizer.learning_rate and start again with --out DIR; the training begins anew" in message


def test_class_weights_are_all_that_a_practitioner_needs(shell: Shell) -> None:
    assert shell(*SMALL, "--loss=ce", "--class-weights=auto", "--epochs=1", "--quiet") == 0
    assert "cross_entropy + auto weights" in shell.out
    # What was trained is not replaced by a training with other settings, unless the folder is named.
    again = [*SMALL, "--loss=ce", "--class-weights=auto", "--epochs=1", "--set=train.batch_size=64", "--quiet"]
    folder = "runs/digits-if10-resnet8-cross-entropy-auto-weights"
    config = Path(folder, "config.toml").read_text()
    message = shell.error(*again)
    changed = r"its configuration changed \(train\.batch_size 128 -> 64\)"
    assert re.match(rf"{folder} holds another run: {changed}: give .* --out {folder} ", message), message
    assert Path(folder, "config.toml").read_text() == config
    assert shell(*again, "--out", folder) == 0
    assert Path("runs/digits-if10-resnet8-cross-entropy-auto-weights/stages/train/result.safetensors").is_file()
