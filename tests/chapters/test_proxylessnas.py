"""Path binarisation: its gradients, what an update may touch, and the same bits after a restart."""

import dataclasses
import itertools
import json
import math

import pytest
import torch

from dfnas import profiles
from dfnas.chapters import index
from dfnas.chapters.proxylessnas import binarisation, estimate, experiment
from dfnas.chapters.proxylessnas.binarisation import Costs, Search
from dfnas.data import teachers
from dfnas.errors import UserError
from dfnas.models import chain, cost, mbconv
from dfnas.runtime import seeds
from dfnas.runtime.artefacts import Artefact
from dfnas.search import scratch

from .digits import source

SETTINGS = profiles.load("smoke", 0, ["run.checkpoint_seconds=0"])
CHAPTER = SETTINGS.proxylessnas
PAPER = profiles.load("paper-imagenet")


def generator(number=0):
    return seeds.generator(0, "test", number)


def alphas(*sizes):
    return [torch.randn(size, dtype=torch.float64, generator=generator(size)) for size in sizes]


# What paths are drawn, and how parameters are moved.


def test_the_initial_entropy_of_the_paper_s_space():
    sizes = [shape.operations for shape in experiment.space_of(PAPER).blocks]
    drawn = binarisation.initial(sizes, generator())
    assert (len(drawn), sum(map(len, drawn))) == (21, 141)
    assert binarisation.entropy(drawn) == pytest.approx(39.939, abs=1e-3)
    assert binarisation.entropy([torch.tensor([0.0, -math.inf])]) == 0.0
    assert float(torch.cat(drawn).std()) == pytest.approx(1e-3, rel=0.2)


def test_paths_are_drawn_with_the_probabilities_of_the_softmax():
    known = alphas(7, 6)
    drawn = binarisation.draw(known, 20_000, generator())
    for column, alpha in zip(drawn.T, known, strict=True):
        shares = column.bincount(minlength=len(alpha)).double() / len(column)
        assert torch.allclose(shares, alpha.softmax(0), atol=4 * 0.5 / 20_000**0.5)


def test_reward_of_the_published_network():
    found = binarisation.reward(torch.tensor([0.7]), torch.tensor([320_427_584.0]), 3e8, 0.1)
    assert float(found) == pytest.approx(0.695404, abs=5e-7)
    assert float(binarisation.reward(torch.tensor([0.7]), torch.tensor([1.0]), 3e8, 0.0)) == pytest.approx(0.7)


def test_the_baseline_starts_at_the_mean_and_moves_to_it_by_99_hundredths():
    assert binarisation.moved_baseline(None, 0.3, 0.99) == 0.3
    assert binarisation.moved_baseline(0.3, 0.5, 0.99) == pytest.approx(0.3 + 0.99 * 0.2)


def test_reinforce_is_the_gradient_of_the_advantages_times_minus_the_log_probability():
    known = [alpha.requires_grad_() for alpha in alphas(7, 6, 7)]
    paths = binarisation.draw(known, 10, generator())
    advantages = torch.randn(10, dtype=torch.float64, generator=generator(1))
    logs = sum(alpha.log_softmax(0)[drawn] for alpha, drawn in zip(known, paths.T, strict=True))
    exact = torch.autograd.grad((advantages * -logs).mean(), known)
    with torch.no_grad():
        ours = binarisation.reinforce_gradients(known, paths, advantages)
    for one, other in zip(ours, exact, strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def test_the_slopes_of_two_gates_are_the_gradient_of_what_they_stand_for():
    """The gates stand for the pair's probabilities: a loss that is linear in them has this gradient exactly."""
    (alpha,) = alphas(7)
    alpha.requires_grad_()
    slopes, pair = torch.tensor([0.3, -1.2], dtype=torch.float64), (5, 2)
    (exact,) = torch.autograd.grad((alpha[list(pair)].softmax(0) * slopes).sum(), alpha)
    assert torch.allclose(binarisation.pair_gradient(alpha.detach(), pair, slopes), exact, atol=1e-12)


def test_rescaling_leaves_the_probabilities_of_the_other_operations_as_they_were():
    (alpha,) = alphas(7)
    before, pair = alpha.clone(), (1, 4)
    alpha[1] += 0.7
    alpha[4] -= 0.2
    binarisation.rescale_(alpha, pair, before)
    rest = [0, 2, 3, 5, 6]
    assert torch.allclose(alpha.softmax(0)[rest], before.softmax(0)[rest], atol=1e-14)
    assert float(alpha[1] - alpha[4]) == pytest.approx(float(before[1] - before[4]) + 0.9)


def test_pairs_are_two_operations_and_the_active_one_is_the_likelier_one_more_often():
    known = [torch.tensor([2.0, 0.0, 0.0], dtype=torch.float64)]
    drawn = [binarisation.draw_pairs(known, generator(number)) for number in range(500)]
    assert all(active != inactive for active, inactive in drawn)
    mixed = [active for active, inactive in drawn if 0 in (*active, *inactive)]
    share = sum(active == (0,) for active in mixed) / len(mixed)
    assert share == pytest.approx(1 / (1 + math.exp(-2)), abs=4 * 0.33 / len(mixed) ** 0.5)


@pytest.mark.parametrize(
    ("steps", "updates", "delay"), [(12, 10, 0.1), (7, 20, 0.0), (100, 7, 0.5), (50_000, 35_700, 1 / 120)]
)
def test_updates_are_spread_evenly_and_each_is_made_once(steps, updates, delay):
    made = [binarisation.due(step, steps, updates, delay) for step in range(steps)]
    assert [number for numbers in made for number in numbers] == list(range(updates))
    first = round(delay * steps)
    assert not any(len(numbers) for numbers in made[:first])
    counts = {len(numbers) for numbers in made[first:]}
    assert max(counts) - min(counts) <= 1


def test_random_architectures_are_as_cheap_and_as_dear_as_any():
    space, draws = experiment.space_of(SETTINGS), generator()
    paths = itertools.product(*(range(shape.operations) for shape in space.blocks))
    every = sorted(mbconv.macs(space, path, 16, 10, 1) for path in paths)
    drawn = [mbconv.from_text(experiment.random_text(SETTINGS, draws))[0] for _ in range(1000)]
    found = [mbconv.macs(space, path, 16, 10, 1) for path in drawn]
    # Uniform draws would give each of the outermost hundredths some ten.
    assert sum(value <= every[len(every) // 100] for value in found) > 50
    assert sum(value >= every[-len(every) // 100] for value in found) > 50


def test_costs_of_paths_are_those_of_their_networks():
    space, costs = experiment.space_of(SETTINGS), experiment.costs_of(SETTINGS, None)
    paths = torch.tensor([chain.random_choices(space.options, generator(number)) for number in range(5)])
    exact = [mbconv.macs(space, path, 16, 10, 1) for path in paths.tolist()]
    assert costs.of(paths).tolist() == exact
    texts = [mbconv.to_text(path, space) for path in paths.tolist()]
    assert [scratch.macs(text, SETTINGS, CHAPTER.scratch) for text in texts] == exact
    every = torch.cartesian_prod(*(torch.arange(shape.operations) for shape in space.blocks))
    assert len(every) == space.networks
    assert costs.reference == pytest.approx(float(costs.of(every).mean()))


# A search.


def update(**changes):
    chapter = dataclasses.replace(CHAPTER, **changes)
    settings = dataclasses.replace(SETTINGS, proxylessnas=chapter)
    supernet = experiment.build_supernet(settings).train()
    _, held_out = experiment.split(source(), settings)
    return Search(supernet, held_out, experiment.costs_of(settings, None), settings, chapter)


@pytest.mark.parametrize("kind", ["reinforce", "descend"])
def test_an_update_moves_the_architecture_parameters_and_nothing_of_the_supernet(kind):
    companion = update()
    weights = {name: value.clone() for name, value in companion.supernet.state_dict().items()}
    before = [alpha.clone() for alpha in companion.alphas]
    getattr(companion, kind)(0)
    for name, value in companion.supernet.state_dict().items():
        assert torch.equal(value, weights[name]) or name.endswith("num_batches_tracked"), name
    assert all(weight.grad is None for weight in companion.supernet.parameters())
    moved = [int((old != new).sum()) for old, new in zip(before, companion.alphas, strict=True)]
    assert any(moved)
    if kind == "descend":
        assert all(count in (0, 2) for count in moved)
    assert {layer.momentum for layer in companion.supernet.modules() if isinstance(layer, torch.nn.BatchNorm2d)} == {
        0.1
    }


def test_equal_rewards_move_nothing(monkeypatch):
    companion = update(exponent=0.0)
    monkeypatch.setattr(
        Search, "judge", lambda self, paths, number: torch.full((len(paths),), 0.4, dtype=torch.float64)
    )
    before = [alpha.clone() for alpha in companion.alphas]
    for number in range(3):
        companion.reinforce(number)
    assert all(torch.equal(old, new) for old, new in zip(before, companion.alphas, strict=True))


@pytest.mark.parametrize("kind", ["reinforce", "descend"])
def test_where_cost_alone_differs_the_cheapest_path_is_found(monkeypatch, kind):
    companion = update(architecture_rate=0.2, exponent=1.0, cost_weight=1.0, samples=10, judged_batch=4)
    monkeypatch.setattr(
        Search, "judge", lambda self, paths, number: torch.full((len(paths),), 0.4, dtype=torch.float64)
    )
    monkeypatch.setattr(companion, "loss", lambda logits, targets: 0 * logits.sum())
    sizes = [len(alpha) for alpha in companion.alphas]
    companion.costs = Costs(1.0, tuple(tuple(1.0 if k == 3 else 3.0 for k in range(size)) for size in sizes), 4.0)
    for number in range(80):
        getattr(companion, kind)(number)
    assert binarisation.most_probable(companion.alphas) == (3,) * len(sizes)


def run(folder, what, stop_at=None, warm=None, **changes):
    """A warm-up, or a search after it; `stop_at`: killed before that step."""
    chapter = dataclasses.replace(CHAPTER, **changes)
    settings = dataclasses.replace(SETTINGS, proxylessnas=chapter)
    folder.mkdir(exist_ok=True)
    whole = binarisation.Drawing.before

    def stopping(self, step, steps, rate, optimiser):
        if step == stop_at:
            raise KeyboardInterrupt
        whole(self, step, steps, rate, optimiser)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binarisation.Drawing, "before", stopping)
        if what == "warm-up":
            experiment.warm_up(folder, source(), settings, teachers.load(settings))
        else:
            supernet, costs = experiment.read(warm, settings), experiment.costs_of(settings, None)
            experiment.search(folder, source(), supernet, costs, settings, teachers.load(settings))
    return Artefact(what, "", folder)


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    return run(tmp_path_factory.mktemp("warm"), "warm-up")


def same(one, other):
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    assert all((one / name).read_bytes() == (other / name).read_bytes() for name in names)
    return names


def test_a_warm_up_that_was_stopped_ends_with_the_same_bits(tmp_path, warm):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", "warm-up", stop_at=5)
    assert (tmp_path / "stopped" / "checkpoint.pt").exists()
    run(tmp_path / "stopped", "warm-up")
    assert same(warm.folder, tmp_path / "stopped") == ["history.json", "model.safetensors"]


@pytest.mark.parametrize("kind", ["reinforce", "gradient"])
def test_a_search_that_was_stopped_finds_the_same_architecture_with_the_same_bits(tmp_path, warm, kind):
    run(tmp_path / "whole", "search", warm=warm, update=kind)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", "search", warm=warm, update=kind, stop_at=7)
    assert (tmp_path / "stopped" / "checkpoint.pt").exists()
    run(tmp_path / "stopped", "search", warm=warm, update=kind)
    made = same(tmp_path / "whole", tmp_path / "stopped")
    assert made == ["alphas.safetensors", "architectures.json", "history.json", "model.safetensors", "updates.json"]


def test_what_a_search_leaves(tmp_path, warm):
    made = run(tmp_path / "search", "search", warm=warm)
    (text,) = scratch.read_architectures(made.folder)
    log = json.loads((made.folder / "updates.json").read_bytes())
    probabilities = experiment.snapshots(made)
    space = experiment.space_of(SETTINGS)
    assert probabilities.shape == (len(log["steps"]), len(space.blocks), 7)
    assert torch.allclose(probabilities.sum(-1), torch.ones(probabilities.shape[:2]))
    for block, shape in enumerate(space.blocks):
        assert bool(probabilities[:, block, mbconv.ZERO].any()) == shape.shortcut
    assert mbconv.from_text(text)[0] == tuple(probabilities[-1].argmax(-1).tolist())
    assert len(log["reward"]) == len(log["entropy"]) == CHAPTER.updates
    assert min(log["step"]) >= round(CHAPTER.delay * CHAPTER.search.steps) > 0


# Settings, plan and the paper's size.


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(UserError, match="no image"):
        experiment.check(profiles.load("smoke", 0, ["proxylessnas.validation_each=50"]))


def test_the_chapter_is_not_in_the_paper_s_cifar_10_part():
    with pytest.raises(UserError, match="not in the paper"):
        index.stage_keys("06-proxylessnas", profiles.load("paper-cifar10"))


def test_the_paper_s_supernet_on_the_meta_device():
    network = estimate.supernet(PAPER)
    assert {parameter.device for parameter in network.parameters()} == {torch.device("meta")}
    assert cost.parameters(network) == 16_034_168
    assert len(network.blocks) == 21


def test_a_plan_counts_the_images_that_paths_are_judged_on():
    judged = index.plan("06-proxylessnas", SETTINGS)[4]
    assert judged["stage"] == "paths judged x 4"
    assert judged["images"] == 4 * 10 * 4 * 30
    assert PAPER.proxylessnas.updates == 35_700
