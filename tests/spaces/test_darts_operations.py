"""The operations of DARTS cells: shapes, sharing, the dilated convolution against PyTorch's."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tailornas.spaces.darts_operations import Concatenation, DilatedConv, FactorizedReduce, FeatureMap, operation
from tailornas.spaces.genotype import OPERATIONS, PRIMITIVES


def images(channels: int, size: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, channels, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("search", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", OPERATIONS[1:])
def test_operations_keep_the_size_or_halve_it_rounded_up(name: str, stride: int, search: bool) -> None:
    module = operation(name, 4, stride, search=search)
    for size in (1, 5, 8):
        output = module(FeatureMap(images(4, size)))
        assert output.shape == (2, 4, -(-size // stride), -(-size // stride))


def test_none_is_nothing() -> None:
    assert operation("none", 4, 2, search=True)(FeatureMap(images(4, 5))) is None


@pytest.mark.parametrize("name", PRIMITIVES[1:])
def test_search_operations_are_normalized_without_scale_and_shift(name: str) -> None:
    for stride in (1, 2):
        module = operation(name, 4, stride, search=True)
        norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
        assert all(norm.weight is None for norm in norms)
        if norms:
            output = module(FeatureMap(images(4, 8)))
            torch.testing.assert_close(output.mean((0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
        evaluation = operation(name, 4, stride, search=False)
        assert all(norm.weight is not None for norm in evaluation.modules() if isinstance(norm, nn.BatchNorm2d))


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 4, 5, 8])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_dilated_convolution_is_that_of_pytorch(
    kernel: int, stride: int, size: int, memory_format: torch.memory_format
) -> None:
    conv = DilatedConv(3, kernel, stride).double()
    x = images(3, size).double().contiguous(memory_format=memory_format).requires_grad_()
    expected = F.conv2d(x, conv.weight, stride=stride, padding=kernel - 1, dilation=2, groups=3)
    by_definition = torch.autograd.grad(expected.square().sum(), (x, conv.weight))
    output = conv(x)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(torch.autograd.grad(output.square().sum(), (x, conv.weight)), by_definition)
    with torch.inference_mode():
        torch.testing.assert_close(conv(x), expected)


def test_dilated_convolution_keeps_channels_last() -> None:
    x = images(3, 8, batch=4).contiguous(memory_format=torch.channels_last)
    assert DilatedConv(3, 5, 1)(x).is_contiguous(memory_format=torch.channels_last)


def test_factorized_reduction_sees_every_pixel() -> None:
    reduce = FactorizedReduce(1, 2, affine=True).eval()
    for conv in (reduce.conv1, reduce.conv2):
        nn.init.ones_(conv.weight)
    x = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3)
    first, second = reduce(FeatureMap(x))[0] * (1 + 1e-5) ** 0.5
    torch.testing.assert_close(first, torch.tensor([[1.0, 3.0], [7.0, 9.0]]))
    torch.testing.assert_close(second, torch.tensor([[5.0, 0.0], [0.0, 0.0]]))


def test_nodes_compute_once_what_their_edges_share() -> None:
    node = FeatureMap(images(3, 4))
    assert node.rectified is node.rectified
    for kind in ("max", "avg"):
        assert node.pooled(kind, 1) is node.pooled(kind, 1)
        assert node.pooled(kind, 2) is not node.pooled(kind, 1)
    pooled = F.avg_pool2d(node.value, 3, 1, 1, count_include_pad=False)
    torch.testing.assert_close(node.pooled("avg", 1), pooled)
    torch.testing.assert_close(node.pooled("avg", 2), pooled[:, :, ::2, ::2])
    torch.testing.assert_close(node.pooled("max", 2), F.max_pool2d(node.value, 3, 1, 1)[:, :, ::2, ::2])


def test_the_relu_of_a_concatenation_is_that_of_its_nodes() -> None:
    both = Concatenation([FeatureMap(images(2, 3)), FeatureMap(-images(2, 3))])
    assert torch.equal(both.rectified, F.relu(both.value))
    assert both.rectified is both.rectified


@pytest.mark.parametrize("name", PRIMITIVES[1:])
def test_gradients_are_right_in_spite_of_in_place_operations(name: str) -> None:
    for stride in (1, 2):
        module = operation(name, 2, stride, search=False).double()
        x = images(2, 4).double().requires_grad_()
        assert torch.autograd.gradcheck(lambda x, module=module: module(FeatureMap(x)), (x,), atol=1e-4)
