"""The depthwise and pointwise convolutions of small networks, in forms that train quickly on a CPU.

Parameters and state dict stay what they were, and so do all results, up to rounding.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDEST = 3  # columns of a kernel up to which the gradient of depthwise weights is fast (by a factor of 20)
# Depthwise convolutions are slow in bf16 on CPUs, and the gradients below are written for one type.
FORWARD = torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
BACKWARD = torch.amp.custom_bwd(device_type="cpu")
# Kernel and dilation at which torch's own gradients are slow: 3x3 without dilation is left to it.
SHAPES = {(5, 1), (7, 1), (3, 2), (5, 2), (7, 2)}
WIDE = 128  # channels, in or out, up to which a pointwise convolution was seen to be slower than a product


def quicken(network: nn.Module) -> nn.Module:
    """The network, in place, with its convolutions as `Depthwise` and `Pointwise` where these are quicker.

    In a small DARTS network that is all depthwise convolutions that are dilated or wider than 3, and nearly all
    pointwise ones; `benchmarks.small_networks` measures what it gives.
    """
    for module in list(network.modules()):
        for name, layer in list(module.named_children()):
            if type(layer) is not nn.Conv2d:
                continue
            if is_slow_depthwise(layer):
                setattr(module, name, Depthwise(layer))
            elif is_narrow_pointwise(layer):
                setattr(module, name, Pointwise(layer))
    return network


def is_slow_depthwise(layer: nn.Conv2d) -> bool:
    """Whether a convolution is depthwise, without bias, and of a shape at which `Depthwise` is quicker."""
    kernel, dilation, stride = layer.kernel_size[0], layer.dilation[0], layer.stride[0]
    square = all(len(set(pair)) == 1 for pair in (layer.kernel_size, layer.dilation, layer.stride))
    centred = layer.padding == (dilation * (kernel // 2),) * 2 and layer.padding_mode == "zeros"
    depthwise = layer.groups == layer.in_channels == layer.out_channels and layer.bias is None
    return square and centred and depthwise and stride in (1, 2) and (kernel, dilation) in SHAPES


def is_narrow_pointwise(layer: nn.Conv2d) -> bool:
    """Whether a convolution is a product of each pixel with one matrix, without bias, of at most `WIDE` channels."""
    by_pixel = (layer.kernel_size, layer.stride, layer.padding) == ((1, 1), (1, 1), (0, 0))
    return by_pixel and layer.groups == 1 and layer.bias is None and max(layer.weight.shape) <= WIDE


class Pointwise(nn.Conv2d):
    """A pointwise convolution that takes the place, and the weight, of another: [N, C, H, W] -> [N, D, H, W].

    In channels_last it is a product of two matrices, and for those a CPU's library has far less to prepare.
    """

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__(layer.in_channels, layer.out_channels, 1, bias=False, device="meta")
        self.weight = layer.weight

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(x)
        return F.linear(x.permute(0, 2, 3, 1), self.weight[:, :, 0, 0]).permute(0, 3, 1, 2)


class Depthwise(nn.Conv2d):
    """A depthwise convolution that takes the place, and the weight, of another: [N, C, H, W]."""

    def __init__(self, layer: nn.Conv2d) -> None:
        channels = layer.in_channels
        shape = (channels, channels, layer.kernel_size[0], layer.stride[0], layer.padding[0], layer.dilation[0])
        super().__init__(*shape, groups=channels, bias=False, device="meta")
        self.weight = layer.weight

    def forward(self, x: Tensor) -> Tensor:
        (height, width), stride = x.shape[2:], self.stride[0]
        dilated = self.dilation[0] == 2
        if x.device.type != "cpu" or not torch.is_grad_enabled() or (dilated and (height % 2 or width % 2)):
            return super().forward(x)
        x = x.contiguous(memory_format=torch.channels_last)
        if not dilated:
            return _Depthwise.apply(x, self.weight, stride)
        # A dilation of 2 mixes no pixels of even rows or columns with those of odd ones: each parity is an image.
        y = _Depthwise.apply(take_apart(x, stride), self.weight, 1)
        return put_together(y) if stride == 1 else y


class _Depthwise(torch.autograd.Function):
    """A depthwise convolution without dilation, each gradient taken the way that is quick in fp32 on a CPU."""

    @staticmethod
    @FORWARD
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, None, stride, weight.shape[2] // 2, 1, len(weight))

    @staticmethod
    @BACKWARD
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        of_x = input_gradient(gradient, x, weight, ctx.stride) if ctx.needs_input_grad[0] else None
        return of_x, weight_gradient(gradient, x, weight, ctx.stride), None


def take_apart(x: Tensor, stride: int) -> Tensor:
    """[N, C, H, W] -> [4 N, C, H / 2, W / 2]: the pixels of even and odd rows and columns as images of their own.

    A dilation of 2 mixes none of them with another, so on each it is a plain convolution. At stride 2 only the first
    of the four is read, and given.
    """
    if stride == 2:
        return x[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last)
    n, c, h, w = x.shape
    x = x.permute(0, 2, 3, 1).reshape(n, h // 2, 2, w // 2, 2, c)
    return x.permute(2, 4, 0, 1, 3, 5).reshape(4 * n, h // 2, w // 2, c).permute(0, 3, 1, 2)


def put_together(x: Tensor) -> Tensor:
    """The inverse of `take_apart` at stride 1."""
    n, c, h, w = x.shape
    x = x.permute(0, 2, 3, 1).reshape(2, 2, n // 4, h, w, c)
    return x.permute(2, 3, 0, 4, 1, 5).reshape(n // 4, 2 * h, 2 * w, c).permute(0, 3, 1, 2)


def _backward(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, which: int) -> Tensor:
    mask = [which == 0, which == 1, False]
    rest = (None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], len(weight), mask)
    return torch.ops.aten.convolution_backward(gradient, x, weight, *rest)[which]


def input_gradient(gradient: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Of a depthwise convolution; at stride 1 a convolution with the kernel turned round, whose forward is faster."""
    padding = weight.shape[2] // 2
    if stride > 1:
        return _backward(gradient, x, weight, stride, padding, 0)
    return F.conv2d(gradient, weight.flip(2, 3), None, 1, padding, 1, len(weight))


def weight_gradient(gradient: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """A few columns of the kernel at a time: to them, x is shifted, and what is cut off or missing is padding."""
    padding = weight.shape[2] // 2
    fits = weight.shape[3] <= WIDEST and x.shape[2] >= weight.shape[2]
    if fits or x.shape[3] < padding:  # more would be cut off than there is
        return _backward(gradient, x, weight, stride, padding, 1)
    parts, start = [], 0
    for part in weight.split(WIDEST, 3):
        left, right = padding - start, start + part.shape[3] - 1 - padding
        parts.append(_backward(gradient, F.pad(x, (left, right, padding, padding)), part, stride, 0, 1))
        start += part.shape[3]
    return torch.cat(parts, 3)
