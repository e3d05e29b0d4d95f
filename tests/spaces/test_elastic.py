"""Elastic layers: slices by hand, mixtures by their definition, what is refused."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tailornas.errors import ArchitectureError
from tailornas.spaces import Backbone, SearchSpace, initialise
from tailornas.spaces.dimension import Dimension, Number, current, largest
from tailornas.spaces.elastic import ElasticBatchNorm2d, ElasticDepth, ElasticLinear
from tailornas.spaces.elastic_conv import ElasticConv2d
from tailornas.training import DeviceConfig, batch_statistics, make_fabric, recalibrate
from tailornas.types import Architecture


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator(7))


def mixed(dimension: Dimension, *weights: float) -> Tensor:
    values = torch.tensor(weights, requires_grad=True)
    dimension.active = values.unbind()
    return values


class Times(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        return x * self.factor


def test_dimension_is_the_number_that_is_active() -> None:
    width = Dimension("width", {"narrow": 2, "wide": 5, "middle": 3})
    assert (largest(width), largest(4), current(4)) == (5, 4, 4)
    width.active = "middle"
    assert current(width) == 3
    mixed(width, 1.0, 0.0, 0.0)
    assert current(width) == 5


def test_path_convolves_with_the_first_channels_and_the_centre_of_the_kernel() -> None:
    inputs, outputs = Dimension("i", {"2": 2, "4": 4}), Dimension("o", {"3": 3, "5": 5})
    kernel = Dimension("k", {"3": 3, "7": 7, "5": 5})
    conv = ElasticConv2d(inputs, outputs, kernel, stride=2, bias=True)
    inputs.active, outputs.active, kernel.active = "2", "3", "5"
    assert conv.bias is not None
    expected = F.conv2d(draw(2, 2, 9, 9), conv.weight[:3, :2, 1:6, 1:6], conv.bias[:3], stride=2, padding=2)
    torch.testing.assert_close(conv(draw(2, 2, 9, 9)), expected)


def test_path_leaves_the_gradient_outside_of_its_slice_zero() -> None:
    width, kernel = Dimension("w", {"1": 1, "3": 3}), Dimension("k", {"1": 1, "3": 3})
    conv = ElasticConv2d(2, width, kernel)
    width.active, kernel.active = "1", "1"
    conv(torch.ones(1, 2, 4, 4)).sum().backward()
    assert conv.weight.grad is not None
    assert conv.weight.grad.nonzero().tolist() == [[0, 0, 1, 1], [0, 1, 1, 1]]


def test_depthwise_convolution_keeps_channels_apart() -> None:
    width = Dimension("w", {"2": 2, "4": 4})
    conv = ElasticConv2d(width, width, 3, depthwise=True)
    width.active = "2"
    x = draw(1, 2, 5, 5)
    torch.testing.assert_close(conv(x), F.conv2d(x, conv.weight[:2], padding=1, groups=2))


def test_transformed_kernels_are_made_from_the_next_larger_ones() -> None:
    kernel = Dimension("k", {"3": 3, "5": 5, "7": 7})
    conv = ElasticConv2d(2, 2, kernel, depthwise=True, transform=True)
    assert [name for name, _ in conv.transforms.named_parameters()] == ["7to5.weight", "5to3.weight"]
    x = draw(1, 2, 6, 6)
    kernel.active = "3"
    torch.testing.assert_close(conv(x), F.conv2d(x, conv.weight[..., 2:5, 2:5], padding=1, groups=2))  # at first
    first = conv.transforms.get_parameter("7to5.weight").data.copy_(draw(25, 25))
    second = conv.transforms.get_parameter("5to3.weight").data.copy_(draw(9, 9))
    five = (conv.weight[..., 1:6, 1:6].reshape(2, 25) @ first.T).view(2, 1, 5, 5)
    three = (five[..., 1:4, 1:4].reshape(2, 9) @ second.T).view(2, 1, 3, 3)
    torch.testing.assert_close(conv(x), F.conv2d(x, three, padding=1, groups=2))
    kernel.active = "5"
    torch.testing.assert_close(conv(x), F.conv2d(x, five, padding=2, groups=2))
    kernel.active = "7"
    torch.testing.assert_close(conv(x), F.conv2d(x, conv.weight, padding=3, groups=2))
    initialise(conv, generator())
    assert torch.equal(first, torch.eye(25))


def test_mixture_of_kernels_is_the_sum_of_their_outputs() -> None:
    kernel = Dimension("k", {"1": 1, "3": 3, "5": 5})
    conv, x = ElasticConv2d(2, 3, kernel), draw(1, 2, 6, 6)
    outputs = []
    for name in kernel.names:
        kernel.active = name
        outputs.append(conv(x).detach())
    weights = mixed(kernel, 0.5, 0.2, 0.3)
    output = conv(x)
    torch.testing.assert_close(output, 0.5 * outputs[0] + 0.2 * outputs[1] + 0.3 * outputs[2])
    output.square().sum().backward()
    assert weights.grad is not None and bool((weights.grad != 0).all())


def test_mixture_of_widths_scales_each_channel_by_the_weight_of_the_widths_that_have_it() -> None:
    width = Dimension("w", {"2": 2, "1": 1, "4": 4})
    conv, norm, linear = ElasticConv2d(3, width, 1), ElasticBatchNorm2d(width).eval(), ElasticLinear(3, width)
    mixed(width, 0.5, 0.2, 0.3)
    scale = torch.tensor([1.0, 0.8, 0.3, 0.3])
    x = draw(2, 3, 2, 2)
    full = F.conv2d(x, conv.weight)
    torch.testing.assert_close(conv(x), full)  # the batch norm behind it scales
    torch.testing.assert_close(norm(full), full / (1 + norm.eps) ** 0.5 * scale.view(-1, 1, 1))
    torch.testing.assert_close(linear(x.mean((2, 3))), F.linear(x.mean((2, 3)), linear.weight, linear.bias) * scale)
    for alone in (ElasticConv2d(3, width, 1, masked=True), ElasticConv2d(3, width, 1, bias=True)):
        torch.testing.assert_close(alone(x), F.conv2d(x, alone.weight, alone.bias) * scale.view(-1, 1, 1))


def test_depth_runs_the_first_blocks_and_mixes_the_outputs_after_each() -> None:
    blocks = [Times(2.0), Times(3.0), Times(5.0)]
    depth = Dimension("d", {"0": 0, "3": 3, "2": 2})
    stage = ElasticDepth(depth, blocks)
    depth.active = "2"
    assert stage(torch.ones(1)).item() == 6
    assert [block.runs for block in blocks] == [1, 1, 0]
    weights = mixed(depth, 0.5, 0.25, 2.0)
    output = stage(torch.ones(1))
    assert output.item() == 0.5 + 0.25 * 30 + 2 * 6
    output.backward()
    assert weights.grad is not None and weights.grad.tolist() == [1, 30, 6]


def test_mixture_of_depths_refuses_what_would_silently_be_wrong() -> None:
    depth = Dimension("d", {"1": 1, "2": 2})
    mixed(depth, 0.5, 0.5)
    with pytest.raises(ArchitectureError, match=r"depth 'd' .*: its options return 1 \(1, 2, 4, 4\), 2 \(1, 2, 1, 1\)"):
        ElasticDepth(depth, [nn.ReLU(), nn.AdaptiveAvgPool2d(1)])(draw(1, 2, 4, 4))
    with pytest.raises(ArchitectureError, match="block 2 of depth 'd' changes its input in place"):
        ElasticDepth(depth, [nn.ReLU(), nn.ReLU(inplace=True)])(draw(1, 2, 4, 4))


def test_batch_norm_tracks_the_channels_that_run() -> None:
    width = Dimension("w", {"1": 1, "2": 2})
    norm, plain = ElasticBatchNorm2d(width), nn.BatchNorm2d(1)
    width.active = "1"
    x = 3 + draw(4, 1, 2, 2)
    torch.testing.assert_close(norm(x), plain(x))
    assert norm.running_mean is not None and plain.running_mean is not None
    assert norm.running_mean.tolist() == [plain.running_mean.item(), 0]
    state = {name: value.clone() for name, value in norm.state_dict().items()}
    with batch_statistics(norm):
        torch.testing.assert_close(norm(x), plain(x))
    assert all(torch.equal(value, state[name]) for name, value in norm.state_dict().items())


class Small(Backbone):
    def __init__(self) -> None:
        width = Dimension("width", {"2": 2, "4": 4})
        super().__init__(width, 3)
        self.conv, self.bn = ElasticConv2d(3, width, 3), ElasticBatchNorm2d(width)
        self.conv2, self.bn2 = ElasticConv2d(width, width, 3), ElasticBatchNorm2d(width)

    def features(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn(self.conv(x)))))
        return torch.as_tensor(y.mean((2, 3)))


@pytest.mark.parametrize("option", ["2", "4"])
def test_recalibrating_a_path_is_recalibrating_its_network(option: str) -> None:
    space, arch = SearchSpace(Small()), Architecture((("width", option),))
    batches = [(3 * draw(4, 3, 5, 5) + shift, torch.zeros(4)) for shift in (0, 1, 5)]
    network = space.derive(arch)
    fabric = make_fabric(DeviceConfig(precision="fp32"))
    recalibrate(fabric, network, batches)
    with space.activate(arch):
        recalibrate(fabric, space.network, batches)
    again = space.derive(arch)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in network.state_dict().items())
    assert again.bn2.running_mean is not None and float(again.bn2.running_mean.abs().max()) > 0


def test_backbone_with_features_of_a_decided_length() -> None:
    space = SearchSpace(Small())
    network = space.derive(Architecture((("width", "2"),)))
    assert (space.network.feature_dim, network.feature_dim) == (4, 2)
    assert type(network.head) is nn.Linear
    assert network.head.weight.shape == (3, 2)
    state = torch.get_rng_state()
    space.network.head = space.network.new_head(7, generator())
    assert torch.equal(state, torch.get_rng_state())
    replaced = space.derive(Architecture((("width", "2"),)))
    assert type(replaced.head) is nn.Linear
    assert replaced.head.weight.shape == (7, 2)
    assert replaced(draw(1, 3, 4, 4)).shape == (1, 7)
    assert network.new_head(7, generator())(torch.ones(1, 2)).shape == (1, 7)


def test_decisions_of_blocks_that_do_not_run_take_their_first_option() -> None:
    kernels = [Dimension(f"kernel{place}", {"5": 5, "3": 3}) for place in range(2)]
    blocks = [ElasticConv2d(3, 3, kernel) for kernel in kernels]
    space = SearchSpace(ElasticDepth(Dimension("depth", {"1": 1, "2": 2}), blocks))
    assert list(space.decisions) == ["depth", "kernel0", "kernel1"]
    arch = Architecture((("depth", "1"), ("kernel0", "3"), ("kernel1", "3")))
    assert dict(space.simplify(arch)) == {"depth": "1", "kernel0": "3", "kernel1": "5"}
    assert space.simplify(arch.replace("depth", "2")) == arch.replace("depth", "2")


def test_dimension_of_any_module_is_a_decision_and_a_number_in_the_derived_network() -> None:
    class Resized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.size: Number = Dimension("size", {"4": 4, "6": 6})
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return torch.as_tensor(self.conv(F.adaptive_avg_pool2d(x, current(self.size))))

    space = SearchSpace(Resized())
    with pytest.raises(ArchitectureError, match="'size' can only be searched by paths"):
        space.mix({"size": torch.ones(2) / 2})
    network = space.derive(Architecture((("size", "6"),)))
    assert type(network.size) is int
    assert network(draw(1, 3, 9, 9)).shape[-1] == 4


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Dimension("d", {}), "dimension 'd' has no options"),
        (lambda: Dimension("d", {"a": -1}), "dimension 'd' has the option -1: expected none below 0"),
        (lambda: ElasticConv2d(3, Dimension("w", {"0": 0, "1": 1}), 3), "outputs can be 0: expected at least 1"),
        (lambda: ElasticConv2d(3, 3, Dimension("k", {"3": 3, "4": 4})), r"kernel sizes \[3, 4\]: expected odd ones"),
        (lambda: ElasticConv2d(3, 4, 3, depthwise=True), "depthwise convolution from 3 to 4: expected the same"),
        (lambda: ElasticBatchNorm2d(Dimension("w", {"0": 0})), "features can be 0"),
        (lambda: ElasticLinear(0, 1), "inputs can be 0"),
        (lambda: ElasticDepth(Dimension("d", {"2": 2}), [nn.ReLU()]), "depth 'd' of at most 2 blocks: got 1 of them"),
        (lambda: current(Dimension("d", {"2": 2})), r"dimension 'd' has nothing active.*space\.activate"),
    ],
)
def test_what_is_refused(build: object, message: str) -> None:
    assert callable(build)
    with pytest.raises(ArchitectureError, match=message):
        build()


def test_a_kept_key_with_other_names_is_refused() -> None:
    one, other = Dimension("w", {"2": 2}), Dimension("w", {"3": 3})
    with pytest.raises(ArchitectureError, match=r"share the key 'w'.*one has 2, another 3"):
        SearchSpace(nn.Sequential(ElasticBatchNorm2d(one), ElasticBatchNorm2d(other)))
