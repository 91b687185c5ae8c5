"""CIFAR ResNets (He et al., 2016): basic blocks, 3x3 stem of stride 1, no max-pool; and torchvision's networks."""

import torch.nn.functional as F
from torch import Tensor, nn

from dfnas.errors import UserError
from dfnas.models.chain import every

# name -> (blocks of each stage, channels of each stage). ResNet-34 is the paper's CIFAR-10 teacher (appendix B.1).
ARCHITECTURES = {
    "resnet5": ((1, 1), (16, 32)),
    "resnet8": ((1, 1, 1), (16, 32, 64)),
    "resnet20": ((3, 3, 3), (16, 32, 64)),
    "resnet18": ((2, 2, 2, 2), (64, 128, 256, 512)),
    "resnet34": ((3, 4, 6, 3), (64, 128, 256, 512)),
}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, projected by 1x1 where the shape changes."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut: nn.Module = nn.Identity()
        self.stride = stride if channels_in < 8 else 1
        if stride != 1 or channels_in != channels_out:
            projection = nn.Conv2d(channels_in, channels_out, 1, stride // self.stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(every(x, self.stride)))


class ResNet(nn.Module):
    """A stem, stages of basic blocks that halve the side, global average pooling, a linear classifier."""

    def __init__(
        self, blocks: tuple[int, ...], widths: tuple[int, ...], classes: int, channels: int, factor: float = 1.0
    ) -> None:
        super().__init__()
        widths = tuple(max(1, round(width * factor)) for width in widths)
        self.conv = nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(widths[0])
        layers, width_in = [], widths[0]
        for stage, (count, width) in enumerate(zip(blocks, widths, strict=True)):
            for index in range(count):
                layers.append(BasicBlock(width_in, width, 2 if stage and not index else 1))
                width_in = width
        self.layers = nn.Sequential(*layers)
        self.linear = nn.Linear(width_in, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of normalised images [N, channels, S, S]."""
        x = F.relu(self.bn(self.conv(x)))
        return self.linear(self.layers(x).mean((2, 3)))


def build(name: str, classes: int, channels: int = 3) -> nn.Module:
    """A network by name: `resnet20`, `resnet20x0.5` (half as wide); of torchvision `resnet50`, `torchvision:resnet18`.

    Raises
    ------
    UserError
        An unknown name, or images of other than three channels for a network of torchvision.
    """
    if name == "resnet50" or name.startswith("torchvision:"):
        return _torchvision(name.removeprefix("torchvision:"), classes, channels)
    base, _, factor = name.partition("x")
    if base not in ARCHITECTURES or (factor and not (factor.replace(".", "", 1).isdigit() and float(factor))):
        raise UserError(
            f"no network {name!r}; there are {', '.join(ARCHITECTURES)}, resnet50, resnet20x0.5 and so on, and "
            "torchvision:NAME for any of torchvision's"
        )
    return ResNet(*ARCHITECTURES[base], classes, channels, float(factor or 1))


def _torchvision(name: str, classes: int, channels: int) -> nn.Module:
    import torchvision  # imported late: most runs do without

    if channels != 3:
        raise UserError(f"torchvision's networks take images of 3 channels, not {channels}")
    try:
        return torchvision.models.get_model(name, weights=None, num_classes=classes)
    except ValueError:
        raise UserError(f"no network {name!r} in torchvision; there are resnet18, mobilenet_v2, ...") from None
