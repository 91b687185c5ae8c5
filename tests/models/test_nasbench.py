"""Facts about the two tabulated spaces: sizes, texts, paths."""

import pytest
import torch

from dfnas import models
from dfnas.errors import UserError
from dfnas.models import cost, nasbench

CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"


def test_the_largest_cell_has_the_parameters_and_multiply_adds_of_its_paper():
    # NAS-Bench-201 gives 1.531546 million parameters and 220.12 million multiply-adds
    network = nasbench.Supernet(nasbench.Space("cell"), 10, only=nasbench.from_text(CELL))
    assert cost.parameters(network) == 1_531_546
    assert cost.macs(network, (3, 32, 32)) == 220_119_680


def test_a_chain_counted_by_hand():
    # the stem, three strided 1x1 convolutions, the last convolution and the classifier are left
    network = nasbench.Supernet(nasbench.Space("chain"), 10, only=nasbench.from_text("00000000"))
    strided = [(32, 64), (64, 128), (128, 256)]
    expected = 3 * 9 * 32 + 64 + sum(a * b + 2 * b for a, b in strided) + 256 * 1280 + 2 * 1280 + 1280 * 10 + 10
    assert cost.parameters(network) == expected
    one_more = nasbench.Supernet(nasbench.Space("chain"), 10, only=nasbench.from_text("01000000"))
    hidden = 3 * 64
    assert (
        cost.parameters(one_more) - expected == 64 * hidden + 2 * hidden + 9 * hidden + 2 * hidden + hidden * 64 + 128
    )


def test_texts_are_read_and_others_refused():
    text = "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|"
    assert nasbench.from_text(text) == (0, 1, 2, 3, 4, 0)
    assert nasbench.from_text("01202110") == (0, 1, 2, 0, 2, 1, 1, 0)
    for wrong in ("0120211", "01203110", "", text[:-1], text.replace("~2", "~1"), text.replace("none", "sep_conv")):
        with pytest.raises(UserError, match="neither a cell"):
            nasbench.from_text(wrong)


@pytest.mark.parametrize("kind", nasbench.KINDS)
def test_a_path_trains_its_own_weights_and_no_others(kind):
    space = nasbench.Space(kind, channels=4, cells=1)
    supernet = nasbench.Supernet(space, 10, 1)
    with pytest.raises(RuntimeError, match="choose"):
        supernet(torch.zeros(2, 1, 16, 16))
    with pytest.raises(UserError, match="choices"):
        supernet.choose([9] * len(space.options))
    choices = (3, 2, 0, 1, 4, 3) if kind == "cell" else (1, 0, 2, 1, 0, 2, 1, 1)
    supernet.choose(choices)
    supernet(torch.randn(2, 1, 16, 16)).sum().backward()
    lists = supernet.body[0].edges if kind == "cell" else supernet.body
    for held, choice in zip(lists, choices, strict=True):
        for name, operation in held.items():
            trained = [parameter.grad is not None for parameter in operation.parameters()]
            assert all(trained) if name == str(choice) else not any(trained)


def test_supernet_and_network_of_one_architecture_compute_the_same():
    space, choices = nasbench.Space("cell", 4, 1), nasbench.from_text(CELL)
    supernet = nasbench.Supernet(space, 10, 1).eval()
    alone = nasbench.Supernet(space, 10, 1, seed=1, only=choices).eval()
    norms = [[m.affine for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)] for net in (supernet, alone)]
    assert (any(norms[0]), all(norms[1])) == (False, True)
    alone.load_state_dict({**alone.state_dict(), **supernet.state_dict()}, strict=False)
    supernet.choose(choices)
    images = torch.randn(2, 1, 16, 16)
    assert torch.allclose(supernet(images), alone(images), atol=1e-5)


def test_a_cell_of_nothing_answers_the_same_to_all_images():
    supernet = nasbench.Supernet(nasbench.Space("cell", 4, 1), 10, 1).eval()
    supernet.choose([0] * 6)
    one, other = supernet(torch.randn(2, 1, 16, 16))
    assert torch.equal(one, other)


@pytest.mark.parametrize("kind", nasbench.KINDS)
def test_a_mixture_of_one_operation_a_position_is_that_architecture(kind):
    space = nasbench.Space(kind, 4, 1)
    choices = (3, 2, 1, 4, 3, 2) if kind == "cell" else (1, 0, 2, 1, 0, 2, 1, 1)
    mixture, images = nasbench.Mixture(space, 10, 1, seed=3).eval(), torch.randn(2, 1, 16, 16)
    path = nasbench.Supernet(space, 10, 1, seed=3).eval()
    path.choose(choices)
    with torch.no_grad():
        for alpha, choice in zip(mixture.alphas, choices, strict=True):
            alpha[choice] = 100.0
    assert torch.allclose(mixture(images), path(images), atol=1e-5)
    assert not torch.equal(mixture(images), nasbench.Mixture(space, 10, 1, seed=3).eval()(images))


def test_a_mixture_weighs_what_its_operations_bring():
    mixture = nasbench.Mixture(nasbench.Space("cell", 4, 1), 10, 1).eval()
    x, edge = torch.randn(2, 4, 8, 8), mixture.body[0].edges[2]
    with torch.no_grad():
        mixture.alphas[2].copy_(torch.tensor([0.5, -1.0, 2.0, 0.0, 1.0]))
    weights = mixture.alphas[2].softmax(0)
    expected = sum(weights[choice] * edge[str(choice)](x) for choice in (1, 2, 3, 4))
    assert torch.allclose(mixture.apply_position(2, edge, x), expected, atol=1e-6)
    mixture(torch.randn(2, 1, 16, 16)).sum().backward()
    assert all(alpha.grad is not None for alpha in mixture.alphas)
    assert not any(alpha is weight for alpha in mixture.alphas for weight in mixture.parameters())


def test_networks_are_built_from_their_texts():
    space, choices = nasbench.Space("cell", 4, 2), nasbench.from_text(CELL)
    assert nasbench.to_text(space, choices) == CELL
    text = nasbench.network_text(space, CELL)
    assert nasbench.from_network_text(text) == (space, choices)
    one, other, third = (models.build(text, 10, 1, seed) for seed in (0, 0, 1))
    assert torch.equal(one.linear.weight, other.linear.weight)
    assert not torch.equal(one.linear.weight, third.linear.weight)
    assert cost.parameters(one) == cost.parameters(nasbench.Supernet(space, 10, 1, only=choices))
    chain = nasbench.Space("chain", 4)
    assert nasbench.to_text(chain, nasbench.from_text("01202110")) == "01202110"
    with pytest.raises(UserError, match="no network of a published space"):
        models.build(f"nasbench:{CELL}", 10)


def test_a_cell_is_connected_where_a_way_leads_through_it():
    space = nasbench.Space("cell")
    ways = {(0, 0, 0, 1, 0, 0): True, (1, 0, 0, 0, 1, 0): True, (1, 0, 1, 0, 0, 1): True, (0, 1, 1, 0, 1, 0): False}
    assert {cell: nasbench.connected(space, cell) for cell in ways} == ways
    assert nasbench.connected(nasbench.Space("chain"), (0,) * 8)
