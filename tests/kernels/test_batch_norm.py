"""The closed form of batch norm on a CPU, and the network that takes it for a while."""

import contextlib
import copy

import pytest
import torch
from torch import nn

from dfnas.kernels import batch_norm
from dfnas.models import resnet
from dfnas.synthesis import moments
from kernels import agreement


@pytest.mark.parametrize("layout", agreement.LAYOUTS)
@pytest.mark.parametrize("rectify", [False, True])
def test_closed_form_has_the_gradient_of_finite_differences(layout, rectify):
    x = agreement.images((3, 4, 3, 2), layout, torch.float64).requires_grad_()
    vectors = agreement.norm_vectors(4, torch.float64)
    assert torch.autograd.gradcheck(lambda x: batch_norm.batch_norm(x, *vectors, 1e-5, rectify), (x,))


def test_a_layer_that_learns_has_the_gradients_of_its_parameters():
    agreement.check(agreement.batch_norm_pairs((3, 5, 6, 7), "channels_last", True, parameters=True))


@pytest.mark.parametrize(("shape", "layout"), agreement.IMAGES)
def test_closed_form_equals_the_reference(shape, layout):
    for rectify in (False, True):
        agreement.check(agreement.batch_norm_pairs(shape, layout, rectify))
        agreement.check(agreement.batch_norm_pairs(shape, layout, rectify, affine=False))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_its_type_and_sums_in_single_precision(dtype):
    digits = 1e-2 if dtype == torch.bfloat16 else 2e-3
    agreement.check(agreement.batch_norm_pairs((4, 6, 16, 16), "channels_last", True, dtype=dtype), digits, digits)


def test_output_keeps_the_layout_and_other_strides_are_no_special_case():
    vectors = agreement.norm_vectors(4)
    x = agreement.images((2, 4, 6, 5), "channels_last")
    assert batch_norm.batch_norm(x, *vectors)[0].is_contiguous(memory_format=torch.channels_last)
    for strided in (x.transpose(2, 3), x[..., ::2], x[:, :, 1:]):
        ours, theirs = (f(strided, *vectors)[0] for f in (batch_norm.batch_norm, batch_norm.reference))
        assert torch.allclose(ours, theirs, atol=1e-6)


class Doubled(nn.BatchNorm2d):
    """A class of layer with a forward of its own."""

    def forward(self, x):
        return 2 * super().forward(x)


def network():
    """Layers of every kind: plain, without parameters, without memory, in training mode, of another class."""
    torch.manual_seed(0)
    layers = [
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.BatchNorm2d(3, affine=False),
        nn.Conv2d(3, 5, 3),
        Doubled(5),
        nn.BatchNorm2d(5, track_running_stats=False),
        nn.BatchNorm2d(5, momentum=None),
    ]
    made = nn.Sequential(*layers).eval().requires_grad_(False)
    made[6].train()
    for layer in made:
        if isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None:
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 1.5)
    return made


def measured(context, x):
    """Logits, the sum of the distances, and the gradient of both."""
    made = network()
    with context(made) as distance:
        x = x.clone().requires_grad_()
        y = made(x)
        total = distance.total()
        (gradient,) = torch.autograd.grad((y * agreement.images(y.shape)).sum() + total, x)
    return y, total, gradient, made.state_dict()


class Hooked:
    """The distance as research code has it, by hooks, with autograd's gradient."""

    def __init__(self, made):
        self.values, layers = [], [layer for layer in made if isinstance(layer, nn.BatchNorm2d)]
        self.handles = [layer.register_forward_pre_hook(self.hook) for layer in layers]
        self.first = layers[0]

    def hook(self, layer, inputs):
        if layer.running_mean is not None:
            variance, mean = torch.var_mean(inputs[0], (0, 2, 3), correction=0)
            distance = (variance - layer.running_var.clone()).norm() + (mean - layer.running_mean.clone()).norm()
            self.values.append((10.0 if layer is self.first else 1.0) * distance)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for handle in self.handles:
            handle.remove()

    def total(self):
        return sum(self.values)


def test_every_kind_of_layer_gives_what_hooks_give():
    x = agreement.images((4, 3, 9, 9))
    *theirs, state = measured(Hooked, x)
    *ours, state_after = measured(lambda made: moments.BatchNormDistance(made, first=10.0), x)
    agreement.check(list(zip(ours, theirs, strict=True)))
    assert all(torch.equal(state[name], state_after[name]) for name in state)  # the layer in training mode, too


def test_a_network_of_several_passes_sums_them_until_start():
    made, x = network(), agreement.images((4, 3, 9, 9))
    made[6].eval()
    with moments.BatchNormDistance(made) as distance:
        made(x)
        once = float(distance.total().detach())
        made(x)
        assert float(distance.total().detach()) == pytest.approx(2 * once, rel=1e-6)
        distance.start()
        made(x)
        assert float(distance.total().detach()) == pytest.approx(once, rel=1e-6)


@pytest.mark.parametrize("divisor", [1, 0])
def test_afterwards_and_after_an_exception_the_network_is_as_it_was(divisor):
    made = resnet.build("resnet8", 10).eval()
    mine = made.layers[0].bn1
    mine.forward = own = lambda x: x  # one that somebody else has replaced
    handle = made.bn.register_forward_hook(lambda *_: None)
    x, state, attributes = torch.randn(2, 3, 16, 16), copy.deepcopy(made.state_dict()), _attributes(made)
    before = made(x)
    with contextlib.suppress(ZeroDivisionError), moments.BatchNormDistance(made):
        made(x)
        assert 1 / divisor
    assert _attributes(made) == attributes
    assert mine.forward is own
    assert list(made.bn._forward_hooks) == [handle.id]
    assert all(torch.equal(state[name], value) for name, value in made.state_dict().items())
    assert torch.equal(made(x), before)
    assert copy.deepcopy(made).bn.forward.__func__ is nn.BatchNorm2d.forward


def _attributes(made):
    return {name: sorted(vars(layer)) for name, layer in made.named_modules()}
