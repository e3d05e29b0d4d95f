"""Average pooling, the cell's operations, initialisation."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tailornas.errors import ArchitectureError
from tailornas.spaces.operations import AvgPool, Identity, Node, ReLUConvBN, Zero, average_pool, initialise


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (2, 2), (2, 5), (3, 3), (7, 8)])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_average_pool_is_torchs_own(size: tuple[int, int], memory_format: torch.memory_format) -> None:
    x = torch.randn(3, 5, *size).contiguous(memory_format=memory_format).requires_grad_()
    expected = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    upstream = torch.randn(expected.shape)
    torch.testing.assert_close(average_pool(x), expected)
    torch.testing.assert_close(
        torch.autograd.grad(average_pool(x), x, upstream), torch.autograd.grad(expected, x, upstream)
    )


def test_average_pool_by_hand() -> None:
    x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]).view(1, 1, 3, 3)
    assert average_pool(x).view(3, 3).tolist() == [[3.0, 3.5, 4.0], [4.5, 5.0, 5.5], [6.0, 6.5, 7.0]]


def test_average_pool_keeps_the_dtype_and_its_precision_under_autocast() -> None:
    x = torch.randn(2, 4, 6, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(average_pool(x), average_pool(x).float())
        assert average_pool(x).dtype is torch.float32
        half = average_pool(x.bfloat16())
    assert half.dtype is torch.bfloat16
    # A constant image stays constant: a kernel of 1/9 in bfloat16 would make it 0.2% brighter.
    ones = torch.ones(1, 2, 5, 5, dtype=torch.bfloat16)
    assert torch.equal(average_pool(ones), ones)
    exact = F.avg_pool2d(x.bfloat16().float(), 3, 1, 1, count_include_pad=False)
    assert ((half.float() - exact).abs() <= 2**-7 * exact.abs().clamp(min=0.1)).all()


def test_average_pool_built_under_inference_mode_can_be_trained_afterwards() -> None:
    with torch.inference_mode():
        average_pool(torch.ones(1, 2, 4, 4))
    x = torch.ones(1, 2, 4, 4, requires_grad=True)
    assert torch.autograd.grad(average_pool(x).sum(), x)[0].sum() == 32


def test_a_node_computes_what_its_edges_share_once_and_leaves_its_value_alone() -> None:
    value = torch.randn(2, 4, 5, 5)
    before = value.clone()
    node = Node(value)
    assert node.rectified is node.rectified
    assert node.pooled is node.pooled
    assert torch.equal(node.rectified, F.relu(before))
    assert torch.equal(node.value, before)


def test_operations_on_a_node() -> None:
    node = Node(torch.randn(2, 4, 5, 5))
    conv = ReLUConvBN(4, 6, 3, stride=2)
    assert Zero()(node) is None
    assert Identity()(node) is node.value
    assert AvgPool()(node) is node.pooled
    assert torch.equal(conv(node), conv.bn(conv.conv(F.relu(node.value))))
    assert conv(node).shape == (2, 6, 3, 3)


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(8, 64, 3, bias=True), nn.BatchNorm2d(64), nn.Linear(100, 30), nn.PReLU())


def test_initialise_draws_the_documented_scales() -> None:
    conv, norm, linear, _ = net = network()
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert isinstance(linear, nn.Linear)
    norm(torch.randn(4, 64, 3, 3) + 5)
    nn.init.constant_(norm.weight, 7.0)
    initialise(net, torch.Generator().manual_seed(0))
    assert conv.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)
    assert conv.bias is not None
    assert 0.08 < conv.bias.abs().max().item() <= 72**-0.5
    assert (norm.weight == 1).all()
    assert (norm.bias == 0).all()
    assert norm.running_mean is not None
    assert (norm.running_mean == 0).all()
    assert norm.num_batches_tracked == 0
    assert 0.095 < linear.weight.abs().max().item() <= 0.1


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm1d(3, affine=False), nn.BatchNorm3d(3), nn.InstanceNorm1d(3, track_running_stats=True)]
)
def test_initialise_forgets_the_statistics_of_every_norm(norm: nn.BatchNorm1d) -> None:
    norm(torch.randn(4, 3, *[2] * (3 if isinstance(norm, nn.BatchNorm3d) else 1)) + 5)
    initialise(norm, torch.Generator())
    assert norm.running_mean is not None and norm.running_mean.tolist() == [0, 0, 0]
    assert norm.running_var is not None and norm.running_var.tolist() == [1, 1, 1]


def test_initialise_depends_on_the_generator_alone() -> None:
    def drawn(seed: int, memory_format: torch.memory_format = torch.contiguous_format) -> list[torch.Tensor]:
        net = network().to(memory_format=memory_format)
        initialise(net, torch.Generator().manual_seed(seed))
        return list(net.parameters())

    first = drawn(0)
    again = drawn(0, torch.channels_last)
    other = drawn(1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_initialise_puts_the_global_generator_back() -> None:
    net = network()
    state = torch.random.get_rng_state()
    initialise(net, torch.Generator())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_initialise_refuses_parameters_that_it_cannot_draw() -> None:
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

    with pytest.raises(ArchitectureError, match=r"Scale '1' owns parameters.*reset_parameters"):
        initialise(nn.Sequential(nn.ReLU(), Scale()), torch.Generator())


def test_fan_out_is_that_of_a_group() -> None:
    depthwise = nn.Conv2d(400, 400, 5, groups=400)
    initialise(depthwise, torch.Generator().manual_seed(0))
    assert depthwise.weight.std().item() == pytest.approx((2 / 25) ** 0.5, rel=0.05)


def test_batch_norm_without_scale_and_shift() -> None:
    block = ReLUConvBN(2, 3, 1, affine=False)
    assert [name for name, _ in block.named_parameters()] == ["conv.weight"]
