"""Single steps of the searches: which batch they are taken on, with which momentum, against which losses."""

import dataclasses

import identities
import pytest
import torch
import torch.nn.functional as F
from identities import shown, watch
from torch import nn

from dfnas import profiles
from dfnas.chapters.proxylessnas import binarisation, experiment
from dfnas.models import darts as cells
from dfnas.search import architecture_update, scratch
from dfnas.training import loop

SETTINGS = identities.settings("darts.order=second")
DOUBLE = {"dtype": torch.float64, "generator": torch.Generator().manual_seed(0)}


class Smooth(nn.Module):
    """Six weights and three architecture parameters, without kinks."""

    def __init__(self):
        super().__init__()
        self.fast = False  # as a supernet says that it is in its plain form
        self.weight = nn.Parameter(torch.randn(6, **DOUBLE))
        self.alphas = [torch.randn(3, **DOUBLE)]

    def forward(self, x, weight=None, alpha=None):
        product = x @ (self.weight if weight is None else weight)
        mixed = (self.alphas[0] if alpha is None else alpha).softmax(0)
        return mixed[0] * torch.tanh(product) + mixed[1] * product + mixed[2] * product**2


@pytest.mark.parametrize(("momentum", "decay"), [(0.9, 0.3), (0.9, 0.0), (0.0, 0.3)])
def test_second_order_looks_where_the_next_step_of_the_weights_goes(momentum, decay):
    """The optimiser's own momentum, decay and batch: against exact differentiation of that very step."""
    supernet, rate, step = Smooth(), 0.05, 2
    batches, held_out = torch.randn(5, 20, 6, **DOUBLE), torch.randn(5, 20, 6, **DOUBLE)
    targets = torch.randn(5, 20, **DOUBLE)
    optimiser = torch.optim.SGD(supernet.parameters(), rate, momentum, weight_decay=decay)
    buffer = 4 * torch.randn(6, **DOUBLE)
    optimiser.state[supernet.weight]["momentum_buffer"] = buffer
    update = architecture_update.ArchitectureUpdate(
        supernet,
        lambda number: (batches[number], targets[number]),
        lambda number: (held_out[number], targets[number]),
        lambda inputs, labels: F.mse_loss(supernet(inputs), labels),
        SETTINGS.darts,
    )
    alpha, weight = supernet.alphas[0].clone().requires_grad_(), supernet.weight.detach().clone().requires_grad_()
    loss = F.mse_loss(supernet(batches[step], weight, alpha), targets[step])
    (gradient,) = torch.autograd.grad(loss, weight, create_graph=True)
    there = weight - rate * (gradient + decay * weight + momentum * buffer)
    (exact,) = torch.autograd.grad(F.mse_loss(supernet(held_out[step], there, alpha), targets[step]), alpha)
    update.before(step, 5, rate, optimiser)
    ours = supernet.alphas[0].grad
    assert torch.allclose(ours.double(), exact, rtol=1e-2, atol=1e-3 * float(exact.abs().max()))


def test_paths_of_one_update_are_judged_on_the_same_images_and_those_of_the_next_on_others():
    settings = identities.settings("proxylessnas.judged_batch=12", "proxylessnas.samples=6")
    supernet = experiment.build_supernet(settings).train()
    _, held_out = experiment.split(identities.source("synthetic", 100), settings)
    costs = experiment.costs_of(settings, None)
    update, batches = binarisation.Search(supernet, held_out, costs, settings, settings.proxylessnas), []
    for number in range(2):
        with watch() as passes:
            update.reinforce(number)
        assert len(passes) > 1  # paths that are drawn twice are judged once
        batches.append(shown(passes, "judging"))
        assert {images for _, images in passes} == {frozenset(batches[-1])}
    assert len(batches[0]) == len(batches[1]) == 12
    assert batches[0] != batches[1]


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_the_auxiliary_head_counts_by_its_weight_in_a_training_from_scratch(weight, tmp_path, monkeypatch):
    given = {}

    def train(network, sample, loss, *rest, **options):
        given.update(network=network, loss=loss)
        raise KeyboardInterrupt

    settings = profiles.load("smoke")
    monkeypatch.setattr(loop, "train", train)
    recipe = dataclasses.replace(settings.darts.scratch, auxiliary_weight=weight)
    recipe = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, label_smoothing=0.2))
    text = cells.to_text(cells.DARTS_V2, cells.Size(4, 3))
    with pytest.raises(KeyboardInterrupt):
        scratch.train(tmp_path, text, settings, recipe, 0)
    logits, others, classes = torch.randn(4, 10), torch.randn(4, 10), torch.arange(4)
    main, auxiliary = (F.cross_entropy(each, classes, label_smoothing=0.2) for each in (logits, others))
    found = given["loss"]((logits, others) if weight else logits, classes)
    assert float(found) == pytest.approx(float(main + weight * auxiliary), rel=1e-5)
    answer = given["network"].train()(torch.randn(2, 1, 16, 16))
    assert isinstance(answer, tuple) == (weight > 0)
