"""Pruning: how wide each layer should be, without data (MetaPruning, Liu et al., 2019).

A PruningNet makes weights for any widths; evolution looks for widths that do well with them inside a window of cost;
what it finds is trained from scratch on synthetic images and soft labels.
"""

import dataclasses
import functools
from pathlib import Path

from safetensors.torch import load_file

from dfnas.chapters import exports
from dfnas.chapters.pruning import networks
from dfnas.data import presence, sources
from dfnas.data import real as real_data
from dfnas.data.origins import Origin
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.data.teachers import load as load_teacher
from dfnas.models import pruning
from dfnas.models.pruning_net import PruningNet
from dfnas.profiles import Settings
from dfnas.runtime import processes, stages
from dfnas.runtime.artefacts import Artefact
from dfnas.search import evolution, scratch, supernets
from dfnas.synthesis import sets

VERSION = 2


def compute(settings: Settings) -> dict[str, Artefact]:
    """The chapter's stages: PruningNets, a search for each window on each, baselines, trainings, the export."""
    networks.check(settings)
    chapter, teacher = settings.pruning, load_teacher(settings)
    artefacts = {"synthetic": sets.set_stage("synthesis", settings, teacher, settings.synthesis)}
    origins = [Origin("synthetic", artefacts["synthetic"])]
    if presence.has_train(settings.data):
        origins.append(Origin("real", real_data.digest(settings.data)))
    calls = {origin.name: functools.partial(_on_source, origin, settings, teacher) for origin in origins}
    for name, (net, *searches) in processes.made(calls, settings.run, "searches").items():
        artefacts |= {f"net-{name}": net} | {f"search-{name}-{window}": each for window, each in enumerate(searches)}
    for window in range(len(chapter.windows)):
        artefacts[f"baselines-{window}"] = networks.baselines_stage(
            artefacts[f"search-synthetic-{window}"], window, settings
        )
    artefacts |= networks.trainings(artefacts, settings, teacher)
    artefacts |= networks.judged(artefacts, settings, teacher)
    if presence.has_test(settings.data):
        artefacts["teacher"] = networks.teacher_stage(settings, teacher)
    trained = artefacts[f"trained-pruned_on_synthetic-0-{settings.seed}"]
    found, side = artefacts["search-synthetic-0"], networks.side_of(settings)
    artefacts["export"] = exports.network_stage("pruning", "pruned", found, trained, settings, teacher, side)
    return artefacts


def _on_source(origin: Origin, settings: Settings, teacher: Teacher) -> list[Artefact]:
    net, windows = net_stage(origin, settings, teacher), range(len(settings.pruning.windows))
    return [net, *(search_stage(origin, net, window, settings, teacher) for window in windows)]


def net_stage(origin: Origin, settings: Settings, teacher: Teacher) -> Artefact:
    """The stage that trains a PruningNet on one source; writes model.safetensors and history.json."""

    def work(folder: Path) -> None:
        with origin.guarded():
            train_net(folder, origin.load(settings, teacher), settings, teacher)

    depends = stages.without(settings.pruning, "evolution", "windows", "genes", "training", "seeds", "random", "mixing")
    depends |= {"source": origin.name, "seed": settings.seed, "images": settings.synthesis.images}
    inputs = [origin.given, teacher.digest]
    return stages.stage(f"pruning-net-{origin.name}", work, depends, inputs=inputs, version=VERSION, run=settings.run)


def train_net(folder: Path, source: Source, settings: Settings, teacher: Teacher) -> None:
    """Train a PruningNet, with a random encoding in each step (MetaPruning, section 3.1)."""
    chapter, net = settings.pruning, build_net(settings)
    learnt, _ = _split(source, settings)
    judge, middle = judge_of(net, source, settings), (pruning.FULL // 2,) * net.space.genes
    draw = functools.partial(pruning.random_encoding, net.space)
    supernets.train(
        folder,
        net,
        learnt,
        supernets.RandomChoice(net, draw, settings.seed, "encoding"),
        chapter.search,
        settings,
        side=networks.side_of(settings),
        temperature=chapter.temperature,
        name="pruning",
        online=teacher if chapter.labels == "online" else None,
        evaluate=lambda network: dataclasses.replace(judge, supernet=network)(middle)[0],
        description=f"PruningNet on {source.name}",
    )


def _split(source: Source, settings: Settings) -> tuple[Source, Source]:
    """What the PruningNet learns from, and what candidates are judged by."""
    classes = settings.data.classes
    return sources.split(source, settings.pruning.validation_each * classes, classes, settings.seed)


def build_net(settings: Settings) -> PruningNet:
    """The chapter's PruningNet, with the initial weights of the run's seed."""
    return PruningNet(networks.space_of(settings), settings.data.classes, settings.data.channels, settings.seed)


def read_net(artefact: Artefact, settings: Settings) -> PruningNet:
    """A trained PruningNet."""
    net = build_net(settings)
    net.load_state_dict(load_file(artefact.folder / "model.safetensors"))
    return net


def judge_of(net: PruningNet, source: Source, settings: Settings) -> supernets.Judge:
    """Judges encodings with the weights that a PruningNet makes and batch-norm statistics of their own."""
    chapter, side = settings.pruning, networks.side_of(settings)
    return supernets.judge(net, _split(source, settings), chapter.recalibration, chapter.search.batch, side, settings)


def search_stage(origin: Origin, net: Artefact, window: int, settings: Settings, teacher: Teacher) -> Artefact:
    """The stage that looks for the best encoding in a window; writes architectures.json and the log of all visited."""
    chapter = settings.pruning

    def work(folder: Path) -> None:
        with origin.guarded():
            search(folder, origin.load(settings, teacher), read_net(net, settings), window, settings)

    # What trained the PruningNet, and how it is judged, is in its key.
    depends = {"evolution": chapter.evolution, "window": chapter.windows[window], "genes": chapter.genes[window]}
    depends |= {"seed": settings.seed}
    return stages.stage(
        f"pruning-search-{origin.name}-{window}", work, depends, inputs=[net], version=VERSION, run=settings.run
    )


def search(folder: Path, source: Source, net: PruningNet, window: int, settings: Settings) -> None:
    """Evolution over encodings whose multiply-adds lie in a window; costs are arithmetic, nothing is built for them."""
    chapter = settings.pruning
    problem = evolution.Problem(
        random=lambda generator: pruning.random_encoding(net.space, generator, *chapter.genes[window]),
        redraw=pruning.redraw,
        admissible=lambda encoding: networks.inside(settings, window, encoding),
        evaluate=judge_of(net, source, settings),
    )
    label = f"widths on {source.name}, window {window + 1}"
    visited = evolution.search(problem, chapter.evolution, settings.seed, folder, description=label)
    best = evolution.ranked(visited)[0]
    scratch.write_architectures(folder, [pruning.to_text(best.candidate, net.space)], score=best.scores[0])
