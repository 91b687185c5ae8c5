"""Synthesis with kernels against synthesis without: the same function, to rounding."""

import dataclasses

import pytest
import torch

from dfnas import profiles
from dfnas.data import teachers
from dfnas.kernels import dispatch, soft_cross_entropy
from dfnas.synthesis import inversion
from kernels import agreement

SETTINGS = profiles.load("smoke", 0, ["run.precision=fp32"])
SYNTHESIS = dataclasses.replace(SETTINGS.synthesis, stages=((1, 2, "grow"),), learning_rates=(0.05,), warm_up=2)
TARGETS = torch.randn(4, 10, generator=torch.Generator().manual_seed(4))


def judged(inverter, objective):
    """Total, terms, and gradient of a region."""
    region = agreement.images((4, 1, 16, 16), "channels_last").requires_grad_()
    total, terms = objective(region, TARGETS)
    return total, terms, torch.autograd.grad(total, region)[0]


def synthesis(**changes):
    """What the objective says of a region, and the canvas and terms after two iterations."""
    recipe = dataclasses.replace(SYNTHESIS, **changes)
    with inversion.Inversion(teachers.load(SETTINGS), recipe, SETTINGS.data, SETTINGS.run) as inverter:
        return judged(inverter, inverter.objective), *inversion.invert(inverter, TARGETS, 0, 1, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"flip": "always"},
        {"update": "jitter", "flip": "random"},
        {"update": "whole", "clip": False},
        {"stages": ((2, 2, "pool"),)},
    ],
)
def test_a_step_with_kernels_equals_one_without(changes, monkeypatch):
    launched, execute = set(), dispatch.execute

    def noted(kernel, *rest):
        launched.add((kernel.fn.__module__.split(".")[-1], kernel.fn.__name__))
        execute(kernel, *rest)

    monkeypatch.setattr(dispatch, "execute", noted)
    ours, canvas, history = synthesis(**changes)
    expected = {("batch_norm_triton", name) for name in ("_forward", "_finish", "_norms", "_backward")}
    expected |= {("total_variation", name) for name in ("_forward", "_finish", "_backward")}
    expected |= {("soft_cross_entropy", name) for name in ("_rows", "_finish")}
    assert launched == expected | {("image_update", name) for name in ("_region", "_update")}
    launched.clear()
    monkeypatch.setenv(dispatch.VARIABLE, "auto")
    theirs, other_canvas, other_history = synthesis(**changes)
    assert not launched
    agreement.check(zip(ours, theirs, strict=True), 1e-5, 1e-5)
    assert torch.allclose(history, other_history, rtol=1e-4)
    assert_close(canvas, other_canvas)


def assert_close(canvas, other):
    # Adam divides a gradient by its own size, so where it is near zero its rounding error becomes a step.
    difference = (canvas - other).abs().flatten()
    assert float(difference.mean()) < 1e-5
    assert float(difference.quantile(0.999)) < 1e-3


def test_the_references_give_what_a_cpu_takes(monkeypatch):
    found = []
    for kernels in ("auto", "reference"):
        monkeypatch.setenv(dispatch.VARIABLE, kernels)
        found.append(synthesis())
    assert_close(found[0][1], found[1][1])


def test_torch_compile_takes_the_objective_as_a_whole():
    """No break at a kernel: each is one operation of the graph, and runs inside the compiled program."""
    with inversion.Inversion(teachers.load(SETTINGS), SYNTHESIS, SETTINGS.data, SETTINGS.run) as inverter:
        compiled = torch.compile(inverter.objective, backend="aot_eager", fullgraph=True, dynamic=False)
        pairs = [judged(inverter, objective) for objective in (compiled, inverter.objective)]
    agreement.check(zip(*pairs, strict=True), 1e-6, 1e-6)


def test_torch_compile_takes_a_loss_with_soft_labels():
    compiled = torch.compile(soft_cross_entropy.kl_divergence, backend="aot_eager", fullgraph=True)
    logits = agreement.logits(6, 10)[0].requires_grad_()
    targets = agreement.logits(6, 10)[1]
    pairs = [
        (loss, *torch.autograd.grad(loss, logits))
        for loss in (function(logits, targets, 2.0) for function in (compiled, soft_cross_entropy.kl_divergence))
    ]
    agreement.check(zip(*pairs, strict=True), 1e-6, 1e-6)
