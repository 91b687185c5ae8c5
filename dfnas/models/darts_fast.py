"""The mixed operations of all edges that leave one node, computed together: same parameters and sums, less work.

What the edges of a node share is done once: ReLU, both pools and their normalisation. What differs is stacked along
the channels, and an operation's mixing weight is the scale of its last batch normalisation.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfnas.models.darts import PRIMITIVES

INDEX = {name: index for index, name in enumerate(PRIMITIVES)}
WIDEST = 3  # columns of a kernel up to which oneDNN's gradient of depthwise weights is fast (20 times, in fp32)
LIMIT=2**19
TOGETHER = 32  # channels that are stacked on a CPU: fewer leave vector registers empty, more leave the cache


def outgoing(edges: list[nn.ModuleDict], x: Tensor, weights: Tensor, stride: int) -> list[Tensor]:
    """What a node x [N, C, H, W] gives to each of E later nodes, [N, C, H / stride, W / stride].

    `weights` [E, 8] are the operations' on each edge; `edges` hold the operations by name.
    """
    channels = x.shape[1]
    given = _shared(edges, x, weights, stride)
    size = len(edges) if x.is_cuda else max(1, TOGETHER // channels, LIMIT*stride**2//x.numel())
    rectified = F.relu(x)
    # A dilation of 2 never mixes even rows with odd ones, nor columns: with the four kinds of pixels as images of
    # their own it is a plain convolution. At stride 2 only one kind is read.
    apart = _take_apart(rectified) if stride == 1 else rectified[:, :, ::2, ::2].contiguous(memory_format=torch.channels_last)
    for start in range(0, len(edges), size):
        group = edges[start : start + size]
        scale = weights[start : start + size].t().repeat_interleave(channels, 1)  # [8, E * C]
        total = _convolutions(group, rectified, apart, scale, stride)
        for index, part in enumerate(total.split(channels, 1), start):
            given[index] = given[index] + part
    return given

def _convolutions(edges, rectified, apart, scale, stride):
    every = _repeat(rectified, len(edges))
    total: Any = None
    for name in ("sep_conv_3x3", "sep_conv_5x5"):
        stacks = [edge[name] for edge in edges]
        first = _separable([stack[:4] for stack in stacks], every, stride=stride, rectify=True)
        second = _separable([stack[4:] for stack in stacks], first, scale[INDEX[name]])
        total = second if total is None else total.add_(second)
    every = _repeat(apart, len(edges))
    dilated: Any = None
    for name in ("dil_conv_3x3", "dil_conv_5x5"):
        last = _separable([edge[name] for edge in edges], every, scale[INDEX[name]])
        dilated = last if dilated is None else dilated.add_(last)
    return total.add_(_put_together(dilated) if stride == 1 else dilated)


def _shared(edges: list[nn.ModuleDict], x: Tensor, weights: Tensor, stride: int) -> list[Tensor]:
    """Pools and, at stride 1, the skip: the same tensors for every edge, each edge with its own weights."""
    features = [
        _normalise(F.max_pool2d(x, 3, stride, 1)),
        _normalise(F.avg_pool2d(x, 3, stride, 1, count_include_pad=False)),
    ]
    skip = INDEX["skip_connect"]
    if stride == 1:
        features.append(x)
    stacked = torch.stack([feature.permute(0, 2, 3, 1) for feature in features])  # [F, N, H, W, C]
    mixed = weights[:, 1 : 1 + len(features)] @ stacked.flatten(1)  # columns in the order of PRIMITIVES
    mixed = [part.view(stacked.shape[1:]).permute(0, 3, 1, 2) for part in mixed.unbind()]
    if stride == 1:
        return mixed
    reduced = _normalise(_reduce(edges, F.relu(x)), weights[:, skip].repeat_interleave(x.shape[1]))
    return [a + b for a, b in zip(mixed, reduced.split(x.shape[1], 1), strict=True)]


def _reduce(edges: list[nn.ModuleDict], x: Tensor) -> Tensor:
    halves = []
    for name, start in (("even", 0), ("odd", 1)):
        weight = torch.cat([getattr(edge["skip_connect"], name).weight for edge in edges])
        half = F.conv2d(x[:, :, start:, start:], weight, stride=2)
        halves.append(half.unflatten(1, (len(edges), -1)))
    return torch.cat(halves, 2).flatten(1, 2)


def _separable(stacks, x, scale=None, stride=1, rectify=False) -> Tensor:
    """Each stack (ReLU, depthwise, pointwise, norm) after its ReLU, on its own channels of x; `scale` [E * C]."""
    depthwise, pointwise = (torch.cat([stack[layer].weight for stack in stacks]) for layer in (1, 2))
    if not x.is_cuda:
        if scale is None: scale = torch.ones(len(depthwise), dtype=x.dtype)
        return _Separable.apply(x, depthwise, pointwise, scale, stride, rectify)
    x = F.conv2d(x, depthwise, None, stride, depthwise.shape[2] // 2, 1, len(depthwise))
    x = _normalise(F.conv2d(x, pointwise, groups=len(stacks)), scale)
    return F.relu(x) if rectify else x


class _Separable(torch.autograd.Function):
    """The same on a CPU"""

    @staticmethod
    def forward(ctx, x, depthwise, pointwise, scale, stride, rectify):
        middle = F.conv2d(x, depthwise, None, stride, depthwise.shape[2] // 2, 1, len(depthwise))
        last = _pointwise(middle, pointwise)
        y, mean, inverse = torch.native_batch_norm(last, scale, None, None, None, True, 0.0, 1e-5)
        if rectify:
            y.relu_()
        ctx.save_for_backward(x, depthwise, pointwise, scale, middle, last, mean, inverse, y if rectify else None)
        ctx.stride = stride
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        x, depthwise, pointwise, scale, middle, last, mean, inverse, y = ctx.saved_tensors
        if y is not None:
            grad = torch.ops.aten.threshold_backward(grad, y, 0)
        grad, scale_gradient = _normalise_backward(grad, last, scale, mean, inverse)
        grad, pointwise_gradient = _pointwise_backward(grad, middle, pointwise)
        x_gradient = _input_gradient(grad, x, depthwise, ctx.stride)
        depthwise_gradient = _weight_gradient(grad, x, depthwise, ctx.stride)
        return x_gradient, depthwise_gradient, pointwise_gradient, scale_gradient, None, None


def _rows(x: Tensor, groups: int) -> Tensor:
    """[N, E * C, H, W] as matrices [E, N * H * W, C]."""
    return x.permute(0, 2, 3, 1).reshape(-1, groups, x.shape[1] // groups).transpose(0, 1)

NARROW=8
def _pointwise(x, weight):
    groups, channels = len(weight) // weight.shape[1], weight.shape[1]
    if channels <= NARROW:
        return F.conv2d(x, weight, groups=groups)
    y = torch.empty_like(x)
    torch.bmm(_rows(x, groups), weight.view(groups, channels, channels).transpose(1,2), out=_rows(y, groups))
    return y

def _pointwise_backward(grad, x, weight):
    groups, channels = len(weight) // weight.shape[1], weight.shape[1]
    if channels <= NARROW:
        arguments = (None, [1, 1], [0, 0], [1, 1], False, [0, 0], groups, [True,True,False])
        return torch.ops.aten.convolution_backward(grad, x, weight, *arguments)[:2]
    g = _rows(grad, groups)
    y = torch.empty_like(grad)
    torch.bmm(g, weight.view(groups, channels, channels), out=_rows(y, groups))
    return y, torch.bmm(g.transpose(1, 2), _rows(x, groups)).view_as(weight)

def _normalise(x: Tensor, scale: Tensor | None = None) -> Tensor:
    if x.is_cuda:
        return F.batch_norm(x, None, None, scale, training=True)
    return _Normalise.apply(x, torch.ones_like(x[0,:,0,0]) if scale is None else scale)

def _normalise_backward(grad,x,scale,mean,inverse):
    rows, g = (_rows(t,1)[0] for t in (x, grad))
    count = len(rows)
    sum_g = g.sum(0)
    dot = ((g * rows).sum(0) - mean * sum_g) * inverse
    a = scale * inverse
    b = -a * inverse * dot / count
    c = -a * sum_g / count - b * mean
    fold = next(f for f in (32, 16, 8, 4, 2, 1) if count % f == 0)
    a, b, c = (v.repeat(fold) for v in (a, b, c))
    out = torch.addcmul(c, rows.view(count // fold, -1), b).addcmul_(g.view(count // fold, -1), a)
    n, k, h, w = x.shape
    return out.view(n, h, w, k).permute(0, 3, 1, 2), dot


class _Normalise(torch.autograd.Function):
    """Batch normalisation, whose backward of torch is slow in channels_last."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor) -> Tensor:
        y, mean, inverse = torch.native_batch_norm(x, scale, None, None, None, True, 0.0, 1e-5)
        ctx.save_for_backward(x, scale, mean, inverse)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        return _normalise_backward(grad,*ctx.saved_tensors)


def _repeat(x: Tensor, times: int) -> Tensor:
    if times == 1:
        return x
    n, c, h, w = x.shape
    x = x.permute(0, 2, 3, 1).unsqueeze(3).expand(n, h, w, times, c)  # Tensor.repeat would leave channels_last
    return x.reshape(n, h, w, times * c).permute(0, 3, 1, 2)


def _take_apart(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [4 N, C, H / 2, W / 2]: the pixels of even and odd rows and columns as images of their own."""
    n, c, h, w = x.shape
    x = x.permute(0, 2, 3, 1).reshape(n, h // 2, 2, w // 2, 2, c)
    return x.permute(2, 4, 0, 1, 3, 5).reshape(4 * n, h // 2, w // 2, c).permute(0, 3, 1, 2)


def _put_together(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    x = x.permute(0, 2, 3, 1).reshape(2, 2, n // 4, h, w, c)
    return x.permute(2, 3, 0, 4, 1, 5).reshape(n // 4, 2 * h, 2 * w, c).permute(0, 3, 1, 2)


def _backward(grad: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, which: int) -> Tensor:
    mask = [which == 0, which == 1, False]
    arguments = (None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], len(weight), mask)
    return torch.ops.aten.convolution_backward(grad, x, weight, *arguments)[which]


def _input_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    padding = weight.shape[2] // 2
    if stride > 1:
        return _backward(grad, x, weight, stride, padding, 0)
    return F.conv2d(grad, weight.flip(2, 3), None, 1, padding, 1, len(weight))


def _weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """A few columns of the kernel at a time: to them, x is shifted, and what is cut off or missing is padding."""
    padding, parts = weight.shape[2] // 2, []
    if weight.shape[3] <= WIDEST and x.shape[2] >= weight.shape[2]:
        return _backward(grad, x, weight, stride, padding, 1)
    for part in weight.split(WIDEST, 3):
        start = sum(done.shape[3] for done in parts)
        left, right = padding - start, start + part.shape[3] - 1 - padding
        parts.append(_backward(grad, F.pad(x, (left, right, padding, padding)), part, stride, 0, 1))
    return torch.cat(parts, 3)
