"""The kernels on a GPU, in every type and layout, against the references in PyTorch on the same device."""

import dataclasses

import pytest
import torch

from dfnas import models, profiles
from dfnas.data import teachers
from dfnas.kernels import batch_norm, dispatch
from dfnas.profiles import RunSettings, TrainingSettings
from dfnas.synthesis import inversion
from dfnas.training import loop, losses
from kernels import agreement

pytestmark = pytest.mark.gpu
if not torch.cuda.is_available():
    pytest.skip("these tests need a GPU, and torch sees none here", allow_module_level=True)

DIGITS = {torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 3e-2}
EVERY = pytest.mark.parametrize(
    ("dtype", "layout"), [(dtype, layout) for dtype in DIGITS for layout in agreement.LAYOUTS]
)
SHAPES = [*agreement.SHAPES, (3, 70, 4, 4), (2, 65, 1, 33), (64, 64, 32, 32), (8, 256, 56, 56), (50, 2048, 7, 7)]


@EVERY
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rectify", [False, True])
def test_batch_norm(shape, rectify, dtype, layout):
    digits = DIGITS[dtype]
    pairs = agreement.batch_norm_pairs(shape, layout, rectify, dtype=dtype, device="cuda")
    agreement.check(pairs, digits, digits)


@pytest.mark.parametrize("layout", agreement.LAYOUTS)
def test_batch_norm_gives_its_parameters_gradients(layout):
    agreement.check(agreement.batch_norm_pairs((64, 33, 16, 16), layout, True, device="cuda"), 1e-4, 1e-5)


@pytest.mark.parametrize("layout", agreement.LAYOUTS)
def test_sums_have_the_same_bits_every_time(layout):
    x, vectors = agreement.images((64, 64, 32, 32), layout, device="cuda"), agreement.norm_vectors(64, device="cuda")
    values = {float(batch_norm.batch_norm(x, *vectors)[1]) for _ in range(5)}
    assert len(values) == 1


@EVERY
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 5, 7), (40, 1, 2, 17), (250, 3, 32, 32), (4, 3, 224, 224)])
def test_total_variation(shape, dtype, layout):
    digits = 10 * DIGITS[dtype] if dtype == torch.float32 else DIGITS[dtype]
    agreement.check(agreement.total_variation_pairs(shape, layout, dtype, "cuda"), digits, digits)


@pytest.mark.parametrize("dtype", DIGITS)
@pytest.mark.parametrize("divergence", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (250, 10), (257, 1000), (3, 16384), (3, 20000)])
def test_soft_cross_entropy(shape, divergence, dtype):
    pairs = agreement.soft_cross_entropy_pairs(3.0, divergence, *shape, dtype=dtype, device="cuda")
    agreement.check(pairs, DIGITS[dtype], DIGITS[dtype])


@EVERY
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 16, 9, 9), (64, 16, 32, 32)])
@pytest.mark.parametrize("count", [1, 8, 17])
def test_mixed_sum(count, shape, dtype, layout):
    digits = 10 * DIGITS[dtype] if dtype == torch.float32 else DIGITS[dtype]
    agreement.check(agreement.mixed_sum_pairs(count, shape, layout, dtype, "cuda"), digits, digits)


@EVERY
@pytest.mark.parametrize("case", [*agreement.REGIONS, ((250, 3, 40), 32, 3, 8, True)])
def test_image_update(case, dtype, layout):
    for ours, theirs in agreement.region_pairs(case, layout, dtype, "cuda"):
        assert torch.equal(ours, theirs)
    agreement.check(agreement.update_pairs(case, layout, device="cuda", dtype=dtype), 1e-5, 1e-5)


@pytest.mark.parametrize("compiled", [False, True])
def test_steps_of_synthesis_with_kernels_equal_those_without(compiled, monkeypatch):
    """Several in a row: the first calls of a compiled program warm up and record, the later ones replay its graphs."""
    settings = profiles.load("smoke")
    run = dataclasses.replace(settings.run, device="cuda", precision="fp32", compile=compiled)
    regions = [agreement.images((50, 1, 16, 16), "channels_last", device="cuda") + shift for shift in range(5)]
    targets = torch.randn(50, 10, generator=torch.Generator().manual_seed(0)).cuda()
    found = []
    for kernels in ("auto", "reference"):
        monkeypatch.setenv(dispatch.VARIABLE, kernels)
        with inversion.Inversion(teachers.load(settings), settings.synthesis, settings.data, run) as inverter:
            for region in regions:
                leaf = region.clone().requires_grad_()
                total, terms = inverter.objective(leaf, targets)
                gradient = torch.autograd.grad(total, leaf)[0]
                found.append([values.detach().clone() for values in (total, terms, gradient)])
    for ours, theirs in zip(found[:5], found[5:], strict=True):
        agreement.check(zip(ours, theirs, strict=True), 1e-3, 1e-4)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_whole_inversion_with_kernels_equals_one_without(compiled, monkeypatch):
    settings = profiles.load("smoke")
    run = dataclasses.replace(settings.run, device="cuda", precision="fp32", compile=compiled)
    recipe = dataclasses.replace(settings.synthesis, stages=((1, 6, "grow"),), learning_rates=(0.05,), warm_up=2)
    targets, found = torch.randn(20, 10, generator=torch.Generator().manual_seed(0)), []
    for kernels in ("auto", "reference"):
        monkeypatch.setenv(dispatch.VARIABLE, kernels)
        with inversion.Inversion(teachers.load(settings), recipe, settings.data, run) as inverter:
            found.append(inversion.invert(inverter, targets, 0, 1, 0))
    (canvas, terms), (other, others) = found
    assert torch.allclose(terms, others, rtol=1e-3)
    # Adam divides a gradient by its own size, so where it is near zero its rounding error becomes a step.
    assert float((canvas - other).abs().mean()) < 1e-3


def test_a_compiled_training_equals_an_eager_one(monkeypatch):
    monkeypatch.setattr(loop, "COMPILE_FROM", 0)
    recipe = TrainingSettings(batch=8, learning_rate=0.05, steps=6)
    inputs = torch.randn(6, 8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    weights = []
    for compiled in (False, True):
        run = RunSettings(device="cuda", precision="fp32", compile=compiled)
        network, _ = loop.train(
            models.build("resnet8", 10, 3, 0),
            lambda step, side: (inputs[step], torch.arange(8)),
            losses.hard_loss(),
            recipe,
            run,
            steps=6,
            side=16,
        )
        weights.append(torch.cat([values.flatten() for values in network.parameters()]))
    assert torch.allclose(*weights, rtol=1e-3, atol=1e-4)
