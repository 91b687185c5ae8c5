"""Networks, each at the paper's size and, by configuration alone, at the size of digits and CIFAR."""

import dataclasses
from typing import TypeVar

import torch
from torch import nn

from dfnas.errors import UserError, reason
from dfnas.models import darts, mbconv, nasbench, pruning, resnet, shufflenet

Space = TypeVar("Space", shufflenet.Space, mbconv.Space)


def build(
    name: str,
    classes: int,
    channels: int = 3,
    seed: int | None = None,
    *,
    auxiliary: bool = False,
    dropout: float | None = None,
) -> nn.Module:
    """A network by name (`resnet20`, `resnet20x0.5`, `resnet50`) or by its architecture's text (`darts:…`, `spos:…`).

    `torchvision:NAME` and `timm:NAME` (where timm is installed) are networks of these libraries.

    With a seed, the initial weights are a function of it alone, whatever ran before. `auxiliary` adds DARTS's auxiliary
    head, which answers in train mode alone. `dropout`, before the classifier of SPOS's and ProxylessNAS's networks, is
    part of training and in no text; None: the spaces' default.

    Raises
    ------
    UserError
        An unknown name, or a text that says no architecture.
    """
    if seed is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build(name, classes, channels, auxiliary=auxiliary, dropout=dropout)
    if auxiliary and not name.startswith("darts:"):
        raise UserError(f"{name.partition(';')[0]} has no auxiliary head: only darts: networks have one")
    if name.startswith("darts:"):
        return darts.Network(*darts.from_text(name), classes, channels, auxiliary=auxiliary)
    if name.startswith("spos:"):
        choices, space = shufflenet.from_text(name)
        return shufflenet.Network(_with(space, dropout), choices, classes, channels)
    if name.startswith("pruned:"):
        encoding, full = pruning.from_text(name)
        return pruning.Network(full, encoding, classes, channels)
    if name.startswith("proxyless:"):
        operations, mobile = mbconv.from_text(name)
        return mbconv.Network(_with(mobile, dropout), operations, classes, channels)
    if name.startswith("nasbench:"):
        published, only = nasbench.from_network_text(name)
        return nasbench.Supernet(published, classes, channels, None, only)
    if name.startswith("timm:"):
        return _timm(name.removeprefix("timm:"), classes, channels)
    return resnet.build(name, classes, channels)


def _timm(name: str, classes: int, channels: int) -> nn.Module:
    try:
        import timm  # an extra: most runs do without
    except ImportError:
        raise UserError(f"timm:{name} needs the package timm: pip install timm") from None
    try:
        return timm.create_model(name, pretrained=False, num_classes=classes, in_chans=channels)
    except Exception as error:  # timm raises many kinds
        raise UserError(
            f"timm builds no network {name!r} ({reason(error)}): timm.list_models() names its own"
        ) from None


def _with(space: Space, dropout: float | None) -> Space:
    return space if dropout is None else dataclasses.replace(space, dropout=dropout)


__all__ = ["build"]
