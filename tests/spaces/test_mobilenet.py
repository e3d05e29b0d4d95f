from functools import cache

import pytest
import torch
from torch import Tensor

from tailornas.errors import ArchitectureError
from tailornas.spaces import SearchSpace, count
from tailornas.spaces.mobilenet import MobileNetV3, mobilenet
from tailornas.training import DeviceConfig, make_fabric, predict, recalibrate

SHORT = "k3e6,k5e4/k7e3,k3e3,k3e4/k5e6,k5e6/k3e4,k3e4,k7e6,k5e3/k3e3,k3e6"
FABRIC = make_fabric(DeviceConfig(accelerator="cpu", precision="fp32"))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@cache
def built(*resolutions: int) -> SearchSpace[MobileNetV3]:
    return mobilenet(generator=seeded(0), width=0.125, classes=4, resolutions=resolutions)


def images(size: int, batch: int = 4, seed: int = 1) -> Tensor:
    return torch.randn(batch, 3, size, size, generator=seeded(seed))


def test_decisions_are_those_of_the_paper() -> None:
    space = built()
    assert len(space.decisions) == 5 + 2 * 20
    assert space.decisions["stage1.depth"] == ("2", "3", "4")
    assert space.decisions["stage5.block4.kernel"] == ("3", "5", "7")
    assert space.decisions["stage3.block1.expansion"] == ("3", "4", "6")
    assert built(96, 128).decisions["resolution"] == ("96", "128")


def test_the_number_of_networks_is_that_of_the_paper() -> None:
    """((3 × 3)² + (3 × 3)³ + (3 × 3)⁴)⁵ ≈ 2 × 10¹⁹ (sec. 3.2): blocks that do not run decide nothing."""
    space, networks = built(), 0
    for depth in (2, 3, 4):
        arch = space.from_text(SHORT).replace("stage1.depth", str(depth))
        changed = [arch.replace(key, "6" if arch[key] != "6" else "4") for key in arch if key.endswith("expansion")]
        changed += [arch.replace(key, "7" if arch[key] != "7" else "5") for key in arch if key.endswith("kernel")]
        distinct = {space.identity(other) for other in changed} - {space.identity(arch)}
        networks += 3 ** (len(distinct) - 2 * (3 + 2 + 4 + 2))  # the other stages' running blocks
    assert f"{networks**5:.0e}" == "2e+19"


def test_text_form() -> None:
    space = built()
    arch = space.from_text(SHORT)
    assert space.to_text(arch) == SHORT
    assert (arch["stage1.depth"], arch["stage2.depth"], arch["stage4.depth"]) == ("2", "3", "4")
    assert (arch["stage1.block2.kernel"], arch["stage1.block2.expansion"]) == ("5", "4")
    assert (arch["stage1.block3.kernel"], arch["stage1.block3.expansion"]) == ("3", "3")
    idle = space.from_text(SHORT.replace("k5e4/", "k5e4~k3e3,k7e6/"))
    assert idle["stage1.block4.kernel"] == "7" and idle["stage1.depth"] == "2"
    assert space.to_text(idle) == SHORT.replace("k5e4/", "k5e4~k3e3,k7e6/")
    assert space.simplify(idle) == arch and space.identity(idle) == space.identity(arch)
    assert space.from_text(SHORT.replace("k5e4/", "k5e4~k3e3/")) == arch
    decided = built(96, 128).from_text(f"r128:{SHORT}")
    assert decided["resolution"] == "128" and built(96, 128).to_text(decided) == f"r128:{SHORT}"


@pytest.mark.parametrize("resolutions", [(), (96, 128, 160)])
def test_text_round_trip(resolutions: tuple[int, ...]) -> None:
    space, source = built(*resolutions), seeded(0)
    for _ in range(100):
        arch = space.sample(source)
        assert space.from_text(space.to_text(arch)) == arch
        simple = space.simplify(arch)
        assert "~" not in space.to_text(simple) and space.from_text(space.to_text(simple)) == simple


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"position 0: expected 5 stages separated by '/', not 1, got the end; the form is k3e6,k5e4/"),
        (SHORT + "/k3e3,k3e3", r"position 74: expected 5 stages separated by '/', not 6"),
        (SHORT.replace("k5e4", "k5e5"), r"position 5: expected block 2 of stage 1, got 'k5e5/k7e3,k3e3,k3e4/'"),
        (SHORT.replace("k7e3", "K7E3"), r"position 10: expected block 1 of stage 2, got 'K7E3"),
        (SHORT.replace("k7e3", " k7e3"), r"position 10: expected block 1 of stage 2"),
        (SHORT[:-5], r"position 55: expected a stage of 2 to 4 blocks, got 'k3e3'"),
        (SHORT + ",k3e3,k3e3,k3e3", r"position 55: expected a stage of 2 to 4 blocks"),
        (SHORT + "~k3e3,k3e3,k3e3", r"position 55: expected a stage of 2 to 4 blocks"),
        (SHORT + "~", r"position 65: expected block 3 of stage 5, got the end"),
        (SHORT + "~k3e3~k3e3", r"position 65: expected block 3 of stage 5, got 'k3e3~k3e3'"),
        (f"r128:{SHORT}", r"position 0: expected block 1 of stage 1, got 'r128:k3e6"),
    ],
)
def test_malformed_text_is_refused_with_its_position(text: str, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message) as caught:
        built().from_text(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["", "r100:", "128:", "r96", ":"])
def test_a_decided_resolution_is_expected_in_front(prefix: str) -> None:
    with pytest.raises(ArchitectureError, match=r"position 0: expected one of r96, r128 and a colon"):
        built(96, 128).from_text(prefix + SHORT)


@pytest.mark.parametrize(
    ("width", "resolutions", "message"),
    [
        (0.0, (), r"width 0\.0: expected a positive multiplier such as 1\.0 or 1\.2"),
        (float("nan"), (), "width nan"),
        (1.0, (31, 96), r"resolutions \[31, 96\]: expected different ones from 32 pixels"),
        (1.0, (96, 96), r"resolutions \[96, 96\]: expected different ones"),
    ],
)
def test_impossible_networks_are_refused(width: float, resolutions: tuple[int, ...], message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        mobilenet(generator=seeded(0), width=width, resolutions=resolutions)


def test_only_smaller_kernels_train_their_transformations() -> None:
    space = built()
    space.network.train()
    arch = space.from_text("k7e3,k5e3/k3e3,k3e3/k3e3,k3e3/k3e3,k3e3/k3e3,k3e3")
    with space.activate(arch):
        space.network(images(32)).square().sum().backward()
    blocks = [space.network.stages[0].get_submodule(f"{block}.depthwise.conv") for block in range(3)]
    trained = [{name for name, p in conv.named_parameters() if p.grad is not None} for conv in blocks]
    assert trained == [{"weight"}, {"weight", "transforms.7to5.weight"}, set()]
    conv = space.network.stages[1].get_submodule("0.depthwise.conv")
    assert {n for n, p in conv.named_parameters() if p.grad is not None} == {
        "weight",
        "transforms.7to5.weight",
        "transforms.5to3.weight",
    }
    space.network.zero_grad()


def test_new_transformations_change_nothing() -> None:
    """The centre of the kernel is what an untrained supernet of smaller kernels has."""
    space = built()
    conv = space.network.stages[0].get_submodule("0.depthwise.conv")
    derived = space.derive(space.from_text("k3e3,k3e3/k3e3,k3e3/k3e3,k3e3/k3e3,k3e3/k3e3,k3e3"))
    small = derived.stages[0].get_submodule("0.depthwise.conv").get_parameter("weight")
    assert torch.equal(small, conv.get_parameter("weight")[: len(small), :, 2:5, 2:5])


def test_a_decided_resolution_is_that_of_the_images() -> None:
    space = built(32, 40)
    text = "k3e3,k3e3/k3e3,k3e3/k3e3,k3e3/k3e3,k3e3/k3e3,k3e3"
    network = space.derive(space.from_text(f"r32:{text}")).eval()
    with torch.inference_mode():
        flat = torch.ones(1, 3, 1, 1)
        torch.testing.assert_close(network(flat.expand(1, 3, 32, 32)), network(flat.expand(1, 3, 50, 41)))
        x = images(32)
        plain = space.derive(space.from_text(f"r40:{text}")).eval()
        assert not torch.allclose(network(x), plain(x))
    assert count(network, 32) == count(network, 96) == space.cost(space.from_text(f"r32:{text}"), 33)


def test_recalibrated_statistics_are_those_of_the_path() -> None:
    """In the supernet, whose batch norms hold all channels, and in the derived network alike."""
    space = mobilenet(generator=seeded(5), width=0.125, classes=4)
    arch = space.sample(seeded(6))
    batches = [(images(48, batch=8, seed=seed), torch.zeros(8, dtype=torch.int64)) for seed in range(3)]
    network = space.derive(arch)
    stale, _ = predict(FABRIC, network, batches)
    recalibrate(FABRIC, network, batches)
    logits, _ = predict(FABRIC, network, batches)
    with space.activate(arch):
        recalibrate(FABRIC, space.network, batches)
        assert torch.equal(predict(FABRIC, space.network, batches)[0], logits)
    assert torch.equal(predict(FABRIC, space.derive(arch), batches)[0], logits)
    assert not torch.allclose(stale, logits, atol=1e-3)
    norm, mean = network.stem.get_submodule("bn"), 0.0
    for x, _ in batches:
        mean = mean + network.stem.get_submodule("conv")(x).mean((0, 2, 3)).detach() / 3
    torch.testing.assert_close(norm.get_buffer("running_mean"), mean)
