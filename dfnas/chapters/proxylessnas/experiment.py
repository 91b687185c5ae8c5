"""ProxylessNAS: paths of a supernet drawn from probabilities that REINFORCE or gradients move (section 3).

The weights learn on one source's images; the architecture parameters on images that were held out from them.
"""

import dataclasses
import functools
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dfnas.chapters import exports
from dfnas.chapters.proxylessnas import binarisation, latency
from dfnas.data import sources
from dfnas.data.origins import Origin, held
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.data.teachers import load as load_teacher
from dfnas.errors import UserError
from dfnas.models import mbconv
from dfnas.models.mbconv import Space, Supernet
from dfnas.profiles import Settings, TrainingSettings
from dfnas.runtime import processes, stages
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.files import write_json, write_tensors
from dfnas.search import scratch, supernets, tilting
from dfnas.synthesis import sets

VERSION = 2
# Settings of the architecture parameters, which a warm-up leaves alone.
ARCHITECTURE = (
    *("updates", "delay", "update", "samples", "baseline_rate", "architecture_rate", "architecture_betas"),
    *("cost", "reference", "exponent", "cost_weight", "latency", "latency_table"),
)


def compute(settings: Settings) -> dict[str, Artefact]:
    """The chapter's stages: latency, a warm-up and a search on each source, random architectures, all from scratch."""
    check(settings)
    chapter, teacher = settings.proxylessnas, load_teacher(settings)
    table = latency.table(settings)
    origins = sets.origins_of(settings, teacher, dict(chapter.scratch.searches))
    artefacts, labels = held(origins), scratch.searches(settings, chapter.scratch)
    if isinstance(table, Artefact):
        artefacts["latency"] = table
    artefacts["latency-networks"] = latency.table_stage(settings)
    calls = {
        label: functools.partial(_on_source, origins[name], table, settings, teacher, seed)
        for label, (name, seed) in labels.items()
    }
    for label, (warm_up, search) in processes.made(calls, settings.run, "searches").items():
        artefacts |= {f"warm-up-{label}": warm_up, f"search-{label}": search}
    searches = [artefacts[f"search-{label}"] for label in labels]
    artefacts["random"] = scratch.random_stage(
        "proxyless-like-cost", settings, chapter.scratch, searches, lambda generator: random_text(settings, generator)
    )
    others = (teacher, chapter.space.dropout, chapter.temperature)
    artefacts |= scratch.band(settings, chapter.scratch, "proxyless", artefacts, *others)
    artefacts["export"] = exports.find_stage("proxyless", artefacts, chapter.scratch, settings, teacher)
    return artefacts


def _on_source(
    origin: Origin, table: Artefact | Path, settings: Settings, teacher: Teacher, seed: int
) -> tuple[Artefact, Artefact]:
    warm_up = warm_up_stage(origin, settings, teacher, seed)
    return warm_up, search_stage(origin, warm_up, table, settings, teacher, seed)


def check(settings: Settings) -> None:
    """Refuse settings that do not fit together.

    Raises
    ------
    UserError
        With the field that is wrong.
    """
    chapter = settings.proxylessnas
    if chapter.validation_each * settings.data.classes >= settings.synthesis.images:
        raise UserError(
            f"proxylessnas.validation_each={chapter.validation_each} leaves no image for the supernet to learn from"
        )
    if chapter.latency_table:
        latency.table(settings)


def space_of(settings: Settings) -> Space:
    """The chapter's space."""
    return Space(**vars(settings.proxylessnas.space))


def random_text(settings: Settings, generator: torch.Generator) -> str:
    """A random architecture in its text form, of any cost in multiply-adds (`search.tilting`)."""
    space, side = space_of(settings), settings.proxylessnas.scratch.side or settings.data.region
    rows = [torch.tensor(row, dtype=torch.float64) for row in mbconv.block_macs(space, side)]
    return mbconv.to_text(tilting.draw(rows, generator), space)


def costs_of(settings: Settings, table: Artefact | Path) -> binarisation.Costs:
    """The chapter's costs, of networks at the side that they are judged at; the mean path is the default reference."""
    chapter, data, space = settings.proxylessnas, settings.data, space_of(settings)
    fixed: float
    rows: tuple[tuple[float, ...], ...]
    if chapter.cost == "latency":
        fixed, rows = latency.costs(latency.read(table), settings)
    else:
        side = chapter.scratch.side or data.region
        fixed, rows = mbconv.fixed_macs(space, side, data.classes, data.channels), mbconv.block_macs(space, side)
    mean = fixed + sum(sum(row) / len(row) for row in rows)
    return binarisation.Costs(fixed, rows, chapter.reference or mean)


def warm_up_stage(origin: Origin, settings: Settings, teacher: Teacher, seed: int) -> Artefact:
    """The stage that trains a supernet's weights alone, on one source; writes model.safetensors and history.json."""

    def work(folder: Path) -> None:
        with origin.guarded():
            source = origin.load(settings, teacher)  # the same images, whatever the search's seed
            warm_up(folder, source, dataclasses.replace(settings, seed=seed), teacher)

    depends = stages.without(settings.proxylessnas, "search", "scratch", *ARCHITECTURE)
    depends |= {"source": origin.name, "seed": seed, "images": settings.synthesis.images}
    name, inputs = f"proxyless-warm-up-{origin.name}-{seed}", [origin.given, teacher.digest]
    return stages.stage(name, work, depends, inputs=inputs, version=VERSION, run=settings.run)


def warm_up(folder: Path, source: Source, settings: Settings, teacher: Teacher) -> None:
    """Train all paths of the supernet, one a step, drawn from probabilities that are almost equal."""
    chapter, supernet = settings.proxylessnas, build_supernet(settings)
    _train(
        folder,
        source,
        settings,
        teacher,
        supernet,
        binarisation.Drawing(supernet, settings.seed),
        chapter.warm_up,
        "warm-up",
    )


def search_stage(
    origin: Origin, warm: Artefact, table: Artefact | Path, settings: Settings, teacher: Teacher, seed: int
) -> Artefact:
    """The stage that searches on one source: architectures.json, alphas.safetensors, updates.json, model, history."""
    chapter = settings.proxylessnas

    def work(folder: Path) -> None:
        with origin.guarded():
            source, apart = origin.load(settings, teacher), dataclasses.replace(settings, seed=seed)
            search(folder, source, read(warm, settings), costs_of(settings, table), apart, teacher)

    depends = stages.without(chapter, "scratch", "warm_up", "latency", "latency_table")
    depends |= {"cost_side": chapter.scratch.side, "seed": seed}
    inputs = [warm, latency.identity(table)] if chapter.cost == "latency" else [warm]
    name = f"proxyless-search-{origin.name}-{seed}"
    return stages.stage(name, work, depends, inputs=inputs, version=VERSION, run=settings.run)


def search(
    folder: Path, source: Source, supernet: Supernet, costs: binarisation.Costs, settings: Settings, teacher: Teacher
) -> None:
    """Move weights and architecture parameters in turn; the most probable operation of each block is what is found."""
    chapter, space = settings.proxylessnas, space_of(settings)
    _, held_out = split(source, settings)
    update = binarisation.Search(supernet, held_out, costs, settings, chapter)
    _train(folder, source, settings, teacher, supernet, update, chapter.search, "search")
    scratch.write_architectures(folder, [mbconv.to_text(binarisation.most_probable(update.alphas), space)])
    write_tensors(folder / "alphas.safetensors", {"alphas": torch.stack(update.snapshots)})
    write_json(folder / "updates.json", {"steps": update.steps, **update.log})


def _train(
    folder: Path,
    source: Source,
    settings: Settings,
    teacher: Teacher,
    supernet: Supernet,
    companion: binarisation.Drawing,
    recipe: TrainingSettings,
    what: str,
) -> None:
    """A stretch of the supernet's training; writes model.safetensors and history.json."""
    chapter = settings.proxylessnas
    side = chapter.side or settings.data.region
    learnt, held_out = split(source, settings)
    watched = sources.judged(held_out, settings, side)

    def accuracy(network: nn.Module) -> float:
        network.choose(binarisation.most_probable(companion.alphas))  # type: ignore[operator]
        parts = torch.arange(len(watched)).split(chapter.judged_batch)
        found = [binarisation.right(network.train(), watched.select(part), settings.run) for part in parts]
        return float(torch.cat(found).double().mean())

    supernets.train(
        folder,
        supernet,
        learnt,
        companion,
        recipe,
        settings,
        side=side,
        temperature=chapter.temperature,
        name=f"weights {what}",
        online=teacher if chapter.labels == "online" else None,
        evaluate=accuracy,
        description=f"ProxylessNAS {what} on {source.name}",
    )


def split(source: Source, settings: Settings) -> tuple[Source, Source]:
    """What the weights learn from, and what the architecture parameters do."""
    classes = settings.data.classes
    return sources.split(source, settings.proxylessnas.validation_each * classes, classes, settings.seed)


def build_supernet(settings: Settings) -> Supernet:
    """The chapter's supernet, with the initial weights of the run's seed."""
    return Supernet(space_of(settings), settings.data.classes, settings.data.channels, settings.seed)


def read(artefact: Artefact, settings: Settings) -> Supernet:
    """A supernet as a warm-up or a search left it."""
    supernet = build_supernet(settings)
    supernet.load_state_dict(load_file(artefact.folder / "model.safetensors"))
    return supernet


def snapshots(artefact: Artefact) -> Tensor:
    """Probabilities [T, blocks, operations] of a search, at the steps of updates.json."""
    return load_file(artefact.folder / "alphas.safetensors")["alphas"].softmax(-1)
