"""Facts about the two tabulated spaces: sizes, texts, paths."""

import pytest
import torch

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
