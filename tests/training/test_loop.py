"""The training loop: schedules, averaging, and the same bits after a restart."""

import dataclasses
import json
import os

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from dfnas import models, profiles
from dfnas.data import sources
from dfnas.data.sources import Source
from dfnas.errors import UserError
from dfnas.profiles import TrainingSettings
from dfnas.training import evaluation, loop, losses

RUN = profiles.RunSettings(device="cpu", precision="fp32", checkpoint_seconds=0.0)
SETTINGS = dataclasses.replace(profiles.load("smoke", 0, ["data.flip=False"]), run=RUN)
RECIPE = TrainingSettings(batch=16, learning_rate=0.1, steps=12, averaging=0.9)


def sampler(recipe=RECIPE):
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (64, 1, 20, 20), generator=random).byte()
    classes = torch.randint(0, 10, (64,), generator=random)
    return sources.sampler(Source(images, classes, classes, (0.5,), (0.25,)), recipe, SETTINGS, 0)


def train(folder=None, recipe=RECIPE, steps=12, stop_at=None, evaluate=None):
    sample = sampler(recipe)

    def stopping(step, side):
        if step == stop_at:
            raise KeyboardInterrupt
        return sample(step, side)

    network = models.build("resnet5", 10, 1, seed=0)
    return loop.train(
        network, stopping, losses.hard_loss(), recipe, RUN, steps=steps, side=16, folder=folder, evaluate=evaluate
    )


def state(network):
    return torch.cat([value.flatten().float() for value in network.state_dict().values()])


def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path):
    whole, history = train()
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, stop_at=7)
    assert (tmp_path / "checkpoint.pt").exists()
    resumed, again = train(tmp_path)
    assert torch.equal(state(whole), state(resumed))
    assert vars(history) == vars(again)


def test_a_damaged_checkpoint_is_one_line_and_stays(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, stop_at=7)
    file = tmp_path / loop.CHECKPOINT
    whole = file.read_bytes()
    for damaged in (b"", whole[:-100], b"PK" + bytes(len(whole)), whole.replace(b"position", b"positiom")):
        file.write_bytes(damaged)
        with pytest.raises(UserError, match=r"checkpoint\.pt is damaged .*: delete it, and the training starts anew"):
            train(tmp_path)
        assert file.read_bytes() == damaged


def test_a_diverged_run_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"training: the loss is (nan|inf) at step 12.*lower the learning_rate"):
        train(tmp_path, dataclasses.replace(RECIPE, learning_rate=1e20))
    assert not (tmp_path / "model.safetensors").exists()


def test_the_same_seed_gives_the_same_bits():
    assert torch.equal(state(train()[0]), state(train()[0]))


@pytest.mark.parametrize("groups", [1, 4])
def test_training_judging_and_recalibration_have_the_network_s_precision(groups, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    seen, run = [], profiles.RunSettings(device="cpu")

    class Probe(torch.nn.Identity):
        def forward(self, x):
            seen.append(torch.is_autocast_enabled("cpu"))
            return x

    convolution = torch.nn.Conv2d(4, 4, 3, padding=1, groups=groups)
    network = torch.nn.Sequential(
        convolution, torch.nn.BatchNorm2d(4), Probe(), torch.nn.Flatten(), torch.nn.Linear(64, 10)
    )
    batch = torch.randn(8, 4, 4, 4), torch.arange(8)
    trained, _ = loop.train(network, lambda *_: batch, losses.hard_loss(), RECIPE, run, steps=2, side=4)
    images = torch.zeros(8, 4, 4, 4, dtype=torch.uint8)
    evaluation.predict(trained, Source(images, batch[1], batch[1], (0.5,) * 4, (0.25,) * 4), run)
    evaluation.recalibrate(trained, [batch[0]], run)
    assert seen == [groups == 1] * 4


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_a_step_is_torch_s_own_with_the_momentum_as_first_beta(optimiser):
    recipe = TrainingSettings(64, 0.01, optimiser=optimiser, momentum=0.8, nesterov=False, warm_up=0.0)
    ours, _ = train(recipe=recipe, steps=2)
    network = models.build("resnet5", 10, 1, seed=0).to(memory_format=torch.channels_last).train()
    if optimiser == "adam":
        plain = torch.optim.Adam(network.parameters(), 0.01, (0.8, 0.999), weight_decay=5e-4)
    else:
        plain = torch.optim.SGD(network.parameters(), 0.01, 0.8, weight_decay=5e-4)
    for step in range(2):
        plain.param_groups[0]["lr"] = loop.learning_rate(step, 2, recipe)
        inputs, targets = sampler(recipe)(step, 16)
        plain.zero_grad()
        F.cross_entropy(network(inputs), targets).backward()
        plain.step()
    assert torch.allclose(state(ours), state(network), atol=1e-5)


def test_adam_goes_on_to_the_same_bits_too(tmp_path):
    recipe = dataclasses.replace(RECIPE, optimiser="adam", learning_rate=0.01)
    whole, _ = train(recipe=recipe)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, recipe, stop_at=7)
    assert torch.equal(state(whole), state(train(tmp_path, recipe)[0]))


def test_training_learns():
    _, history = train(recipe=dataclasses.replace(RECIPE, batch=64), steps=200)
    assert history.loss[-1] < 0.5 * history.loss[0]
    assert history.step == [100, 200]


def test_learning_rate_warms_up_and_ends_at_zero():
    recipe = dataclasses.replace(RECIPE, warm_up=0.1)
    rates = [loop.learning_rate(step, 100, recipe) for step in range(100)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[10] == pytest.approx(0.1)
    assert rates[55] == pytest.approx(0.05)
    assert rates[-1] < 1e-4


def test_milestones_drop_tenfold():
    recipe = dataclasses.replace(RECIPE, warm_up=0.0, milestones=(0.4, 0.6))
    assert [loop.learning_rate(s, 200, recipe) for s in (0, 79, 80, 119, 120, 199)] == pytest.approx(
        [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    )


def test_resolutions_follow_their_shares():
    recipe = dataclasses.replace(RECIPE, resolutions=((8, 0.5), (12, 0.25)))
    assert [loop.resolution(done, 16, recipe) for done in (0, 0.49, 0.5, 0.74, 0.75, 1)] == [8, 8, 12, 12, 16, 16]
    _, history = train(recipe=recipe)
    assert history.side == [16]


def test_steps_come_from_epochs_or_are_given():
    assert loop.steps_of(RECIPE, 1000) == 12
    assert loop.steps_of(dataclasses.replace(RECIPE, steps=0, epochs=2), 1000) == 125


def test_the_average_is_what_is_returned():
    seen = []
    network, _ = train(evaluate=lambda network: seen.append(state(network)) or 0.0)
    plain, _ = train(recipe=dataclasses.replace(RECIPE, averaging=0.0))
    assert torch.equal(seen[-1], state(network))
    assert not torch.equal(state(network), state(plain))


def test_evaluation_changes_nothing():
    assert torch.equal(state(train()[0]), state(train(evaluate=lambda network: 0.0)[0]))


def test_label_smoothing_at_its_worked_value():
    loss = losses.hard_loss(0.1)(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([0]))
    assert float(loss) == pytest.approx(2.307606, abs=1e-6)


def test_divergence_at_its_worked_values():
    logits, target = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[3.0, 2.0, 1.0]])
    assert float(losses.soft_loss(1.0)(logits, target)) == pytest.approx(1.150421, abs=1e-6)
    assert float(losses.soft_loss(3.0)(logits, target)) == pytest.approx(0.145469, abs=1e-6)


def test_divergence_has_the_gradient_of_soft_cross_entropy():
    logits = torch.randn(4, 10, dtype=torch.float64, requires_grad=True)
    target = torch.randn(4, 10, dtype=torch.float64)
    (one,) = torch.autograd.grad(losses.soft_loss(1.0)(logits, target), logits)
    (other,) = torch.autograd.grad(F.cross_entropy(logits, target.softmax(1)), logits)
    assert torch.allclose(one, other, atol=1e-7)  # the loss rounds its targets to float32


class Counting:
    """A companion that remembers what it was told, and shows in the weights' training when it acts."""

    def __init__(self, network):
        self.network, self.seen = network, []

    def before(self, step, steps, rate, optimiser):
        self.seen.append((step, steps, rate))
        with torch.no_grad():
            self.network.linear.bias.add_(0.01 * step)

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = list(state["seen"])


def train_together(folder=None, stop_at=None):
    sample = sampler()

    def stopping(step, side):
        if step == stop_at:
            raise KeyboardInterrupt
        return sample(step, side)

    network = models.build("resnet5", 10, 1, seed=0)
    companion = Counting(network)
    recipe = dataclasses.replace(RECIPE, averaging=0.0)
    trained, _ = loop.train(
        network, stopping, losses.hard_loss(), recipe, RUN, steps=12, side=16, folder=folder, companion=companion
    )
    return trained, companion


def test_a_companion_acts_before_each_step_and_is_part_of_the_checkpoint(tmp_path):
    whole, companion = train_together()
    assert [step for step, _, _ in companion.seen] == list(range(12))
    assert companion.seen[3][1:] == (12, loop.learning_rate(3, 12, RECIPE))
    with pytest.raises(KeyboardInterrupt):
        train_together(tmp_path, stop_at=7)
    resumed, again = train_together(tmp_path)
    assert torch.equal(state(whole), state(resumed))
    assert again.seen == companion.seen


def test_a_companion_without_a_state_of_its_own_has_nothing_in_a_checkpoint():
    companion = loop.Stateless()
    assert companion.state_dict() == {}
    companion.load_state_dict({})


def test_what_is_kept_of_a_training_is_model_and_history_and_no_checkpoint(tmp_path):
    trained, history = train(tmp_path)
    assert (tmp_path / loop.CHECKPOINT).exists()
    loop.keep(tmp_path, trained, history)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.json", "model.safetensors"]
    weights = load_file(tmp_path / "model.safetensors")
    assert weights.keys() == trained.state_dict().keys()
    assert all(torch.equal(value, weights[name]) for name, value in trained.state_dict().items())
    assert loop.History(**json.loads((tmp_path / "history.json").read_bytes())) == history


def test_of_a_training_that_leaves_no_model_the_checkpoint_goes_too(tmp_path):
    train(tmp_path)
    loop.keep(tmp_path, None)
    assert list(tmp_path.iterdir()) == []
    loop.keep(tmp_path, None, loop.History())
    assert [path.name for path in tmp_path.iterdir()] == ["history.json"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux only")
def test_a_full_disk_at_a_checkpoint_is_one_line_and_the_last_one_stays(tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, stop_at=7)
    before = (tmp_path / loop.CHECKPOINT).read_bytes()
    (tmp_path / f"{loop.CHECKPOINT}.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"checkpoint\.pt \(No space left") as caught:
        train(tmp_path)
    assert "\n" not in str(caught.value)
    assert (tmp_path / loop.CHECKPOINT).read_bytes() == before
    assert torch.equal(state(train()[0]), state(train(tmp_path)[0]))


def test_a_long_run_is_compiled_and_a_search_is_not(monkeypatch):
    asked = []
    monkeypatch.setattr(loop, "COMPILE_FROM", 12)
    monkeypatch.setattr(loop.devices, "compiled", lambda function, run: asked.append(run) or function)
    train(steps=11)
    train_together()
    assert not asked
    train(steps=12)
    assert asked == [RUN]


def test_a_line_and_a_final_rate():
    recipe = dataclasses.replace(RECIPE, warm_up=0.0, schedule="linear", learning_rate=0.5)
    assert loop.learning_rate(25, 100, recipe) == pytest.approx(0.375)
    darts = TrainingSettings(batch=64, learning_rate=0.025, warm_up=0.0, final_learning_rate=0.001)
    rates = [loop.learning_rate(epoch, 50, darts) for epoch in (0, 25, 49)]
    assert rates == pytest.approx([0.025, 0.013, 0.0010237], abs=1e-7)


def test_clipping_bounds_what_a_step_can_do():
    small = dataclasses.replace(RECIPE, clip_norm=1e-3, weight_decay=0.0, momentum=0.0, averaging=0.0, warm_up=0.0)
    before = torch.cat([value.flatten() for value in models.build("resnet5", 10, 1, seed=0).parameters()])
    network, _ = train(recipe=small, steps=1)
    after = torch.cat([value.flatten() for value in network.parameters()])
    assert 0 < float((after - before).detach().norm()) <= 1.01 * small.learning_rate * small.clip_norm


def test_weight_decay_can_leave_vectors_alone():
    recipe = dataclasses.replace(RECIPE, decay_vectors=False, weight_decay=0.1)
    groups = loop._groups(list(models.build("resnet5", 10, 1).parameters()), recipe)
    assert {parameter.dim() > 1 for parameter in groups[0]["params"]} == {True}
    assert {parameter.dim() > 1 for parameter in groups[1]["params"]} == {False}
    assert groups[1]["weight_decay"] == 0.0


def test_recalibrated_statistics_are_the_plain_mean_over_batches():
    network = models.build("resnet5", 3, 1, seed=0)
    inputs = list(torch.randn(3, 8, 1, 16, 16, generator=torch.Generator().manual_seed(0)))
    evaluation.recalibrate(network, [torch.randn(8, 1, 16, 16) + 5], RUN)  # what it saw before must not matter
    evaluation.recalibrate(network, inputs, RUN)
    stem = torch.stack([network.conv(batch) for batch in inputs])
    assert torch.allclose(network.bn.running_mean, stem.mean((1, 3, 4)).mean(0), atol=1e-6)
    variances = stem.transpose(1, 2).flatten(2).var(2)
    assert torch.allclose(network.bn.running_var, variances.mean(0), atol=1e-5)
    assert network.bn.momentum == 0.1
    assert not any(layer.training for layer in network.modules())


def test_momentum_that_starts_at_zero_is_momentum_that_starts_with_the_first_gradient():
    """The buffers are there from the start, since a supernet's paths get their first gradients in turn."""
    ours, _ = train(recipe=dataclasses.replace(RECIPE, averaging=0.0, warm_up=0.0), steps=1)
    network = models.build("resnet5", 10, 1, seed=0).to(memory_format=torch.channels_last).train()
    plain = torch.optim.SGD(network.parameters(), 0.1, 0.9, weight_decay=5e-4, nesterov=True, fused=True)
    inputs, targets = sampler()(0, 16)
    F.cross_entropy(network(inputs), targets).backward()
    plain.step()
    assert torch.equal(state(ours), state(network))
