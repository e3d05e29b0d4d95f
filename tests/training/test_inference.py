from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from tailornas.data import Dataset, ordered
from tailornas.training import DeviceConfig, batch_statistics, make_fabric, predict, recalibrate

FP32 = make_fabric(DeviceConfig(accelerator="cpu", precision="fp32"))
BF16 = make_fabric(DeviceConfig(accelerator="cpu", precision="bf16"))


def batches(digits: Dataset, images: int = 100, size: int = 32) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of which the last is smaller."""
    return ordered(digits.train.subset(torch.arange(images)), size, digits.normalization, FP32.device)


def network_with_norms() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.BatchNorm2d(3),
            nn.Conv2d(3, 6, 3),
            nn.BatchNorm2d(6, momentum=0.3),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(216, 10),
        )


def statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and unbiased variance of each channel."""
    channels = images.transpose(0, 1).flatten(1).double()
    return channels.mean(1), channels.var(1)


def test_statistics_become_the_average_of_the_batches_by_their_images(digits: Dataset) -> None:
    network = network_with_norms()
    for images, _ in batches(digits, 7):
        network(images * 100)  # what the network has seen before is forgotten
    recalibrate(FP32, network, batches(digits))

    first, conv, second = network[0], network[1], network[2]
    assert isinstance(first, nn.BatchNorm2d)
    assert isinstance(second, nn.BatchNorm2d)
    at_first, at_second = [], []
    for images, _ in batches(digits):
        at_first.append(statistics(images))
        biased = images.transpose(0, 1).flatten(1).var(1, correction=0)
        normalized = (images - at_first[-1][0].float()[:, None, None]) / (biased + first.eps).sqrt()[:, None, None]
        with torch.no_grad():
            at_second.append(statistics(conv(normalized)))
    assert len(at_first) == 4
    for norm, seen in ((first, at_first), (second, at_second)):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        sizes = torch.tensor([32, 32, 32, 4], dtype=torch.float64)[:, None] / 100
        mean = (torch.stack([mean for mean, _ in seen]) * sizes).sum(0)
        var = (torch.stack([var for _, var in seen]) * sizes).sum(0)
        torch.testing.assert_close(norm.running_mean.double(), mean, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(norm.running_var.double(), var, rtol=1e-4, atol=1e-4)


def test_statistics_are_those_of_the_precision_of_predictions(digits: Dataset) -> None:
    means = []
    for fabric in (FP32, BF16):
        network = network_with_norms()
        recalibrate(fabric, network, batches(digits))
        means.append(network.get_buffer("2.running_mean"))  # behind a convolution
    assert not torch.equal(*means)
    torch.testing.assert_close(*means, rtol=0.05, atol=0.01)


def test_momentum_and_weights_stay_as_they_are(digits: Dataset) -> None:
    network = network_with_norms()
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    recalibrate(FP32, network, batches(digits))
    assert [norm.momentum for norm in network.modules() if isinstance(norm, nn.BatchNorm2d)] == [0.1, 0.3]
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.requires_grad
        assert parameter.grad is None


def test_a_recalibrated_network_can_be_trained(digits: Dataset) -> None:
    """Tensors made in inference mode cannot take part in a graph: none may be left in the network."""
    network = network_with_norms()
    recalibrate(FP32, network, batches(digits))
    network.train()
    images, labels = next(batches(digits))
    torch.autograd.backward(nn.functional.cross_entropy(network(images), labels))
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_batch_statistics_normalize_by_the_batch_and_are_not_kept(digits: Dataset) -> None:
    network = network_with_norms()[:3]  # without dropout
    recalibrate(FP32, network, batches(digits))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    images, _ = next(batches(digits))
    with torch.no_grad():
        training = network.train()(images)
        network.load_state_dict(before)
        with batch_statistics(network.eval()):
            assert torch.equal(network(images), training)
        with pytest.raises(InterruptedError), batch_statistics(network):
            raise InterruptedError
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert [norm.track_running_stats for norm in network.modules() if isinstance(norm, nn.BatchNorm2d)] == [True, True]


def test_recalibration_draws_nothing_and_its_statistics_are_those_of_predictions(digits: Dataset) -> None:
    network = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(3))
    state = torch.random.get_rng_state()
    recalibrate(FP32, network, batches(digits, 64, size=64))
    assert torch.equal(torch.random.get_rng_state(), state)
    images, _ = next(batches(digits, 64, size=64))
    norm = network[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    torch.testing.assert_close(norm.running_mean.double(), statistics(images)[0], rtol=1e-4, atol=1e-4)


def test_a_last_batch_of_one_image_is_left_out(digits: Dataset) -> None:
    """It has no variance where feature maps are a pixel large."""
    whole, without = (nn.Sequential(nn.AvgPool2d(8), nn.BatchNorm2d(3)) for _ in range(2))
    recalibrate(FP32, whole, batches(digits, 65, size=64))
    recalibrate(FP32, without, batches(digits, 64, size=64))
    assert [torch.equal(a, b) for a, b in zip(whole.buffers(), without.buffers(), strict=True)] == [True] * 3


def test_a_network_without_batch_norm(digits: Dataset) -> None:
    recalibrate(FP32, nn.Sequential(nn.Flatten(), nn.Linear(192, 10)), batches(digits))


def test_predictions_are_in_order_and_in_evaluation_mode(digits: Dataset) -> None:
    network = network_with_norms()
    recalibrate(FP32, network, batches(digits))
    network.train()
    logits, targets = predict(FP32, network, batches(digits))
    assert not any(module.training for module in network.modules())
    assert logits.shape == (100, 10)
    assert not logits.requires_grad
    assert torch.equal(targets, digits.train.labels[:100])
    images = torch.cat([images for images, _ in batches(digits)])
    with torch.no_grad():
        torch.testing.assert_close(logits, network(images))

    # Neither the size of the batches nor asking again changes anything: no statistics of a batch, no dropout.
    torch.testing.assert_close(predict(FP32, network, batches(digits, size=7))[0], logits)
    assert torch.equal(predict(FP32, network, batches(digits))[0], logits)


def test_predicting_changes_nothing_in_the_network(digits: Dataset) -> None:
    network = network_with_norms()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    predict(FP32, network, batches(digits))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_logits_are_float32_whatever_the_precision(digits: Dataset) -> None:
    network = network_with_norms().eval()
    exact, _ = predict(FP32, network, batches(digits))
    rounded, _ = predict(BF16, network, batches(digits))
    assert rounded.dtype == exact.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, rtol=0.1, atol=0.1)
