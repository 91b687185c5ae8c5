"""The bytes that operations move, counted without computing them, and the roofs of machines.

Tensors are on the device `meta`, which have a shape and no memory: counting a batch of any size costs nothing.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dfnas.kernels import batch_norm, image_update, mixed_sum, soft_cross_entropy, total_variation
from dfnas.kernels.dispatch import Traffic

# (name, type, FLOP/s, bytes/s), data sheets of A100 SXM 80 GB (2022) and H100 SXM (2023); bf16 on dense tensor cores.
DATA_SHEETS = (
    ("A100", "fp32", 19.5e12, 2.039e12),
    ("A100", "bf16", 312e12, 2.039e12),
    ("H100", "fp32", 67e12, 3.35e12),
    ("H100", "bf16", 989e12, 3.35e12),
)
# Additions, multiplications, comparisons, roots and exponentials a value, each as one: forward and backward together.
FLOPS = {
    "batch norm": 6 + 5,  # d, d * scale + shift, two sums; d * slope + g * scale + offset
    "total variation": 4 * 5 + 8 * 7 + 7,  # four differences, squares, sizes and sums; eight pulls and their sum
    "soft labels": 18 + 1,  # two softmaxes, a logarithm, a product and a difference; a product
    "mixed sum": 8 * 2 + 8 * 3,  # eight products and sums; eight products and eight dot products
    "image update": 15,  # moments 7, step 6, clipping 2
}
EMPTY = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "_unsafe_view", "lift_fresh"}
NOT_READ = {
    "zeros_like",
    "ones_like",
    "full_like",
    "new_zeros",
    "new_full",
    "fill_",
    "zero_",
    "copy_",
}  # first argument


class Counter(TorchDispatchMode):
    """Inside, adds up what PyTorch's operations read and write: each argument and each result once, views nothing.

    Of one pass over memory an operation, as if nothing stayed in a cache between two: operations that go over their
    argument several times move more. `traffic` is the sum, `operations` how many there were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.traffic, self.operations = Traffic(0, 0), 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name, schema = func._schema.name.removeprefix("aten::"), func._schema
        view = any(value.alias_info is not None and not value.alias_info.is_write for value in schema.returns)
        if view or name in EMPTY or (name == "copy_" and _same(*args[:2])):
            return result
        taken = [args[1:] if name in NOT_READ else args, kwargs or {}]
        changed = [
            value
            for argument, value in zip(schema.arguments, args, strict=False)
            if argument.alias_info is not None and argument.alias_info.is_write
        ]
        made = result if not schema.returns or schema.returns[0].alias_info is None else ()
        self.traffic += Traffic(_bytes(taken), _bytes(changed) + _bytes(made))
        self.operations += 1
        return result


def _same(first: Tensor, second: Tensor) -> bool:
    """Whether a copy would copy a view to itself, which PyTorch skips."""
    where = [(x.untyped_storage()._cdata, x.storage_offset(), x.shape, x.stride()) for x in (first, second)]
    return where[0] == where[1]


def _bytes(values: Any) -> int:
    """Bytes of all tensors in nested values; along expanded dimensions a tensor lies once in memory."""
    total = 0
    for x in tree_leaves(values):
        if isinstance(x, Tensor) and x.numel():
            sides = [side for side, stride in zip(x.shape, x.stride(), strict=True) if stride]
            total += math.prod(sides) * x.element_size()
    return total


def counted(call: Callable[..., Any], inputs: Sequence[Tensor]) -> Counter:
    """What `call(*inputs)` moves, forward and backward to those inputs that require gradients."""
    wanted = [x for x in inputs if x.requires_grad]
    with Counter() as counter:
        made = [x for x in tree_leaves(call(*inputs)) if isinstance(x, Tensor) and x.requires_grad]
    given = [torch.empty_like(x) for x in made]
    if made:
        with counter:
            torch.autograd.grad(made, wanted, given)
    return counter


@dataclass(frozen=True)
class Operation:
    """An operation forward and backward: its plain reference, what a CPU runs, and its kernels' byte model."""

    name: str
    one_pass: int  # bytes of reading or writing its tensor once
    plain: Counter
    cpu: Counter
    fused: Traffic
    flops: int

    @property
    def intensity(self) -> float:
        """FLOP a byte of the kernels (equation `eq-intensity`)."""
        return self.flops / self.fused.total


def meta(*shape: int, gradient: bool = True, dtype: torch.dtype = torch.float32) -> Tensor:
    """A tensor without memory, in channels_last where it is an image batch."""
    layout = torch.channels_last if len(shape) == 4 else torch.contiguous_format
    return torch.empty(*shape, device="meta", dtype=dtype, memory_format=layout).requires_grad_(gradient)


def operations(batch: int = 250) -> list[Operation]:
    """The five fused operations in fp32, at the sizes of `python -m benchmarks kernels`.

    batch norm: an activation [batch, 16, 32, 32] of ResNet-20's first stage; total variation: regions
    [batch, 3, 32, 32]; soft labels: logits [256, 1000]; mixed sum: eight feature maps [64, 16, 32, 32]; image update:
    canvases [batch, 3, 40, 40].
    """
    return [
        _batch_norm(meta(batch, 16, 32, 32)),
        _total_variation(meta(batch, 3, 32, 32)),
        _soft_labels(meta(256, 1000), meta(256, 1000, gradient=False)),
        _mixed_sum([meta(64, 16, 32, 32) for _ in range(8)], meta(8)),
        _image_update(meta(batch, 3, 40, 40, gradient=False), meta(batch, 3, 32, 32, gradient=False)),
    ]


def _operation(name: str, x: Tensor, plain: Counter, cpu: Counter, *fused: Traffic) -> Operation:
    total = sum(fused, Traffic(0, 0))
    return Operation(name, x.numel() * x.element_size(), plain, cpu, total, FLOPS[name] * x.numel())


def hooked_batch_norm(x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Batch norm, and its part of equation `eq-bn` by a hook that first copies its input, channel by channel.

    For example in DeepInversion's code (Yin et al., 2020).
    """
    y = F.batch_norm(x, mean, variance, weight, bias)
    values = x.permute(1, 0, 2, 3).contiguous().view(x.shape[1], -1)
    distance = (values.var(1, unbiased=False) - variance).norm() + (values.mean(1) - mean).norm()
    return y, distance


def _batch_norm(x: Tensor) -> Operation:
    vectors = [meta(x.shape[1], gradient=False) for _ in range(4)]
    plain, cpu = (counted(form, [x, *vectors]) for form in (batch_norm.reference, batch_norm.batch_norm))
    return _operation("batch norm", x, plain, cpu, batch_norm.forward_bytes(x), batch_norm.backward_bytes(x, False))


def _total_variation(x: Tensor) -> Operation:
    plain, cpu = (counted(form, [x]) for form in (total_variation.reference, total_variation.total_variation))
    fused = total_variation.forward_bytes(x), total_variation.backward_bytes(x)
    return _operation("total variation", x, plain, cpu, *fused)


def _soft_labels(logits: Tensor, targets: Tensor) -> Operation:
    forms: tuple[Callable, ...] = soft_cross_entropy.reference, soft_cross_entropy.soft_cross_entropy
    plain, cpu = (counted(lambda z, t, form=form: form(z, t, 3.0), [logits, targets]) for form in forms)
    fused = soft_cross_entropy.forward_bytes(logits, targets), soft_cross_entropy.backward_bytes(logits)
    return _operation("soft labels", logits, plain, cpu, *fused)


def _mixed_sum(outputs: list[Tensor], weights: Tensor) -> Operation:
    forms: tuple[Callable, ...] = mixed_sum.reference, mixed_sum.mixed_sum
    plain, cpu = (counted(lambda w, *all_, form=form: form(all_, w), [weights, *outputs]) for form in forms)
    fused = mixed_sum.forward_bytes(outputs[0], len(outputs)), mixed_sum.backward_bytes(outputs[0], len(outputs))
    return _operation("mixed sum", outputs[0], plain, cpu, *fused)


def _image_update(canvas: Tensor, gradient: Tensor) -> Operation:
    """A step of Adam on the canvas with clipping, given the region's gradient, and the region of the next step."""
    side, betas = gradient.shape[3], (0.5, 0.9)
    placement, step = torch.tensor([3, 5, 1]), image_update.schedule([0.1], betas)[0]
    first, second, bounds = torch.empty_like(canvas), torch.empty_like(canvas), (meta(3, gradient=False),) * 2

    def work(update: Callable[..., None]) -> Counter:
        def call() -> None:
            update(canvas, first, second, gradient, placement, step, bounds, betas, 1e-8)
            image_update.reference_region(canvas, placement, side)

        return counted(call, [])

    fused = image_update.region_bytes(canvas, side), image_update.update_bytes(canvas, gradient)
    plain, cpu = (work(update) for update in (image_update.reference_update, image_update.image_update))
    return _operation("image update", canvas, plain, cpu, *fused)


def convolution(channels: int, positions: int, dtype: torch.dtype = torch.float32, kernel: int = 3) -> float:
    """FLOP a byte of a convolution from as many channels to as many: input, weights and output moved once.

    `positions` are the batch's images times pixels.
    """
    weights = kernel**2 * channels**2
    return 2 * weights * positions / ((2 * channels * positions + weights) * dtype.itemsize)
