"""Pruning: how wide each layer should be, without data (MetaPruning, Liu et al., 2019).

A PruningNet makes weights for any widths; evolution looks for widths that do well with them inside a window of cost;
what it finds is trained from scratch on synthetic images and soft labels.
"""

import functools
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from dfnas.chapters.pruning import networks
from dfnas.chapters.pruning.networks import SOURCES, chapter_of, space_of
from dfnas.data import real as real_data
from dfnas.data import sources
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.data.teachers import load as load_teacher
from dfnas.models import pruning
from dfnas.models.pruning_net import PruningNet
from dfnas.profiles import PruningSettings, Settings
from dfnas.runtime import processes, seeds, stages
from dfnas.search import evolution, scratch, supernets
from dfnas.synthesis import sets

VERSION = 1


def compute(settings: Settings) -> dict[str, stages.Artefact]:
    """The chapter's stages: PruningNets, a search for each window on each, baselines, trainings, the export."""
    chapter, teacher = chapter_of(settings), load_teacher(settings)
    made = {"synthetic": sets.set_stage("synthesis", settings, teacher, settings.synthesis)}
    origins: dict[str, stages.Artefact | str] = {
        "synthetic": made["synthetic"],
        "real": real_data.digest(settings.data),
    }
    calls = {name: functools.partial(_on_source, name, origins[name], settings, teacher) for name in SOURCES}
    for name, (net, *searches) in processes.made(calls, settings.run, "searches").items():
        made |= {f"net-{name}": net} | {f"search-{name}-{window}": each for window, each in enumerate(searches)}
    for window in range(len(chapter.windows)):
        made[f"baselines-{window}"] = networks.baselines_stage(made[f"search-synthetic-{window}"], window, settings)
    made |= networks.trainings(made, settings, teacher)
    made["teacher"] = networks.teacher_stage(settings, teacher)
    made["export"] = networks.export_stage(made[f"trained-pruned_on_synthetic-0-{settings.seed}"], settings, teacher)
    return made


def _on_source(name: str, origin: stages.Artefact | str, settings: Settings, teacher: Teacher) -> list[stages.Artefact]:
    net, windows = net_stage(name, origin, settings, teacher), range(len(chapter_of(settings).windows))
    return [net, *(search_stage(name, origin, net, window, settings, teacher) for window in windows)]


def net_stage(name: str, origin: stages.Artefact | str, settings: Settings, teacher: Teacher) -> stages.Artefact:
    """The stage that trains a PruningNet on one source; writes model.safetensors and history.json."""
    chapter = chapter_of(settings)

    def work(folder: Path) -> None:
        with sources.guarded(name):
            train_net(folder, sources.load(name, origin, settings, teacher), settings, chapter, teacher)

    fields = ("network", "search", "validation_each", "recalibration", "side", "labels", "temperature")
    resolved = {key: getattr(chapter, key) for key in fields}
    resolved |= {"source": name, "seed": settings.seed, "images": settings.synthesis.images}
    return stages.stage(f"pruning-net-{name}", work, resolved, inputs=[origin, teacher.digest], version=VERSION)


def train_net(folder: Path, source: Source, settings: Settings, chapter: PruningSettings, teacher: Teacher) -> None:
    """Train a PruningNet, with a random encoding in each step."""
    learnt, _ = _split(source, settings, chapter)
    net, judge = build_net(settings), judge_of(source, settings, chapter)
    middle = (pruning.FULL // 2,) * net.space.genes
    supernets.train(
        folder,
        net,
        learnt,
        Encodings(net, settings),
        chapter.search,
        settings,
        side=networks.side_of(settings),
        temperature=chapter.temperature,
        name="pruning",
        online=teacher if chapter.labels == "online" else None,
        evaluate=lambda network: judge(network, middle)[0],
        description=f"PruningNet on {source.name}",
    )


def _split(source: Source, settings: Settings, chapter: PruningSettings) -> tuple[Source, Source]:
    """What the PruningNet learns from, and what candidates are judged by."""
    classes = settings.data.classes
    return sources.split(source, chapter.validation_each * classes, classes, settings.seed)


def build_net(settings: Settings) -> PruningNet:
    """The chapter's PruningNet, with the initial weights of the run's seed."""
    return PruningNet(space_of(settings), settings.data.classes, settings.data.channels, settings.seed)


def read_net(artefact: stages.Artefact, settings: Settings) -> PruningNet:
    """A trained PruningNet."""
    net = build_net(settings)
    net.load_state_dict(load_file(artefact.folder / "model.safetensors"))
    return net


class Encodings:
    """The companion that draws the encoding of each step, uniformly (MetaPruning, section 3.1)."""

    def __init__(self, net: PruningNet, settings: Settings) -> None:
        self.net, self.settings = net, settings

    def before(self, step: int, steps: int, rate: float, optimiser: torch.optim.Optimizer) -> None:
        generator = seeds.generator(self.settings.seed, "encoding", step)
        self.net.choose(pruning.random_encoding(self.net.space, generator))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def judge_of(source: Source, settings: Settings, chapter: PruningSettings) -> supernets.Judge:
    """Judges encodings with the weights that a PruningNet makes and batch-norm statistics of their own."""
    side, batch = networks.side_of(settings), chapter.search.batch
    return supernets.Judge(*_split(source, settings, chapter), chapter.recalibration, batch, side, settings)


def search_stage(
    name: str,
    origin: stages.Artefact | str,
    net: stages.Artefact,
    window: int,
    settings: Settings,
    teacher: Teacher,
) -> stages.Artefact:
    """The stage that looks for the best encoding in a window; writes architectures.json and the log of all visited."""
    chapter = chapter_of(settings)

    def work(folder: Path) -> None:
        with sources.guarded(name):
            source = sources.load(name, origin, settings, teacher)
            search(folder, source, read_net(net, settings), window, settings, chapter)

    resolved = {"evolution": chapter.evolution, "window": chapter.windows[window], "genes": chapter.genes[window]}
    resolved |= {"seed": settings.seed}
    return stages.stage(f"pruning-search-{name}-{window}", work, resolved, inputs=[net], version=VERSION)


def search(
    folder: Path, source: Source, net: PruningNet, window: int, settings: Settings, chapter: PruningSettings
) -> None:
    """Evolution over encodings whose multiply-adds lie in a window; costs are arithmetic, nothing is built for them."""
    judge = judge_of(source, settings, chapter)
    problem = evolution.Problem(
        random=lambda generator: pruning.random_encoding(net.space, generator, *chapter.genes[window]),
        redraw=pruning.redraw,
        admissible=lambda encoding: networks.inside(settings, window, encoding),
        evaluate=lambda encoding: judge(net, encoding),
    )
    label = f"widths on {source.name}, window {window + 1}"
    visited = evolution.search(problem, chapter.evolution, settings.seed, folder, description=label)
    best = evolution.ranked(visited)[0]
    scratch.write_architectures(folder, [pruning.to_text(best.candidate, net.space)], score=best.scores[0])
