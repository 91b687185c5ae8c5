"""The comparison with a table of full trainings; in tables that are made up the accuracies are of no network."""

import dataclasses
import functools
import itertools
import json
import math
from collections import Counter

import pytest
import reach
import torch
from safetensors.torch import load_file, save_file

from dfnas import profiles, records
from dfnas.chapters import index
from dfnas.chapters.consistency import experiment as consistency
from dfnas.chapters.truth import estimate, experiment, results, table_searches
from dfnas.data import real as real_data
from dfnas.data.origins import Origin
from dfnas.errors import UserError
from dfnas.models import nasbench
from dfnas.models.nasbench import Space
from dfnas.runtime import logs
from dfnas.runtime.artefacts import Artefact
from dfnas.search import proxies, scratch, tables

from .digits import source, stopped_at

HEADER = "architecture,accuracy,macs,parameters"
SETTINGS = profiles.load("smoke", 0, ["run.checkpoint_seconds=0"])
SPACE = Space("cell", 4, 1)
CHOICES = list(itertools.islice(itertools.product(range(5), repeat=6), 100, 15000, 1500))
CELLS = [nasbench.to_text(SPACE, choices) for choices in CHOICES]
CHAINS = ["00000000", "01202110", "22222222", "11111111"]


def write(path, texts, accuracies=None, header=HEADER):
    accuracies = accuracies or [0.5 + 0.01 * number for number in range(len(texts))]
    pairs = enumerate(zip(texts, accuracies, strict=True))
    rows = [f"{text},{accuracy},{1000 * number},{10 * number}" for number, (text, accuracy) in pairs]
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


@functools.cache
def digits(name="synthetic"):
    return source(name)


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """A table of cells, and sources that are digits whatever they are called."""
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path / "runs"))
    kept = {"real_hard": digits("real"), "": digits()}
    monkeypatch.setattr(Origin, "load", lambda self, *rest: kept.get(self.name, kept[""]))
    write(tmp_path / "table.csv", CELLS)
    teacher = type("Teacher", (), {"digest": "a teacher"})
    return experiment.Bench(SETTINGS, teacher, SPACE, Artefact("table", "a table", tmp_path))


# Tables.


def test_a_table_is_read_with_its_space(tmp_path):
    table = tables.read(write(tmp_path / "cells.csv", CELLS))
    assert (table.kind, len(table.rows)) == ("cell", len(CELLS))
    assert table.rows[2] == (CELLS[2], 0.52, 2000.0, 20.0)
    chains = tables.read(write(tmp_path / "chains.csv", CHAINS))
    assert (chains.kind, chains.rows[1][0]) == ("chain", "01202110")
    assert chains.digest != table.digest


def test_mistakes_in_a_table_are_one_line_that_says_where(tmp_path):
    path = tmp_path / "table.csv"
    for texts, accuracies, header, words in (
        (CELLS, None, "arch,accuracy,macs,parameters", "lacks architecture"),
        ([*CELLS[:3], "|none~0|"], None, HEADER, "line 5: '.none~0.' is neither"),
        (CELLS[:3], [0.5, 93.2, 0.5], HEADER, "line 3: accuracy is a fraction"),
        (CELLS[:3], [0.5, 0.5, "nan"], HEADER, "line 4: accuracy is a fraction"),
        (CELLS[:3], [0.5, 0.5, "good"], HEADER, "line 4: .* must be numbers"),
        ([*CELLS[:3], "01202110"], None, HEADER, "mixes"),
        (CELLS[:2], None, HEADER, "at least 3"),
        ([CELLS[0]] * 3, None, HEADER, "each of another"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            tables.read(write(path, texts, accuracies, header))
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="No such file"):
        tables.read(tmp_path / "none.csv")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="no text file"):
        tables.read(path)
    path.write_text("# no table", encoding="utf-8")
    with pytest.raises(UserError, match="first line"):
        tables.read(path)


def test_draws_from_a_table_are_of_different_rows_repeat_and_hold_the_smaller_ones(bench):
    drawn = bench.rows(6)
    assert len({row[0] for row in drawn}) == 6
    assert drawn == bench.rows(6)
    assert bench.rows(3) == drawn[:3]
    assert sorted(bench.rows()) == sorted(tables.read(bench.table.folder / "table.csv").rows)


def test_a_given_table_names_the_space_and_is_what_all_is_compared_with(tmp_path, monkeypatch):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path / "runs"))
    settings = profiles.load("smoke", 0, [f"truth.table={write(tmp_path / 'chains.csv', CHAINS)}"])
    space = experiment.check(settings)
    assert space == Space("chain", settings.truth.channels, settings.truth.cells)
    kept = experiment.table_stage(settings, space).folder / "table.csv"
    assert kept.read_bytes() == (tmp_path / "chains.csv").read_bytes()
    names = [set(index.stage_keys("08-truth", each)) for each in (settings, SETTINGS)]
    assert names[1] - names[0] == {"truth-trained-real"}


def test_a_table_of_cifar10_may_be_named_as_a_place_of_data(tmp_path, monkeypatch):
    file, other = (write(tmp_path / name, CELLS) for name in ("cells.csv", "other.csv"))
    monkeypatch.setenv("DFNAS_TABLE", str(file))
    laptop = profiles.load("laptop")
    assert tables.given(laptop) == file
    assert tables.given(profiles.load("laptop", 0, [f"truth.table={other}"])) == other
    assert tables.given(SETTINGS) is None  # digits have no published table
    monkeypatch.delenv("DFNAS_TABLE")
    assert tables.given(laptop) is None


def test_without_a_table_cells_are_trained_on_real_images_and_tested_on_real_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("DFNAS_RUNS", str(tmp_path))
    tests, whole = [], consistency.evaluation.accuracy_on
    real = real_data.load(SETTINGS.data)

    def watching(network, shown, run):
        tests.append(len(shown))
        return whole(network, shown, run)

    monkeypatch.setattr(consistency.evaluation, "accuracy_on", watching)
    table = tables.read(experiment.table_stage(SETTINGS, SPACE).folder / "table.csv")
    assert (table.kind, len(table.rows)) == ("cell", SETTINGS.truth.trained)
    assert set(tests) == {len(real.test)}
    assert all(nasbench.connected(SPACE, nasbench.from_text(row[0])) for row in table.rows)
    network = nasbench.Supernet(SPACE, 10, 1, only=nasbench.from_text(table.rows[0][0]))
    assert table.rows[0][3] == sum(weight.numel() for weight in network.parameters())


# Supernets.


@pytest.mark.parametrize("kind", nasbench.KINDS)
def test_a_supernet_that_was_stopped_ends_with_the_same_bits_and_judges_once(tmp_path, bench, kind, monkeypatch):
    bench = dataclasses.replace(bench, space=Space(kind, 4, 1))
    write(bench.table.folder / "table.csv", CELLS if kind == "cell" else CHAINS)

    origin, folders = Origin("synthetic", "images"), []
    for runs, stops in (("whole", ()), ("stopped", (4,))):
        monkeypatch.setenv("DFNAS_RUNS", str(tmp_path / runs))
        for step in stops:
            with stopped_at(step), pytest.raises(KeyboardInterrupt):
                experiment.supernet_stage(bench, origin, 1)
        folders.append(experiment.supernet_stage(bench, origin, 1).folder)
    one, other = ((folder / "model.safetensors").read_bytes() for folder in folders)
    assert one == other

    judge = experiment.judge_of(bench, origin, Artefact("supernet", "", folders[0]), 1)
    asked = []

    def score(text):
        asked.append(text)
        return {"score": judge(nasbench.from_text(text))}

    experiment.judge_all(tmp_path, score, bench)
    log = (tmp_path / experiment.LOG).read_bytes()
    assert (
        [row["architecture"] for row in logs.read(tmp_path / experiment.LOG)] == asked == [r[0] for r in bench.rows()]
    )
    (tmp_path / experiment.LOG).write_bytes(log[: len(log) // 2])
    experiment.judge_all(tmp_path, score, bench)
    assert (tmp_path / experiment.LOG).read_bytes() == log
    assert len(asked) < 2 * len(bench.rows())


def test_all_that_learns_from_synthetic_images_does_so_out_of_reach_of_real_ones(bench, monkeypatch):
    seen = reach.of_real_data(monkeypatch, SETTINGS)
    for name, how in (("synthetic", "closed"), ("control", "closed"), ("real_hard", "open"), ("real_soft", "open")):
        found = experiment._of_seed(bench, Origin(name, f"images: {name}"), 0)
        assert set(found) == {f"{kind}-{name}-0" for kind in ("supernet", "judged", "evolution", "reinforce", "darts")}
        assert seen == [how, how]
        seen.clear()
    noise = experiment._of_seed(bench, Origin("noise", "images"), 1)
    assert set(noise) == {"supernet-noise-1", "judged-noise-1"}


# Searches.


def test_a_search_finds_what_its_judge_puts_first_and_never_leaves_the_table(tmp_path):
    recipe = dataclasses.replace(SETTINGS.truth.evolution, population=5, generations=4, mutation_probability=0.5)
    asked = []

    def judge(choices):
        assert choices in CHOICES
        asked.append(choices)
        return CHOICES.index(choices) / 10

    find, facts = table_searches.evolve(tmp_path, judge, CHOICES, SPACE, recipe, 0)
    assert find == max(asked, key=CHOICES.index)
    assert facts == {"evaluations": len(asked)} == {"evaluations": len(CHOICES)}  # 25 asked of a table of ten


def test_reinforce_moves_its_policy_by_the_gradient_that_autograd_finds(tmp_path):
    recipe = dataclasses.replace(SETTINGS.truth.reinforce, updates=3, samples=8, rate=0.2, baseline_rate=0.5)
    scores = {path: 0.1 * sum(path) for path in itertools.product(range(5), repeat=6)}
    find, facts = table_searches.reinforce(tmp_path, scores.__getitem__, CHOICES, SPACE, recipe, 4)

    alphas = [torch.zeros(5, requires_grad=True) for _ in range(6)]
    optimiser, baseline = torch.optim.Adam(alphas, lr=0.2), None
    for update in range(3):
        given = [alpha.detach() for alpha in alphas]
        paths = table_searches.binarisation.draw(given, 8, table_searches.seeds.generator(4, "reinforce", update))
        rewards = torch.tensor([scores[tuple(path)] for path in paths.tolist()])
        mean = float(rewards.mean())
        baseline = mean if baseline is None else (baseline + mean) / 2
        chance = sum(alpha.log_softmax(0)[drawn] for alpha, drawn in zip(alphas, paths.T, strict=True))
        optimiser.zero_grad()
        (-(rewards - baseline) * chance).mean().backward()
        optimiser.step()
    assert facts["entropy"] == pytest.approx(table_searches._entropy(alphas), abs=2e-4)  # Adam enlarges rounding
    assert find == table_searches.likeliest(alphas, CHOICES)


def test_reinforce_that_was_stopped_asks_nothing_twice_and_ends_alike(tmp_path):
    asked = []

    def judge(path, most=10**6):
        if len(asked) == most:
            raise KeyboardInterrupt
        asked.append(path)
        return sum(path) / 24

    recipe = dataclasses.replace(SETTINGS.truth.reinforce, updates=5)
    with pytest.raises(KeyboardInterrupt):
        table_searches.reinforce(tmp_path, functools.partial(judge, most=4), CHOICES, SPACE, recipe, 0)
    found = table_searches.reinforce(tmp_path, judge, CHOICES, SPACE, recipe, 0)
    assert len(set(asked)) == len(asked) == found[1]["evaluations"]
    (tmp_path / table_searches.ASKED).unlink()
    assert table_searches.reinforce(tmp_path, judge, CHOICES, SPACE, recipe, 0) == found


def test_the_likeliest_of_a_table_that_lacks_the_likeliest_of_all():
    alphas = [torch.tensor([0.0, 1.0, 3.0]), torch.tensor([0.0, 2.0])]
    assert table_searches.likeliest(alphas, list(itertools.product(range(3), range(2)))) == (2, 1)
    assert table_searches.likeliest(alphas, [(2, 0), (1, 1), (0, 1)]) == (2, 0)  # 3 + 0, 1 + 2, 0 + 2: a tie, the first
    assert table_searches.likeliest(alphas, [(1, 0), (0, 1)]) == (0, 1)


@pytest.mark.parametrize("kind", nasbench.KINDS)
def test_darts_that_was_stopped_ends_with_the_same_parameters(tmp_path, kind, monkeypatch):
    space = Space(kind, 4, 1)
    known = [nasbench.from_text(text) for text in (CELLS if kind == "cell" else CHAINS)]
    whole = table_searches.ArchitectureUpdate.before

    def search(folder, stop_at=None):
        def stopping(self, step, *arguments):
            if step == stop_at:
                raise KeyboardInterrupt
            whole(self, step, *arguments)

        folder.mkdir(exist_ok=True)
        monkeypatch.setattr(table_searches.ArchitectureUpdate, "before", stopping)
        return table_searches.darts(folder, digits(), known, space, SETTINGS, 3)

    found = search(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path / "stopped", stop_at=2)
    assert search(tmp_path / "stopped") == found
    files = [tmp_path / name / "alphas.safetensors" for name in ("whole", "stopped")]
    assert files[0].read_bytes() == files[1].read_bytes()
    alphas = load_file(files[0])["alphas"]
    assert alphas.shape[1:] == (len(space.options), space.options[0])
    assert (alphas[-1] != 0).any(1).all()  # every position was moved


# What goes into a record.

ACCURACIES = [0.5, 0.6, 0.7, 0.8, 0.9]


@pytest.fixture
def artefacts(tmp_path):
    """Every stage's files, made up: five cells, of which the last is the best, judged by two supernets a source."""
    texts = CELLS[:5]

    def holding(name):
        (tmp_path / name).mkdir()
        return Artefact(name, "", tmp_path / name)

    found = {"table": holding("table")}
    write(tmp_path / "table" / "table.csv", texts, ACCURACIES)
    for (place, name), number in itertools.product(enumerate(experiment.SOURCES), range(2)):
        judged = found[f"judged-{name}-{number}"] = holding(f"judged-{name}-{number}")
        scores = [3, 1, 2, 5, 4] if number else [1, 2, 3, 4, 5] if place == 0 else [5, 4, 3, 2, 1]
        logs.write(
            judged.folder / experiment.LOG,
            ({"architecture": text, "score": score / 10} for text, score in zip(texts, scores, strict=True)),
        )
        for kind in experiment.SEARCHES if name in experiment.SEARCHED else ():
            find = found[f"{kind}-{name}-{number}"] = holding(f"{kind}-{name}-{number}")
            text = texts[-1 - number] if name == "synthetic" else texts[0]
            scratch.write_architectures(find.folder, [text], evaluations=2, entropy=0.5, steps=14)
            save_file({"alphas": torch.zeros(3, 6, 5)}, find.folder / "alphas.safetensors")
    for name in experiment.SCRATCH:
        found[f"scratch-{name}"] = holding(f"scratch-{name}")
        rows = (
            {"architecture": nasbench.network_text(SPACE, text), "labelled": place / 10, "accuracy": -place / 10}
            for place, text in enumerate(texts[:3])
        )
        logs.write(found[f"scratch-{name}"].folder / experiment.LOG, rows)
    for name in experiment.UNTRAINED:
        found[f"untrained-{name}"] = holding(f"untrained-{name}")
        rows = ({"architecture": text, **dict.fromkeys(proxies.NAMES, -place)} for place, text in enumerate(texts))
        logs.write(found[f"untrained-{name}"].folder / experiment.LOG, rows)
    return found


def test_agreement_with_the_table_is_a_mean_over_supernets(artefacts):
    found = records.flat(results.metrics(artefacts, SETTINGS))
    assert found["tau_synthetic"] == pytest.approx((1.0 + 0.4) / 2)
    assert found["tau_control"] == pytest.approx((-1.0 + 0.4) / 2)
    # Means of the scores, doubled: 4, 3, 5, 9, 9, of which one pair is tied and another one discordant.
    assert found["tau_synthetic_averaged"] == pytest.approx((8 - 1) / (10 * 9) ** 0.5)
    assert found["tau_synthetic_low"] <= found["tau_synthetic"] <= found["tau_synthetic_high"]
    assert found["tau_difference_synthetic_control"] == pytest.approx(1.0)
    assert (found["tau_parameters"], found["tau_synflow"], found["tau_jacov_control"]) == pytest.approx((1, -1, -1))
    assert (found["untrained_best"], found["tau_difference_synthetic_untrained"]) == ("parameters", pytest.approx(-0.3))
    assert (found["tau_scratch_control"], found["tau_scratch_control_on_real"]) == pytest.approx((1, -1))
    assert (found["score_synthetic"], found["score_synthetic_n"]) == (pytest.approx(0.3), 2)
    assert (found["architectures"], found["scratch_architectures"], found["table_architectures"]) == (5, 3, 5)


def test_networks_that_let_nothing_through_are_last_and_leave_the_page_its_axis(artefacts):
    log = artefacts["untrained-synthetic"].folder / experiment.LOG
    given = [-math.inf, 3.0, proxies.NOTHING, 1.0, 2.0]
    rows = [dict(row, synflow=score) for row, score in zip(logs.read(log), given, strict=True)]
    log.unlink()
    logs.write(log, rows)
    found = results.architectures(artefacts)
    assert found["scores"]["synflow"] == [0.8, 3.0, 0.8, 1.0, 2.0]
    assert found["scores"]["naswot"] == [0, -1, -2, -3, -4]
    json.dumps(found, allow_nan=False)
    tau = results.metrics(artefacts, SETTINGS)["tau_synflow"]
    assert tau.value == pytest.approx(0.4)
    assert tau.low <= tau.value <= tau.high


def test_what_the_best_of_the_table_loses_is_nothing(artefacts):
    assert results.regrets(artefacts)["evolution_synthetic"] == pytest.approx([0.0, 10.0])
    found = records.flat(results.metrics(artefacts, SETTINGS))
    for kind in experiment.SEARCHES:
        assert found[f"regret_{kind}_synthetic"] == pytest.approx(5.0)
        assert found[f"regret_{kind}_control"] == pytest.approx(40.0)
        assert found[f"regret_difference_{kind}"] == pytest.approx(35.0)
    # Two of five by the true order lose 0 in four pairs of ten, 10, 20 and 30 in three, two and one; by the second
    # supernet, 3 1 2 5 4: the fourth is kept in four pairs, the fifth in three, the first in two, the third in one.
    assert results.regrets(artefacts)["random_synthetic"] == pytest.approx([10.0, 4 + 0 + 8 + 2])
    assert found["regret_gain_synthetic"] == pytest.approx(12.0 - 5.0)
    assert found["regret_evolution_random"] == found["regret_random_synthetic"]
    assert found["regret_lot"] == pytest.approx(20.0)
    artefacts.pop("evolution-synthetic-1")
    with pytest.raises(ValueError, match="zip"):
        results.regrets(artefacts)


def test_a_mixture_that_was_not_moved_is_undecided_and_its_steps_end_with_the_last(artefacts):
    found = results.decisions(artefacts)
    assert set(found) == set(experiment.SEARCHED)
    steps, entropies, skips = found["control"]
    assert steps == [0, 10, 14]
    assert entropies.tolist() == pytest.approx([results.metrics(artefacts, SETTINGS)["entropy_start"]] * 3)
    assert skips.tolist() == pytest.approx([0.2] * 3)


def test_records_hold_the_names_of_the_design(artefacts):
    found = records.flat(results.metrics(artefacts, SETTINGS))
    judges = (*experiment.SOURCES, "parameters", "macs", *proxies.NAMES)
    finds = [f"{kind}_{name}" for kind in experiment.SEARCHES for name in experiment.SEARCHED]
    names = [*(f"tau_{name}" for name in judges), *(f"regret_{name}" for name in (*finds, "evolution_random"))]
    assert {f"{name}{end}" for name in names for end in ("", "_low", "_high")} <= set(found)
    assert {"table_name", "table_digest", "architectures"} <= set(found)


# Settings.


def test_profiles_keep_to_the_least_that_can_decide():
    quick, laptop = profiles.load("quick").truth, profiles.load("laptop").truth
    assert quick.trained >= 24
    assert (laptop.architectures, laptop.scratch_architectures, laptop.seeds) >= (500, 100, 5)
    assert laptop.training.steps >= 12_000
    hours = [row["seconds_estimate"] / 3600 for row in estimate.plan(profiles.load("laptop"))]
    assert sum(hours) < 3


def test_a_plan_counts_supernets_questions_and_trainings(tmp_path):
    settings = profiles.load("smoke", 0, ["truth.seeds_soft=4"])
    rows = {row["stage"].split(" x ")[0]: row for row in estimate.plan(settings)}
    chapter = settings.truth
    searched = 3 * chapter.seeds + 4
    assert rows["supernets"]["iterations"] == (searched + 1) * chapter.training.steps
    assert rows["DARTS"]["iterations"] == searched * chapter.darts.search.steps
    asked = (searched + 1 + 2) * chapter.trained + searched * (4 * 2 + 2 * 2)
    assert rows["judging"]["iterations"] == asked
    assert rows["from scratch"]["iterations"] == 3 * chapter.scratch_architectures * chapter.scratch.steps
    assert "the table" in rows
    given = profiles.load("smoke", 0, [f"truth.table={write(tmp_path / 'cells.csv', CELLS)}"])
    assert "the table" not in {row["stage"].split(" x ")[0] for row in estimate.plan(given)}


def test_supernets_of_several_seeds_have_stages_of_their_own_and_the_table_s_none_of_them():
    keys = index.stage_keys("08-truth", profiles.load("smoke", 0, ["truth.seeds_soft=4"]))
    supernets = [name.removeprefix("truth-supernet-") for name in keys if name.startswith("truth-supernet-")]
    sources = Counter(name.rpartition("-")[0] for name in supernets)
    assert sources == {"synthetic": 2, "real_hard": 2, "control": 2, "real_soft": 4, "noise": 1}
    assert len({keys[f"truth-supernet-{name}"] for name in supernets}) == 11
    changes = ["truth.seeds_soft=4", "truth.training.steps=7"]
    other = index.stage_keys("08-truth", profiles.load("smoke", 0, changes))
    changed = {name for name in keys if keys[name] != other[name]}
    assert {name.split("-")[1] for name in changed} == {"supernet", "judged", "evolution", "reinforce"}
