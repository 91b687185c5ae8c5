"""The representative cases that are compiled: tensors of shapes that synthesis and search see, without memory."""

import torch

from dfnas.kernels.batch_norm import batch_norm
from dfnas.kernels.image_update import image_update, region
from dfnas.kernels.mixed_sum import mixed_sum
from dfnas.kernels.soft_cross_entropy import kl_divergence, soft_cross_entropy
from dfnas.kernels.total_variation import total_variation

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def empty(*shape, dtype="fp32", layout="contiguous", gradient=False):
    x = torch.empty(*shape, dtype=TYPES[dtype], device="meta", memory_format=LAYOUTS[layout])
    return x.requires_grad_(gradient)


def norm(*shape, dtype, layout, rectify=False):
    def call():
        x = empty(*shape, dtype=dtype, layout=layout, gradient=True)
        running = [torch.empty(shape[1], device="meta") for _ in range(2)]
        affine = [torch.empty(shape[1], device="meta") for _ in range(2)]
        y, distance = batch_norm(x, *running, *affine, rectify=rectify)
        (y.float().sum() + distance).backward()

    return call


def variation(*shape, dtype, layout):
    def call():
        l2, l1 = total_variation(empty(*shape, dtype=dtype, layout=layout, gradient=True))
        (l2 + l1).backward()

    return call


def soft_labels(loss, *shape, dtype):
    return lambda: loss(empty(*shape, dtype=dtype, gradient=True), empty(*shape), 3.0)


def mixed(count, *shape, dtype):
    def call():
        outputs = [empty(*shape, dtype=dtype, layout="channels_last", gradient=True) for _ in range(count)]
        mixed_sum(outputs, torch.empty(count, device="meta", requires_grad=True)).float().sum().backward()

    return call


def update(n, side, inner, *, dtype, layout):
    def call():
        canvas, first, second = (empty(n, 3, side, side, layout=layout) for _ in range(3))
        placement = torch.empty(3, dtype=torch.int32, device="meta")
        bounds = empty(3), empty(3)
        gradient = empty(n, 3, inner, inner, dtype=dtype, layout=layout)
        step = torch.empty(4, dtype=torch.float64, device="meta")
        image_update(canvas, first, second, gradient, placement, step, bounds, (0.5, 0.9))
        region(canvas, placement, inner)

    return call


# Kernels that go over activations or images, where bandwidth depends on the width of an access.
WIDE = {"batch_norm": ("_forward", "_backward"), "mixed_sum": ("_forward", "_backward"), "image_update": ("_update",)}
NARROW = {"batch_norm of odd sides bf16"}  # 49 values in a row cannot be read four at a time
CASES = {
    "batch_norm contiguous fp16": norm(64, 64, 32, 32, dtype="fp16", layout="contiguous"),
    "batch_norm channels_last fp32": norm(64, 64, 32, 32, dtype="fp32", layout="channels_last"),
    "batch_norm rectified bf16": norm(50, 256, 56, 56, dtype="bf16", layout="channels_last", rectify=True),
    "batch_norm of odd sides bf16": norm(50, 2048, 7, 7, dtype="bf16", layout="contiguous"),
    "total_variation contiguous fp16": variation(250, 3, 32, 32, dtype="fp16", layout="contiguous"),
    "total_variation channels_last fp32": variation(250, 3, 32, 32, dtype="fp32", layout="channels_last"),
    "soft_cross_entropy fp32": soft_labels(soft_cross_entropy, 250, 10, dtype="fp32"),
    "kl_divergence bf16": soft_labels(kl_divergence, 1024, 1000, dtype="bf16"),
    "mixed_sum fp32": mixed(8, 64, 16, 32, 32, dtype="fp32"),
    "mixed_sum bf16": mixed(8, 64, 16, 32, 32, dtype="bf16"),
    "image_update contiguous fp32": update(250, 40, 32, dtype="fp32", layout="contiguous"),
    "image_update channels_last bf16": update(50, 256, 224, dtype="bf16", layout="channels_last"),
}
