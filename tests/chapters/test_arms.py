"""What each arm's students learn from, and under which normalisation and on which images they are tested."""

import json
import math
import re
from pathlib import Path

import identities
import pytest
import torch

from dfnas.chapters import calibration, distillation, exports, synthesis
from dfnas.data import splits, synthetic
from dfnas.data.synthetic import Shard
from dfnas.data.teachers import Teacher
from dfnas.runtime.artefacts import Artefact
from dfnas.synthesis import controls, sets
from dfnas.training import evaluation, students

SETTINGS = identities.settings()
PLAIN = identities.teacher()
TEACHER = Teacher(PLAIN.network, (0.25, 0.5, 0.75), (0.5, 0.25, 0.125), PLAIN.classes, "made up", {})
REAL = (identities.MEAN, identities.STD)
ROUNDS = {"first": {0}, "last": {1}, "all": {0, 1}}


@pytest.fixture(autouse=True)
def _chapters(tmp_path, monkeypatch):
    identities.instead_of_data(monkeypatch, 200)
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path / "runs"))
    for chapter in (calibration, distillation, synthesis):
        monkeypatch.setattr(chapter, "load_teacher", lambda settings: TEACHER)
    monkeypatch.setattr(exports, "network_stage", lambda *_: None)  # students here have no weights
    monkeypatch.setattr(sets, "synthesise", lambda folder, *_: write(folder))
    monkeypatch.setattr(controls, "make_noise", lambda folder, *_: write(folder, rounds=1, slots=200, grey=99))


def write(folder: Path, rounds: int = 2, slots: int = 100, grey: int = 0) -> None:
    """A set whose images say their round; the soft label of each is another class than its slot's."""
    classes = torch.arange(slots) % 10
    logits = (torch.nn.functional.one_hot((classes + 1) % 10, 10) * 5).half()
    for number in range(rounds):
        images = torch.full((slots, 3, 20, 20), grey or number, dtype=torch.uint8)
        synthetic.write(folder, Shard(images, logits, classes, torch.zeros(1, 5), number, 0), 0, "made up")


def learnt(chapter, monkeypatch):
    """By arm: the sources, recipes and teachers that its students' trainings are given."""
    given = {}

    def train(folder, source, settings, student, seed, teacher=None):
        arm = re.sub(r"(-\d+)*-[0-9a-f]{12}.*", "", folder.name)  # without seeds and key
        given.setdefault(arm, []).append((source, student, teacher))

    monkeypatch.setattr(students, "train", train)
    monkeypatch.setattr(chapter, "_evaluate", lambda *_: None)
    chapter.compute(SETTINGS)
    return given


@pytest.mark.parametrize(
    ("arm", "rounds", "labels"),
    [
        ("hard", "first", "hard"),
        ("round0", "first", "stored"),
        ("calibrated", "last", "stored"),
        ("online", "last", "online"),
    ],
)
def test_an_arm_of_calibration_learns_from_its_round_and_its_labels(arm, rounds, labels, monkeypatch):
    given = learnt(calibration, monkeypatch)[f"arm-{arm}"]
    assert len(given) == SETTINGS.calibration.sets * SETTINGS.calibration.seeds == 4
    for source, student, teacher in given:
        assert set(source.images.flatten().tolist()) == ROUNDS[rounds]
        assert len(source) == SETTINGS.calibration.images == 100
        assert student.labels == labels
        expected = source.classes if labels == "hard" else (source.classes + 1) % 10
        assert torch.equal(source.targets if labels == "hard" else source.targets.argmax(1), expected)
        assert source.soft == (labels != "hard")
        assert (source.mean, source.std, teacher) == (TEACHER.mean, TEACHER.std, TEACHER)


def test_the_ceiling_of_calibration_learns_from_as_many_real_images(monkeypatch):
    given = learnt(calibration, monkeypatch)
    theirs = (TEACHER.mean, TEACHER.std)
    for arm, normalisation, labels in (("real_same", REAL, "hard"), ("real_soft_same", theirs, "stored")):
        for source, student, teacher in given[f"arm-{arm}_count"]:
            assert identities.kinds(identities.of(source.images)) == {"train"}
            assert len(source) == SETTINGS.calibration.images
            assert (source.mean, source.std) == normalisation
            assert (student.labels, source.soft, teacher) == (labels, labels == "stored", None)


def test_all_rounds_together_are_as_many_images_as_one(monkeypatch):
    for source, _, _ in learnt(calibration, monkeypatch)["arm-together"]:
        assert set(source.images.flatten().tolist()) == {0, 1}  # of the two rounds that there are
        assert len(source) == 2 * (SETTINGS.calibration.images // SETTINGS.calibration.rounds)


def test_hard_labels_have_a_learning_rate_of_their_own(monkeypatch):
    given = learnt(calibration, monkeypatch)
    rates = {arm: {student.training.learning_rate for _, student, _ in each} for arm, each in given.items()}
    assert rates["arm-hard"] == rates["arm-real_same_count"] == {SETTINGS.calibration.hard_rate} == {0.05}
    rate = SETTINGS.calibration.student.training.learning_rate
    assert rates["arm-round0"] == rates["arm-real_soft_same_count"] == {rate}


@pytest.mark.parametrize(
    ("arm", "rounds", "soft", "temperature"),
    [
        ("stored", "all", True, 2.0),
        ("hard", "all", False, 2.0),
        ("round0", "first", True, 2.0),
        ("last_round", "last", True, 2.0),
        ("other_temperature", "all", True, 1.0),
    ],
)
def test_an_arm_of_distillation_learns_from_its_rounds_and_its_labels(arm, rounds, soft, temperature, monkeypatch):
    for source, student, _ in learnt(distillation, monkeypatch)[f"distillation-labels-{arm}"]:
        assert set(source.images.flatten().tolist()) == ROUNDS[rounds]
        assert (source.soft, student.temperature) == (soft, temperature)
        assert (source.mean, source.std) == (TEACHER.mean, TEACHER.std)


def test_real_students_of_distillation_learn_under_the_normalisation_of_whoever_labels(monkeypatch):
    given = learnt(distillation, monkeypatch)
    for arm, soft, normalisation in (("real", False, REAL), ("real_distilled", True, (TEACHER.mean, TEACHER.std))):
        for source, _, _ in given[f"distillation-labels-{arm}"]:
            assert identities.kinds(identities.of(source.images)) == {"train"}
            assert (source.soft, (source.mean, source.std)) == (soft, normalisation)


def shown_to_students(chapter, folders, monkeypatch):
    """By student's folder: the sources that a chapter's evaluation tests it on."""
    shown, found = {}, Path(folders)

    def logits(folder, settings, student, test):
        shown.setdefault(folder.name, []).append(test)
        return torch.eye(10)[test.classes]

    def answers(teacher, images, run, batch=500):
        return torch.randn(len(images), 10, generator=torch.Generator().manual_seed(0))

    monkeypatch.setattr(students, "logits", logits)
    monkeypatch.setattr(evaluation, "answers", answers)
    artefacts = {}
    for name in ("synthesis", "control", "noise", "fewer", *(f"ablation-{name}" for name in synthesis.ABLATIONS)):
        artefacts[name] = Artefact(name, "", found / name)
        artefacts[name].folder.mkdir(parents=True)
        write(artefacts[name].folder)
    for name in names(chapter):
        artefacts[name] = Artefact(name, "", found / name)
    artefacts["verifier"] = Artefact("verifier", "", found / "verifier")
    chapter._evaluate(found, SETTINGS, TEACHER, artefacts)
    assert json.loads((found / "evaluation.json").read_bytes())
    return shown


def names(chapter):
    """The names of a chapter's students."""
    if chapter is distillation:
        return [name for _, _, name in distillation.seeded(SETTINGS)]
    if chapter is synthesis:
        return [f"student-{seed}" for seed in range(SETTINGS.student.seeds)]
    arms = (*calibration.arms(SETTINGS), *calibration.REAL)
    return [f"arm-{arm}-{of_set}-{seed}" for arm in arms for of_set, seed in calibration.repeats(SETTINGS, arm)]


def own_normalisation(name):
    """Whether the student of a name learned from real images under their own normalisation."""
    return "real_same_count" in name or name.startswith(("labels-real-", "images-real-", "full-real_"))


@pytest.mark.parametrize("chapter", [calibration, distillation, synthesis], ids=lambda module: module.__name__)
def test_students_are_tested_on_test_images_under_the_normalisation_that_they_learned_with(
    chapter, tmp_path, monkeypatch
):
    class Verifier:
        def __init__(self, settings, artefact, real):
            assert isinstance(real, splits.Dataset)

        def measures(self, part):
            return {"semantics": math.nan}

    monkeypatch.setattr(calibration, "Verifier", Verifier)
    monkeypatch.setattr(students, "read", lambda *_: TEACHER.network)
    monkeypatch.setattr(calibration, "explorer", lambda *_: {})
    monkeypatch.setattr(synthesis, "batch_norm_distance", lambda *_: 0.0)
    shown = shown_to_students(chapter, tmp_path / "evaluated", monkeypatch)
    assert sorted(shown) == sorted(names(chapter))
    for name, sources in shown.items():
        for test in sources:
            assert identities.of(test.images) == {("test", number) for number in range(200)}, name
            expected = REAL if own_normalisation(name) else (TEACHER.mean, TEACHER.std)
            assert (test.mean, test.std) == expected, name
