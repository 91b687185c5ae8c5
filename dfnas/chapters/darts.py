"""DARTS: architecture parameters and weights, moved in turn by gradients (DARTS paper, algorithm 1)."""

import functools
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dfnas.chapters import costs, exports
from dfnas.data import sources
from dfnas.data.origins import Origin, held
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.data.teachers import load as load_teacher
from dfnas.models import darts as space
from dfnas.models import darts_supernet
from dfnas.models.darts_supernet import Supernet
from dfnas.profiles import DartsSettings, Settings
from dfnas.runtime import devices, processes, stages, statistics
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.files import write_tensors
from dfnas.search import scratch, standings, tilting
from dfnas.search.architecture_update import ArchitectureUpdate
from dfnas.synthesis import sets
from dfnas.training import evaluation, loop, losses

VERSION = 2
WATCHED = 500  # images of the held-out half that the supernet is watched on


def compute(settings: Settings) -> dict[str, Artefact]:
    """The chapter's stages: a search on each source, random architectures of like cost, all trained from scratch."""
    chapter, teacher = settings.darts, load_teacher(settings)
    origins = sets.origins_of(settings, teacher, dict(chapter.scratch.searches))
    calls = {
        f"search-{label}": functools.partial(search_stage, origins[name], settings, teacher, seed)
        for label, (name, seed) in scratch.searches(settings, chapter.scratch).items()
    }
    searches = processes.made(calls, settings.run, "searches")
    artefacts = held(origins) | searches
    artefacts["random"] = scratch.random_stage(
        "darts-like-cost",
        settings,
        chapter.scratch,
        list(searches.values()),
        lambda generator: random_texts(settings)(generator),
    )
    temperature = chapter.temperature
    artefacts |= scratch.band(settings, chapter.scratch, "darts", artefacts, teacher, temperature=temperature)
    artefacts["export"] = exports.find_stage("darts", artefacts, chapter.scratch, settings, teacher)
    return artefacts


def plan(settings: Settings) -> list[dict[str, Any]]:
    """The searches, each step of which takes several passes, and the trainings of what they find."""
    chapter = settings.darts
    searches = len(scratch.searches(settings, chapter.scratch))
    network = darts_network(settings)
    half, recipe = settings.synthesis.images // 2, chapter.search
    row = costs.train(f"searches x {searches}", settings, network, recipe, half, chapter.side)
    # In passes over the supernet's multiply-adds: 3 move the weights. First order: forward and the gradient of what
    # flows. Second order: two whole gradients and two of the parameters alone. One of the whole ones is in float64: an
    # assumed three times the passes (on one core here seven to nine times the seconds).
    row = costs.scaled(row, (3 + (2 if chapter.order == "first" else 16)) / 3)
    size = space.Size(chapter.scratch_channels, chapter.scratch_cells)
    judged = space.to_text(space.DARTS_V2, size)  # of the cost of what is found, which is not known yet
    return [
        costs.synthetic_set("synthesis", settings, settings.synthesis),
        costs.times(row, searches),
        costs.from_scratch(settings, chapter.scratch, judged),
    ]


def _size(chapter: DartsSettings) -> space.Size:
    return space.Size(chapter.scratch_channels, chapter.scratch_cells)


@functools.lru_cache(maxsize=1)
def random_texts(settings: Settings) -> Callable[[torch.Generator], str]:
    """Draws random genotypes in their text form, of any cost in multiply-adds (`search.tilting`).

    The parts are the nodes of both cells; the options of a node are two different predecessors, with an operation each.
    """
    prices = _prices(settings)
    nodes = [(kind, list(_options(2 + node))) for kind in ("normal", "reduce") for node in range(space.NODES)]
    rows = [
        torch.tensor(
            [sum(prices[kind, at < 2, name] for name, at in option) for option in options], dtype=torch.float64
        )
        for kind, options in nodes
    ]

    def draw(generator: torch.Generator) -> str:
        chosen = zip(nodes, tilting.draw(rows, generator), strict=True)
        edges = tuple(itertools.chain(*(options[option] for (_, options), option in chosen)))
        middle = 2 * space.NODES
        return space.to_text(space.Genotype(edges[:middle], edges[middle:]), _size(settings.darts))

    return draw


def _options(predecessors: int) -> Iterable[tuple[space.Edge, space.Edge]]:
    for one, other in itertools.combinations(range(predecessors), 2):
        for first, second in itertools.product(space.PRIMITIVES[1:], repeat=2):
            yield (first, one), (second, other)


def _prices(settings: Settings) -> dict[tuple[str, bool, str], int]:
    """Multiply-adds of an operation by kind of cell and by whether it reads one of the cell's two inputs.

    Counted in networks that differ in this edge alone, from one in which the edge is the identity of an inner node.
    """

    def cost(kind: str, at: int, name: str) -> int:
        skips = (("skip_connect", 0), ("skip_connect", 1)) * space.NODES
        cells = {"normal": skips, "reduce": skips} | {kind: (*skips[:-2], (name, at), ("skip_connect", 3))}
        return scratch.macs(
            space.to_text(space.Genotype(**cells), _size(settings.darts)), settings, settings.darts.scratch
        )

    edges = itertools.product(("normal", "reduce"), (True, False), space.PRIMITIVES[1:])
    least = {kind: cost(kind, 2, "skip_connect") for kind in ("normal", "reduce")}
    return {(kind, outer, name): cost(kind, 0 if outer else 2, name) - least[kind] for kind, outer, name in edges}


def search_stage(origin: Origin, settings: Settings, teacher: Teacher, seed: int) -> Artefact:
    """The stage that searches on one source; writes architectures.json, alphas.safetensors and history.json."""

    def work(folder: Path) -> None:
        with origin.guarded():
            search(folder, origin.load(settings, teacher), settings, seed)

    depends = stages.without(settings.darts, "scratch")
    depends |= {"source": origin.name, "seed": seed, "images": settings.synthesis.images}
    name, inputs = f"darts-search-{origin.name}-{seed}", [origin.given, teacher.digest]
    version = VERSION + (settings.darts.order == "second")  # whose unrolled step is in float64 since
    return stages.stage(name, work, depends, inputs=inputs, version=version, run=settings.run)


def search(folder: Path, source: Source, settings: Settings, seed: int) -> None:
    """Search on a source: its one half moves the weights, its other half the architecture parameters."""
    chapter, data = settings.darts, settings.data
    side = chapter.side or data.region
    for_weights, for_alphas = sources.split(source, len(source) // 2, data.classes, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        supernet = Supernet(space.Size(chapter.channels, chapter.cells), data.classes, data.channels)
    devices.place(supernet, devices.device(settings.run))
    sample = sources.sampler(for_weights, chapter.search, settings, seed, "weights")
    loss = losses.loss_for(source, chapter.temperature)
    companion = ArchitectureUpdate(
        supernet,
        lambda step: sample(step, side),
        _held_out(for_alphas, chapter, settings, seed, side),
        lambda inputs, targets: loss(supernet(inputs), targets),
        chapter,
    )
    watched = sources.judged(for_alphas.select(torch.arange(min(WATCHED, len(for_alphas)))), settings, side)
    _, history = loop.train(
        supernet,
        sample,
        loss,
        chapter.search,
        settings.run,
        steps=loop.steps_of(chapter.search, len(for_weights)),
        side=side,
        folder=folder,
        evaluate=lambda network: evaluation.accuracy_on(network, watched, settings.run)[0],
        companion=companion,
        description=f"DARTS on {source.name}",
    )
    genotype = space.discretise(*(alpha.detach().cpu() for alpha in supernet.alphas))
    scratch.write_architectures(folder, [space.to_text(genotype, _size(chapter))])
    write_tensors(folder / "alphas.safetensors", {"alphas": torch.stack(companion.snapshots).cpu()})
    loop.keep(folder, None, history)


def _held_out(
    half: Source, chapter: DartsSettings, settings: Settings, seed: int, side: int
) -> Callable[[int], tuple[Tensor, Tensor]]:
    sample = sources.sampler(half, chapter.search, settings, seed, "alphas")
    return lambda step: sample(step, side)


def snapshots(artefact: Artefact) -> Tensor:
    """The architecture parameters [T, 2, 14, 8] of a search, every `KEEP_EVERY` steps and after the last."""
    return load_file(artefact.folder / "alphas.safetensors")["alphas"]


def entropy(alphas: Tensor) -> Tensor:
    """The mean entropy [...] of the edges' softmax, in nats: ln 8 where nothing is decided, 0 where all is.

    `alphas` is [..., 2, 14, 8].
    """
    log = alphas.log_softmax(-1)
    return -(log.exp() * log).sum(-1).mean((-2, -1))


def skip_share(alphas: Tensor) -> Tensor:
    """The mean softmax weight [...] of the skip connections: a search that collapses drives it to 1."""
    return alphas.softmax(-1)[..., space.PRIMITIVES.index("skip_connect")].mean((-2, -1))


def agreement(first: str, second: str) -> float:
    """The share of (cell, node, operation, predecessor) that two architectures have in common: 0 to 1."""

    def edges(text: str) -> set[tuple[Any, ...]]:
        genotype, _ = space.from_text(text)
        cells = {"normal": genotype.normal, "reduce": genotype.reduce}
        return {(kind, index // 2, *pair) for kind, pairs in cells.items() for index, pair in enumerate(pairs)}

    return len(edges(first) & edges(second)) / len(edges(first))


def darts_network(settings: Settings) -> nn.Module:
    """The supernet of the DARTS chapter at full size, on the meta device: shapes without memory."""
    chapter, data = settings.darts, settings.data
    with torch.device("meta"):
        size = space.Size(chapter.channels, chapter.cells)
        return darts_supernet.Supernet(size, data.classes, data.channels, fast=False)


def chance_agreement(seed: int, pairs: int = 1000) -> Tensor:
    """The `agreement` [pairs] of two random genotypes."""
    generator = torch.Generator().manual_seed(seed)
    texts = [space.to_text(space.random_genotype(generator), space.Size(4, 3)) for _ in range(2 * pairs)]
    return torch.tensor([agreement(*pair) for pair in zip(texts[::2], texts[1::2], strict=True)])


def metrics(artefacts: Mapping[str, Artefact], settings: Settings) -> dict[str, Any]:
    """For the record, of the artefacts of `compute`: how the searches ended, what finds are worth, and settings."""
    chance, searches = chance_agreement(settings.seed), searches_of(artefacts)
    found: dict[str, Any] = standings.told(artefacts, settings.darts.scratch) | outcomes(searches)
    found |= {"agreement_random": float(chance.mean()), "agreement_random_high": float(chance.quantile(0.95))}
    trained = json.loads((artefacts["random-0"].folder / "scratch.json").read_bytes())
    found["scratch_steps"] = trained["history"]["step"][-1]
    found["search_steps"] = _history(next(iter(searches.values())))["step"][-1]
    found["images"] = settings.synthesis.images
    fields = ("order", "architecture_rate", "cells", "channels", "scratch_cells", "scratch_channels")
    return found | {field: getattr(settings.darts, field) for field in fields}


def searches_of(artefacts: Mapping[str, Artefact]) -> dict[str, Artefact]:
    """The searches among artefacts, by <source>-<seed>."""
    return {label.removeprefix("search-"): each for label, each in artefacts.items() if label.startswith("search-")}


def outcomes(searches: Mapping[str, Artefact]) -> dict[str, Any]:
    """For the record: means over each source's searches after the last step, and `agreement` of finds.

    Agreements are means over all pairs: of two sources, and of different searches on one, again_<source>.
    """
    found: dict[str, Any] = {}
    texts: dict[str, list[str]] = {}
    for label, search in searches.items():
        texts.setdefault(label.rpartition("-")[0], []).append(scratch.read_architectures(search.folder)[0])
    for source, several in texts.items():
        made = [search for label, search in searches.items() if label.rpartition("-")[0] == source]
        alphas = [snapshots(search) for search in made]
        found[f"entropy_start_{source}"] = math.log(len(space.PRIMITIVES))
        found[f"entropy_end_{source}"] = statistics.summary([float(entropy(each)[-1]) for each in alphas])
        found[f"skip_weight_{source}"] = statistics.mean([float(skip_share(each)[-1]) for each in alphas])
        found[f"skip_connections_{source}"] = statistics.mean([text.count("skip_connect") for text in several])
        found[f"held_out_{source}"] = statistics.mean([_history(each)["validation_accuracy"][-1] for each in made])
        if len(several) > 1:
            found[f"agreement_again_{source}"] = _agreements(itertools.combinations(several, 2))
    for one, other in standings.COMPARED:
        if {one, other} <= set(texts):
            found[f"agreement_{one}_{other}"] = _agreements(itertools.product(texts[one], texts[other]))
    return found


def _agreements(pairs: Iterable[tuple[str, str]]) -> float:
    return statistics.mean(list(itertools.starmap(agreement, pairs)))


def _history(search: Artefact) -> dict[str, list[Any]]:
    return json.loads((search.folder / "history.json").read_bytes())
