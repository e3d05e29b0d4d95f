"""A trained network with all that its use takes, rebuilt from the folder of a run."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from tailornas.data import decode_image, normalize
from tailornas.data.decode import decoding_problem, open_image
from tailornas.data.stored import as_text, check_disk
from tailornas.errors import CheckpointError, DataError, RunFolderError, UnknownNameError
from tailornas.losses import LongTailLoss, build_loss
from tailornas.methods import with_heads
from tailornas.runs import read_json, recorded_job
from tailornas.runs.results import RESULT, read_artifact, read_result
from tailornas.spaces import Backbone, BackboneConfig, build_backbone, build_space, kept_space, space_of
from tailornas.training import TrainConfig, replace_head
from tailornas.types import ClassCounts, Normalization

__all__ = ["Classifier", "load_classifier"]

_BATCH = 256  # that of the evaluation: other batches may be summed in another order


@final
@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained network and how it is used.

    Args:
        network: in evaluation mode, on the CPU; ``classifier.network.to("cuda")`` moves it.
        classes: class names in the order of outputs.
        image_size: height and width in pixels of its images.
        normalization: statistics by which pixels are normalised.
        loss: what its last head was fitted by, which says what probabilities its outputs stand for.
        precision: what the run measured it in; ``bf16`` is autocast.
    """

    network: Backbone
    classes: tuple[str, ...]
    image_size: int
    normalization: Normalization
    loss: LongTailLoss
    precision: Literal["fp32", "bf16"]

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Tensor:
        """Class probabilities as the run computed them when it measured the network.

        Args:
            images: uint8 ``(images, 3, image_size, image_size)``, RGB.

        Returns:
            float32 ``(images, classes)``, on the CPU.

        Raises:
            DataError: the tensor has another type or shape.
        """
        expected = (3, self.image_size, self.image_size)
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1:] != expected:
            raise DataError(
                f"expected uint8 images (images, {', '.join(map(str, expected))}), got {images.dtype} "
                f"{tuple(images.shape)}: decode files by `classify`"
            )
        device = next(self.network.parameters()).device
        logits = [torch.empty(0, len(self.classes))]
        for batch in torch.split(images, _BATCH) if len(images) else ():
            shown = normalize(batch.to(device), self.normalization)
            with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                logits.append(self.network(shown).float().cpu())
        return self.loss.probabilities(torch.cat(logits))

    def classify(self, paths: str | Path | Sequence[str | Path]) -> Tensor:
        """Class probabilities of image files, decoded and resized as those of the run were.

        Args:
            paths: files of any format that a folder of images may hold; or one file.

        Returns:
            float32 ``(paths, classes)``, on the CPU.

        Raises:
            DataError: a file is no image that can be read.
            DiskError: a file cannot be read now.
        """
        files = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
        found = [torch.empty(0, len(self.classes))]
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            for start in range(0, len(files), _BATCH):
                images = list(pool.map(self._decoded, files[start : start + _BATCH]))
                found.append(self.probabilities(torch.from_numpy(np.stack(images))))
        return torch.cat(found)

    def _decoded(self, file: Path) -> NDArray[np.uint8]:
        """Of uint8 ``(3, image_size, image_size)``."""
        name = as_text(str(file))
        try:
            with open_image(file) as image:
                return decode_image(image, self.image_size)
        except MemoryError:
            raise
        except Exception as problem:  # a damaged file can make a decoder raise anything
            check_disk(problem, name)
            raise DataError(f"cannot read image {name} ({decoding_problem(problem)}): leave it out") from problem


def load_classifier(run_folder: str | Path, network: Literal["train", "baseline"] = "train") -> Classifier:
    """Rebuilds a network that a run has trained and measured, with its last head, and loads its weights.

    Everything is read from what the stages left. Where the network is of a user's own space the Python file of that
    space runs, provided that it is the one of the training; nothing else is executed.

    Args:
        run_folder: of a finished `tailornas run` or `tailornas train`.
        network: the name of its stage: ``train``, of a search the found network, or ``baseline``.

    Raises:
        RunFolderError: the folder is no finished run, or a file of it is damaged or of another version.
        UnknownNameError: the run has no such network.
        ConfigError: the file of a user's own space is another by now, or cannot be read.
        CheckpointError: the weights are of another network than this version of the program, or of timm, builds.
    """
    folder = Path(run_folder)
    kept = _read(folder, network)
    settings, second = kept.settings, kept.settings.second_stage
    loss = build_loss(settings.loss, kept.counts, None, **settings.loss_settings)
    built = with_heads(_build(folder, kept), settings, loss, len(kept.counts), 0, network)
    replace_head(built, kept.counts, second, 0)
    artifact = read_artifact(kept.weights)
    try:
        built.load_state_dict(dict(artifact.tensors) if artifact else {})
    except RuntimeError as error:
        reason = " ".join(str(error).split("\n\t")[-1].split())
        raise CheckpointError(
            f"{kept.weights}: the weights are of another network ({reason}): expected the version of TailorNAS and of "
            f"timm by which it was trained (tailornas {kept.version})"
        ) from error
    last = settings.last_objective
    return Classifier(
        network=built.to(memory_format=torch.channels_last).eval(),
        classes=kept.classes,
        image_size=kept.image_size,
        normalization=kept.normalization,
        loss=build_loss(last.loss, kept.counts, None, **last.loss_settings),
        precision=kept.precision,
    )


@final
@dataclass(frozen=True)
class _Kept:
    """What a run folder says of a network.

    Args:
        identity: which network it is, as the inputs of its training say.
        settings: how it was trained.
        classes: their names.
        counts: training images a class.
        normalization: of its pixels.
        image_size: in pixels.
        precision: of its outputs.
        weights: the folder of the stage that left them.
        version: of the program that left them.
    """

    identity: dict[str, Any]
    settings: TrainConfig
    classes: tuple[str, ...]
    counts: ClassCounts
    normalization: Normalization
    image_size: int
    precision: Literal["fp32", "bf16"]
    weights: Path
    version: str


def _read(folder: Path, network: str) -> _Kept:
    recorded_job(folder)  # refuses folders of other programs and formats
    stages = folder / "stages"
    evaluated = read_result(stages / "evaluate")
    if evaluated is None:
        raise RunFolderError(
            f"{folder} holds no finished run: expected {stages / 'evaluate' / RESULT}, which its last stage leaves; "
            "start its command again to go on, or give another folder"
        )
    if network not in evaluated["values"]:
        raise UnknownNameError("network of this run", network, list(evaluated["values"]))
    try:
        measured, metrics = evaluated["inputs"][network], evaluated["values"][network]["metrics"]
        second = measured["second_stage"]["name"] != "none"
        trained, retrained = read_result(stages / network), read_result(stages / f"{network}-head")
        if trained is None or _described(trained) != {key: measured[key] for key in measured if key != "second_stage"}:
            raise _stale(folder, network)
        if second and (retrained is None or retrained["inputs"] != measured):
            raise _stale(folder, f"{network}-head")
        if "image_size" not in trained["values"]:
            raise RunFolderError(
                f"{folder} is of an earlier version, which did not keep the size of its images: run it again into "
                "another folder"
            )
        normalization = measured["images"]["normalization"]
        return _Kept(
            identity=measured["network"],
            settings=TrainConfig.model_validate({**measured["settings"], "second_stage": measured["second_stage"]}),
            classes=tuple(row["name"] for row in metrics["per_class"]),
            counts=ClassCounts(tuple(row["train"] for row in metrics["per_class"])),
            normalization=Normalization(tuple(normalization["mean"]), tuple(normalization["std"])),
            image_size=trained["values"]["image_size"],
            precision="bf16" if measured["precision"] == "bf16-mixed" else "fp32",
            weights=stages / (f"{network}-head" if second else network),
            version=trained["environment"]["tailornas"],
        )
    except (KeyError, TypeError, ValidationError) as error:
        raise RunFolderError(
            f"{folder} is of another version of TailorNAS ({type(error).__name__}): expected results as this one "
            "leaves them; use that version, or run it again into another folder"
        ) from error


def _described(trained: dict[str, Any]) -> dict[str, Any]:
    """What a measurement says of the training that it follows, but for a second stage: see methods/final.py."""
    done = {"planned": trained["inputs"]["epochs"], "epochs": trained["values"]["epochs"]}
    inputs = {key: value for key, value in trained["inputs"].items() if key != "epochs"}
    return {**inputs, "network": {**inputs["network"], **done}}


def _stale(folder: Path, stage: str) -> RunFolderError:
    return RunFolderError(
        f"{folder} holds no finished run: stage {stage!r} is not the one that was measured; start its command again to "
        "go on"
    )


def _build(folder: Path, kept: _Kept) -> Backbone:
    """The network with linear heads; of its numbers all are replaced later."""
    identity, classes, size, rng = kept.identity, len(kept.classes), kept.image_size, torch.Generator()
    if "architecture" in identity:  # a search's
        settings = dict(identity["space"])
        if "sha256" in settings:  # a user's own, identified without its path
            settings = read_json(folder / "stages" / "search" / RESULT)["values"]["space"]["settings"]
        config = kept_space(settings, identity["space"], f"search in {folder}")
        space = build_space(config, classes, rng, size)
        architecture = space.from_text(identity["architecture"])
        inherited = "supernet" in identity
        return space.derive(architecture) if inherited else config.network(space, architecture, classes, rng)
    name = identity.get("backbone") or identity["network"].lower().replace("-", "")  # a baseline is a ResNet-8
    searched = None
    if identity.get("space"):
        settings = {key: value for key, value in identity["space"].items() if key != "sha256"}
        searched = kept_space({**settings, "name": space_of(name)}, identity["space"], f"training in {folder}")
    return build_backbone(BackboneConfig(name=name), searched, size, classes, rng)
