"""Differentiable search: its gradients, what it may touch, and the same bits after a restart."""

import copy
import dataclasses
import itertools
import json
import math

import pytest
import torch

from dfnas import profiles
from dfnas.chapters import darts, index
from dfnas.data import sources
from dfnas.errors import UserError
from dfnas.models.darts import DARTS_V1, DARTS_V2, Size, from_text, to_text
from dfnas.models.darts_supernet import Supernet
from dfnas.profiles import RunSettings
from dfnas.runtime import devices
from dfnas.runtime.artefacts import Artefact
from dfnas.search import architecture_update, scratch
from dfnas.training import losses

from . import digits

SETTINGS = profiles.load("smoke", 0, ["run.checkpoint_seconds=0"])


def test_the_worked_example_of_the_paper():
    """Held-out loss a w - 2 a + 1, training loss w^2 - 2 a w + a^2 at (a, w) = (2, -2), rate 0.1."""
    a = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    w = torch.tensor(-2.0, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(a * w - 2 * a + 1, a)
    (second,) = architecture_update.unrolled(
        lambda: w**2 - 2 * a * w + a**2, lambda: a * w - 2 * a + 1, [w], [a], [None], rate=0.1
    )
    assert float(first) == -4.0
    assert float(second) == pytest.approx(-2.8, abs=1e-9)
    assert float(w.detach()) == -2.0


def test_the_second_order_gradient_against_exact_differentiation():
    """On a smooth problem in float64 the finite difference comes close to the product with the mixed derivative."""
    random = torch.Generator().manual_seed(0)
    shape = {"dtype": torch.float64, "generator": random}
    w, v = torch.randn(6, **shape).requires_grad_(), torch.randn(6, **shape) * 0.1
    a = torch.randn(3, **shape).requires_grad_()
    x, y = torch.randn(20, 6, **shape), torch.randn(20, 6, **shape)

    def loss(weights, data):
        mixed = a.softmax(0)
        return (mixed[0] * torch.tanh(data @ weights) + mixed[1] * (data @ weights) ** 2 + mixed[2]).square().mean()

    rate, momentum, decay = 0.05, 0.9, 3e-4
    (gradient,) = torch.autograd.grad(loss(w, x), w, create_graph=True)
    (exact,) = torch.autograd.grad(loss(w - rate * (gradient + decay * w + momentum * v), y), a)
    ours = architecture_update.unrolled(
        lambda: loss(w, x), lambda: loss(w, y), [w], [a], [v], rate=rate, momentum=momentum, decay=decay
    )[0]
    first_order = torch.autograd.grad(loss(w, y), a)[0]
    assert torch.allclose(ours, exact, rtol=1e-3, atol=1e-5)
    assert not torch.allclose(first_order, exact, rtol=1e-2)


def test_weights_are_restored_to_the_bit():
    supernet = Supernet(Size(4, 3), 10, 1)
    update = companion(supernet, "second")
    before = [weight.detach().clone() for weight in supernet.parameters()]
    optimiser = torch.optim.SGD(supernet.parameters(), 0.025, 0.9)
    update.before(0, 1, 0.025, optimiser)
    assert all(torch.equal(old, new) for old, new in zip(before, supernet.parameters(), strict=True))
    assert all(float(alpha.abs().max()) > 0 for alpha in supernet.alphas)
    assert all(weight.grad is None for weight in supernet.parameters())


def double(supernet):
    """The same supernet in float64, architecture parameters too."""
    wide = copy.deepcopy(supernet).double()
    for alpha, other in zip(supernet.alphas, wide.alphas, strict=True):
        other.data = alpha.detach().double()
    return wide


def correction(supernet, monkeypatch):
    """What the second order adds to the gradient of the architecture parameters, up to its factor."""
    shifted = []

    def noted(*arguments):
        shifted.append(torch.cat([gradient.flatten() for gradient in at(*arguments)]))
        return shifted[-1].view(2, 14, 8).unbind()

    with monkeypatch.context() as patch:
        at = architecture_update._at
        patch.setattr(architecture_update, "_at", noted)
        update = companion(supernet, "second", next(supernet.parameters()).dtype)
        update.before(0, 1, 0.025, torch.optim.SGD(supernet.parameters(), 0.025, 0.9))
    return (shifted[0] - shifted[1]).double()


PAPERS = Size(16, 8)


def cosine(size, fast, precision, monkeypatch):
    """Of the second order's correction with what it is in float64."""
    torch.manual_seed(1)
    supernet = Supernet(size, 10, 1, fast=fast)
    exact = correction(double(supernet), monkeypatch)
    with devices.autocast(RunSettings(device="cpu", precision=precision), supernet):
        ours = correction(supernet, monkeypatch)
    assert supernet.fast == fast
    return float(torch.cosine_similarity(ours, exact, 0))


@pytest.mark.parametrize("precision", ["auto", "bf16"])
@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("size", [Size(4, 3), *(pytest.param(s, marks=pytest.mark.slow) for s in (Size(8, 5), PAPERS))])
def test_the_second_order_is_no_noise_whatever_precision_the_weights_learn_in(size, fast, precision, monkeypatch):
    """In bf16 the cosine of the correction with float64 would be 0.5, and less the larger the network is."""
    assert cosine(size, fast, precision, monkeypatch) >= 0.98


def test_the_second_order_is_no_noise_at_the_papers_size(monkeypatch):
    """Where the step that it unrolls is taken in fp32, the cosine is 0.96 here."""
    assert cosine(PAPERS, True, "auto", monkeypatch) >= 0.98


def test_a_search_in_bf16_moves_the_architecture_in_fp32_and_more(tmp_path, monkeypatch):
    settings = profiles.load("smoke", 0, ["run.device=cpu", "run.precision=bf16", "darts.order=second"])
    seen, forward = {False: set(), True: set()}, Supernet.forward

    def noted(self, images):
        logits = forward(self, images)
        if torch.is_grad_enabled():
            seen[any(alpha.requires_grad for alpha in self.alphas)].add(logits.dtype)
        return logits

    monkeypatch.setattr(Supernet, "forward", noted)
    darts.search(tmp_path, digits.source(count=64), settings, 0)
    assert seen == {False: {torch.bfloat16}, True: {torch.float32, torch.float64}}


@pytest.mark.parametrize("fast", [False, True])
def test_small_moves_of_the_architecture_change_what_a_supernet_in_bf16_answers(fast):
    """Moves of the paper's rate from 0.75 on, of which bf16 rounds the first away."""
    torch.manual_seed(0)
    supernet, images, answers = Supernet(Size(4, 3), 10, 1, fast=fast), torch.randn(8, 1, 16, 16), []
    for moves in (0, 4, 7, 10):
        for alpha in supernet.alphas:
            alpha.data[:, 4] = 0.75 + moves * 3e-4
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            answers.append(supernet(images))
    assert not any(torch.equal(one, other) for one, other in itertools.pairwise(answers))


def companion(supernet, order, dtype=torch.float32):
    chapter = dataclasses.replace(SETTINGS.darts, order=order)
    sample = sources.sampler(digits.source("real", 64), chapter.search, SETTINGS, 0)
    loss = losses.hard_loss()

    def batch(step):
        inputs, targets = sample(step, 16)
        return inputs.to(dtype), targets

    return architecture_update.ArchitectureUpdate(
        supernet,
        batch,
        lambda step: batch(step + 1),
        lambda inputs, targets: loss(supernet(inputs), targets),
        chapter,
    )


def test_the_weights_optimiser_never_sees_architecture_parameters():
    supernet = Supernet(Size(4, 3), 10, 1)
    known = {id(parameter) for parameter in supernet.parameters()}
    assert not any(id(alpha) in known for alpha in supernet.alphas)
    assert not any("alpha" in name for name in supernet.state_dict())
    update = companion(supernet, "first")
    update.before(0, 1, 0.025, torch.optim.SGD(supernet.parameters(), 0.025))
    assert not any(alpha.requires_grad for alpha in supernet.alphas)


def run(folder, monkeypatch, order, stop_at=None):
    chapter = dataclasses.replace(SETTINGS.darts, order=order)
    settings = dataclasses.replace(SETTINGS, darts=chapter)
    folder.mkdir(exist_ok=True)
    whole = architecture_update.ArchitectureUpdate.before

    def stopping(self, step, steps, rate, optimiser):
        if step == stop_at:
            raise KeyboardInterrupt
        whole(self, step, steps, rate, optimiser)

    with monkeypatch.context() as patch:
        patch.setattr(architecture_update.ArchitectureUpdate, "before", stopping)
        darts.search(folder, digits.source(count=64), settings, 0)


@pytest.mark.parametrize("order", ["first", "second"])
def test_a_search_that_was_stopped_ends_with_the_same_bits(tmp_path, monkeypatch, order):
    run(tmp_path / "whole", monkeypatch, order)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", monkeypatch, order, stop_at=4)
    assert (tmp_path / "stopped" / "checkpoint.pt").exists()
    run(tmp_path / "stopped", monkeypatch, order)
    for name in ("architectures.json", "alphas.safetensors", "history.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()


def test_a_search_moves_the_parameters_and_leaves_an_architecture(tmp_path, monkeypatch):
    run(tmp_path / "whole", monkeypatch, "first")
    (text,) = scratch.read_architectures(tmp_path / "whole")
    assert text.startswith("darts:1;")
    history = darts.snapshots(Artefact("search", "", tmp_path / "whole"))
    assert history.shape[1:] == (2, 14, 8)
    assert float(darts.entropy(history[-1])) < math.log(8)
    assert len(json.loads((tmp_path / "whole" / "history.json").read_bytes())["loss"]) >= 1


def test_undecided_edges_have_the_entropy_of_eight_operations():
    assert float(darts.entropy(torch.zeros(2, 14, 8))) == pytest.approx(math.log(8))
    decided = torch.zeros(2, 14, 8)
    decided[..., 3] = 100.0
    assert float(darts.entropy(decided)) == pytest.approx(0.0, abs=1e-6)
    assert float(darts.skip_share(decided)) == pytest.approx(1.0)
    assert float(darts.skip_share(torch.zeros(2, 14, 8))) == pytest.approx(1 / 8)


def test_the_prices_of_edges_add_up_to_the_cost_of_a_genotype():
    """Of genotypes that read what they like: but for a constant, the sum over their edges is their multiply-adds."""
    generator, prices = torch.Generator().manual_seed(0), darts._prices(SETTINGS)
    constants = set()
    for _ in range(6):
        genotype = darts.space.random_genotype(generator)
        text = to_text(genotype, Size(SETTINGS.darts.scratch_channels, SETTINGS.darts.scratch_cells))
        edges = [(kind, at < 2, name) for kind in ("normal", "reduce") for name, at in getattr(genotype, kind)]
        constants.add(scratch.macs(text, SETTINGS, SETTINGS.darts.scratch) - sum(prices[edge] for edge in edges))
    assert len(constants) == 1
    assert constants.pop() > 0


def test_random_genotypes_are_as_cheap_and_as_dear_as_any():
    draw, generator = darts.random_texts(SETTINGS), torch.Generator().manual_seed(0)
    recipe = SETTINGS.darts.scratch
    uniform = [to_text(darts.space.random_genotype(generator), from_text(draw(generator))[1]) for _ in range(30)]
    low, *_, high = sorted(scratch.macs(text, SETTINGS, recipe) for text in uniform)
    found = [scratch.macs(draw(generator), SETTINGS, recipe) for _ in range(30)]
    assert sum(value < low for value in found) > 5
    assert sum(value > high for value in found) > 5
    assert len({draw(generator) for _ in range(30)}) > 20


def test_agreement_counts_the_edges_in_common():

    one, other = (to_text(genotype, Size(8, 3)) for genotype in (DARTS_V1, DARTS_V2))
    assert darts.agreement(one, one) == 1.0
    assert 0 < darts.agreement(one, other) < 1
    assert darts.agreement(one, other) == darts.agreement(other, one)


def test_a_profile_without_the_chapter_says_so():
    with pytest.raises(UserError, match="not in the paper"):
        index.plan("04-darts", profiles.load("paper-imagenet"))
