"""Measures of labels and images against cases that can be worked out by hand; arms and plans."""

import collections
import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from dfnas import profiles
from dfnas.chapters import calibration, synthesis
from dfnas.chapters import index as chapters_index
from dfnas.data import real as real_data
from dfnas.data import sources, synthetic, teachers
from dfnas.data.sources import Source
from dfnas.data.synthetic import Shard
from dfnas.errors import UserError
from dfnas.figures import pictures
from dfnas.runtime import statistics
from dfnas.runtime.artefacts import Artefact
from dfnas.synthesis import controls
from dfnas.training import evaluation, students

SETTINGS = profiles.load("smoke")


def made_up(logits):
    images = torch.zeros(len(logits), 1, 20, 20, dtype=torch.uint8)
    return Source(images, logits, torch.arange(len(logits)) % 10, (0.5,), (0.25,))


def test_rounds_hold_the_same_slots_and_no_more_than_the_chapter_compares(tmp_path):
    for number, batch in itertools.product(range(2), range(2)):
        slots = torch.arange(10) + 10 * batch
        images = (slots + 100 * number).byte().view(10, 1, 1, 1).expand(10, 1, 20, 20)
        shard = Shard(images, torch.randn(10, 10).half(), slots % 10, torch.zeros(1, 1), number, batch)
        synthetic.write(tmp_path, shard, 0, "made up")
    settings = profiles.load("smoke", 0, ["calibration.images=15"])
    rounds = calibration.rounds_of(Artefact("synthesis", "", tmp_path), settings, teachers.load(settings))
    assert [part.images[:, 0, 0, 0].tolist() for part in rounds] == [[*range(15)], [*range(100, 115)]]
    assert [part.classes.tolist() for part in rounds] == [[*range(10), *range(5)]] * 2


def test_the_explorer_shows_slots_of_each_class_with_their_labels_of_every_round():
    settings = profiles.load("smoke", 0, ["calibration.slots_shown=20"])
    one = made_up(torch.eye(10).repeat(3, 1) * 60)
    rounds = [one, dataclasses.replace(made_up(torch.zeros(30, 10)), images=one.images + 255)]
    shown = calibration.explorer(rounds, settings)
    assert (shown["rounds"], shown["classes"]) == (2, [str(k) for k in range(10)])
    assert [(slot["slot"], slot["class"]) for slot in shown["slots"]] == [
        (k + n, k) for k in range(10) for n in (0, 10)
    ]
    fourth = shown["slots"][6]
    assert fourth["labels"] == [[0.0] * 3 + [1.0] + [0.0] * 6, [0.1] * 10]
    black, white = (pictures.address(np.full((1, 20, 20), grey, dtype=np.uint8)) for grey in (0, 255))
    assert fourth["images"] == [black, white]


def test_real_images_are_as_diverse_as_themselves_under_whatever_normalisation_they_come(tmp_path, monkeypatch):
    network, real = teachers.load(SETTINGS).network, real_data.load(SETTINGS.data)
    monkeypatch.setattr(students, "read", lambda *_: network)
    verifier = calibration.Verifier(SETTINGS, Artefact("verifier", "", tmp_path), real)
    own = verifier.measures(real.validation)
    assert own["diversity"] == 1.0
    assert own["domain_gap"] == pytest.approx(0.0, abs=1e-3)
    seen = evaluation.predict(network, real.validation, SETTINGS.run)
    assert own["semantics"] == evaluation.accuracy(seen, real.validation.classes)
    bordered = real.validation.under(made_up(torch.eye(10))).on_canvas(SETTINGS.data)  # only the region is looked at
    assert verifier.measures(bordered) == own
    faint = verifier.measures(dataclasses.replace(real.validation, images=real.validation.images // 4))
    assert faint["diversity"] < 0.9
    assert faint["domain_gap"] > 0.1


def test_entropy_from_hard_to_uniform():
    logits = torch.tensor([[0.0] * 10, [100.0] + [0.0] * 9])
    assert calibration.entropy(logits).tolist() == pytest.approx([math.log(10), 0.0], abs=1e-6)


def test_drift_is_nothing_for_labels_that_stand_and_one_for_labels_that_leave():
    one, other = torch.eye(10) * 60, torch.eye(10).roll(1, 0) * 60
    rounds = [made_up(one), made_up(one), made_up(other)]
    assert calibration.drift(rounds) == pytest.approx([0.0, 1.0], abs=1e-6)


def test_class_similarity_is_the_mean_soft_label_of_each_class():
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0], [0.0, math.log(4.0)]])
    similarity = calibration.class_similarity(logits, torch.tensor([0, 0, 1]), 2)
    assert similarity.flatten().tolist() == pytest.approx([0.625, 0.375, 0.2, 0.8])


def test_frechet_distance_of_shifted_gaussians_is_the_shift_squared():
    first = torch.randn(4000, 5, generator=torch.Generator().manual_seed(0))
    shift = torch.tensor([3.0, 0, 0, 4.0, 0])
    assert calibration.frechet_distance(first, first + shift) == pytest.approx(25, rel=1e-4)
    assert calibration.frechet_distance(first, first) == pytest.approx(0, abs=1e-4)
    assert calibration.frechet_distance(first, 2 * first) == pytest.approx(
        float(first.var(0).sum() + first.mean(0).square().sum()), rel=1e-3
    )


def test_within_class_distance_forgets_distances_between_classes():
    features = torch.tensor([[0.0, 0], [3, 4], [100, 100], [100, 101]])
    assert calibration.within_class_distance(features, torch.tensor([0, 0, 1, 1])) == pytest.approx(3.0, abs=1e-3)


def test_a_balanced_subset():
    labels = torch.tensor([0] * 50 + [1] * 30 + [2] * 20)
    chosen = sources.balanced(labels, 30, 3, 0)
    assert torch.bincount(labels[chosen]).tolist() == [10, 10, 10]
    assert len(set(chosen.tolist())) == 30
    assert len(sources.balanced(labels, 1000, 3, 0)) == 100


def test_noise_is_valid_and_labelled_by_the_teacher(tmp_path):
    teacher = teachers.load(SETTINGS)
    controls.make_noise(tmp_path, SETTINGS, teacher, SETTINGS.calibration.images)
    noise = synthetic.load(tmp_path, teacher)
    assert len(noise) == SETTINGS.calibration.images
    assert torch.equal(noise.classes, noise.targets.argmax(1))
    assert 20 < float(noise.images.float().std()) < 130


def test_a_round_between_is_an_arm_of_its_own_round():
    settings = profiles.load("smoke", 0, ["calibration.rounds=4", "calibration.between=(1, 2)"])
    found = calibration.arms(settings)
    assert (found["round1"], found["round2"]) == (("synthesis", 1, "stored"), ("synthesis", 2, "stored"))
    assert {f"arm-round{number}-0-1" for number in (1, 2)} <= set(chapters_index.stage_keys("03-calibration", settings))


@pytest.mark.parametrize(("sets", "once"), [(3, 3), (1, 2)])
def test_every_arm_has_all_its_seeds_and_those_without_a_claim_one_of_each_set(sets, once):
    settings = profiles.load("smoke", 0, [f"calibration.sets={sets}"])
    keys = chapters_index.stage_keys("03-calibration", settings)
    students = collections.Counter(name.rsplit("-", 2)[0] for name in keys if name.startswith("arm-"))
    compared = ("hard", "round0", "calibrated", "together", "online", "jitter", "control")
    others = ("noregion", "noise", "real_same_count", "real_soft_same_count")
    expected = dict.fromkeys(compared, 2 * sets) | dict.fromkeys(others, once)
    assert students == {f"arm-{arm}": count for arm, count in expected.items()}
    planned = [int(row["stage"].rpartition(" x ")[2]) for row in chapters_index.plan("03-calibration", settings)[2:4]]
    assert planned == [sum(expected.values()) - 2 * sets, 2 * sets]


def test_laptop_meets_the_minima_of_the_book():
    settings = profiles.load("laptop")
    assert settings.calibration.sets >= 3  # the unit of its intervals: two have one degree of freedom
    assert settings.calibration.seeds >= 3
    assert settings.calibration.images == 2000
    assert settings.student.seeds >= 3


def test_intervals_of_a_worked_example():
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    interval = statistics.interval(values)
    half = 2.776445 * np.std(values, ddof=1) / math.sqrt(5)
    assert interval == pytest.approx((3.0, 3 - half, 3 + half), abs=1e-5)
    assert statistics.paired_difference(values, [value - 1 for value in values])[0] == pytest.approx(1.0)
    assert statistics.deviation([1.0]) == 0.0
    assert math.isnan(statistics.interval([1.0]).low)
    with pytest.raises(ValueError, match="shape"):
        statistics.paired_difference([1.0, 2.0], [1.0, 2.0, 3.0])


def test_the_plan_at_the_paper_s_scale_adds_up():
    """8.0 EFLOP for ImageNet with all rounds kept and 0.46 for CIFAR-10, at two FLOP a multiply-add (1.7)."""
    for name, expected in (("paper-imagenet", 8.0e18), ("paper-cifar10", 0.46e18)):
        row = next(r for r in chapters_index.plan("02-synthesis", profiles.load(name)) if r["stage"] == "synthesis")
        assert 2 * row["macs"] == pytest.approx(expected, rel=0.02)
    assert row["bytes_disk"] == pytest.approx(241e6, rel=0.01)


@pytest.mark.parametrize("name", ["12-nothing", "teacher", ""])
def test_an_unknown_chapter_is_one_line(name):
    with pytest.raises(UserError, match="there are"):
        chapters_index.compute(name, SETTINGS)


def test_sets_of_no_whole_batches_are_refused_before_any_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    for ask in (calibration.plan, calibration.compute):
        with pytest.raises(UserError, match=r"calibration.images=75: it must be a multiple of .* 50 x 1"):
            ask(profiles.load("smoke", 0, ["calibration.images=75"]))
    for ask in (synthesis.plan, synthesis.compute):
        with pytest.raises(UserError, match=r"evaluation.ablation_images=75: it must be a multiple of .* 50 x 1"):
            ask(profiles.load("smoke", 0, ["evaluation.ablation_images=75"]))
    assert not list(tmp_path.rglob("synthesis*"))
