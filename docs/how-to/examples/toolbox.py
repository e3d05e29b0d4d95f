"""A training loop of your own with a loss, a head, a sampler, a schedule and the metrics of TailorNAS."""

import torch
from sklearn.datasets import load_digits
from torch import nn

from tailornas.data import SAMPLERS
from tailornas.heads import build_head
from tailornas.losses import ScheduleConfig, build_loss, check_head, weights_at
from tailornas.metrics import report
from tailornas.types import ClassCounts

digits = load_digits()
images, labels = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)
test = torch.arange(len(labels)) % 4 == 0
rare = (labels > 4) & (torch.arange(len(labels)) % 10 != 1)  # five classes keep a few of their images
train_images, train_labels = images[~test & ~rare], labels[~test & ~rare]
counts = ClassCounts.of(train_labels, 10)

rng = torch.Generator().manual_seed(0)
torch.manual_seed(0)
body = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16))
head = build_head("cosine", features=16, classes=10, generator=rng)
loss = build_loss("ldam", counts, largest_margin=0.5, scale=30.0)
check_head(loss, head)  # refuses a loss and a head that cannot work together
optimizer = torch.optim.SGD([*body.parameters(), *head.parameters()], lr=0.1, momentum=0.9)

schedule, epochs = ScheduleConfig(name="drw", start=0.8), 60
for epoch in range(epochs):
    order = SAMPLERS["instance"](train_labels, counts, rng, epoch / epochs)
    weights = weights_at(schedule, "auto", counts, progress=epoch / epochs)
    for rows in order.split(64):
        value = loss(head(body(train_images[rows])), train_labels[rows], weights)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

with torch.inference_mode():
    probabilities = loss.probabilities(head(body(images[test])))  # LDAM scales its cosines before the softmax
result = report(probabilities, labels[test], counts, classes=[str(digit) for digit in range(10)])
print(f"balanced accuracy {result.balanced_accuracy:.1%}, worst class {result.worst_class:.1%}")
