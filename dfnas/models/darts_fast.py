"""The mixed operations of all edges that leave one node, computed together: same parameters and sums, less work.

What the edges of a node share is done once: ReLU, both pools and their normalisation. What differs is stacked along
the channels, and an operation's mixing weight is the scale of its last batch normalisation, so that no output of an
operation is ever written unweighted.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dfnas.kernels import threads
from dfnas.kernels.separable import BACKWARD, FORWARD, input_gradient, put_together, take_apart, weight_gradient
from dfnas.models.darts import PRIMITIVES

INDEX = {name: index for index, name in enumerate(PRIMITIVES)}
EPSILON = 1e-5  # of the batch normalisations, as nn.BatchNorm2d has it

Pair = tuple[Tensor, Tensor]  # weights of a depthwise and of a pointwise convolution
# The branches of convolutions, the longest first; of each, where in its stack the depthwise convolutions are.
BRANCHES = {"sep_conv_5x5": (1, 5), "sep_conv_3x3": (1, 5), "dil_conv_5x5": (1,), "dil_conv_3x3": (1,)}
# How oneDNN and the caches want it on a CPU, in fp32; none of these changes a result beyond rounding.
TOGETHER = 32  # channels that are at least stacked: fewer leave vector registers empty
CACHED = 2**19  # values of a stack up to which more is stacked: larger ones leave the cache


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
    stacks = [[edge[name] for edge in edges] for name in BRANCHES]
    weights = [
        torch.cat([stack[layer].weight for stack in branch])
        for branch, starts in zip(stacks, BRANCHES.values(), strict=True)
        for layer in itertools.chain(*((start, start + 1) for start in starts))
    ]
    scales = [scale[INDEX[name]] for name in BRANCHES]
    every = [_repeat(x, len(edges)) for x in (rectified, apart)]
    if rectified.is_cuda:
        whole, parts = _branches(every[0], every[1], stride, [*scales, *weights])
    else:
        whole, parts = _Branches.apply(*every, stride, *scales, *weights)
    return whole + (put_together(parts) if stride == 1 else parts)


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


def _by_branch(values: Sequence[Tensor]) -> list[tuple[Tensor, list[Pair]]]:
    """Of each branch the scale, and its pairs of depthwise and pointwise weights."""
    scales, weights = values[: len(BRANCHES)], iter(values[len(BRANCHES) :])
    pairs = list(zip(weights, weights, strict=True))
    ends = itertools.accumulate(map(len, BRANCHES.values()))
    taken = [pairs[end - len(starts) : end] for end, starts in zip(ends, BRANCHES.values(), strict=True)]
    return list(zip(scales, taken, strict=True))


def _branches(every: Tensor, dilated: Tensor, stride: int, values: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """What `_Branches` computes, by torch's own operations and with its gradients."""

    def step(x: Tensor, pair: Pair, scale: Tensor | None, stride: int = 1) -> Tensor:
        depthwise, pointwise = pair
        x = F.conv2d(x, depthwise, None, stride, depthwise.shape[2] // 2, 1, len(depthwise))
        return _normalise(F.conv2d(x, pointwise, groups=len(pointwise) // pointwise.shape[1]), scale)

    outputs = []
    for scale, pairs in _by_branch(values):
        x = dilated if len(pairs) == 1 else F.relu(step(every, pairs[0], None, stride))
        outputs.append(step(x, pairs[-1], scale))
    return outputs[0] + outputs[1], outputs[2] + outputs[3]


class _Branches(torch.autograd.Function):
    """The separable and the dilated convolutions of E edges, on a CPU, as many branches at a time as there are threads.

    `every` [N, E * C, H, W] and `dilated`, taken apart, are what they convolve, after its ReLU; the sum of the
    separable ones and the sum of the dilated ones come back. `values` are what `_by_branch` takes.
    """

    @staticmethod
    @FORWARD
    def forward(ctx: Any, every: Tensor, dilated: Tensor, stride: int, *values: Tensor) -> tuple[Tensor, Tensor]:
        calls = [functools.partial(_branch, every, dilated, stride, *branch) for branch in _by_branch(values)]
        outputs, steps = zip(*threads.together(calls), strict=True)
        ctx.save_for_backward(*itertools.chain(*itertools.chain(*steps)))
        ctx.stride = stride
        return outputs[0].add_(outputs[1]), outputs[2].add_(outputs[3])

    @staticmethod
    @BACKWARD
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_separable: Tensor, of_dilated: Tensor) -> tuple[Tensor | None, ...]:
        steps = iter([_Step(*tensors) for tensors in _chunks(ctx.saved_tensors, len(_Step._fields))])
        taken = [tuple(itertools.islice(steps, len(starts))) for starts in BRANCHES.values()]
        gradients = (of_separable, of_separable, of_dilated, of_dilated)
        # While the architecture parameters move, the weights are frozen: their gradients are a third of the work.
        learning = ctx.needs_input_grad[-1]
        calls = [
            functools.partial(_branch_backward, gradient, steps, ctx.stride, learning)
            for gradient, steps in zip(gradients, taken, strict=True)
        ]
        inputs, scales, weights = zip(*threads.together(calls), strict=True)
        return inputs[0].add_(inputs[1]), inputs[2].add_(inputs[3]), None, *scales, *itertools.chain(*weights)


def _chunks(values: Sequence[Tensor], size: int) -> list[Sequence[Tensor]]:
    return [values[start : start + size] for start in range(0, len(values), size)]


class _Step(NamedTuple):
    """A depthwise convolution, a pointwise one and a norm: what its gradients are made of."""

    x: Tensor
    depthwise: Tensor
    pointwise: Tensor
    matrix: Tensor  # the pointwise weights of E edges along a diagonal: [E * C, E * C]
    scale: Tensor
    middle: Tensor
    last: Tensor
    mean: Tensor
    inverse: Tensor  # 1 / deviation


def _branch(
    every: Tensor, dilated: Tensor, stride: int, scale: Tensor, pairs: Sequence[Pair]
) -> tuple[Tensor, list[_Step]]:
    if len(pairs) == 1:
        y, step = _step(dilated, pairs[0], scale)
        return y, [step]
    y, first = _step(every, pairs[0], torch.ones_like(scale), stride)
    y, last = _step(y.relu_(), pairs[1], scale)
    return y, [first, last]


def _step(x: Tensor, pair: Pair, scale: Tensor, stride: int = 1) -> tuple[Tensor, _Step]:
    depthwise, pointwise = pair
    middle = F.conv2d(x, depthwise, None, stride, depthwise.shape[2] // 2, 1, len(depthwise))
    # In groups of a few channels a product with the zeros between them is faster than a convolution without.
    matrix = torch.block_diag(*pointwise.flatten(1).split(pointwise.shape[1]))
    last = _images(_rows(middle) @ matrix.t(), middle)
    y, mean, inverse = torch.native_batch_norm(last, scale, None, None, None, True, 0.0, EPSILON)
    return y, _Step(x, depthwise, pointwise, matrix, scale, middle, last, mean, inverse)


def _branch_backward(
    gradient: Tensor, steps: Sequence[_Step], stride: int, learning: bool
) -> tuple[Tensor, Tensor, list[Tensor | None]]:
    """Gradients of a branch's input, of its scale and, if they are `learning`, of its weights."""
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    of_x, of_scale, of_weights = _step_backward(gradient, steps[-1], 1, learning)
    if len(steps) == 1:
        return of_x, of_scale, of_weights
    before = torch.ops.aten.threshold_backward(of_x, steps[1].x, 0)
    of_x, _, of_first = _step_backward(before, steps[0], stride, learning)
    return of_x, of_scale, of_first + of_weights


def _step_backward(
    gradient: Tensor, step: _Step, stride: int, learning: bool
) -> tuple[Tensor, Tensor, list[Tensor | None]]:
    norm = (None, None, step.mean, step.inverse, True, EPSILON, [True, True, False])
    gradient, of_scale, _ = torch.ops.aten.native_batch_norm_backward(gradient, step.last, step.scale, *norm)
    rows = _rows(gradient)
    of_middle = _images(rows @ step.matrix, step.middle)
    of_x = input_gradient(of_middle, step.x, step.depthwise, stride)
    if not learning:
        return of_x, of_scale, [None, None]
    channels = step.pointwise.shape[1]
    products = (rows.t() @ _rows(step.middle)).unflatten(0, (-1, channels)).unflatten(2, (-1, channels))
    of_pointwise = products.diagonal(dim1=0, dim2=2).permute(2, 0, 1).reshape(step.pointwise.shape)
    return of_x, of_scale, [weight_gradient(of_middle, step.x, step.depthwise, stride), of_pointwise]


def _rows(x: Tensor) -> Tensor:
    """[N, C, H, W] as a matrix [N * H * W, C]; of a channels_last tensor, a view."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _images(rows: Tensor, like: Tensor) -> Tensor:
    """The inverse of `_rows`, with the sides of `like`."""
    n, _, height, width = like.shape
    return rows.view(n, height, width, -1).permute(0, 3, 1, 2)


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
