"""SPOS: a supernet trained a random path at a time, then searched by evolution (SPOS paper, section 3)."""

import dataclasses
import functools
import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from dfnas.chapters import costs, exports
from dfnas.data import sources
from dfnas.data.origins import Origin, held
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.data.teachers import load as load_teacher
from dfnas.errors import UserError
from dfnas.models import cost, shufflenet
from dfnas.models.shufflenet import Choices, Space, Supernet
from dfnas.profiles import Settings
from dfnas.runtime import processes, stages, statistics
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.files import write_json
from dfnas.search import evolution, scratch, standings, supernets
from dfnas.synthesis import sets
from dfnas.training import evaluation

VERSION = 2


def compute(settings: Settings) -> dict[str, Artefact]:
    """The chapter's stages: a supernet and a search on each source, random architectures, all trained from scratch."""
    check(settings)
    chapter, teacher = settings.spos, load_teacher(settings)
    origins = sets.origins_of(settings, teacher, dict(chapter.scratch.searches))
    artefacts, labels = held(origins), scratch.searches(settings, chapter.scratch)
    calls = {
        label: functools.partial(_on_source, origins[name], settings, teacher, seed)
        for label, (name, seed) in labels.items()
    }
    for label, (supernet, search) in processes.made(calls, settings.run, "searches").items():
        artefacts |= {f"supernet-{label}": supernet, f"search-{label}": search}
    for label, (name, seed) in labels.items():
        if seed == settings.seed + 1:
            pair = (artefacts[f"supernet-{label}"], artefacts[f"search-{name}-{settings.seed}"])
            artefacts[f"again-{name}"] = again_stage(origins[name], *pair, settings, teacher)
    searches = [artefacts[f"search-{label}"] for label in labels]
    artefacts["random"] = scratch.random_stage(
        "spos-random", settings, chapter.scratch, searches, lambda generator: _random_text(settings, generator)
    )
    others = (teacher, chapter.space.dropout, chapter.temperature)
    artefacts |= scratch.band(settings, chapter.scratch, "spos", artefacts, *others)
    artefacts["export"] = exports.find_stage("spos", artefacts, chapter.scratch, settings, teacher)
    return artefacts


def plan(settings: Settings) -> list[dict[str, Any]]:
    """The supernets, the candidates' forward passes, and the trainings of what is found."""
    check(settings)
    chapter, data = settings.spos, settings.data
    space, side = space_of(settings), chapter.side or data.region
    path = _middling(space)
    text = shufflenet.to_text(path, space)
    held_out, count = chapter.validation_each * data.classes, len(scratch.searches(settings, chapter.scratch))
    learnt = settings.synthesis.images - held_out
    candidates = chapter.evolution.population * (chapter.evolution.generations + 1)
    images = candidates * (min(chapter.recalibration * chapter.search.batch, learnt) + held_out)
    searches = costs.cost_row(
        f"evolution x {count}",
        settings,
        iterations=candidates,
        images=images,
        pieces=chapter.evolution.population,
        macs=images * shufflenet.macs(space, path, side, data.classes, data.channels),
        bytes_disk=200 * candidates,
        memory_mb=chapter.search.batch * costs.cost_of(text, settings, side).activations * 4 / 1e6,
    )
    return [
        costs.synthetic_set("synthesis", settings, settings.synthesis),
        supernets_row(f"supernets x {count}", settings, 1, count - 1, settings.synthesis.images),
        costs.times(searches, count),
        costs.from_scratch(settings, chapter.scratch, text),
    ]


def supernets_row(name: str, settings: Settings, real: int, others: int, images: int) -> dict[str, Any]:
    """A plan's row for supernets of real data and of others, which a teacher may label, each of so many images."""
    chapter, data, space = settings.spos, settings.data, space_of(settings)
    text, learnt = shufflenet.to_text(_middling(space), space), images - chapter.validation_each * data.classes
    row = costs.train(name, settings, text, chapter.search, learnt, chapter.side)
    with cost.without_values():
        network = shufflenet.Supernet(space, data.classes, data.channels)
    row["bytes_disk"] = 4 * cost.parameters(network)
    if chapter.labels == "online":
        forward = costs.teacher_cost(settings).macs
        row = costs.scaled(row, 1 + others / (real + others) * forward * row["images"] / row["macs"])
    return costs.times(row, real + others)


def population(visited: Mapping[str, list[evolution.Visited]], settings: Settings) -> dict[str, Any]:
    """What the page's explorer shows: the candidates of each search in order, as columns, and how to draw one."""
    space = space_of(settings)
    return {
        "limit": settings.spos.limit_macs,
        "choices": shufflenet.CHOICES,
        "stages": list(zip(space.widths, space.strides, space.repeats, strict=True)),
        "searches": {
            name: {
                "generation": [row.generation for row in rows],
                "origin": [row.origin for row in rows],
                "score": [round(row.scores[0], 5) for row in rows],
                "macs": [macs(settings, row.candidate) for row in rows],
                "candidate": ["".join(map(str, row.candidate)) for row in rows],
            }
            for name, rows in visited.items()
        },
    }


def _middling(space: Space) -> Choices:
    """A path of middling cost: every choice in turn."""
    return tuple(index % len(shufflenet.CHOICES) for index in range(len(space.blocks)))


def _on_source(origin: Origin, settings: Settings, teacher: Teacher, seed: int) -> tuple[Artefact, Artefact]:
    supernet = supernet_stage(origin, settings, teacher, seed)
    return supernet, search_stage(origin, supernet, settings, teacher, seed)


def check(settings: Settings) -> None:
    """Refuse settings that do not fit together.

    Raises
    ------
    UserError
        With the field that is wrong.
    """
    chapter = settings.spos
    cheapest = macs(settings, [min(range(4), key=row.__getitem__) for row in _block_macs(settings)])
    if chapter.limit_macs < cheapest:
        raise UserError(f"spos.limit_macs={chapter.limit_macs:,} excludes all: the cheapest path has {cheapest:,}")
    if chapter.validation_each * settings.data.classes >= settings.synthesis.images:
        raise UserError(
            f"spos.validation_each={chapter.validation_each} leaves no image for the supernet to learn from"
        )


def space_of(settings: Settings) -> Space:
    """The chapter's space."""
    return Space(**vars(settings.spos.space))


def _side(settings: Settings) -> int:
    return settings.spos.scratch.side or settings.data.region


def _block_macs(settings: Settings) -> tuple[tuple[int, ...], ...]:
    return shufflenet.block_macs(space_of(settings), _side(settings))


def macs(settings: Settings, choices: Choices | list[int]) -> int:
    """Multiply-adds of a path as a network of its own, at the side that it is judged at."""
    data = settings.data
    return shufflenet.macs(space_of(settings), choices, _side(settings), data.classes, data.channels)


def _random_text(settings: Settings, generator: torch.Generator) -> str:
    """A random path that keeps to the search's own limit; raises UserError where a thousand draws hold none."""
    space, limit = space_of(settings), settings.spos.limit_macs
    for _ in range(1000):
        path = shufflenet.random_choices(space, generator)
        if macs(settings, path) <= limit:
            return shufflenet.to_text(path, space)
    raise UserError(f"spos.limit_macs={limit:,}: none of a thousand random paths keeps to it; raise the limit")


def supernet_stage(origin: Origin, settings: Settings, teacher: Teacher, seed: int) -> Artefact:
    """The stage that trains a supernet on one source; writes model.safetensors and history.json."""
    chapter = settings.spos

    def work(folder: Path) -> None:
        with origin.guarded():
            source = origin.load(settings, teacher)  # the same images, whatever the search's seed
            train_supernet(folder, source, dataclasses.replace(settings, seed=seed), teacher)

    depends = stages.without(chapter, "scratch", "evolution", "recalibration", "limit_macs")
    depends |= {"source": origin.name, "seed": seed, "images": settings.synthesis.images}
    if chapter.bins:  # of multiply-adds, at the side that paths are judged at
        depends["cost_side"] = _side(settings)
    name, inputs = f"spos-supernet-{origin.name}-{seed}", [origin.given, teacher.digest]
    return stages.stage(name, work, depends, inputs=inputs, version=VERSION, run=settings.run)


def _split(source: Source, settings: Settings) -> tuple[Source, Source]:
    """What the supernet learns from, and what candidates are judged by."""
    classes = settings.data.classes
    return sources.split(source, settings.spos.validation_each * classes, classes, settings.seed)


def train_supernet(folder: Path, source: Source, settings: Settings, teacher: Teacher) -> None:
    """Train all paths of the supernet, one a step."""
    chapter, supernet = settings.spos, build_supernet(settings)
    learnt, held_out = _split(source, settings)
    watched = sources.judged(held_out, settings, chapter.side)
    supernets.train(
        folder,
        supernet,
        learnt,
        supernets.RandomChoice(supernet, path_draw(settings), settings.seed),
        chapter.search,
        settings,
        side=chapter.side or settings.data.region,
        temperature=chapter.temperature,
        online=teacher if chapter.labels == "online" else None,
        evaluate=lambda network: evaluation.accuracy_on(network, watched, settings.run)[0],
        description=f"SPOS on {source.name}",
    )


def path_draw(settings: Settings) -> Callable[[torch.Generator], Choices]:
    """How a step's path is drawn: uniformly, or from a bin of multiply-adds that is itself drawn uniformly."""
    space, bins = space_of(settings), list(itertools.pairwise(settings.spos.bins))
    if not bins:
        return functools.partial(shufflenet.random_choices, space)
    price = functools.lru_cache(maxsize=4096)(functools.partial(macs, settings))
    return functools.partial(shufflenet.binned_choices, space, price, bins)


def build_supernet(settings: Settings) -> Supernet:
    """The chapter's supernet, with the initial weights of the run's seed."""
    return Supernet(space_of(settings), settings.data.classes, settings.data.channels, settings.seed)


def read(artefact: Artefact, settings: Settings) -> Supernet:
    """A trained supernet."""
    supernet = build_supernet(settings)
    supernet.load_state_dict(load_file(artefact.folder / "model.safetensors"))
    return supernet


def search_stage(origin: Origin, supernet: Artefact, settings: Settings, teacher: Teacher, seed: int) -> Artefact:
    """The stage that searches a supernet by evolution; writes architectures.json and the log of all it visited."""
    chapter = settings.spos

    def work(folder: Path) -> None:
        with origin.guarded():
            source, apart = origin.load(settings, teacher), dataclasses.replace(settings, seed=seed)
            search(folder, source, read(supernet, settings), apart)

    # What trained the supernet is in its key.
    depends = stages.without(chapter, "scratch", "search", "bins", "labels", "temperature", "space", "validation_each")
    depends |= {"cost_side": _side(settings), "batch": chapter.search.batch, "seed": seed}
    name = f"spos-search-{origin.name}-{seed}"
    return stages.stage(name, work, depends, inputs=[supernet], version=VERSION, run=settings.run)


def again_stage(origin: Origin, supernet: Artefact, first: Artefact, settings: Settings, teacher: Teacher) -> Artefact:
    """The stage in which the second supernet of a source judges the random candidates that the first search began with.

    How far two supernets of the same images agree is the most that those of two sources could: scores.json.
    """

    def work(folder: Path) -> None:
        rows = [row.candidate for row in evolution.load(first.folder / evolution.LOG) if row.generation == 0]
        with origin.guarded():
            apart = dataclasses.replace(settings, seed=settings.seed + 1)
            judge = judge_of(read(supernet, settings), origin.load(settings, teacher), apart)
        write_json(folder / "scores.json", [judge(row)[0] for row in rows])

    depends = {"recalibration": settings.spos.recalibration, "batch": settings.spos.search.batch}
    return stages.stage(
        f"spos-again-{origin.name}", work, depends, inputs=[supernet, first], version=VERSION, run=settings.run
    )


def search(folder: Path, source: Source, supernet: Supernet, settings: Settings) -> None:
    """Evolution over paths of at most `limit_macs`, each judged on the source's held-out images."""
    chapter, space = settings.spos, space_of(settings)
    problem = evolution.Problem(
        random=functools.partial(shufflenet.random_choices, space),
        redraw=lambda candidate, position, generator: int(torch.randint(4, (), generator=generator)),
        admissible=lambda candidate: macs(settings, candidate) <= chapter.limit_macs,
        evaluate=judge_of(supernet, source, settings),
    )
    visited = evolution.search(
        problem, chapter.evolution, settings.seed, folder, description=f"evolution on {source.name}"
    )
    best = evolution.ranked(visited)[0]
    scratch.write_architectures(folder, [shufflenet.to_text(best.candidate, space)], score=best.scores[0])


def judge_of(supernet: Supernet, source: Source, settings: Settings) -> supernets.Judge:
    """Judges paths of a trained supernet on the source's held-out images."""
    chapter, parts = settings.spos, _split(source, settings)
    return supernets.judge(supernet, parts, chapter.recalibration, chapter.search.batch, chapter.side, settings)


def share_of_choices(visited: list[evolution.Visited], generations: int) -> torch.Tensor:
    """How often each block took each choice, by generation: [generations + 1, blocks, choices]; rows sum to 1."""
    shares = []
    for generation in range(generations + 1):
        rows = [row.candidate for row in visited if row.generation == generation]
        if not rows:
            break
        chosen = nn.functional.one_hot(torch.tensor(rows), len(shufflenet.CHOICES)).double()
        shares.append(chosen.mean(0))
    return torch.stack(shares)


def metrics(
    visited: Mapping[str, list[evolution.Visited]], artefacts: Mapping[str, Artefact], settings: Settings
) -> dict[str, Any]:
    """For the record: how the searches went, what the finds are worth, and the settings that prose quotes.

    `visited` are the candidates of the first search on each source, `artefacts` are those of `compute`.
    """
    chapter, blocks = settings.spos, len(space_of(settings).blocks)
    found: dict[str, Any] = standings.told(artefacts, chapter.scratch) | outcomes(visited, settings)
    for name, rows in visited.items():
        text = scratch.read_architectures(artefacts[f"search-{name}-{settings.seed}"].folder)[0]
        found[f"found_on_{name}_architecture"] = text
        if f"again-{name}" in artefacts:
            scores = json.loads((artefacts[f"again-{name}"].folder / "scores.json").read_bytes())
            first = [row.scores[0] for row in rows if row.generation == 0]
            found[f"spearman_again_{name}"] = statistics.correlation(first, scores, "spearman")
    names = ("limit_macs", "labels", "temperature", "recalibration")
    found |= {name: getattr(chapter, name) for name in names} | vars(chapter.evolution)
    found["paths"] = "binned" if chapter.bins else "uniform"
    return found | {"blocks": blocks, "space": len(shufflenet.CHOICES) ** blocks}


def outcomes(visited: Mapping[str, list[evolution.Visited]], settings: Settings) -> dict[str, Any]:
    """For the record: scores of each search's find and of its first generation, and what scores agree with.

    `spearman_macs`: with cost, of all candidates; `spearman_real`: with the scores that real images give to the same
    first generation, which is drawn alike on every source.
    """
    firsts = {name: [row.scores[0] for row in rows if row.generation == 0] for name, rows in visited.items()}
    found: dict[str, Any] = {"compared": len(firsts["synthetic"])}
    for name, rows in visited.items():
        scores, costs = [row.scores[0] for row in rows], [macs(settings, row.candidate) for row in rows]
        found[f"visited_{name}"] = len(rows)
        found[f"score_{name}"], found[f"score_label_{name}"] = evolution.ranked(rows)[0].scores
        found[f"first_{name}"] = statistics.summary(firsts[name])
        found[f"spearman_macs_{name}"] = statistics.correlation(scores, costs, "spearman")
        if "real" in firsts:
            found[f"spearman_real_{name}"] = statistics.correlation(firsts[name], firsts["real"], "spearman")
    return found
