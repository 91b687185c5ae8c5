"""ProxylessNAS: paths of a supernet drawn from probabilities that REINFORCE or gradients move (section 3).

The weights learn on one source's images; the architecture parameters on images that were held out from them.
"""

import dataclasses
import functools
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dfnas.chapters.proxylessnas import binarisation, latency
from dfnas.data import sources
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.data.teachers import load as load_teacher
from dfnas.errors import UserError
from dfnas.models import mbconv
from dfnas.models.mbconv import Space, Supernet
from dfnas.profiles import ProxylessSettings, Settings, TrainingSettings
from dfnas.runtime import processes, stages
from dfnas.search import scratch, supernets
from dfnas.synthesis import sets

VERSION = 1
CHOICES = {"update": ("reinforce", "gradient"), "cost": ("macs", "latency"), "labels": ("stored", "online")}


def compute(settings: Settings) -> dict[str, stages.Artefact]:
    """The chapter's stages: latency, a warm-up and a search on each source, random architectures, all from scratch."""
    chapter, teacher = chapter_of(settings), load_teacher(settings)
    table = latency.table(settings)
    origins = sets.artefacts(settings, teacher)
    made = {
        name: origin for name, origin in {**origins, "latency": table}.items() if isinstance(origin, stages.Artefact)
    }
    made["latency-networks"] = latency.networks_stage(latency.table_stage(settings), settings)
    calls = {
        name: functools.partial(_on_source, name, origins[name], table, settings, teacher) for name in sources.NAMES
    }
    for name, (warm_up, search) in processes.made(calls, settings.run, "searches").items():
        made |= {f"warm-up-{name}": warm_up, f"search-{name}": search}
    searches = [made[f"search-{name}"] for name in sources.NAMES]
    made["random"] = scratch.random_stage(
        "proxyless-random", settings, chapter.scratch, searches, lambda generator: random_text(settings, generator)
    )
    return made | scratch.band(settings, chapter.scratch, "proxyless", made)


def _on_source(
    name: str, origin: stages.Artefact | str, table: stages.Artefact | Path, settings: Settings, teacher: Teacher
) -> tuple[stages.Artefact, stages.Artefact]:
    warm_up = warm_up_stage(name, origin, settings, teacher)
    return warm_up, search_stage(name, origin, warm_up, table, settings, teacher)


def chapter_of(settings: Settings) -> ProxylessSettings:
    """The chapter's settings, checked.

    Raises
    ------
    UserError
        Values that there are not, or that do not fit together.
    """
    chapter = settings.proxylessnas
    if chapter is None:
        raise UserError(f"profile {settings.profile} has no ProxylessNAS search")
    scratch.check(chapter.scratch, "proxylessnas")
    if chapter.latency.networks < 3:
        raise UserError(f"proxylessnas.latency.networks={chapter.latency.networks}: 3 or more, to be ranked")
    for field, known in CHOICES.items():
        if getattr(chapter, field) not in known:
            raise UserError(f"proxylessnas.{field}={getattr(chapter, field)!r}: there are {' and '.join(known)}")
    if min(chapter.samples, chapter.judged_batch, chapter.updates) < 1 or not 0 <= chapter.delay < 1:
        raise UserError("proxylessnas: samples, judged_batch and updates start at 1, delay lies from 0 up to 1")
    if chapter.validation_each * settings.data.classes >= settings.synthesis.images:
        raise UserError(
            f"proxylessnas.validation_each={chapter.validation_each} leaves no image for the supernet to learn from"
        )
    if chapter.search.averaging or chapter.warm_up.averaging:
        raise UserError("proxylessnas: averaging must be 0 in the search: paths are judged by the weights of the step")
    return chapter


def space_of(settings: Settings) -> Space:
    """The chapter's space."""
    assert settings.proxylessnas is not None
    return Space(**vars(settings.proxylessnas.space))


def random_text(settings: Settings, generator: torch.Generator) -> str:
    """A random architecture in its text form."""
    space = space_of(settings)
    return mbconv.to_text(mbconv.random_choices(space, generator), space)


def costs_of(settings: Settings, table: stages.Artefact | Path) -> binarisation.Costs:
    """The chapter's costs, of networks at the side that they are judged at; the mean path is the default reference."""
    chapter, data, space = chapter_of(settings), settings.data, space_of(settings)
    fixed: float
    rows: tuple[tuple[float, ...], ...]
    if chapter.cost == "latency":
        fixed, rows = latency.costs(latency.read(table), settings)
    else:
        side = chapter.scratch.side or data.region
        fixed, rows = mbconv.fixed_macs(space, side, data.classes, data.channels), mbconv.block_macs(space, side)
    mean = fixed + sum(sum(row) / len(row) for row in rows)
    return binarisation.Costs(fixed, rows, chapter.reference or mean)


def warm_up_stage(name: str, origin: stages.Artefact | str, settings: Settings, teacher: Teacher) -> stages.Artefact:
    """The stage that trains a supernet's weights alone, on one source; writes model.safetensors and history.json."""
    chapter = chapter_of(settings)

    def work(folder: Path) -> None:
        with sources.guarded(name):
            warm_up(folder, sources.load(name, origin, settings, teacher), settings, teacher)

    kept = ("space", "warm_up", "validation_each", "side", "labels", "temperature")
    resolved = {field: getattr(chapter, field) for field in kept}
    resolved |= {"source": name, "seed": settings.seed, "images": settings.synthesis.images}
    return stages.stage(f"proxyless-warm-up-{name}", work, resolved, inputs=[origin, teacher.digest], version=VERSION)


def warm_up(folder: Path, source: Source, settings: Settings, teacher: Teacher) -> None:
    """Train all paths of the supernet, one a step, drawn from probabilities that are almost equal."""
    chapter, supernet = chapter_of(settings), build_supernet(settings)
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
    name: str,
    origin: stages.Artefact | str,
    warm: stages.Artefact,
    table: stages.Artefact | Path,
    settings: Settings,
    teacher: Teacher,
) -> stages.Artefact:
    """The stage that searches on one source: architectures.json, alphas.safetensors, updates.json, model, history."""
    chapter = chapter_of(settings)

    def work(folder: Path) -> None:
        with sources.guarded(name):
            source, supernet = sources.load(name, origin, settings, teacher), read(warm, settings)
            search(folder, source, supernet, costs_of(settings, table), settings, teacher)

    left_out = ("scratch", "warm_up", "latency", "latency_table", "side")
    resolved = {field: value for field, value in vars(chapter).items() if field not in left_out}
    resolved |= {"sides": [chapter.side, chapter.scratch.side], "seed": settings.seed}
    inputs = [warm, latency.identity(table)] if chapter.cost == "latency" else [warm]
    return stages.stage(f"proxyless-search-{name}", work, resolved, inputs=inputs, version=VERSION)


def search(
    folder: Path, source: Source, supernet: Supernet, costs: binarisation.Costs, settings: Settings, teacher: Teacher
) -> None:
    """Move weights and architecture parameters in turn; the most probable operation of each block is what is found."""
    chapter, space = chapter_of(settings), space_of(settings)
    _, held_out = split(source, settings)
    update = binarisation.Search(supernet, held_out, costs, settings, chapter)
    _train(folder, source, settings, teacher, supernet, update, chapter.search, "search")
    scratch.write_architectures(folder, [mbconv.to_text(binarisation.most_probable(update.alphas), space)])
    save_file({"alphas": torch.stack(update.snapshots)}, folder / "alphas.safetensors")
    stages.write_json(folder / "updates.json", {"steps": update.steps, **update.log})


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
    chapter = chapter_of(settings)
    side = chapter.side or settings.data.region
    learnt, held_out = split(source, settings)
    watched = sources.seen(held_out, settings, side)
    watched = dataclasses.replace(watched, classes=watched.classes.to(watched.images.device))

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
    return sources.split(source, chapter_of(settings).validation_each * classes, classes, settings.seed)


def build_supernet(settings: Settings) -> Supernet:
    """The chapter's supernet, with the initial weights of the run's seed."""
    return Supernet(space_of(settings), settings.data.classes, settings.data.channels, settings.seed)


def read(artefact: stages.Artefact, settings: Settings) -> Supernet:
    """A supernet as a warm-up or a search left it."""
    supernet = build_supernet(settings)
    supernet.load_state_dict(load_file(artefact.folder / "model.safetensors"))
    return supernet


def snapshots(artefact: stages.Artefact) -> Tensor:
    """Probabilities [T, blocks, operations] of a search, at the steps of updates.json."""
    return load_file(artefact.folder / "alphas.safetensors")["alphas"].softmax(-1)
