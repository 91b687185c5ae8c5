"""What learns is judged by other images: every image carries its identity, and those of each purpose are apart.

Digits would show no leak at these sizes: no accuracy is looked at here.
"""

import identities
import pytest
import torch
from identities import kinds, shown, watch

from dfnas.chapters import darts, spos
from dfnas.chapters import teacher as teacher_chapter
from dfnas.chapters.consistency import experiment as consistency
from dfnas.chapters.proxylessnas import experiment as proxylessnas
from dfnas.chapters.pruning import experiment as pruning
from dfnas.chapters.pruning import networks
from dfnas.chapters.truth import experiment as truth
from dfnas.data import sources
from dfnas.data.origins import Origin
from dfnas.models import nasbench, shufflenet
from dfnas.profiles import StudentSettings
from dfnas.runtime.artefacts import Artefact
from dfnas.search import scratch
from dfnas.training import students

TEACHER = identities.teacher()
EVOLUTION = ("spos.evolution.generations=0", "pruning.evolution.generations=0", "pruning.search.steps=4")
SETTINGS = identities.settings("consistency.architectures=3", "consistency.candidates=3", *EVOLUTION)
HALF = 50  # of the hundred images of each kind: what `validation_each` holds out


@pytest.fixture(autouse=True)
def _data(monkeypatch):
    identities.instead_of_data(monkeypatch)
    monkeypatch.setattr(consistency, "load_teacher", lambda settings: TEACHER)
    consistency.loaded.cache_clear()
    yield
    consistency.loaded.cache_clear()


def synthetic(count=100):
    return identities.source("synthetic", count)


def apart(passes, *purposes):
    """The images of each purpose, which share none."""
    sets = [shown(passes, purpose) for purpose in purposes]
    assert all(sets), purposes
    assert len(set.union(*sets)) == sum(map(len, sets)), f"{' and '.join(purposes)} have images in common"
    return sets


# Searches.


@pytest.mark.parametrize("order", ["first", "second"])
def test_darts_moves_weights_and_architecture_by_different_halves(tmp_path, order):
    recipe = ("darts.side=8", "darts.search.steps=3", "darts.search.batch=16")
    settings = identities.settings(f"darts.order={order}", *recipe)
    with watch() as passes:
        darts.search(tmp_path, synthetic(96), settings, 0)
    held_out, step = set(), []
    for purpose, images in passes:
        if purpose == "training":  # the step that the architecture's passes were made for
            batches = set(step) - {images}
            assert (len(batches), images in step) == (1, order == "second")
            held_out |= set(*batches)
            step = []
        elif purpose == "architecture":
            step.append(images)
    weights = shown(passes, "training")
    assert len(weights) == len(held_out) == 48
    assert not weights & held_out
    assert shown(passes, "judging") == held_out


def test_spos_learns_judges_and_takes_statistics_apart(tmp_path):
    with watch(TEACHER) as passes:
        spos.train_supernet(tmp_path, synthetic(), SETTINGS, TEACHER)
        spos.search(tmp_path, synthetic(), spos.read(Artefact("supernet", "", tmp_path), SETTINGS), SETTINGS)
    training, _ = apart(passes, "training", "judging")
    assert len(training) == len(shown(passes, "judging")) == HALF
    assert shown(passes, "recalibration") == training


@pytest.mark.parametrize("update", ["reinforce", "gradient"])
def test_proxylessnas_moves_weights_and_architecture_by_different_images(tmp_path, update):
    settings = identities.settings(f"proxylessnas.update={update}", "proxylessnas.updates=4")
    with watch(TEACHER) as passes:
        proxylessnas.warm_up(tmp_path, synthetic(), settings, TEACHER)
        supernet = proxylessnas.read(Artefact("warm-up", "", tmp_path), settings)
        costs = proxylessnas.costs_of(settings, None)
        proxylessnas.search(tmp_path, synthetic(), supernet, costs, settings, TEACHER)
    judging = shown(passes, "judging") | shown(passes, "architecture")
    assert len(judging) == len(shown(passes, "training")) == HALF
    assert not judging & shown(passes, "training")


def test_pruning_learns_judges_and_takes_statistics_apart(tmp_path):
    with watch(TEACHER) as passes:
        pruning.train_net(tmp_path, synthetic(), SETTINGS, TEACHER)
        net = pruning.read_net(Artefact("net", "", tmp_path), SETTINGS)
        pruning.search(tmp_path, synthetic(), net, 0, SETTINGS)
    training, judging = apart(passes, "training", "judging")
    assert len(training) == len(judging) == HALF
    assert shown(passes, "recalibration") <= training


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    rows = [f"{text},0.5,1,1" for text in ("01202110", "22222222", "10101010")]
    (tmp_path / "table.csv").write_text("\n".join(["architecture,accuracy,macs,parameters", *rows]), encoding="utf-8")
    return truth.Bench(SETTINGS, TEACHER, nasbench.Space("chain", 4), Artefact("table", "made up", tmp_path))


@pytest.mark.parametrize("name", ["synthetic", "real_hard"])
def test_a_table_s_supernet_learns_judges_and_takes_statistics_apart(bench, name):
    origin = Origin(name, "made up")
    with watch() as passes:
        supernet = truth.supernet_stage(bench, origin, 0)
        truth.judging_stage(bench, origin, supernet, 0)
        truth.search_stage(bench, origin, "reinforce", supernet, 0)
    training, judging = apart(passes, "training", "judging")
    assert len(judging) == round(SETTINGS.truth.held_out * 100)
    assert not shown(passes, "recalibration") & judging
    assert kinds(training | judging) == {"synthetic" if name == "synthetic" else "train"}


def test_darts_in_a_table_s_space_moves_weights_and_architecture_by_different_halves(bench):
    with watch() as passes:
        truth.search_stage(bench, Origin("synthetic", "made up"), "darts", Artefact("none", "", bench.table.folder), 0)
    assert [len(part) for part in apart(passes, "training", "architecture")] == [50, 50]


# Networks from scratch: real test images have the last word, and nothing is tuned by them.


def test_networks_from_scratch_learn_from_train_and_are_tested_on_test(tmp_path):
    recipe = SETTINGS.spos.scratch
    text = shufflenet.to_text((0, 1, 2, 3), spos.space_of(SETTINGS))
    with watch() as passes:
        scratch.train(tmp_path, text, SETTINGS, recipe, 0)
    assert kinds(shown(passes, "training")) == kinds(shown(passes, "recalibration")) == {"train"}
    assert shown(passes, "judging") == {("test", number) for number in range(100)}


@pytest.mark.parametrize("name", ["synthetic", "real"])
def test_networks_of_the_consistency_chapter_are_judged_by_what_they_did_not_learn(tmp_path, name):
    texts = consistency.draw(SETTINGS.consistency, 0)[:1]
    with watch() as passes:
        consistency.train_all(tmp_path, texts, Origin(name, "made up"), SETTINGS, 1)
    training, judging = apart(passes, "training", "judging")
    test = {("test", number) for number in range(100)}
    assert kinds(training) == {"train" if name == "real" else "synthetic"}
    assert judging >= test
    own = judging - test
    assert (kinds(own), len(own)) == ((set(), 0) if name == "real" else ({"synthetic"}, 20))


@pytest.mark.parametrize("name", ["synthetic", "real"])
def test_paths_are_judged_by_validation_images_and_by_what_their_supernet_did_not_learn(tmp_path, name):
    origin = Origin(name, "made up")
    with watch(TEACHER) as passes:
        spos.train_supernet(tmp_path, origin.load(SETTINGS, TEACHER), SETTINGS, TEACHER)
        supernet = Artefact("supernet", "", tmp_path)
        consistency.judge_all(tmp_path, origin, supernet, SETTINGS, SETTINGS, TEACHER)
    training, judging = apart(passes, "training", "judging")
    assert shown(passes, "recalibration") == training
    own = "train" if name == "real" else "synthetic"
    assert kinds(training) == {own}
    assert kinds(judging) == {own, "validation"}


@pytest.mark.parametrize("labels", ["online", "hard"])
def test_students_are_tested_on_test_images_alone(tmp_path, labels):
    student = StudentSettings("resnet5", SETTINGS.student.training, labels)
    real = consistency.real_data.load(SETTINGS.data)
    with watch(TEACHER) as passes:
        students.train_synthetic(tmp_path, synthetic(), SETTINGS, TEACHER, student, 0)
        students.accuracy(tmp_path, SETTINGS, student, real.test)
    assert kinds(shown(passes, "training")) == {"synthetic"}
    assert shown(passes, "judging") == {("test", number) for number in range(100)}


def test_pruned_networks_learn_from_synthetic_images_and_are_tested_on_test(tmp_path):
    text = networks.pruning.to_text((15,) * networks.space_of(SETTINGS).genes, networks.space_of(SETTINGS))
    with watch(TEACHER) as passes:
        networks.train(tmp_path, text, 0, synthetic(), SETTINGS, TEACHER)
    assert kinds(shown(passes, "training")) == {"synthetic"}
    assert shown(passes, "judging") == {("test", number) for number in range(100)}


def test_the_teacher_learns_from_train_is_watched_on_validation_and_tested_on_test(tmp_path):
    with watch() as passes:
        teacher_chapter._make(tmp_path, SETTINGS)
    assert kinds(shown(passes, "training")) == {"train"}
    assert kinds(shown(passes, "judging")) == {"validation", "test"}
    assert kinds(passes[-1][1]) == {"test"}


def test_the_verifier_learns_from_train_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    with watch() as passes:
        students.verifier_stage(SETTINGS)
    assert kinds({identity for _, images in passes for identity in images}) == {"train"}


def test_images_keep_their_identity_through_crops_borders_and_sizes():
    whole = identities.source("validation", 600)
    expected = {("validation", number) for number in range(600)}
    assert identities.of(whole.images) == expected
    assert identities.of(sources.judged(whole.on_canvas(SETTINGS.data), SETTINGS, 8).images) == expected
    bordered = torch.nn.functional.pad(whole.images[:, :, :16, :16], [2] * 4)
    inputs, _ = sources.sampler(whole, SETTINGS.darts.search, SETTINGS, 0)(0, 12)
    assert identities.of(inputs) < expected
    assert identities.of(bordered) == expected
    with pytest.raises(AssertionError, match="no identity"):
        identities.of(torch.full((2, 3, 8, 8), 50, dtype=torch.uint8))
