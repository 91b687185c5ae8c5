"""Which implementation runs, and what is refused in one line."""

import dataclasses
import os
import subprocess
import sys
from collections import Counter

import pytest
import torch
from torch import nn

from dfnas import models, profiles
from dfnas.data import teachers
from dfnas.errors import UserError
from dfnas.kernels import batch_norm, dispatch, image_update, mixed_sum, soft_cross_entropy, total_variation
from dfnas.models.darts_supernet import MixedOperation
from dfnas.profiles import RunSettings, TrainingSettings
from dfnas.synthesis import inversion
from dfnas.training import loop, losses

NORM = "batch norm"  # which has all three forms

WITHOUT_TRITON = """
import sys
sys.modules["triton"] = None  # as if it were not installed
import torch
from dfnas.kernels import batch_norm, dispatch, image_update, mixed_sum, soft_cross_entropy, total_variation
x = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]], requires_grad=True)
batch_norm.batch_norm(x, torch.zeros(1), torch.ones(1))[1].backward()
print(dispatch.choose("batch norm", x), x.grad is not None)
"""


FORMS = {
    (batch_norm, "_closed_forward"): ("batch norm", "closed"),
    (batch_norm, "reference"): ("batch norm", "reference"),
    (total_variation, "reference"): ("total variation", "reference"),
    (soft_cross_entropy, "reference"): ("soft labels", "reference"),
    (mixed_sum, "reference"): ("mixed sum", "reference"),
    (image_update, "closed_update"): ("image update", "closed"),
    (image_update, "reference_update"): ("image update", "reference"),
}


@pytest.fixture
def ran(monkeypatch):
    """How often each form has computed; a kernel must not."""
    monkeypatch.delenv(dispatch.VARIABLE, raising=False)
    monkeypatch.setattr(dispatch, "launch", None)
    found = Counter()
    for (module, name), form in FORMS.items():
        monkeypatch.setattr(module, name, counted(getattr(module, name), found, form))
    return found


def counted(function, found, form):
    def call(*arguments, **options):
        found[form] += 1
        return function(*arguments, **options)

    return call


def inverted(run):
    """One iteration of synthesis from soft labels."""
    settings = profiles.load("smoke")
    recipe = dataclasses.replace(settings.synthesis, stages=((1, 1, "grow"),), learning_rates=(0.1,))
    teacher = teachers.load(settings)
    with inversion.Inversion(teacher, recipe, settings.data, run) as inverter:
        inversion.invert(inverter, torch.randn(4, 10), 0, 1, 0)
    return sum(isinstance(layer, nn.BatchNorm2d) for layer in teacher.network.modules())


@pytest.mark.parametrize("compiled", [False, True])
def test_a_cpu_runs_the_forms_that_are_said(compiled, ran, monkeypatch):
    """In the loops that use them: an iteration of synthesis, a step of a student, a plain edge of the supernet."""
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **_: compile_(f, backend="eager", fullgraph=True))
    monkeypatch.setattr("dfnas.runtime.devices.compiles", lambda kind: True)  # a compiler is not needed
    torch.compiler.reset()
    layers = inverted(RunSettings("cpu", compile=compiled))
    assert ran == Counter(
        {
            ("batch norm", "closed"): layers,
            ("total variation", "reference"): 1,
            ("soft labels", "reference"): 1,
            ("image update", "closed"): 1,
        }
    )
    loop.train(
        models.build("resnet8", 10, 3, 0),
        lambda step, side: (torch.randn(4, 3, 16, 16), torch.randn(4, 10)),
        losses.soft_loss(4.0),
        TrainingSettings(batch=4, learning_rate=0.1, steps=1),
        RunSettings("cpu"),
        steps=1,
        side=16,
    )
    assert ran["soft labels", "reference"] == 2
    MixedOperation(4, 1)(torch.randn(2, 4, 6, 6), torch.rand(8))
    assert ran["mixed sum", "reference"] == 1
    assert dict(ran) == {form: ran[form] for form in dispatch.ON_CPU.items()}  # and no other form


def test_a_cpu_takes_the_reference_when_asked(monkeypatch):
    x = torch.rand(1, 2, 3, 3)
    monkeypatch.delenv(dispatch.VARIABLE, raising=False)
    assert [dispatch.choose(operation, x) for operation in dispatch.ON_CPU] == list(dispatch.ON_CPU.values())
    monkeypatch.setenv(dispatch.VARIABLE, "reference")
    assert {dispatch.choose(operation, x) for operation in dispatch.ON_CPU} == {"reference"}
    monkeypatch.setattr(batch_norm.BatchNorm, "apply", None)  # it is never asked
    batch_norm.batch_norm(x, torch.zeros(2), torch.ones(2))


def test_another_value_is_refused(monkeypatch):
    monkeypatch.setenv(dispatch.VARIABLE, "cuda")
    with pytest.raises(UserError, match="DFNAS_KERNELS is 'cuda'; it may be auto, reference, triton"):
        dispatch.choose(NORM, torch.rand(1))


def test_triton_on_a_cpu_needs_its_interpreter(monkeypatch):
    monkeypatch.setenv(dispatch.VARIABLE, "triton")
    monkeypatch.setattr(dispatch, "interpreted", lambda: False)
    with pytest.raises(UserError, match="TRITON_INTERPRET=1" if dispatch.triton else "not installed"):
        dispatch.choose(NORM, torch.rand(1))


def test_double_precision_and_empty_tensors_take_the_form_of_a_cpu(monkeypatch):
    monkeypatch.setenv(dispatch.VARIABLE, "triton" if dispatch.triton else "auto")
    assert dispatch.choose(NORM, torch.rand(2, dtype=torch.float64)) == dispatch.ON_CPU[NORM]
    assert dispatch.choose(NORM, torch.rand(0)) == dispatch.ON_CPU[NORM]


def test_a_gpu_takes_triton(monkeypatch):
    class OnGPU:
        dtype, is_cuda, device = torch.float16, True, torch.device("cuda")

        def numel(self):
            return 1

    monkeypatch.delenv(dispatch.VARIABLE, raising=False)
    assert dispatch.choose(NORM, OnGPU()) == ("triton" if dispatch.triton else "closed")
    monkeypatch.setattr(dispatch, "triton", None)
    assert dispatch.choose(NORM, OnGPU()) == "closed"
    monkeypatch.setenv(dispatch.VARIABLE, "triton")
    with pytest.raises(UserError, match="not installed"):
        dispatch.choose(NORM, OnGPU())


def test_without_triton_everything_imports_and_computes():
    environment = {name: value for name, value in os.environ.items() if name != dispatch.VARIABLE}
    run = subprocess.run([sys.executable, "-c", WITHOUT_TRITON], env=environment, capture_output=True, text=True)
    assert run.stdout.split() == ["closed", "True"], run.stderr


def test_an_empty_batch_is_no_special_case():
    y, _ = batch_norm.batch_norm(torch.rand(0, 3, 4, 4), torch.zeros(3), torch.ones(3))
    assert y.shape == (0, 3, 4, 4)


def test_what_is_constant_to_the_compiler_is_marked_as_torch_marks_it():
    ours, theirs = dispatch._constant(lambda: 1), torch.compiler.assume_constant_result(lambda: 1)
    assert vars(ours) == vars(theirs) != {}
