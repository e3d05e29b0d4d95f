"""A training loop of your own on images of TailorNAS: batches, a loss with a schedule, and the measurement."""

import torch

from tailornas.data import SAMPLERS, AugmentConfig, Batches, DataConfig, ordered, prepare
from tailornas.losses import ScheduleConfig, build_loss, weights_at
from tailornas.metrics import report
from tailornas.spaces import cifar_resnet
from tailornas.training import DeviceConfig, make_fabric, predict

data = prepare(DataConfig(data="digits", imbalance_factor=10), seed=0)  # or a benchmark, or a path of your images
counts = data.train.counts
fabric = make_fabric(DeviceConfig(), data.image_size)  # the best device there is, and bf16 where that pays
augment = AugmentConfig().for_dataset(data.flip)
batches = Batches(data.train, 64, data.normalization, augment, SAMPLERS["instance"], 0, "train", fabric.device)

network = cifar_resnet(8, len(data.classes), generator=torch.Generator().manual_seed(0))
network.to(fabric.device).to(memory_format=torch.channels_last)
loss = build_loss("ce", counts)
loss.begin(network.head)  # class_balanced_focal sets the bias of a new head; the others leave it
optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=2e-4)

schedule, epochs, step = ScheduleConfig(name="drw", start=0.6), 10, 0
for epoch in range(epochs):
    network.train()
    for images, labels in batches.epoch(epoch, epochs):
        weights = weights_at(schedule, "auto", counts, step / (epochs * len(batches)), fabric.device)
        with fabric.autocast():
            value = loss(network(images), labels, weights)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        step += 1

logits, labels = predict(fabric, network, ordered(data.test, 256, data.normalization, fabric.device))
result = report(loss.probabilities(logits), labels, counts, data.classes)
print(f"balanced accuracy {result.balanced_accuracy:.1%}, worst class {result.worst_class:.1%}")
