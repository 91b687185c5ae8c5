"""SPOS: a supernet trained a random path at a time, then searched by evolution (SPOS paper, section 3)."""

import functools
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from dfnas import models
from dfnas.chapters import costs
from dfnas.data import sources
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.data.teachers import load as load_teacher
from dfnas.errors import UserError
from dfnas.models import cost, shufflenet
from dfnas.models.shufflenet import Choices, Space, Supernet
from dfnas.profiles import Settings, SposSettings
from dfnas.runtime import processes, seeds, stages, statistics
from dfnas.search import evolution, scratch, supernets
from dfnas.synthesis import sets
from dfnas.training import evaluation

VERSION = 1


def compute(settings: Settings) -> dict[str, stages.Artefact]:
    """The chapter's stages: a supernet and a search on each source, random architectures, all trained from scratch."""
    chapter, teacher = chapter_of(settings), load_teacher(settings)
    origins = sets.artefacts(settings, teacher)
    made = {name: origin for name, origin in origins.items() if isinstance(origin, stages.Artefact)}
    calls = {name: functools.partial(_on_source, name, origins[name], settings, teacher) for name in sources.NAMES}
    for name, (supernet, search) in processes.made(calls, settings.run, "searches").items():
        made |= {f"supernet-{name}": supernet, f"search-{name}": search}
    searches = [made[f"search-{name}"] for name in sources.NAMES]
    made["random"] = scratch.random_stage(
        "spos-random", settings, chapter.scratch, searches, lambda generator: _random_text(settings, generator)
    )
    return made | scratch.band(settings, chapter.scratch, "spos", made)


def plan(settings: Settings) -> list[dict[str, Any]]:
    """The supernets, the candidates' forward passes, and the trainings of what is found."""
    chapter, data = chapter_of(settings), settings.data
    space, side = space_of(settings), chapter.side or data.region
    path = tuple(index % len(shufflenet.CHOICES) for index in range(len(space.blocks)))  # of middling cost
    text = shufflenet.to_text(path, space)
    held_out = chapter.validation_each * data.classes
    learnt = settings.synthesis.images - held_out
    supernets = costs.train(f"supernets x {len(sources.NAMES)}", settings, text, chapter.search, learnt, chapter.side)
    with torch.device("meta"):
        network = shufflenet.Supernet(space, data.classes, data.channels)
    supernets["bytes_disk"] = 4 * cost.parameters(network)
    if chapter.labels == "online":
        teacher = models.build(settings.teacher.network, data.classes, data.channels)
        forward = cost.macs(teacher, (data.channels, data.region, data.region))
        supernets = costs.scaled(supernets, 1 + forward * supernets["images"] / supernets["macs"])
    candidates = chapter.evolution.population * (chapter.evolution.generations + 1)
    images = candidates * (min(chapter.recalibration * chapter.search.batch, learnt) + held_out)
    searches = costs.cost_row(
        f"evolution x {len(sources.NAMES)}",
        settings,
        iterations=candidates,
        images=images,
        pieces=chapter.evolution.population,
        macs=images * shufflenet.macs(space, path, side, data.classes, data.channels),
        bytes_disk=200 * candidates,
        memory_mb=chapter.search.batch
        * cost.activations(costs.meta_network(text, settings), (data.channels, side, side))
        * 4
        / 1e6,
    )
    return [
        costs.synthetic_set("synthesis", settings, settings.synthesis),
        costs.times(supernets, len(sources.NAMES)),
        costs.times(searches, len(sources.NAMES)),
        costs.from_scratch(settings, chapter.scratch, text),
    ]


def _on_source(
    name: str, origin: stages.Artefact | str, settings: Settings, teacher: Teacher
) -> tuple[stages.Artefact, stages.Artefact]:
    supernet = supernet_stage(name, origin, settings, teacher)
    return supernet, search_stage(name, origin, supernet, settings, teacher)


def chapter_of(settings: Settings) -> SposSettings:
    """The chapter's settings, checked.

    Raises
    ------
    UserError
        Values that do not fit together.
    """
    chapter = settings.spos
    if chapter is None:
        raise UserError(f"profile {settings.profile} has no SPOS search")
    scratch.check(chapter.scratch, "spos")
    if chapter.labels not in ("stored", "online"):
        raise UserError(f"spos.labels={chapter.labels!r}: there are stored and online")
    cheapest = macs(settings, [min(range(4), key=row.__getitem__) for row in _block_macs(settings)])
    if chapter.limit_macs < cheapest:
        raise UserError(f"spos.limit_macs={chapter.limit_macs:,} excludes all: the cheapest path has {cheapest:,}")
    if chapter.validation_each * settings.data.classes >= settings.synthesis.images:
        raise UserError(
            f"spos.validation_each={chapter.validation_each} leaves no image for the supernet to learn from"
        )
    return chapter


def space_of(settings: Settings) -> Space:
    """The chapter's space."""
    assert settings.spos is not None
    return Space(**vars(settings.spos.space))


def _side(settings: Settings) -> int:
    assert settings.spos is not None
    return settings.spos.scratch.side or settings.data.region


def _block_macs(settings: Settings) -> tuple[tuple[int, ...], ...]:
    return shufflenet.block_macs(space_of(settings), _side(settings))


def macs(settings: Settings, choices: Choices | list[int]) -> int:
    """Multiply-adds of a path as a network of its own, at the side that it is judged at."""
    data = settings.data
    return shufflenet.macs(space_of(settings), choices, _side(settings), data.classes, data.channels)


def _random_text(settings: Settings, generator: torch.Generator) -> str:
    space = space_of(settings)
    return shufflenet.to_text(shufflenet.random_choices(space, generator), space)


def supernet_stage(name: str, origin: stages.Artefact | str, settings: Settings, teacher: Teacher) -> stages.Artefact:
    """The stage that trains a supernet on one source; writes model.safetensors and history.json."""
    chapter = chapter_of(settings)

    def work(folder: Path) -> None:
        with sources.guarded(name):
            train_supernet(folder, sources.load(name, origin, settings, teacher), settings, chapter, teacher)

    left_out = ("scratch", "evolution", "recalibration", "limit_macs")
    resolved = {key: value for key, value in vars(chapter).items() if key not in left_out}
    resolved |= {"source": name, "seed": settings.seed, "images": settings.synthesis.images}
    return stages.stage(f"spos-supernet-{name}", work, resolved, inputs=[origin, teacher.digest], version=VERSION)


def _split(source: Source, settings: Settings, chapter: SposSettings) -> tuple[Source, Source]:
    """What the supernet learns from, and what candidates are judged by."""
    classes = settings.data.classes
    return sources.split(source, chapter.validation_each * classes, classes, settings.seed)


def train_supernet(folder: Path, source: Source, settings: Settings, chapter: SposSettings, teacher: Teacher) -> None:
    """Train all paths of the supernet, one a step."""
    learnt, held_out = _split(source, settings, chapter)
    side, supernet = chapter.side or settings.data.region, build_supernet(settings)
    watched = sources.seen(held_out, settings, side)
    supernets.train(
        folder,
        supernet,
        learnt,
        Paths(supernet, settings, chapter),
        chapter.search,
        settings,
        side=side,
        temperature=chapter.temperature,
        online=teacher if chapter.labels == "online" else None,
        evaluate=lambda network: evaluation.accuracy_on(network, watched, settings.run)[0],
        description=f"SPOS on {source.name}",
    )


def build_supernet(settings: Settings) -> Supernet:
    """The chapter's supernet, with the initial weights of the run's seed."""
    return Supernet(space_of(settings), settings.data.classes, settings.data.channels, settings.seed)


class Paths:
    """The companion that draws the path of each step: uniformly, or from a bin of multiply-adds drawn uniformly."""

    def __init__(self, supernet: Supernet, settings: Settings, chapter: SposSettings) -> None:
        self.supernet, self.settings = supernet, settings
        self.bins = list(itertools.pairwise(chapter.bins))
        self.cost = functools.lru_cache(maxsize=4096)(functools.partial(macs, settings))

    def before(self, step: int, steps: int, rate: float, optimiser: torch.optim.Optimizer) -> None:
        generator = seeds.generator(self.settings.seed, "path", step)
        space = self.supernet.space
        if self.bins:
            self.supernet.choose(shufflenet.binned_choices(space, self.cost, self.bins, generator))
        else:
            self.supernet.choose(shufflenet.random_choices(space, generator))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def search_stage(
    name: str, origin: stages.Artefact | str, supernet: stages.Artefact, settings: Settings, teacher: Teacher
) -> stages.Artefact:
    """The stage that searches a supernet by evolution; writes architectures.json and the log of all it visited."""
    chapter = chapter_of(settings)

    def work(folder: Path) -> None:
        with sources.guarded(name):
            source = sources.load(name, origin, settings, teacher)
            search(folder, source, read(supernet, settings), settings, chapter)

    resolved = {
        "evolution": chapter.evolution,
        "limit": chapter.limit_macs,
        "recalibration": chapter.recalibration,
        "side": [chapter.side, chapter.scratch.side],
        "seed": settings.seed,
    }
    return stages.stage(f"spos-search-{name}", work, resolved, inputs=[supernet], version=VERSION)


def read(artefact: stages.Artefact, settings: Settings) -> Supernet:
    """A trained supernet."""
    supernet = build_supernet(settings)
    supernet.load_state_dict(load_file(artefact.folder / "model.safetensors"))
    return supernet


def search(folder: Path, source: Source, supernet: Supernet, settings: Settings, chapter: SposSettings) -> None:
    """Evolution over paths of at most `limit_macs`, each judged on the source's held-out images."""
    space = space_of(settings)
    problem = evolution.Problem(
        random=functools.partial(shufflenet.random_choices, space),
        redraw=lambda candidate, position, generator: int(torch.randint(4, (), generator=generator)),
        admissible=lambda candidate: macs(settings, candidate) <= chapter.limit_macs,
        evaluate=Judge(supernet, source, settings, chapter),
    )
    visited = evolution.search(
        problem,
        chapter.evolution,
        settings.seed,
        folder,
        description=f"evolution on {source.name}",
    )
    best = evolution.ranked(visited)[0]
    scratch.write_architectures(folder, [shufflenet.to_text(best.candidate, space)], score=best.scores[0])


class Judge:
    """Judges paths of a trained supernet, each with batch-norm statistics of its own (SPOS paper, section 3.4)."""

    def __init__(self, supernet: Supernet, source: Source, settings: Settings, chapter: SposSettings) -> None:
        self.supernet = supernet
        side, batch = chapter.side or settings.data.region, chapter.search.batch
        self.judge = supernets.Judge(*_split(source, settings, chapter), chapter.recalibration, batch, side, settings)
        self.recalibration, self.held_out = self.judge.recalibration, self.judge.held_out

    def __call__(self, candidate: Choices) -> tuple[float, float]:
        """Accuracy on the held-out images: against their classes, and against the largest entry of their labels."""
        return self.judge(self.supernet, candidate)

    def recalibrate(self, candidate: Choices) -> nn.Module:
        """The supernet, on the candidate's path and with its statistics."""
        return self.judge.recalibrate(self.supernet, candidate)


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


def metrics(visited: Mapping[str, list[evolution.Visited]], arms: scratch.Arms, settings: Settings) -> dict[str, Any]:
    """For the record: how the searches went, what the finds are worth, and the settings that prose quotes.

    `visited` are the candidates of the search on each source, `arms` the results of the trainings from scratch.
    """
    chapter, blocks = chapter_of(settings), len(space_of(settings).blocks)
    found: dict[str, Any] = scratch.worth(arms) | scratch.differences(arms) | outcomes(visited, settings)
    for arm in (f"found_on_{name}" for name in visited):
        found[f"{arm}_architecture"] = arms[arm]["architecture"][0]
        found[f"{arm}_ahead_of"] = scratch.ahead_of(arms, arm)
    names = ("limit_macs", "labels", "temperature", "recalibration")
    found |= {name: getattr(chapter, name) for name in names} | vars(chapter.evolution)
    found |= {"tolerance": chapter.scratch.tolerance, "paths": "binned" if chapter.bins else "uniform"}
    return found | {"blocks": blocks, "space": len(shufflenet.CHOICES) ** blocks}


def outcomes(visited: Mapping[str, list[evolution.Visited]], settings: Settings) -> dict[str, float]:
    """For the record: scores of each search's find and of its first generation, and what scores agree with.

    `spearman_macs`: with cost, of all candidates; `spearman_real`: with the scores that real images give to the same
    first generation, which is drawn alike on every source.
    """
    firsts = {name: [row.scores[0] for row in rows if row.generation == 0] for name, rows in visited.items()}
    found: dict[str, float] = {"compared": len(firsts["real"])}
    for name, rows in visited.items():
        scores, costs = [row.scores[0] for row in rows], [macs(settings, row.candidate) for row in rows]
        found[f"visited_{name}"] = len(rows)
        found[f"score_{name}"], found[f"score_label_{name}"] = evolution.ranked(rows)[0].scores
        found[f"first_{name}"] = statistics.mean(firsts[name])
        found[f"first_{name}_std"] = statistics.deviation(firsts[name])
        found[f"spearman_macs_{name}"] = statistics.correlation(scores, costs, "spearman")
        found[f"spearman_real_{name}"] = statistics.correlation(firsts[name], firsts["real"], "spearman")
    return found
