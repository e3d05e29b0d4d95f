"""timm's models as backbones, without the network: names, weights under timm's own names, sizes, refusals."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor

from tailornas.errors import CheckpointError, ConfigError, UnknownNameError
from tailornas.spaces import Backbone, BackboneConfig, build_backbone
from tailornas.spaces.timm_backbone import TimmBackbone, timm_backbone
from tailornas.types import Normalization

SMALL = "test_resnet.r160_in1k"
MOBILE = "mobilenetv3_small_050"
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def built(name: str, classes: int = 5, seed: int = 0, weights: Path | None = None, size: int = 32) -> Backbone:
    config = BackboneConfig(name=f"timm:{name}", weights=weights and str(weights))
    return build_backbone(config, None, size, classes, torch.Generator().manual_seed(seed))


def published(name: str, folder: Path, suffix: str = ".safetensors") -> tuple[Path, dict[str, Tensor]]:
    """A file of weights as timm publishes them, with its classifier, and what is in it."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        tensors = timm.create_model(name).state_dict()
    path = folder / f"weights{suffix}"
    if suffix == ".safetensors":
        safetensors.torch.save_file(tensors, path)
    else:
        torch.save({"state_dict": tensors}, path)
    return path, tensors


@pytest.mark.parametrize("name", [SMALL, MOBILE])
def test_a_model_gives_features_and_logits(name: str) -> None:
    network = built(name)
    assert isinstance(network, TimmBackbone)
    assert network.training
    network.eval()
    features = network.features(IMAGES)
    assert features.shape == (2, network.feature_dim)
    assert torch.equal(network(IMAGES), network.head(features))
    assert network(IMAGES).shape == (2, 5)


def test_weights_come_from_the_generator() -> None:
    state = torch.get_rng_state()
    first, again, other = (built(SMALL, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert not torch.equal(first["head.weight"], other["head.weight"])
    assert not torch.equal(first["model.conv1.0.weight"], other["model.conv1.0.weight"])


def test_finding_the_length_of_features_leaves_statistics_alone() -> None:
    statistics = {n: t for n, t in built(SMALL).state_dict().items() if n.endswith("running_mean")}
    assert statistics
    assert not any(bool(tensor.any()) for tensor in statistics.values())


@pytest.mark.parametrize(("name", "suffix"), [(SMALL, ".safetensors"), (SMALL, ".pth"), (MOBILE, ".safetensors")])
def test_weights_under_timms_own_names(tmp_path: Path, name: str, suffix: str) -> None:
    path, tensors = published(name, tmp_path, suffix)
    network = built(name, weights=path)
    after, fresh = network.state_dict(), built(name).state_dict()
    classifier = timm.get_pretrained_cfg_value(name, "classifier")
    assert {n for n in tensors if not n.startswith(f"{classifier}.")} == {
        n.removeprefix("model.") for n in after if n.startswith("model.")
    }
    for key, tensor in after.items():
        expected = tensors[key.removeprefix("model.")] if key.startswith("model.") else fresh[key]
        assert torch.equal(tensor, expected), key


def test_a_network_with_published_weights_gives_the_published_features(tmp_path: Path) -> None:
    path, tensors = published(SMALL, tmp_path)
    model: Any = timm.create_model(SMALL).eval()
    model.load_state_dict(tensors)
    features = model.forward_head(model.forward_features(IMAGES), pre_logits=True)
    torch.testing.assert_close(built(SMALL, weights=path).eval().features(IMAGES), features)


@pytest.mark.parametrize("classes", [5, 7])
def test_weights_that_a_run_wrote(tmp_path: Path, classes: int) -> None:
    """Under this project's names; the head is taken over where it fits."""
    trained = built(SMALL, seed=1)
    safetensors.torch.save_file(trained.state_dict(), tmp_path / "result.safetensors")
    network = built(SMALL, classes, weights=tmp_path / "result.safetensors")
    for name, tensor in network.state_dict().items():
        if not name.startswith("head."):
            assert torch.equal(tensor, trained.state_dict()[name]), name
    head = trained if classes == 5 else built(SMALL, classes)
    assert torch.equal(network.state_dict()["head.weight"], head.state_dict()["head.weight"])


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    path, _ = published(MOBILE, tmp_path)
    with pytest.raises(CheckpointError, match=r"lacks 'model\..*' and \d+ more: expected weights") as e:
        built(SMALL, weights=path)
    assert "\n" not in str(e.value)


def test_the_statistics_of_the_pixels_it_was_published_with() -> None:
    expected: Any = timm.get_pretrained_cfg(SMALL)
    network = built(SMALL)
    assert network.pretrained_normalization == Normalization(tuple(expected.mean), tuple(expected.std))


def test_unknown_names_say_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown timm model 'resnet19': expected one of .*resnet18") as caught:
        built("resnet19")
    assert str(caught.value).endswith("; did you mean 'resnet18'?")
    assert "\n" not in str(caught.value)
    with pytest.raises(UnknownNameError, match=r"unknown timm model 'vit': expected one of .*vit_"):
        built("vit")
    with pytest.raises(UnknownNameError, match=r"unknown timm model 'qqqqqq': expected one of .*resnet18"):
        built("qqqqqq")


def test_images_of_a_size_that_the_model_cannot_take() -> None:
    with pytest.raises(ConfigError, match="'vit_tiny_patch16_224' cannot take images of 32 pixels: expected") as caught:
        built("vit_tiny_patch16_224")
    assert str(caught.value).endswith("expected --image-size 224")


def test_weights_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def create_model(name: str, *, pretrained: bool, num_classes: int) -> None:
        asked.append(pretrained)
        raise OSError("We couldn't connect to the hub\nand tried for long")

    monkeypatch.setattr(timm, "create_model", create_model)
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(ConfigError) as caught:
        timm_backbone("resnet18", 32, 5, generator=generator, online=True)
    assert str(caught.value) == (
        "timm cannot make 'resnet18' with its weights (We couldn't connect to the hub): check the connection, or "
        "give a file by --weights"
    )
    assert asked == [True]


def test_nothing_is_fetched_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    create, asked = timm.create_model, []

    def create_model(name: str, *, pretrained: bool, num_classes: int) -> torch.nn.Module:
        asked.append(pretrained)
        model: torch.nn.Module = create(name, pretrained=pretrained, num_classes=num_classes)
        return model

    monkeypatch.setattr(timm, "create_model", create_model)
    built(SMALL)
    assert asked == [False]
    build_backbone(BackboneConfig(name=f"timm:{SMALL}"), None, 32, 5, torch.Generator())
    assert asked == [False, False]
