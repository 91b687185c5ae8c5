"""Multiply-adds, parameters and activations of any network: a pass on the meta device, nothing is computed."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from dfnas.errors import UserError, reason
from dfnas.models import norms


@dataclass(frozen=True)
class Cost:
    """What one image costs a network: multiply-adds and activations; and its trainable values."""

    macs: int
    activations: int
    parameters: int


def parameters(network: nn.Module) -> int:
    """The number of trainable values."""
    return sum(parameter.numel() for parameter in network.parameters())


def macs(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Multiply-adds of one image of `shape` (channels, height, width): convolutions and products of matrices only."""
    return of(network, shape).macs


def activations(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Values that enter the normalising layers for one image: of batch norms, what the statistics have to read."""
    return of(network, shape).activations


@torch.no_grad()
def of(network: nn.Module, shape: tuple[int, int, int]) -> Cost:
    """All of it, in one pass of a copy on the meta device.

    Raises
    ------
    UserError : a network of somebody else's that computes with values, which are not there.
    """
    pure = copy.deepcopy(network).to("meta").eval()
    sizes: list[int] = []
    for layer in pure.modules():
        if isinstance(layer, (nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)) or norms.remembers(layer):
            layer.register_forward_hook(lambda layer, inputs, _: sizes.append(inputs[0].numel()))
        if type(layer) is nn.BatchNorm2d:
            layer.forward = lambda x: x  # type: ignore  # torch takes a millisecond for its shape
    try:
        with _Counter() as counter:
            pure(torch.empty(1, *shape, device="meta"))
    except Exception as error:
        raise UserError(f"the network's work cannot be counted without computing: {reason(error)}") from None
    return Cost(counter.flops // 2, sum(sizes), parameters(network))


@contextmanager
def without_values() -> Iterator[None]:
    """Inside, networks are built of shapes alone: they take neither memory nor the time to draw weights."""
    with torch.device("meta"), _Counter():
        yield


class _Counter(TorchDispatchMode):
    """Adds up what torch says of each operation; its own such counter brings the compiler, which takes a second."""

    flops = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = _quick(function, args)
        out = function(*args, **(kwargs or {})) if out is None else out
        count = flop_registry.get(function._overloadpacket)
        self.flops += count(*args, **(kwargs or {}), out_val=out) if count else 0
        return out


def _quick(function: Any, args: Any) -> Tensor | None:
    """What the operations give that networks have most of, and whose shapes torch finds out slowly; None of others."""
    if function._schema.name.endswith("_") and torch.Tag.inplace_view not in function.tags:
        return args[0]
    if torch.Tag.pointwise in function.tags:
        shapes = [each.shape for each in args if isinstance(each, Tensor)]
        sides = zip_longest(*map(reversed, shapes), fillvalue=1)
        return _shaped(*reversed([max(each) if min(each) else 0 for each in sides]))
    shape = _SHAPES[function](*args) if function in _SHAPES else None
    return _shaped(*shape) if shape is not None and min(shape, default=1) > 0 else None


def _shaped(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


def _convolved(x: Tensor, weight: Tensor, _: Any, *options: Any) -> list[int] | None:
    strides, paddings, dilations, transposed, _, groups = options
    if transposed or x.dim() != 4 or x.shape[1] != weight.shape[1] * groups:
        return None
    each = zip(x.shape[2:], weight.shape[2:], strides, paddings, dilations, strict=True)
    sides = [
        (side + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1 for side, kernel, stride, pad, dilation in each
    ]
    return [x.shape[0], weight.shape[0], *sides]


def _product(x: Tensor, y: Tensor) -> list[int] | None:
    return [x.shape[0], y.shape[1]] if x.shape[1] == y.shape[0] else None


def _averaged(x: Tensor, over: list[int], keep: bool = False) -> list[int]:
    gone = {number % x.dim() for number in over or range(x.dim())}
    return [1 if number in gone else side for number, side in enumerate(x.shape) if keep or number not in gone]


def _joined(parts: list[Tensor], over: int = 0) -> list[int] | None:
    shape = list(parts[0].shape)
    shape[over] = sum(part.shape[over] for part in parts)
    return shape if all(part.dim() == len(shape) for part in parts) else None


_SHAPES: dict[Any, Callable] = {
    torch.ops.aten.convolution.default: _convolved,
    torch.ops.aten.addmm.default: lambda _, x, y: _product(x, y),
    torch.ops.aten.mm.default: _product,
    torch.ops.aten.mean.dim: _averaged,
    torch.ops.aten.cat.default: _joined,
}
