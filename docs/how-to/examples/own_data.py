"""The training loop of TailorNAS on images that you have as a tensor, without a run folder."""

import torch
from sklearn.datasets import load_digits

from tailornas.data import AugmentConfig, Batches, MemoryImages, ordered, pixel_statistics
from tailornas.losses import build_loss
from tailornas.metrics import report
from tailornas.spaces import cifar_resnet
from tailornas.stages import Detached
from tailornas.training import DeviceConfig, TrainConfig, epoch_sampler, make_fabric, new_head, predict, train
from tailornas.types import TestSplit, TrainSplit

digits = load_digits()
pixels = torch.tensor(digits.images * 255 / 16, dtype=torch.uint8)  # (images, 8, 8)
images = MemoryImages(pixels[:, None].repeat(1, 3, 1, 1))  # uint8 (images, 3, size, size)
labels, rows, classes = torch.tensor(digits.target), torch.arange(len(pixels)), tuple("0123456789")
test = rows % 4 == 0
rare = (labels > 4) & (rows % 10 != 1)  # five classes keep a few of their images
train_split = TrainSplit(images, rows[~test & ~rare], labels[~test & ~rare], classes)
test_split = TestSplit(images, rows[test], labels[test], classes)
normalization = pixel_statistics(train_split)

settings = TrainConfig(loss="ldam", batch_size=64)
fabric, rng = make_fabric(DeviceConfig(), images.size), torch.Generator().manual_seed(0)
network = cifar_resnet(8, len(classes), generator=rng)
network.head = new_head(network, settings, len(classes), rng)  # of the kind that the loss needs: here cosines
network.to(fabric.device).to(memory_format=torch.channels_last)
batches = Batches(
    train_split,
    settings.batch_size,
    normalization,
    AugmentConfig(flip=False),  # a mirrored digit is none
    epoch_sampler(settings),
    seed=0,
    position="train",
    device=fabric.device,
)
train(fabric, network, batches, settings, epochs=12, seed=0, stage=Detached())  # Detached keeps no checkpoints

loss = build_loss(settings.loss, train_split.counts, **settings.loss_settings)
logits, labels = predict(fabric, network, ordered(test_split, 256, normalization, fabric.device))
result = report(loss.probabilities(logits), labels, train_split.counts, classes)
print(f"balanced accuracy {result.balanced_accuracy:.1%}, worst class {result.worst_class:.1%}")
