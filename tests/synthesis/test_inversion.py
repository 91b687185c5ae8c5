"""The objective and the regional update against their exact figures, and against the defects of the references."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dfnas import profiles
from dfnas.data import teachers
from dfnas.data.images import from_input
from dfnas.kernels import image_update
from dfnas.runtime import devices
from dfnas.synthesis import inversion
from dfnas.synthesis.moments import BatchNormDistance

SETTINGS = profiles.load("smoke", 0, ["run.precision=fp32"])
STAGE = ((1, 3, "grow"),)


@pytest.fixture(scope="module")
def digits_teacher():
    return teachers.load(SETTINGS)


def variant(**changes):
    changes = {"stages": STAGE, "learning_rates": (0.1,), "batch": 20, **changes}
    return dataclasses.replace(SETTINGS.synthesis, **changes)


def run(digits_teacher, chosen, targets=None, seed=0, number=0, data=SETTINGS.data):
    targets = torch.arange(20) % 10 if targets is None else targets
    with inversion.Inversion(digits_teacher, chosen, data, SETTINGS.run) as inverter:
        return inversion.invert(inverter, targets, seed, number, 0)


def test_image_norm_takes_the_batchs_own_size():
    assert float(inversion.image_norm(torch.ones(7, 3, 2, 2))) == pytest.approx(math.sqrt(12))


def test_soft_cross_entropy_at_its_worked_values():
    logits, target = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[3.0, 2.0, 1.0]])
    assert float(inversion.label_loss(logits, target)) == pytest.approx(1.982816, abs=1e-6)
    assert float(inversion.label_loss(logits / 3, target / 3)) == pytest.approx(1.208046, abs=1e-6)


def test_soft_cross_entropy_is_least_at_the_targets_own_logits_plus_a_constant():
    target = torch.randn(5, 10, generator=torch.Generator().manual_seed(0))
    log = target.log_softmax(1)
    entropy = -(log.exp() * log).sum(1).mean()
    assert float(inversion.label_loss(target + 3, target)) == pytest.approx(float(entropy), abs=1e-5)
    assert float(inversion.label_loss(target * 0.5, target)) > float(entropy)


def test_one_hot_targets_reproduce_hard_cross_entropy():
    logits, classes = torch.randn(6, 10), torch.arange(6)
    one_hot = F.one_hot(classes, 10) * 1e4
    hard, soft = (inversion.label_loss(logits, target) for target in (classes, one_hot.float()))
    assert float(soft) == pytest.approx(float(hard), abs=1e-5)


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).eval()


def set_statistics(network, x):
    for layer in network:
        if isinstance(layer, nn.BatchNorm2d):
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
            layer.running_mean, layer.running_var = mean.detach(), variance.detach()
        x = layer(x)


@torch.no_grad()
def test_batch_norm_distance_is_zero_at_the_statistics_and_counts_a_shift_exactly():
    network, x = small_network(), torch.randn(4, 3, 8, 8)
    set_statistics(network, x)
    with BatchNormDistance(network, first=10.0) as distance:
        network(x)
        assert float(distance.total()) == pytest.approx(0, abs=1e-5)
        network[2].running_mean[1] += 0.5
        distance.start()
        network(x)
        assert float(distance.total()) == pytest.approx(0.5, abs=1e-5)
        network[2].running_mean[1] -= 0.5
        before = network[0].running_mean.clone()
        network[0].running_mean[2] += 0.25
        distance.start()
        network[0](x)  # the stem alone: what follows would shift with it
        assert float(distance.total()) == pytest.approx(2.5, abs=1e-5)
        network[0].running_mean = before


def test_learning_rates_of_the_papers_schedule():
    rates = [inversion.learning_rate(e, 2000, 0.25, 100) for e in (0, 49, 99, 100, 1050, 1999)]
    assert rates == pytest.approx([0.0025, 0.125, 0.25, 0.25, 0.125, 1.7087e-7], rel=1e-4)


@pytest.mark.parametrize(
    ("mean", "std", "low", "high"),
    [
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), (-2.1179, -2.0357, -1.8044), (2.2489, 2.4286, 2.6400)),
        ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010), (-2.4291, -2.4183, -2.2214), (2.5141, 2.5968, 2.7537)),
        (
            (0.49139968, 0.48215827, 0.44653124),
            (0.24703233, 0.24348505, 0.26158768),
            (-1.9892, -1.9802, -1.7070),
            (2.0588, 2.1268, 2.1158),
        ),
    ],
)
def test_clip_bounds(mean, std, low, high):
    lower, upper = inversion.clip_bounds(mean, std)
    assert lower.tolist() == pytest.approx(low, abs=5e-5)
    assert upper.tolist() == pytest.approx(high, abs=5e-5)
    for bound, value in ((lower, 0), (upper, 255)):
        assert (from_input(bound[None, :, None, None], mean, std) == value).all()


def test_the_final_canvas_is_a_valid_image(digits_teacher):
    canvas, terms = run(digits_teacher, variant())
    low, high = inversion.clip_bounds(digits_teacher.mean, digits_teacher.std)
    assert canvas.shape == (20, 1, 20, 20)
    assert float(canvas.min()) >= float(low) - 1e-6
    assert float(canvas.max()) <= float(high) + 1e-6
    assert terms.shape == (3, len(inversion.TERMS))


def test_offsets_cover_both_ends_and_corners_are_rare():
    data = dataclasses.replace(SETTINGS.data, region=32, canvas=40)
    offsets = inversion.draws(variant(stages=((1, 8100, "grow"),)), data, 0, 0, 0, 0)[0]
    assert set(offsets.flatten().tolist()) == set(range(9))
    corners = int((offsets == 0).all(1).sum())
    assert 70 < corners < 132  # 100 expected, three deviations


def test_the_coin_of_the_flip_is_obeyed():
    flips = {
        kind: inversion.draws(variant(flip=kind, stages=((1, 400, "grow"),)), SETTINGS.data, 0, 0, 0, 0)[1]
        for kind in ("random", "always", "never")
    }
    assert 150 < int(flips["random"].sum()) < 250
    assert flips["always"].all()
    assert not flips["never"].any()


def shown(digits_teacher, chosen, canvas):
    """What the teacher is shown of a canvas that does not move, and what the draws were."""
    seen = []
    with inversion.Inversion(digits_teacher, chosen, SETTINGS.data, SETTINGS.run) as inverter:

        def objective(region, targets):
            seen.append(region.detach().clone())
            return region.sum(), torch.zeros(len(inversion.TERMS))

        offsets, flips = inversion.draws(chosen, SETTINGS.data, 0, 0, 0, 0)
        still = dataclasses.replace(inverter, objective=objective)
        inversion._move(still, canvas, torch.arange(len(canvas)), 0, (offsets, flips), lambda *_: None)
    return list(zip(seen, offsets.tolist(), flips.tolist(), strict=True))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, lambda x, top, left: x[..., top : top + 16, left : left + 16]),
        ({"update": "jitter"}, lambda x, top, left: x.roll((top, left), (2, 3))),
        ({"update": "whole"}, lambda x, top, left: x),
        (
            {"stages": ((2, 40, "pool"),)},
            lambda x, top, left: F.avg_pool2d(x, 2)[..., top : top + 8, left : left + 8],
        ),
        (
            {"stages": ((2, 40, "pool"),), "update": "jitter"},
            lambda x, top, left: F.avg_pool2d(x, 2).roll((top, left), (2, 3)),
        ),
    ],
)
def test_the_teacher_is_shown_the_view_that_was_drawn(changes, expected, digits_teacher):
    chosen = variant(
        **{"stages": ((1, 40, "grow"),), "flip": "random", "jitter": 2, "clip": False, **changes}, learning_rates=(0.0,)
    )
    canvas = torch.randn(3, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    for seen, offset, flip in shown(digits_teacher, chosen, canvas.clone()):
        view = expected(canvas, *offset)
        assert torch.allclose(seen, view.flip(3) if flip else view, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("jitter", "reach"), [(0, 0), (1, 1), (5, 2)])
def test_without_jitter_nothing_moves_and_with_some_a_coarse_canvas_does_too(jitter, reach):
    chosen = variant(stages=((2, 200, "grow"),), update="jitter", jitter=jitter)
    offsets, _ = inversion.draws(chosen, SETTINGS.data, 0, 0, 0, 0)
    assert sorted(set(offsets.flatten().tolist())) == [*range(-reach, reach + 1)]


def test_pooling_moves_every_pixel_of_a_block_alike(digits_teacher):
    chosen = variant(stages=((2, 3, "pool"),), clip=False)
    canvas = torch.randn(20, 1, 20, 20)
    moved = canvas.clone()
    with inversion.Inversion(digits_teacher, chosen, SETTINGS.data, SETTINGS.run) as inverter:
        draws = inversion.draws(chosen, SETTINGS.data, 0, 0, 0, 0)
        inversion._move(inverter, moved, torch.arange(20) % 10, 0, draws, lambda *_: None)
    blocks = (moved - canvas).unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    assert (blocks != 0).any()
    assert torch.allclose(blocks, blocks[..., :1].expand_as(blocks), rtol=0, atol=1e-6)


def test_a_pooled_canvas_is_full_sized_and_a_grown_one_grows(digits_teacher):
    for kind in ("pool", "grow"):
        chosen = variant(stages=((2, 2, kind), (1, 2, kind)), learning_rates=(0.1, 0.1))
        canvas, terms = run(digits_teacher, chosen)
        assert canvas.shape[-1] == 20
        assert len(terms) == 4


def test_the_teacher_is_left_as_it_was(digits_teacher):
    network = digits_teacher.network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    run(digits_teacher, variant())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in network.parameters())
    assert not any("forward" in vars(layer) for layer in network.modules())


def test_nothing_stays_in_the_teacher_when_synthesis_fails(digits_teacher):
    with pytest.raises(RuntimeError), inversion.Inversion(digits_teacher, variant(), SETTINGS.data, SETTINGS.run):
        raise RuntimeError
    assert not any("forward" in vars(layer) for layer in digits_teacher.network.modules())


def test_no_step_waits_for_the_device(digits_teacher, monkeypatch):
    """A read of a tensor's value in the loop is a host sync on a GPU, where kernels read the tables of the steps."""
    offsets, flips = torch.zeros(3, 2, dtype=torch.long), torch.zeros(3, dtype=torch.bool)

    def refuse(*_):
        raise AssertionError("a tensor was read inside the loop")

    monkeypatch.setattr(image_update, "region", lambda canvas, _, side: canvas[..., :side, :side].clone())
    monkeypatch.setattr(image_update, "image_update", lambda *_: None)
    with inversion.Inversion(digits_teacher, variant(), SETTINGS.data, SETTINGS.run) as inverter:
        canvas = torch.randn(20, 1, 20, 20)
        for name in ("item", "tolist", "__float__", "__int__", "__bool__", "numpy"):
            monkeypatch.setattr(torch.Tensor, name, refuse)
        inversion._move(inverter, canvas, torch.arange(20) % 10, 0, (offsets, flips), lambda *_: None)
        monkeypatch.undo()


def test_a_ragged_batch_is_no_special_case(digits_teacher):
    canvas, _ = run(digits_teacher, variant(image_l2=1e-3), targets=torch.arange(7))
    assert len(canvas) == 7


def test_the_seed_is_the_only_randomness(digits_teacher):
    first, _ = run(digits_teacher, variant())
    torch.manual_seed(99)
    second, _ = run(digits_teacher, variant())
    other, _ = run(digits_teacher, variant(), seed=1)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_later_rounds_start_from_new_canvases(digits_teacher):
    logits = torch.randn(20, 10)
    first, again = (run(digits_teacher, variant(), targets=logits, number=1)[0] for _ in range(2))
    assert torch.equal(first, again)  # the same logits and seed give the same images (I8)
    assert not torch.equal(first, run(digits_teacher, variant(), targets=logits, number=2)[0])


def test_a_gpu_replays_what_is_compiled_as_a_graph(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "compile", lambda function, **options: asked.append(options["mode"]) or function)
    monkeypatch.setattr(devices, "compiles", lambda kind: True)
    run = dataclasses.replace(SETTINGS.run, compile=True)
    for kind in ("cuda", "cpu"):
        monkeypatch.setattr(devices, "device", lambda run, kind=kind: torch.device(kind))
        assert devices.compiled(len, run) is len
    assert devices.compiled(len, dataclasses.replace(run, compile=False)) is len
    assert asked == ["reduce-overhead", "default"]


def test_compiled_and_eager_objectives_agree(digits_teacher):
    """The compiled step is the same function, to fp32's rounding (run where there is a compiler)."""
    shutil = pytest.importorskip("shutil")
    if not shutil.which("g++"):
        pytest.skip("no C++ compiler")
    eager, _ = run(digits_teacher, variant())
    compiled_run = dataclasses.replace(SETTINGS.run, compile=True)
    with inversion.Inversion(digits_teacher, variant(), SETTINGS.data, compiled_run) as inverter:
        compiled, _ = inversion.invert(inverter, torch.arange(20) % 10, 0, 0, 0)
    assert torch.allclose(eager, compiled, atol=1e-3)


def test_an_unfrozen_teacher_is_frozen(digits_teacher):
    digits_teacher.network.requires_grad_(True)
    x = torch.randn(20, 1, 16, 16, requires_grad=True)
    with inversion.Inversion(digits_teacher, variant(), SETTINGS.data, SETTINGS.run) as inverter:
        total, _ = inverter.objective(x, torch.arange(20) % 10)
        total.backward()
    assert x.grad is not None
    assert all(weight.grad is None and not weight.requires_grad for weight in digits_teacher.network.parameters())
