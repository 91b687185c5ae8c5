"""Scores without training, against networks that can be computed by hand."""

import math

import pytest
import torch
from torch import nn

from dfnas import models
from dfnas.models import darts
from dfnas.search import proxies


class Numbers(nn.Module):
    """Two linear layers with a ReLU between them."""

    def __init__(self, first, second):
        super().__init__()
        self.first, self.relu, self.second = nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False)
        for layer, values in ((self.first, first), (self.second, second)):
            layer.weight.data = torch.tensor(values)

    def forward(self, x):
        return self.second(self.relu(self.first(x)))


NETWORK = Numbers([[1.0, -2.0], [0.5, 0.0]], [[3.0, -1.0]])
IMAGES = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.5]])


def test_synflow_of_a_network_by_hand():
    # With absolute weights and ones, R = 3 (1 + 2) + 1 (0.5 + 0) = 9.5, and each of the two layers adds R.
    assert proxies.synflow(NETWORK, IMAGES) == pytest.approx(math.log(19.0))
    assert NETWORK.second.weight[0, 1].item() == -1.0  # the network is left as it was


def test_synflow_grows_with_what_is_added_and_is_blind_to_batch_norm():
    plain, normed = nn.Linear(4, 3, bias=False), nn.BatchNorm1d(3)
    both = nn.Sequential(plain, normed, nn.Linear(3, 2))
    expected = 2 * (both[2].weight.abs() @ plain.weight.abs() @ torch.ones(4)).sum().item()
    assert proxies.synflow(both, torch.ones(1, 4)) == pytest.approx(math.log(expected), abs=1e-4)


def test_naswot_counts_the_relus_that_two_images_have_in_the_same_state():
    # Before the ReLU: (1, 0.5), (-2, 0), (1, 1): on on, off off, on on. The first and the last cannot be told apart.
    assert proxies.naswot(NETWORK, IMAGES) == proxies.NOTHING
    kernel = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    assert proxies.naswot(NETWORK, IMAGES[:2]) == pytest.approx(float(kernel.logdet()))


def test_naswot_sees_every_relu_of_a_cell_network(monkeypatch):
    """What halves the side has a ReLU too, and how many there are depends on the genotype."""
    network = models.build(darts.to_text(darts.DARTS_V2, darts.Size(4, 3)), 10, 1)
    called, relu = [], torch.nn.functional.relu
    monkeypatch.setattr(torch.nn.functional, "relu", lambda x, *rest, **options: called.append(1) or relu(x, False))
    network(torch.randn(2, 1, 16, 16))
    times = []
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda *_: times.append(1))
    network(torch.randn(2, 1, 16, 16))
    assert len(called) == 2 * len(times) > 0


def test_jacov_is_higher_where_gradients_differ():
    alike = proxies.jacov(Numbers([[1.0, 2.0], [3.0, 1.0]], [[1.0, 1.0]]), IMAGES)  # all on: one gradient for all
    mixed = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 3))
    assert proxies.jacov(mixed, torch.randn(3, 6)) > alike
    # One gradient for three images: correlations of ones, eigenvalues 3, 0 and 0.
    small = sum(math.log(v + 1e-5) + 1 / (v + 1e-5) for v in (3.0, 0.0, 0.0))
    assert alike == pytest.approx(-small, rel=1e-3)
    assert proxies.jacov(Numbers([[0.0, 0.0]] * 2, [[1.0, 1.0]]), IMAGES) == proxies.NOTHING


def test_a_cell_of_nothing_is_last_by_every_score():
    images, cell = torch.randn(8, 1, 16, 16), "nasbench:channels=4;cells=1;|{0}~0|+|{0}~0|{0}~1|+|{0}~0|{0}~1|{0}~2|"
    full, nothing = (models.build(cell.format(name), 10, 1, 0) for name in ("nor_conv_3x3", "none"))
    one, other = proxies.scores(full, images), proxies.scores(nothing, images)
    assert set(one) == set(proxies.NAMES)
    assert all(one[name] > other[name] for name in proxies.NAMES)
    assert other["jacov"] == proxies.NOTHING
