"""Constrained evolutionary search (SPOS, section 3.4; MetaPruning, section 3.2), which knows nothing of networks.

A candidate is a tuple of ints, its genes. Every evaluation is written down when it is done, and the randomness of a
generation is a function of (seed, generation): a search that was killed is replayed from its log and goes on.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from dfnas.errors import UserError
from dfnas.profiles import EvolutionSettings
from dfnas.runtime import distributed, logs, seeds
from dfnas.runtime.progress import bar

LOG = "evolution.jsonl"
RANDOM_TRIES = 10_000  # draws in a row without a new admissible candidate after which the space counts as exhausted

Candidate = tuple[int, ...]
Born = tuple[str, tuple[int, ...], Candidate]  # origin, positions of the parents in the log, candidate
Redraw = Callable[[Candidate, int, torch.Generator], int]


@dataclass(frozen=True)
class Problem:
    """What is searched, as four functions."""

    random: Callable[[torch.Generator], Candidate]  # draws a candidate, admissible or not
    redraw: Redraw  # (candidate, position, generator) -> a new value for one gene, perhaps the old one
    admissible: Callable[[Candidate], bool]  # keeps to the limits; called for every attempt, so it must be cheap
    evaluate: Callable[[Candidate], float | tuple[float, ...]]  # one score or more, a function of the candidate alone


@dataclass(frozen=True)
class Visited:
    """An evaluated candidate: a line of the log."""

    generation: int  # 0: the random first one
    origin: str  # random | mutation | crossover
    parents: tuple[int, ...]  # their positions in the log
    candidate: Candidate
    scores: tuple[float, ...]  # higher is better; the second breaks ties of the first, and so on


def search(
    problem: Problem, settings: EvolutionSettings, seed: int, folder: Path | None = None, description: str = "evolution"
) -> list[Visited]:
    """All candidates that the search visited, in order; `ranked` sorts them.

    Generation 0 is random. Each later one has mutations of the best so far, crossovers of two of them, and random
    candidates for what is missing. No candidate is visited twice, and none that is not admissible. Where a space runs
    out of candidates, generations are smaller, and the search ends with the first empty one.

    Parameters
    ----------
    folder : where the log goes; a killed search that finds its log goes on to the same outcome.

    Raises
    ------
    UserError : impossible sizes, no admissible candidate found, or a folder that holds the log of another search.
    """
    file = None if folder is None else folder / LOG
    logged = []
    if file is not None:
        logged = load(file)
        logs.mend(file)
    visited: list[Visited] = []
    progress = bar(total=settings.population * (settings.generations + 1), desc=description, unit="candidate")
    for generation in range(settings.generations + 1):
        born = _generation(visited, problem, settings, seeds.generator(seed, "evolution", generation))
        if not born:
            break
        known = logged[len(visited) : len(visited) + len(born)]
        for row, child in zip(known, born, strict=False):
            if (row.generation, row.origin, row.parents, row.candidate) != (generation, *child):
                raise UserError(f"{file} is the log of another search; remove it to search anew")
        visited += known
        progress.update(len(known))
        for start in range(len(known), len(born), distributed.world()):
            shared = born[start : start + distributed.world()]  # a candidate a process
            scores = [problem.evaluate(child[2]) for child in shared[distributed.rank() :][:1]]
            for child, score in zip(shared, itertools.chain(*distributed.gather(scores)), strict=True):
                scored = score if isinstance(score, (tuple, list)) else (score,)
                visited.append(Visited(generation, *child, tuple(map(float, scored))))
                if file is not None:
                    logs.append(file, asdict(visited[-1]))
                progress.update()
    progress.close()
    if not visited:
        raise UserError(f"evolution: none of {RANDOM_TRIES:,} random candidates keeps to the limits; widen them")
    return visited


def ranked(visited: list[Visited]) -> list[Visited]:
    """The best first; of equal ones the earlier; those without a number for a score last."""
    return [visited[i] for i in _ranking(visited)]


def mutate(candidate: Candidate, probability: float, redraw: Redraw, generator: torch.Generator) -> Candidate:
    """The candidate with each gene redrawn with `probability`."""
    hit = (torch.rand(len(candidate), generator=generator) < probability).tolist()
    return tuple(redraw(candidate, i, generator) if hit[i] else gene for i, gene in enumerate(candidate))


def cross(first: Candidate, second: Candidate, generator: torch.Generator) -> Candidate:
    """Each gene from one parent or the other, by a fair coin."""
    coins = (torch.rand(len(first), generator=generator) < 0.5).tolist()
    return tuple(a if coin else b for a, b, coin in zip(first, second, coins, strict=True))


def load(file: Path) -> list[Visited]:
    """The visited candidates of a log, none where there is no file; without a line that was cut short.

    Raises
    ------
    UserError : a file that is no log.
    """
    try:
        return [_row(row) for row in logs.read(file)]
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{file} is not a log of an evolutionary search; remove it to search anew") from error


def _row(values: dict[str, Any]) -> Visited:
    lists = {name: tuple(values[name]) for name in ("parents", "candidate", "scores")}
    return Visited(**(values | lists))


def _ranking(visited: list[Visited]) -> list[int]:
    """Positions, the best first."""
    keys = [tuple(math.inf if math.isnan(score) else -score for score in row.scores) for row in visited]
    return sorted(range(len(visited)), key=keys.__getitem__)


def _generation(
    visited: list[Visited], problem: Problem, settings: EvolutionSettings, generator: torch.Generator
) -> list[Born]:
    """A generation's new candidates, before any of them is evaluated; none at all where the space is exhausted."""
    parents = _ranking(visited)[: settings.parents]
    known, born = {row.candidate for row in visited}, []

    def pick() -> int:
        return parents[int(torch.randint(len(parents), (), generator=generator))]

    def make(origin: str) -> Born:
        if origin == "random":
            return origin, (), problem.random(generator)
        if origin == "mutation":
            parent = pick()
            genes = visited[parent].candidate
            return origin, (parent,), mutate(genes, settings.mutation_probability, problem.redraw, generator)
        first, second = pick(), pick()  # perhaps the same one: the child is then no new candidate
        return origin, (first, second), cross(visited[first].candidate, visited[second].candidate, generator)

    def add(origin: str, count: int, attempts: int) -> bool:
        for _ in range(attempts if count else 0):
            child = make(origin)
            if child[2] not in known and problem.admissible(child[2]):
                known.add(child[2])
                born.append(child)
                count -= 1
            if not count:
                return True
        return False

    if parents:
        add("mutation", settings.mutations, settings.tries * settings.mutations)
        add("crossover", settings.crossovers, settings.tries * settings.crossovers)
    while len(born) < settings.population and add("random", 1, RANDOM_TRIES):
        pass
    return born
