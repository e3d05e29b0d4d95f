from torch import nn

from tailornas.spaces import Choice


def conv(kernel, groups=1):
    return nn.Sequential(nn.Conv2d(16, 16, kernel, padding="same", groups=groups), nn.BatchNorm2d(16), nn.ReLU())


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.first = Choice("first", {"conv3": conv(3), "conv5": conv(5), "skip": nn.Identity()})
        self.second = Choice("second", {"conv3": conv(3), "depthwise5": conv(5, groups=16), "skip": nn.Identity()})
        self.third = Choice("third", {"max": nn.MaxPool2d(3, 1, 1), "average": nn.AvgPool2d(3, 1, 1)})
        self.head = nn.Linear(16, classes)

    def forward(self, images):
        x = self.third(self.second(self.first(self.stem(images))))
        return self.head(x.mean((2, 3)))
