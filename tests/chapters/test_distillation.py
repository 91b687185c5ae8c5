"""Distillation: what an arm learns from, what agreement means, and real data out of reach."""

import dataclasses
import json
from types import SimpleNamespace

import pytest
import torch

from dfnas import profiles
from dfnas.chapters import distillation, synthesis
from dfnas.chapters.distillation import images_of
from dfnas.data import real as real_data
from dfnas.data import splits, teachers
from dfnas.data.sources import Source
from dfnas.data.synthetic import Shard, load, write
from dfnas.errors import UserError
from dfnas.runtime import artefacts, stages
from dfnas.runtime.artefacts import Artefact
from dfnas.synthesis import controls
from dfnas.training import evaluation, loop, losses, students

SETTINGS = profiles.load("smoke")
# A teacher whose normalisation is not that of the data.
TEACHER = dataclasses.replace(teachers.load(SETTINGS), mean=(0.4,), std=(0.3,))
ARMS = {(arm.experiment, arm.name): arm for arm in distillation.arms(SETTINGS)}


def one_hot(classes, scale=9.0):
    return torch.nn.functional.one_hot(torch.tensor(classes), 10).float() * scale


def test_agreement_counts_shared_errors_and_accuracy_does_not():
    truth = torch.tensor([0, 1, 2, 3])
    theirs, mine = one_hot([0, 1, 2, 9]), one_hot([0, 7, 2, 9])
    found = distillation.compare(mine, theirs, truth)
    assert found["accuracy"] == 0.5
    assert found["agreement"] == 0.75
    assert found["agreement_where_wrong"] == 1.0
    assert distillation.compare(theirs, theirs, truth)["divergence"] == pytest.approx(0.0, abs=1e-6)
    assert distillation.compare(mine, theirs, truth[[0, 1, 2, 2]])["agreement_where_wrong"] == 1.0
    assert distillation.compare(mine, one_hot([0, 1, 2, 3]), truth)["agreement_where_wrong"] == 0.0


def test_divergence_is_that_of_the_teacher_from_the_student():
    theirs, mine = torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([[1.0, 2.0, 3.0]])
    found = distillation.compare(mine, theirs, torch.tensor([0]))
    assert found["divergence"] == pytest.approx(1.150421, abs=1e-6)
    assert found["divergence"] == pytest.approx(float(losses.soft_loss(1.0)(mine, theirs)))


def test_arms_of_one_recipe_differ_in_images_and_labels_alone():
    compared = [arm for arm in ARMS.values() if arm.experiment in ("labels", "images")]
    plain = {dataclasses.replace(arm.student, labels="", temperature=0.0) for arm in compared}
    assert len(plain) == 1
    temperatures = {arm.student.temperature for arm in compared if arm.name != "other_temperature"}
    assert temperatures == {SETTINGS.distillation.comparison.temperature}
    steps = {loop.steps_of(arm.student.training, images_of(arm, SETTINGS)) for arm in compared}
    assert len(steps) == 1


def test_images_of_each_arm_are_as_many_as_the_chapter_says():
    whole, one_round = SETTINGS.synthesis.images, distillation.slots_of(SETTINGS)
    counts = {name: images_of(arm, SETTINGS) for (experiment, name), arm in ARMS.items() if experiment == "labels"}
    short = {"round0", "last_round", "fewer_iterations"}
    assert {name for name, count in counts.items() if count == one_round} == short
    assert {count for name, count in counts.items() if name not in short} == {whole}
    parts = {name: images_of(arm, SETTINGS) for (experiment, name), arm in ARMS.items() if experiment == "images"}
    assert all(int(name.partition("-")[2]) == count for name, count in parts.items())


def test_the_whole_sets_students_of_the_full_recipe_are_those_of_chapter_2():
    ninth = stages.keys(lambda: distillation.compute(SETTINGS))
    second = stages.keys(lambda: synthesis.compute(SETTINGS))
    for seed in range(SETTINGS.student.seeds):
        assert ninth[f"student-{seed}"] == second[f"student-{seed}"]
    assert ninth["synthesis"] == second["synthesis"]


def test_fewer_iterations_leave_everything_else_as_it_was():
    made, less = profiles.load("laptop").synthesis, distillation.fewer(profiles.load("laptop"))
    assert [count for _, count, _ in less.stages] == [12, 15, 5]
    assert (less.images, less.rounds, less.warm_up) == (2000, 1, 1)
    changed = ("images", "rounds", "stages", "warm_up")
    assert dataclasses.replace(less, **{name: getattr(made, name) for name in changed}) == made


def test_the_papers_optimiser():
    settings = profiles.load("paper-imagenet")
    recipe = settings.student.training
    assert (recipe.momentum, recipe.weight_decay, recipe.batch, recipe.learning_rate) == (0.875, 3e-5, 1024, 1.024)
    assert (settings.teacher.network, settings.student.network) == ("resnet50", "resnet50")
    arm = distillation.arms(settings)[0]
    assert (arm.name, images_of(arm, settings)) == ("synthetic", 140_000)
    assert loop.steps_of(recipe, 140_000) == round(250 * 140_000 / 1024)


def test_distillation_s_gradient_is_the_difference_of_softmaxes():
    theirs, mine = torch.randn(5, 10, dtype=torch.float64), torch.randn(5, 10, dtype=torch.float64, requires_grad=True)
    tau = 3.0
    probabilities = [(values / tau).softmax(1) for values in (mine, theirs)]
    loss = (probabilities[1] * (probabilities[1] / probabilities[0]).log()).sum(1).mean()
    (slope,) = torch.autograd.grad(loss, mine)
    expected = (probabilities[0] - probabilities[1]).detach() / tau / 5
    assert torch.allclose(slope, expected, atol=1e-12)
    single = float(losses.soft_loss(tau)(mine.detach(), theirs))
    assert single == pytest.approx(float(loss.detach()), abs=1e-6)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A synthetic set of twenty images in two rounds, and the folder of runs."""
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    folder = tmp_path / "set"
    folder.mkdir()
    for number in range(2):
        images = torch.full((10, 1, 20, 20), number, dtype=torch.uint8)
        write(folder, Shard(images, torch.randn(10, 10).half(), torch.arange(10), torch.zeros(1, 1), number, 0), 0, "")
    artefacts.reset()
    return Artefact("synthesis", "key", folder)


def trained_on(arm, small, monkeypatch):
    """What the students' training loop is given for an arm, and whether real data was within reach."""
    seen = {}

    def train(folder, source, settings, student, seed, teacher=None):
        try:
            real_data.load(settings.data)
            reach = True
        except splits.RealDataError:
            reach = False
        seen.update(source=source, reach=reach, teacher=teacher)

    monkeypatch.setattr(students, "train", train)
    distillation._student_stage(arm, 0, SETTINGS, TEACHER, {"synthesis": small, "noise": small, "fewer": small})
    return SimpleNamespace(**seen)


@pytest.mark.parametrize("name", ["stored", "hard", "online", "round0", "last_round", "noise", "fewer_iterations"])
def test_students_of_synthetic_images_learn_with_real_data_out_of_reach(name, small, monkeypatch):
    arm = ARMS["labels", name]
    seen, whole = trained_on(arm, small, monkeypatch), load(small.folder, TEACHER)
    assert not seen.reach
    assert seen.source.soft == (name != "hard")
    assert (seen.source.mean, seen.source.std) == (TEACHER.mean, TEACHER.std)
    assert seen.teacher is TEACHER
    rounds = {"first": {0}, "last": {1}, "all": {0, 1}}[arm.rounds]
    assert set(seen.source.images.flatten().tolist()) == rounds
    assert len(seen.source) == len(whole) * len(rounds) // 2


def test_real_images_are_taken_with_true_classes_or_with_the_teacher_s_answers(small, monkeypatch):
    arm = dataclasses.replace(ARMS["labels", "real"], count=20)
    with_classes = trained_on(arm, small, monkeypatch)
    distilled = trained_on(dataclasses.replace(ARMS["labels", "real_distilled"], count=20), small, monkeypatch)
    assert with_classes.reach
    classes = with_classes.source.targets
    assert torch.bincount(classes, minlength=10).tolist() == [2] * 10
    assert torch.equal(with_classes.source.images, distilled.source.images)
    real = real_data.load(SETTINGS.data).train
    regions = distilled.source.images[:, :, 2:18, 2:18].contiguous()
    theirs = Source(regions, classes, classes, TEACHER.mean, TEACHER.std)
    assert torch.equal(distilled.source.targets, evaluation.predict(TEACHER.network, theirs, SETTINGS.run))
    assert (distilled.source.mean, distilled.source.std) == (TEACHER.mean, TEACHER.std)
    assert (with_classes.source.mean, with_classes.source.std) == (real.mean, real.std)
    smaller = trained_on(dataclasses.replace(arm, count=10), small, monkeypatch)
    assert torch.equal(smaller.source.images, with_classes.source.images[:10])


def test_curves_end_with_the_students_of_the_whole_set(tmp_path):
    def values(*numbers):
        return {"accuracy": list(numbers)}

    results = {
        "images": {"synthetic-100": values(0.1, 0.2), "real-100": values(0.3, 0.4)},
        "labels": {"stored": values(0.5, 0.6), "real": values(0.7, 0.8)},
    }
    found = distillation.curves(json.loads(json.dumps(results)), SETTINGS)
    assert found["synthetic"] == ([100, 200], [[0.1, 0.2], [0.5, 0.6]])
    assert found["real"] == ([100, 200], [[0.3, 0.4], [0.7, 0.8]])


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("distillation.sizes=(100,)", "1 to 99 slots"),
        ("distillation.sizes=()", "each named once"),
        ("distillation.sizes=(50, 50)", "each named once"),
        ("student.seeds=1", "2 or more"),
        ("synthesis.keep_rounds=last", "keep_rounds all"),
    ],
)
def test_settings_that_make_no_sense_are_refused(override, words):
    with pytest.raises(UserError, match=words):
        distillation.check(profiles.load("smoke", 0, [override]))


def test_noise_is_as_many_images_as_the_set():
    keys = stages.keys(lambda: distillation.compute(SETTINGS))
    noise = stages.keys(lambda: controls.noise_stage(SETTINGS, teachers.load(SETTINGS), SETTINGS.synthesis.images))
    assert keys["noise"] == noise["noise"]
