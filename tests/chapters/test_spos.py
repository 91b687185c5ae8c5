"""Single-path one-shot search: paths, statistics of their own, and the same bits after a restart."""

import json

import pytest
import torch

from dfnas import profiles
from dfnas.chapters import spos
from dfnas.data import teachers
from dfnas.errors import UserError
from dfnas.runtime.artefacts import Artefact
from dfnas.search import evolution, scratch, supernets

from .digits import source, stopped_at

SETTINGS = profiles.load("smoke", 0, ["run.checkpoint_seconds=0"])


def train(folder, stop_at=None):
    folder.mkdir(exist_ok=True)
    with stopped_at(stop_at):
        spos.train_supernet(folder, source(), SETTINGS, teachers.load(SETTINGS))
    return Artefact("supernet", "", folder)


@pytest.fixture(scope="module")
def supernet(tmp_path_factory):
    return train(tmp_path_factory.mktemp("supernet"))


def test_a_supernet_that_was_stopped_ends_with_the_same_bits(tmp_path, supernet):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", stop_at=9)
    assert (tmp_path / "stopped" / "checkpoint.pt").exists()
    resumed = train(tmp_path / "stopped")
    for name in ("model.safetensors", "history.json"):
        assert (supernet.folder / name).read_bytes() == (resumed.folder / name).read_bytes()


def search(folder, supernet, stop_at=None):
    folder.mkdir(exist_ok=True)
    whole, calls = supernets.Judge.__call__, []

    def stopping(self, candidate):
        calls.append(candidate)
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        return whole(self, candidate)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supernets.Judge, "__call__", stopping)
        spos.search(folder, source(), spos.read(supernet, SETTINGS), SETTINGS)
    return calls


def test_a_search_that_was_stopped_finds_the_same_and_judges_nothing_twice(tmp_path, supernet):
    whole = search(tmp_path / "whole", supernet)
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "stopped", supernet, stop_at=9)
    rest = search(tmp_path / "stopped", supernet)
    assert len(rest) == len(whole) - 8
    for name in ("architectures.json", evolution.LOG):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()


def test_everything_visited_keeps_to_the_limit_and_the_best_is_kept(tmp_path, supernet):
    search(tmp_path / "whole", supernet)
    visited = evolution.load(tmp_path / "whole" / evolution.LOG)
    assert all(spos.macs(SETTINGS, row.candidate) <= SETTINGS.spos.limit_macs for row in visited)
    assert len({row.candidate for row in visited}) == len(visited)
    kept = json.loads((tmp_path / "whole" / "architectures.json").read_bytes())
    assert kept["score"] == max(row.scores[0] for row in visited)
    assert scratch.macs(kept["architectures"][0], SETTINGS, SETTINGS.spos.scratch) <= SETTINGS.spos.limit_macs
    shares = spos.share_of_choices(visited, SETTINGS.spos.evolution.generations)
    assert torch.allclose(shares.sum(-1), torch.ones(shares.shape[:2], dtype=torch.float64))


def test_a_candidate_is_judged_the_same_whatever_was_judged_before(supernet):
    judge = spos.judge_of(spos.read(supernet, SETTINGS), source(), SETTINGS)
    first, other = (0, 1, 2, 3), (3, 3, 0, 0)
    once, between, again = judge(first), judge(other), judge(first)
    assert once == again
    statistics = [
        layer.running_mean.clone() for layer in judge.recalibrate(first).modules() if hasattr(layer, "momentum")
    ]
    judge(other)
    back = [layer.running_mean for layer in judge.recalibrate(first).modules() if hasattr(layer, "momentum")]
    assert all(torch.equal(a, b) for a, b in zip(statistics, back, strict=True))
    assert isinstance(between, tuple)


def test_paths_are_drawn_from_the_bins_and_change_with_the_step():
    chapter = SETTINGS.spos
    paths = supernets.RandomChoice(spos.build_supernet(SETTINGS), spos.path_draw(SETTINGS), SETTINGS.seed)
    drawn = []
    for step in range(40):
        paths.before(step, 40, 0.1, None)
        drawn.append(paths.supernet.choices)
    costs = [spos.macs(SETTINGS, path) for path in drawn]
    inside = sum(chapter.bins[0] <= cost < chapter.bins[-1] for cost in costs)
    assert inside >= 38  # a bin that 500 draws miss gives the last of them
    assert len(set(drawn)) > 10
    paths.before(3, 40, 0.1, None)
    assert paths.supernet.choices == drawn[3]


def test_settings_that_make_no_sense_are_refused():
    for override, words in (
        ("spos.limit_macs=1000", "excludes all"),
        ("spos.validation_each=50", "no image"),
    ):
        with pytest.raises(UserError, match=words):
            spos.check(profiles.load("smoke", 0, [override]))
