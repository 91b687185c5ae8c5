"""Networks of others, as test fixtures: a CIFAR ResNet-20 with option-A shortcuts, and one without batch norms."""

import torch.nn.functional as F
from torch import nn

from dfnas import models


class Shortcut(nn.Module):
    """Option A (He et al., 2016): every second pixel, and channels of zeros; no parameters."""

    def __init__(self, channels):
        super().__init__()
        self.channels = channels

    def forward(self, x):
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.channels // 4, self.channels // 4))


class Block(nn.Module):
    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = Shortcut(channels) if stride > 1 else nn.Sequential()

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class OptionA(nn.Module):
    """ResNet-20 for CIFAR."""

    def __init__(self, classes=10, channels=3):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(Block(16, 32, 2), *(Block(32, 32, 1) for _ in range(2)))
        self.layer3 = nn.Sequential(Block(32, 64, 2), *(Block(64, 64, 1) for _ in range(2)))
        self.linear = nn.Linear(64, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(F.avg_pool2d(x, x.shape[3]).flatten(1))


def grouped(name="resnet5", classes=10, channels=1):
    """A network by name with group norms in the place of its batch norms."""
    network = models.build(name, classes, channels, seed=0)
    for module in list(network.modules()):
        for label, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, label, nn.GroupNorm(4, child.num_features))
    return network
