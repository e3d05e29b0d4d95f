"""The elastic residual network: its members, its range, its text form."""

import pytest
import torch

from tailornas.errors import ArchitectureError, ConfigError
from tailornas.spaces import SearchSpace, cifar_resnet, count, elastic_resnet
from tailornas.spaces.elastic_resnet import ElasticResNet


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def space() -> SearchSpace[ElasticResNet]:
    return elastic_resnet(generator=generator())


@pytest.mark.parametrize(("depth", "blocks"), [(20, 3), (32, 5), (44, 7)])
def test_residual_networks_are_members(space: SearchSpace[ElasticResNet], depth: int, blocks: int) -> None:
    arch = space.from_text(f"{blocks}x16k3-{blocks}x32k3-{blocks}x64k3")
    network, resnet = space.derive(arch), cifar_resnet(depth, 10, generator=generator(1))
    assert space.cost(arch, 32) == count(resnet, 32)
    resnet.load_state_dict(dict(zip(resnet.state_dict(), network.state_dict().values(), strict=True)))
    x = torch.randn(2, 3, 9, 9, generator=generator(2))
    assert torch.equal(network(x), resnet(x))
    assert torch.equal(network.eval()(x), resnet.eval()(x))


def test_range(space: SearchSpace[ElasticResNet]) -> None:
    """From 2 M to beyond 200 M multiply-accumulates at 32 × 32."""
    smallest = space.cost(space.from_text("0x8k3-1x16k3-1x32k3"), 32)
    largest = space.cost(space.from_text("7x16k5-7x32k5-7x96k5"), 32)
    assert (smallest.params, smallest.macs) == (18_034, 1_990_986)
    assert (largest.params, largest.macs) == (3_512_666, 377_275_338)
    assert space.size == 43_200


def test_a_stage_without_blocks_has_no_kernel_size(space: SearchSpace[ElasticResNet]) -> None:
    arch = space.from_text("0x16k5-1x16k3-2x48k5")
    assert space.to_text(space.simplify(arch)) == "0x16k3-1x16k3-2x48k5"
    assert space.derive(arch).feature_dim == 48


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3x16k3-3x32k3", "stage 2, position 7: got '3x32k3', expected DEPTHxWIDTHkKERNEL"),
        ("3x16k3-3x32-3x64k3", "stage 2, position 7"),
        ("3x16k3-3x32k3-3x64k3-1x64k3", "stage 3, position 14"),
        ("4x16k3-3x32k3-3x64k3", "'depth1' .* has the unknown option '4': expected one of 0, 1, 2, 3, 5, 7"),
        ("3x16k3-0x32k3-3x64k3", "'depth2' .* has the unknown option '0': expected one of 1, 2, 3, 5, 7"),
        ("3x16k3-3x32k7-3x64k3", "'kernel2' .* has the unknown option '7': expected one of 3, 5"),
    ],
)
def test_malformed_text(space: SearchSpace[ElasticResNet], text: str, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        space.from_text(text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 6}, "of 6 channels: expected a multiple of 4"),
        ({"depths": ()}, r"with \[\] blocks a stage: expected numbers of at least 1"),
        ({"depths": (0, 1)}, r"with \[0, 1\] blocks a stage"),
        ({"kernels": (3, 4)}, r"with kernel sizes \[3, 4\]: expected odd numbers"),
    ],
)
def test_what_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        elastic_resnet(generator=generator(), **settings)  # type: ignore[arg-type]


def test_weights_depend_on_the_generator_alone() -> None:
    state = torch.get_rng_state()
    one, two = (elastic_resnet(generator=generator(), channels=4, depths=(1,)).network for _ in range(2))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
