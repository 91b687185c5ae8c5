"""Each operation against its reference, as pairs of tensors: on any device, in any type and layout."""

import torch

from dfnas.kernels import batch_norm, image_update, mixed_sum, soft_cross_entropy, total_variation

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
# One value; one image; sides that no block divides; more channels than a block, and than fill it; a row of pixels.
SHAPES = [(1, 1, 1, 1), (1, 3, 5, 7), (5, 16, 9, 3), (130, 2, 3, 3), (2, 4, 34, 34)]
WIDE = [(3, 70, 4, 4), (2, 65, 1, 33)]  # in channels_last alone: a contiguous channel takes a program of its own
IMAGES = [*((s, name) for s in SHAPES for name in LAYOUTS), *((s, "channels_last") for s in WIDE)]


def images(shape, layout="contiguous", dtype=torch.float32, device="cpu", seed=0):
    """Standard normal images, the same in every type and layout."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return x.to(device, dtype).contiguous(memory_format=LAYOUTS[layout])


def gradients(outputs, inputs, seed=1):
    """Of a sum of the outputs with random weights: not the last function that a loss goes through."""
    random = torch.Generator().manual_seed(seed)
    total = sum((o.double() * torch.randn(o.shape, generator=random).to(o.device)).sum() for o in outputs)
    return torch.autograd.grad(total, inputs)


def norm_vectors(channels, dtype=torch.float32, device="cpu"):
    """Running mean and variance, weight and bias of a layer."""
    random = torch.Generator().manual_seed(2)
    mean, weight, bias = (torch.randn(channels, generator=random) for _ in range(3))
    variance = torch.rand(channels, generator=random) + 0.5
    return [value.to(device, dtype) for value in (0.3 * mean, variance, weight, bias)]


def batch_norm_pairs(shape, layout, rectify, affine=True, parameters=False, dtype=torch.float32, device="cpu"):
    """(ours, reference) of y, the distance, and the gradients of x and perhaps of weight and bias."""
    found = []
    for function in (batch_norm.batch_norm, batch_norm.reference):
        x = images(shape, layout, dtype, device).requires_grad_()
        mean, variance, *rest = norm_vectors(shape[1], device=device)
        rest = [value.requires_grad_(parameters) for value in rest] if affine else [None, None]
        outputs = function(x, mean, variance, *rest, 1e-5, rectify)
        inputs = [x, *rest] if affine and parameters else [x]
        found.append([*outputs, *gradients(outputs, inputs)])
    return list(zip(*found, strict=True))


def total_variation_pairs(shape, layout, dtype=torch.float32, device="cpu"):
    """(ours, reference) of L2, L1 and the gradient of both."""
    found = []
    for function in (total_variation.total_variation, total_variation.reference):
        x = images(shape, layout, dtype, device).requires_grad_()
        outputs = function(x)
        found.append([*outputs, *gradients(outputs, [x])])
    return list(zip(*found, strict=True))


def logits(count, classes, dtype=torch.float32, device="cpu", strided=False, spread=3.0):
    """Logits of a student and of a teacher."""
    random = torch.Generator().manual_seed(3)
    found = [spread * torch.randn(count, classes * (1 + strided), generator=random) for _ in range(2)]
    return [z.to(device, dtype)[:, :: 1 + strided] for z in found]


def soft_cross_entropy_pairs(temperature, divergence, *shape, **options):
    """(ours, reference) of the loss and its gradient."""
    student, teacher = logits(*shape, **options)
    student.requires_grad_()
    ours = soft_cross_entropy.kl_divergence if divergence else soft_cross_entropy.soft_cross_entropy
    losses = (
        ours(student, teacher, temperature),
        soft_cross_entropy.reference(student, teacher, temperature, divergence),
    )
    return [losses, tuple(gradients([loss], [student])[0] for loss in losses)]


def mixed_sum_pairs(count, shape, layout, dtype=torch.float32, device="cpu"):
    """(ours, reference) of the sum and the gradients of the weights and of each output."""
    found = []
    for function in (mixed_sum.mixed_sum, mixed_sum.reference):
        outputs = [images(shape, layout, dtype, device, seed).requires_grad_() for seed in range(count)]
        weights = torch.linspace(-0.5, 1, count, device=device).requires_grad_()
        total = function(outputs, weights)
        found.append([total, *gradients([total], [weights, *outputs])])
    return list(zip(*found, strict=True))


# (N, C, S), s, top, left, flip: corners, a roll that wraps around, a region of one pixel, one that wraps across alone
REGIONS = [
    ((2, 3, 10), 7, 0, 0, False),
    ((2, 3, 10), 7, 3, 3, True),
    ((3, 2, 9), 9, 4, 8, True),
    ((1, 5, 4), 1, 3, 2, False),
    ((20, 1, 20), 16, 1, 3, True),
    ((2, 3, 10), 7, 1, 6, True),
    ((1, 1, 1), 1, 0, 0, True),
]


def placement(top, left, flip, device="cpu"):
    """A row of the table of placements."""
    return torch.tensor([top, left, int(flip)], dtype=torch.int32, device=device)


def region_pairs(case, layout, dtype=torch.float32, device="cpu"):
    """(ours, reference) of the region."""
    (n, c, side), inner, *where = case
    canvas = images((n, c, side, side), layout, dtype, device)
    functions = image_update.region, image_update.reference_region
    return [tuple(function(canvas, placement(*where, device), inner) for function in functions)]


def update_pairs(case, layout, clip=True, device="cpu", dtype=torch.float32):
    """(ours, reference) of canvas and moments after three steps."""
    (n, c, side), inner, *where = case
    betas, table = (0.5, 0.9), image_update.schedule([0.1, 0.2, 0.05], (0.5, 0.9)).to(device)
    bounds = tuple(torch.linspace(*ends, c, device=device) for ends in ((-1, -0.5), (1.5, 0.5))) if clip else None
    found = []
    for function in (image_update.image_update, image_update.reference_update):
        canvas = images((n, c, side, side), layout, device=device)
        first, second = torch.zeros_like(canvas), torch.zeros_like(canvas)
        with torch.no_grad():
            for seed, step in enumerate(table):
                gradient = images((n, c, inner, inner), "contiguous", dtype, device, seed + 5)
                function(canvas, first, second, gradient, placement(*where, device), step, bounds, betas)
        found.append([canvas, first, second])
    return list(zip(*found, strict=True))


def check(pairs, relative=1e-5, absolute=1e-5):
    """Same shape, type and layout, and values that agree; nothing is NaN."""
    for ours, theirs in pairs:
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        scale = max(1.0, float(theirs.detach().abs().max()))
        assert torch.allclose(ours.double(), theirs.double(), rtol=relative, atol=absolute * scale)
