"""Networks, each at the paper's size and, by configuration alone, at the size of digits and CIFAR."""

from dfnas.models.resnet import build

__all__ = ["build"]
