"""Rankings of architectures: what is drawn, what may be seen, and what a killed run loses."""

import dataclasses
import functools
import json

import pytest
import reach
import torch

from dfnas import profiles
from dfnas.chapters import index as chapters_index
from dfnas.chapters import spos
from dfnas.chapters.consistency import experiment
from dfnas.data import real as real_data
from dfnas.data import sources, teachers
from dfnas.data.origins import Origin
from dfnas.errors import UserError
from dfnas.models import darts
from dfnas.runtime import logs, stages
from dfnas.runtime.artefacts import Artefact
from dfnas.search import scratch, supernets
from dfnas.synthesis import sets
from dfnas.training import loop

from .digits import source

SETTINGS = profiles.load("smoke", 0, ["run.checkpoint_seconds=0"])
CHAPTER = dataclasses.replace(SETTINGS.consistency, architectures=3)
TEXTS = experiment.draw(CHAPTER, 0)


def train_all(folder, name="synthetic", stop_at=None, texts=TEXTS):
    """Train all, or up to a step of the learning rate's schedule; the number of steps taken."""
    folder.mkdir(exist_ok=True)
    whole, steps, learnt = loop.learning_rate, [], source(name)
    test = real_data.load(SETTINGS.data).test
    shown = experiment.real_images(test, 40, learnt, SETTINGS, 0)
    held_out = sources.judged(learnt.select(torch.arange(20)), SETTINGS, 16)

    def stopping(*arguments):
        steps.append(arguments)
        if len(steps) == stop_at:
            raise KeyboardInterrupt
        return whole(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "learning_rate", stopping)
        patch.setattr(experiment, "loaded", functools.lru_cache(lambda *_: (learnt, held_out, shown)))
        experiment.train_all(folder, texts, Origin(name, ""), SETTINGS, 1)
    return len(steps)


def test_random_architectures_are_different_and_the_same_again():
    many = dataclasses.replace(CHAPTER, architectures=30)
    drawn = experiment.draw(many, 0)
    assert len(set(drawn)) == 30
    assert drawn == experiment.draw(many, 0)
    assert drawn != experiment.draw(many, 1)
    sizes = {darts.from_text(text)[1] for text in drawn}
    assert sizes == {darts.Size(CHAPTER.channels, CHAPTER.cells)}


def test_a_killed_run_goes_on_where_it_was_and_ends_the_same(tmp_path):
    per_network = CHAPTER.training.steps
    assert train_all(tmp_path / "whole") == 3 * per_network
    with pytest.raises(KeyboardInterrupt):
        train_all(tmp_path / "stopped", stop_at=per_network + 4)
    # the first network is done, and of the second there is a checkpoint
    assert (tmp_path / "stopped" / "1" / "checkpoint.pt").exists()
    assert per_network < train_all(tmp_path / "stopped") < 2 * per_network
    one, other = ((tmp_path / name / experiment.LOG).read_bytes() for name in ("whole", "stopped"))
    assert one == other
    assert [path.name for path in (tmp_path / "stopped").iterdir()] == [experiment.LOG]
    assert train_all(tmp_path / "stopped") == 0


def test_networks_are_trained_where_real_data_is_out_of_reach_and_tested_where_it_is_not(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        seen = reach.of_real_data(patch, SETTINGS)
        for name in ("synthetic", "noise", "real"):
            train_all(tmp_path / name, name, texts=TEXTS[:1])
    assert seen == ["closed", "closed", "open"]
    row = logs.read(tmp_path / "noise" / experiment.LOG)[0]
    assert row["architecture"] == TEXTS[0]
    assert row["macs"] == scratch.macs(TEXTS[0], SETTINGS, SETTINGS.darts.scratch)
    assert row["accuracy"] * 40 == pytest.approx(round(row["accuracy"] * 40))


def test_whoever_learns_from_real_data_sees_all_of_it_and_judges_are_balanced():
    settings = profiles.load("smoke", 0, ["consistency.test_images=50"])
    learnt, held_out, shown = experiment.loaded(Origin("real", ""), settings)
    assert held_out is shown
    assert len(learnt) == len(real_data.load(SETTINGS.data).train) > SETTINGS.synthesis.images
    assert shown.classes.bincount().tolist() == [5] * 10
    experiment.loaded.cache_clear()


def test_what_judges_a_source_without_real_data_trains_nothing(monkeypatch):
    whole = source()
    whole = dataclasses.replace(whole, images=torch.arange(200).byte().view(200, 1, 1, 1).expand(200, 1, 20, 20))
    monkeypatch.setattr(Origin, "load", lambda *_: whole)
    learnt, held_out, shown = experiment.loaded(Origin("synthetic", "made up"), SETTINGS)
    experiment.loaded.cache_clear()
    assert len(held_out) == round(0.2 * 200)
    kinds = [set(part.images[:, 0, 0, 0].tolist()) for part in (learnt, held_out)]
    assert kinds[0] | kinds[1] == set(range(200))
    assert not kinds[0] & kinds[1]
    assert len(shown) == 360


def test_the_reference_shares_its_seed_with_none_of_the_rankings_that_it_is_compared_with():
    seeds = {arm: experiment.seed_of(arm, SETTINGS) for arm in experiment.ARMS}
    assert seeds["real"] not in {seeds[arm] for arm in experiment.ARMS if arm != "real"}
    assert len({seeds[arm] for arm in ("again", "synthetic", "control", "noise")}) == 1


@pytest.fixture(scope="module")
def supernet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("supernet")
    spos.train_supernet(folder, source(), SETTINGS, teachers.load(SETTINGS))
    return Artefact("supernet", "", folder)


def judge_all(folder, supernet, monkeypatch, stop_at=None):
    folder.mkdir(exist_ok=True)
    whole, calls, learnt = supernets.Judge.__call__, [], source()

    def stopping(self, candidate):
        calls.append(candidate)
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        return whole(self, candidate)

    monkeypatch.setattr(supernets.Judge, "__call__", stopping)
    monkeypatch.setattr(Origin, "load", lambda *_: learnt)
    try:
        origin = Origin("synthetic", "")
        experiment.judge_all(folder, origin, supernet, SETTINGS, SETTINGS, SETTINGS.seed, teachers.load(SETTINGS))
    finally:
        monkeypatch.undo()
    return calls


def test_paths_are_judged_once_each_whatever_the_kill(tmp_path, supernet, monkeypatch):
    whole = judge_all(tmp_path / "whole", supernet, monkeypatch)
    assert whole == experiment.candidates(SETTINGS)
    assert len(set(whole)) == SETTINGS.consistency.candidates
    with pytest.raises(KeyboardInterrupt):
        judge_all(tmp_path / "stopped", supernet, monkeypatch, stop_at=5)
    assert judge_all(tmp_path / "stopped", supernet, monkeypatch) == whole[4:]
    one, other = ((tmp_path / name / experiment.LOG).read_text(encoding="utf-8") for name in ("whole", "stopped"))
    assert one == other
    row = json.loads(one.splitlines()[3])
    assert (row["architecture"], set(row)) == (list(whole[3]), {"architecture", "own", "validation"})


@pytest.mark.parametrize("rank", [0, 1])
def test_of_two_processes_each_judges_every_other_path(rank, tmp_path, supernet, monkeypatch):
    monkeypatch.setattr(experiment.distributed, "world", lambda: 2)
    monkeypatch.setattr(experiment.distributed, "rank", lambda: rank)
    monkeypatch.setattr(experiment.distributed, "gather", lambda mine: [mine])  # the other's are not at hand
    assert judge_all(tmp_path / "log", supernet, monkeypatch) == experiment.candidates(SETTINGS)[rank::2]


def test_supernets_are_those_of_chapter_6():
    here, there = (chapters_index.stage_keys(name, SETTINGS) for name in ("07-consistency", "05-spos"))
    for label in ("synthetic-0", "control-0"):
        assert here[f"spos-supernet-{label}"] == there[f"spos-supernet-{label}"]
    with stages.dry():
        frozen = teachers.load(SETTINGS)
        real = sets.origins_of(SETTINGS, frozen)["real"]
        first, again = (experiment.supernet_stage(arm, real, SETTINGS, frozen) for arm in ("real", "again"))
    assert first.key == there["spos-supernet-real-0"]
    assert again.key not in there.values()
    more = profiles.load("smoke", 0, ["spos.scratch.searches=(('synthetic', 1), ('real', 2))"])
    assert again.key == chapters_index.stage_keys("05-spos", more)["spos-supernet-real-1"]


def test_a_part_without_architectures_is_left_out():
    without = profiles.load("smoke", 0, ["consistency.candidates=0"])
    names = chapters_index.stage_keys("07-consistency", without)
    assert not [name for name in names if "supernet" in name or "judged" in name]
    without = profiles.load("smoke", 0, ["consistency.architectures=0"])
    assert not [name for name in chapters_index.stage_keys("07-consistency", without) if "trained" in name]


def test_settings_that_make_no_sense_are_refused():
    for overrides, words in (
        (["consistency.architectures=2"], "3 or more"),
        (["consistency.architectures=0", "consistency.candidates=0"], "nothing to rank"),
        (["consistency.candidates=257"], "has 256 paths"),
    ):
        with pytest.raises(UserError, match=words):
            experiment.check(profiles.load("smoke", 0, overrides))


def test_untrained_networks_do_not_have_the_weights_that_real_data_starts_from(tmp_path, monkeypatch):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    teacher, built = teachers.load(SETTINGS), []
    monkeypatch.setattr(experiment.models, "build", lambda *given: built.append(given[-1]))
    monkeypatch.setattr(experiment.proxies, "inputs_of", lambda *_: None)
    monkeypatch.setattr(experiment.proxies, "scores", lambda *_: {})
    drawn = Artefact("drawn", "", tmp_path / "drawn")
    drawn.folder.mkdir()
    scratch.write_architectures(drawn.folder, TEXTS)
    experiment.untrained_stage(Origin("control", ""), drawn, SETTINGS, teacher)
    assert built == [1] * len(TEXTS)
    assert not set(built) & {experiment.seed_of(arm, SETTINGS) for arm in ("real", "real-2")}
