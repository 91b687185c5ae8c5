"""Evolutionary search: unique and admissible candidates, its rates, and the same log after a kill."""

import itertools
import json
import math
from dataclasses import replace

import pytest
import torch

from dfnas.errors import UserError
from dfnas.models import shufflenet
from dfnas.profiles import EvolutionSettings
from dfnas.search import evolution
from dfnas.search.evolution import Problem

SPACE = shufflenet.Space()
LIMIT = 330e6  # multiply-adds, as SPOS's code has it
SMALL = EvolutionSettings(population=8, generations=5, parents=3, mutations=4, crossovers=3)


def cost(choices):
    return shufflenet.macs(SPACE, choices, 224, 1000)


def score(choices):
    """A made-up accuracy, coarse enough for ties, and a second score that breaks them."""
    value = sum(math.sin(3 * i + choice) for i, choice in enumerate(choices))
    return round(value), value


def problem(genes=20, values=4, evaluate=score, admissible=lambda candidate: True):
    def draw(generator):
        return tuple(torch.randint(values, (genes,), generator=generator).tolist())

    def redraw(candidate, position, generator):
        return int(torch.randint(values, (), generator=generator))

    return Problem(draw, redraw, admissible, evaluate)


@pytest.fixture(scope="module")
def papers():
    return evolution.search(problem(admissible=lambda choices: cost(choices) <= LIMIT), EvolutionSettings(), seed=0)


def test_the_papers_search_makes_1050_unique_evaluations_within_the_limit(papers):
    assert len(papers) == len({row.candidate for row in papers}) == 1050
    assert max(cost(row.candidate) for row in papers) <= LIMIT
    assert [row.generation for row in papers] == [generation for generation in range(21) for _ in range(50)]


def test_a_generation_is_half_mutations_and_half_crossovers_while_there_are_new_ones(papers):
    counts = {
        origin: sum(row.origin == origin for row in papers if row.generation == 1)
        for origin in ("mutation", "crossover", "random")
    }
    assert counts == {"mutation": 25, "crossover": 25, "random": 0}
    assert all(row.origin == "random" and row.parents == () for row in papers[:50])


def test_the_best_ten_so_far_only_get_better(papers):
    tops = [
        [row.scores for row in evolution.ranked([row for row in papers if row.generation <= generation])[:10]]
        for generation in range(21)
    ]
    for before, after in itertools.pairwise(tops):
        assert all(new >= old for old, new in zip(before, after, strict=True))
    assert tops[-1][0] > tops[0][0]


def test_parents_are_among_the_best_ten_of_all_earlier_generations(papers):
    for generation in range(1, 21):
        best = evolution.ranked([row for row in papers if row.generation < generation])[:10]
        children = [row for row in papers if row.generation == generation]
        assert all(papers[parent] in best for child in children for parent in child.parents)


def test_children_have_their_parents_genes(papers):
    changed = []
    for row in papers:
        parents = [papers[parent].candidate for parent in row.parents]
        if row.origin == "crossover":
            assert all(gene in genes for gene, *genes in zip(row.candidate, *parents, strict=True))
        if row.origin == "mutation":
            changed.append(sum(a != b for a, b in zip(row.candidate, *parents, strict=True)))
    # a gene changes with probability 0.1 x 3/4, and a child without any change is a duplicate
    expected = 20 * 0.075 / (1 - 0.925**20)
    deviation = (sum(changed) / len(changed) - expected) / (1.1 / len(changed) ** 0.5)
    assert min(changed) >= 1
    assert abs(deviation) < 4


def test_a_gene_is_redrawn_with_probability_a_tenth():
    generator = torch.Generator().manual_seed(0)
    child = evolution.mutate((0,) * 100_000, 0.1, lambda *_: 1, generator)
    assert abs(sum(child) - 10_000) < 4 * (100_000 * 0.1 * 0.9) ** 0.5


def test_a_crossover_is_a_fair_coin_for_each_gene():
    child = evolution.cross((0,) * 100_000, (1,) * 100_000, torch.Generator().manual_seed(0))
    assert abs(sum(child) - 50_000) < 4 * (100_000 * 0.25) ** 0.5


def test_ranking_breaks_ties_by_the_second_score_then_by_age_and_puts_nan_last():
    rows = [evolution.Visited(0, "random", (), (i,), s) for i, s in enumerate([(1, 2), (math.nan, 9), (1, 3), (1, 2)])]
    assert [row.candidate[0] for row in evolution.ranked(rows)] == [2, 0, 3, 1]


def test_the_best_of_all_may_come_from_the_last_generation():
    born = []

    def newer_is_better(candidate):
        born.append(candidate)
        return len(born)

    visited = evolution.search(problem(evaluate=newer_is_better), SMALL, seed=0)
    assert evolution.ranked(visited)[0] == visited[-1]


def test_the_log_is_a_function_of_the_seed():
    runs = [evolution.search(problem(), SMALL, seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("killed_at", range(48))
def test_a_killed_search_goes_on_to_the_same_log(killed_at, tmp_path):
    whole = evolution.search(problem(), SMALL, seed=1)
    evaluated = []

    def evaluate(candidate):
        if len(evaluated) == killed_at:
            raise KeyboardInterrupt
        evaluated.append(candidate)
        return score(candidate)

    with pytest.raises(KeyboardInterrupt):
        evolution.search(problem(evaluate=evaluate), SMALL, 1, tmp_path)
    again = []
    visited = evolution.search(problem(evaluate=lambda c: again.append(c) or score(c)), SMALL, 1, tmp_path)
    assert visited == whole == evolution.load(tmp_path / evolution.LOG)
    assert evaluated + again == [row.candidate for row in whole]


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_line_that_a_kill_cut_short_is_evaluated_again(cut, tmp_path):
    whole = evolution.search(problem(), SMALL, 1, tmp_path)
    file = tmp_path / evolution.LOG
    content = file.read_bytes()
    file.write_bytes(content[:-cut])
    assert evolution.search(problem(), SMALL, 1, tmp_path) == whole
    assert file.read_bytes() == content


def test_a_finished_search_evaluates_nothing_and_more_generations_go_on_from_it(tmp_path):
    whole = evolution.search(problem(), SMALL, 1, tmp_path)
    assert evolution.search(problem(evaluate=None), SMALL, 1, tmp_path) == whole
    longer = evolution.search(problem(), replace(SMALL, generations=7), 1, tmp_path)
    assert longer[:48] == whole
    assert len(longer) == 64


def test_the_log_of_another_search_is_one_line(tmp_path):
    evolution.search(problem(), SMALL, 1, tmp_path)
    with pytest.raises(UserError, match="log of another search"):
        evolution.search(problem(), SMALL, 2, tmp_path)


@pytest.mark.parametrize("line", ["nonsense", "[1, 2]", '{"generation": 0}', json.dumps({"candidate": 1})])
def test_a_file_that_is_no_log_is_one_line(line, tmp_path):
    (tmp_path / evolution.LOG).write_text(line + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="not a log"):
        evolution.search(problem(), SMALL, 1, tmp_path)


def test_a_small_space_is_visited_whole_and_the_search_ends():
    visited = evolution.search(problem(genes=2), SMALL, seed=0)
    assert sorted(row.candidate for row in visited) == [(a, b) for a in range(4) for b in range(4)]


def test_a_space_smaller_than_the_first_generation():
    visited = evolution.search(problem(genes=1, admissible=lambda c: c[0] != 2), SMALL, seed=0)
    assert sorted(row.candidate for row in visited) == [(0,), (1,), (3,)]


def test_no_admissible_candidate_is_one_line():
    with pytest.raises(UserError, match="keeps to the limits"):
        evolution.search(problem(admissible=lambda candidate: False), SMALL, seed=0)
