"""The mixed operations of all edges that leave one node, computed together: same parameters and sums, less work.

What the edges of a node share is done once: ReLU, both pools and their normalisation. What differs is stacked along
the channels, and an operation's mixing weight is the scale of its last batch normalisation, so that no output of an
operation is ever written unweighted.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfnas.models.darts import PRIMITIVES
from dfnas.models.depthwise_fast import BACKWARD, FORWARD, input_gradient, put_together, take_apart, weight_gradient

INDEX = {name: index for index, name in enumerate(PRIMITIVES)}
EPSILON = 1e-5  # of the batch normalisations, as nn.BatchNorm2d has it
# How oneDNN and the caches want it on a CPU, in fp32; none of these changes a result beyond rounding.
TOGETHER = 32  # channels that are at least stacked: fewer leave vector registers empty
CACHED = 2**19  # values of a stack up to which more is stacked: larger ones leave the cache
NARROW = 8  # channels up to which the gradient of grouped weights is no matter of matrix products


def outgoing(edges: list[nn.ModuleDict], x: Tensor, weights: Tensor, stride: int) -> list[Tensor]:
    """What a node x [N, C, H, W] gives to each of E later nodes, [N, C, H / stride, W / stride].

    `weights` [E, 8] are the operations' on each edge; `edges` hold the operations by name.
    """
    channels = x.shape[1]
    given = _shared(edges, x, weights, stride)
    fitting = max(1, TOGETHER // channels, CACHED * stride**2 // x.numel())
    size = len(edges) if x.is_cuda else fitting
    rectified = F.relu(x)
    apart = take_apart(rectified, stride)
    for start in range(0, len(edges), size):
        group = edges[start : start + size]
        # Rows must be contiguous: torch's batch norm on a CPU gives wrong gradients where its weight is strided.
        scale = weights[start : start + size].t().repeat_interleave(channels, 1)  # [8, E * C]
        total = _convolutions(group, rectified, apart, scale, stride)
        for index, part in enumerate(total.split(channels, 1), start):
            given[index] = given[index] + part
    return given


def _convolutions(edges: list[Any], rectified: Tensor, apart: Tensor, scale: Tensor, stride: int) -> Tensor:
    """The four convolutions of E edges, each times its scale, summed: [N, E * C, H / stride, W / stride]."""
    every, parts = _repeat(rectified, len(edges)), []
    for name in ("sep_conv_3x3", "sep_conv_5x5"):
        stacks = [edge[name] for edge in edges]
        first = _separable([stack[:4] for stack in stacks], every, None, stride, rectify=True)
        parts.append(_separable([stack[4:] for stack in stacks], first, scale[INDEX[name]]))
    every, dilated = _repeat(apart, len(edges)), []
    for name in ("dil_conv_3x3", "dil_conv_5x5"):
        dilated.append(_separable([edge[name] for edge in edges], every, scale[INDEX[name]]))
    whole = dilated[0].add_(dilated[1])
    return parts[0].add_(parts[1]).add_(put_together(whole) if stride == 1 else whole)


def _shared(edges: list[nn.ModuleDict], x: Tensor, weights: Tensor, stride: int) -> list[Tensor]:
    """Pools and, at stride 1, the skip: the same tensors for every edge, each edge with its own weights."""
    features = [
        _normalise(F.max_pool2d(x, 3, stride, 1)),
        _normalise(F.avg_pool2d(x, 3, stride, 1, count_include_pad=False)),
    ]
    if stride == 1:
        features.append(x)
    stacked = torch.stack([feature.permute(0, 2, 3, 1) for feature in features])  # [F, N, H, W, C]
    mixed = weights[:, 1 : 1 + len(features)] @ stacked.flatten(1)  # columns in the order of PRIMITIVES
    given = [part.view(stacked.shape[1:]).permute(0, 3, 1, 2) for part in mixed.unbind()]
    if stride == 1:
        return given
    scale = weights[:, INDEX["skip_connect"]].repeat_interleave(x.shape[1])
    reduced = _normalise(_reduce(edges, F.relu(x)), scale)
    return [a + b for a, b in zip(given, reduced.split(x.shape[1], 1), strict=True)]


def _reduce(edges: list[nn.ModuleDict], x: Tensor) -> Tensor:
    """The factorised reductions of E edges before their normalisation: [N, E * C, H / 2, W / 2]."""
    halves = []
    for name, start in (("even", 0), ("odd", 1)):
        weight = torch.cat([getattr(edge["skip_connect"], name).weight for edge in edges])
        half = F.conv2d(x[:, :, start:, start:], weight, stride=2)
        halves.append(half.unflatten(1, (len(edges), -1)))
    return torch.cat(halves, 2).flatten(1, 2)


def _separable(
    stacks: list[Any], x: Tensor, scale: Tensor | None = None, stride: int = 1, rectify: bool = False
) -> Tensor:
    """Each stack (ReLU, depthwise, pointwise, norm) after its ReLU, on its own channels of x; `scale` [E * C]."""
    depthwise, pointwise = (torch.cat([stack[layer].weight for stack in stacks]) for layer in (1, 2))
    if x.is_cuda:
        x = F.conv2d(x, depthwise, None, stride, depthwise.shape[2] // 2, 1, len(depthwise))
        x = F.batch_norm(F.conv2d(x, pointwise, groups=len(stacks)), None, None, scale, training=True)
        return F.relu(x) if rectify else x
    return _Separable.apply(x, depthwise, pointwise, _or_ones(scale, depthwise), stride, rectify)


class _Separable(torch.autograd.Function):
    """Depthwise, pointwise, norm and perhaps ReLU on a CPU, with each gradient taken the way that is fast there."""

    @staticmethod
    @FORWARD
    def forward(
        ctx: Any, x: Tensor, depthwise: Tensor, pointwise: Tensor, scale: Tensor, stride: int, rectify: bool
    ) -> Tensor:
        middle = F.conv2d(x, depthwise, None, stride, depthwise.shape[2] // 2, 1, len(depthwise))
        last = F.conv2d(middle, pointwise, groups=len(pointwise) // pointwise.shape[1])
        y, mean, inverse = torch.native_batch_norm(last, scale, None, None, None, True, 0.0, EPSILON)
        if rectify:
            y.relu_()
        ctx.save_for_backward(x, depthwise, pointwise, scale, middle, last, mean, inverse, y if rectify else None)
        ctx.stride = stride
        return y

    @staticmethod
    @BACKWARD
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, depthwise, pointwise, scale, middle, last, mean, inverse, y = ctx.saved_tensors
        if y is not None:
            gradient = torch.ops.aten.threshold_backward(gradient, y, 0)
        rest = (None, None, mean, inverse, True, EPSILON, [True, True, False])
        gradient, of_scale, _ = torch.ops.aten.native_batch_norm_backward(gradient, last, scale, *rest)
        gradient, of_pointwise = _pointwise_backward(gradient, middle, pointwise)
        of_x = input_gradient(gradient, x, depthwise, ctx.stride) if ctx.needs_input_grad[0] else None
        of_depthwise = weight_gradient(gradient, x, depthwise, ctx.stride) if ctx.needs_input_grad[1] else None
        return of_x, of_depthwise, of_pointwise, of_scale, None, None


def _pointwise_backward(gradient: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of a 1x1 convolution [N, E * C, H, W] in E groups."""
    channels = weight.shape[1]
    groups = len(weight) // channels
    if channels <= NARROW:
        rest = (None, [1, 1], [0, 0], [1, 1], False, [0, 0], groups, [True, True, False])
        return torch.ops.aten.convolution_backward(gradient, x, weight, *rest)[:2]
    turned = weight.view(groups, channels, channels).transpose(1, 2).reshape(weight.shape)
    of_weight = torch.bmm(_rows(gradient, groups).transpose(1, 2), _rows(x, groups))
    return F.conv2d(gradient, turned, groups=groups), of_weight.view_as(weight)


def _rows(x: Tensor, groups: int) -> Tensor:
    """[N, E * C, H, W] as matrices [E, N * H * W, C]; of a channels_last tensor, a view."""
    return x.permute(0, 2, 3, 1).reshape(-1, groups, x.shape[1] // groups).transpose(0, 1)


def _or_ones(scale: Tensor | None, like: Tensor) -> Tensor:
    return torch.ones(len(like), dtype=like.dtype, device=like.device) if scale is None else scale


def _normalise(x: Tensor, scale: Tensor | None = None) -> Tensor:
    """The images x [N, C, H, W] less their mean, over their deviation, times `scale` [C]."""
    return F.batch_norm(x, None, None, scale, training=True, eps=EPSILON)


def _repeat(x: Tensor, times: int) -> Tensor:
    """The channels of x several times over, in channels_last, which Tensor.repeat would leave."""
    if times == 1:
        return x
    n, c, h, w = x.shape
    x = x.permute(0, 2, 3, 1).unsqueeze(3).expand(n, h, w, times, c)
    return x.reshape(n, h, w, times * c).permute(0, 3, 1, 2)
