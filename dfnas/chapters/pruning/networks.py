"""Pruned networks: what they cost, what they are compared with, and how all of them are trained and tested."""

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dfnas.data import origins, presence, splits, synthetic
from dfnas.data import real as real_data
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.errors import UserError
from dfnas.models import cost, pruning
from dfnas.models.pruning import Encoding, Space
from dfnas.profiles import PruningSettings, Settings, StudentSettings
from dfnas.runtime import processes, seeds, stages
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.files import write_json
from dfnas.search import evolution, scratch
from dfnas.synthesis.held_out import held_out, judges
from dfnas.training import evaluation, students

VERSION = 1
ARMS = ("pruned_on_synthetic", "pruned_on_real", "uniform", "random", "full")
SUFFIXES = ("", "_second", "_third")  # of metrics, by window


def check(settings: Settings) -> None:
    """Refuse settings that do not fit together.

    Raises
    ------
    UserError
        With the field that is wrong.
    """
    chapter = settings.pruning
    if not len(chapter.windows) == len(chapter.genes) > 0:
        raise UserError("pruning.windows and pruning.genes need one pair for each window, and at least one")
    if len(chapter.windows) > len(SUFFIXES):
        raise UserError(f"pruning.windows: {len(chapter.windows)} windows; the chapter shows up to {len(SUFFIXES)}")
    space = pruning.space(chapter.network)
    least, most = (macs(settings, (gene,) * space.genes) for gene in (0, pruning.FULL))
    for low, high in chapter.windows:
        if not least <= high or not low <= min(high, most):
            raise UserError(f"pruning.windows: {low:,} to {high:,} is empty; encodings cost {least:,} to {most:,}")
    if any(not 0 <= low <= high <= pruning.FULL for low, high in chapter.genes):
        raise UserError(f"pruning.genes={chapter.genes}: genes are 0 to {pruning.FULL}, the lower one first")
    if chapter.validation_each * settings.data.classes >= settings.synthesis.images:
        raise UserError(f"pruning.validation_each={chapter.validation_each} leaves no image to learn from")


def space_of(settings: Settings) -> Space:
    """The chapter's space."""
    return pruning.space(settings.pruning.network)


def sources_of(settings: Settings) -> list[str]:
    """The sources of the chapter's PruningNets: synthetic, and real where there is something real to learn from."""
    return list(origins.names(settings.data, ("synthetic", "real")))


def side_of(settings: Settings) -> int:
    """The side of the images that the chapter's networks see."""
    return settings.pruning.side or settings.data.region


def macs(settings: Settings, encoding: Encoding) -> int:
    """Multiply-adds of an encoding for one image, by arithmetic: nothing is built."""
    data = settings.data
    return pruning.macs(space_of(settings), encoding, side_of(settings), data.classes, data.channels)


def inside(settings: Settings, window: int, encoding: Encoding) -> bool:
    """Whether an encoding's cost lies in a window."""
    low, high = settings.pruning.windows[window]
    return low <= macs(settings, encoding) <= high


def baselines_stage(search: Artefact, window: int, settings: Settings) -> Artefact:
    """The stage that draws what a find is compared with: even widths of its cost, then random encodings."""
    chapter, space = settings.pruning, space_of(settings)

    def work(folder: Path) -> None:
        found, _ = pruning.from_text(scratch.read_architectures(search.folder)[0])
        even = pruning.uniform(space, functools.partial(macs, settings), macs(settings, found))
        drawn = random_encodings(window, settings, chapter)
        scratch.write_architectures(folder, [pruning.to_text(encoding, space) for encoding in (even, *drawn)])

    depends = {"random": chapter.random, "window": chapter.windows[window], "genes": chapter.genes[window]}
    depends |= {"seed": settings.seed}
    return stages.stage(f"pruning-baselines-{window}", work, depends, inputs=[search], version=VERSION)


def random_encodings(window: int, settings: Settings, chapter: PruningSettings) -> list[Encoding]:
    """Different random encodings of a window, drawn as the search draws its first candidates."""
    generator = seeds.generator(settings.seed, "random encodings", window)
    drawn: list[Encoding] = []
    for _ in range(evolution.RANDOM_TRIES):
        encoding = pruning.random_encoding(space_of(settings), generator, *chapter.genes[window])
        if inside(settings, window, encoding) and encoding not in drawn:
            drawn.append(encoding)
        if len(drawn) == chapter.random:
            return drawn
    raise UserError(f"pruning: too few random encodings in window {chapter.windows[window]}; widen it")


def trainings(artefacts: Mapping[str, Artefact], settings: Settings, teacher: Teacher) -> dict[str, Artefact]:
    """Every training: one recipe, on the synthetic set alone, whatever the encoding stems from."""
    chapter, space, calls = settings.pruning, space_of(settings), {}

    def add(arm: str, window: int, chosen: Artefact | str, index: int, seed: int) -> None:
        label = f"{arm}-{window}-{seed}"
        calls[f"trained-{label}"] = functools.partial(
            final_stage, label, chosen, index, seed, artefacts["synthetic"], settings, teacher
        )

    seeds = range(settings.seed, settings.seed + chapter.seeds)
    for window in range(len(chapter.windows)):
        for seed in seeds:
            for name in sources_of(settings):
                add(f"pruned_on_{name}", window, artefacts[f"search-{name}-{window}"], 0, seed)
            add("uniform", window, artefacts[f"baselines-{window}"], 0, seed)
        for index in range(1, chapter.random + 1):
            add("random", window, artefacts[f"baselines-{window}"], index, settings.seed + index - 1)
    full = pruning.to_text((pruning.FULL,) * space.genes, space)
    for seed in seeds:
        add("full", 0, full, 0, seed)
    return processes.made(calls, settings.run, "pruned networks")


def final_stage(
    label: str,
    chosen: Artefact | str,
    index: int,
    seed: int,
    synthetic_set: Artefact,
    settings: Settings,
    teacher: Teacher,
) -> Artefact:
    """The stage that trains one pruned network on the synthetic set, and then tests it on the book's real images.

    `chosen` is a stage that left architectures, of which number `index` is taken, or an architecture's text. What is
    judged on images of one's own, or on none, is so by a stage of its own: this one is then free of data.
    """
    chapter = settings.pruning
    test = [] if presence.of_ones_own(settings.data) else real_data.digests(settings.data)

    def work(folder: Path) -> None:
        text = chosen if isinstance(chosen, str) else scratch.read_architectures(chosen.folder)[index]
        train(folder, text, seed, synthetic.load(synthetic_set.folder, teacher), settings, teacher, bool(test))

    left_out = ("search", "evolution", "windows", "genes", "validation_each", "recalibration", "seeds", "random")
    depends = stages.without(chapter, *left_out)
    depends |= {"index": index, "seed": seed, "data": splits.geometry(settings.data)}
    inputs = [chosen, synthetic_set, teacher.digest, *test]
    return stages.stage(f"pruning-{label}", work, depends, inputs=inputs, version=VERSION, run=settings.run)


def recipe(text: str, settings: Settings) -> StudentSettings:
    """How every network of the chapter is trained: as a student of the teacher, by one recipe."""
    chapter = settings.pruning
    student = StudentSettings(text, chapter.training, chapter.labels, chapter.temperature)
    return dataclasses.replace(student, side=chapter.side, mixing=chapter.mixing)


def train(
    folder: Path, text: str, seed: int, source: Source, settings: Settings, teacher: Teacher, test: bool = True
) -> None:
    """Train a pruned network where real data is out of reach; then test it. Writes model.safetensors, trained.json."""
    student, data, side = recipe(text, settings), settings.data, side_of(settings)
    students.train_synthetic(folder, source, settings, teacher, student, seed)
    facts: dict[str, Any] = {"architecture": text}
    if test:
        facts["accuracy"] = students.accuracy(folder, settings, student, real_data.load(data).test.under(teacher))
    encoding, space = pruning.from_text(text)
    facts["macs"] = macs(settings, encoding)
    facts["parameters"] = pruning.parameters(space, encoding, data.classes, data.channels)
    facts["operations"] = pruning.operations(space, encoding, side, data.classes, data.channels)
    write_json(folder / "trained.json", facts)


def judged(artefacts: dict[str, Artefact], settings: Settings, teacher: Teacher) -> dict[str, Artefact]:
    """The stage that judges the trained networks by what there is, where their own stages did not; its held-out set."""
    if not presence.of_ones_own(settings.data):
        return {}
    trained = {label: artefact for label, artefact in artefacts.items() if label.startswith("trained-")}
    apart = held_out(settings, teacher)

    def work(folder: Path) -> None:
        found: dict[str, dict[str, float]] = {label: {} for label in trained}
        for measure, source in judges(apart, settings, teacher).items():
            for label, artefact in trained.items():
                text = json.loads((artefact.folder / "trained.json").read_bytes())["architecture"]
                found[label][measure] = students.accuracy(artefact.folder, settings, recipe(text, settings), source)
        write_json(folder / "judged.json", found)

    inputs: list[Artefact | str] = [*trained.values(), *apart.values(), *real_data.digests(settings.data)]
    stage = stages.stage("pruning-judged", work, {}, inputs=inputs, version=VERSION, run=settings.run)
    return {**apart, "judged": stage}


def teacher_stage(settings: Settings, teacher: Teacher) -> Artefact:
    """The stage that tests the teacher, at its own side; writes teacher.json."""

    def work(folder: Path) -> None:
        data, test = settings.data, real_data.load(settings.data).test
        facts = {"accuracy": evaluation.accuracy(evaluation.answers(teacher, test.images, settings.run), test.classes)}
        facts["macs"] = cost.macs(teacher.network, (data.channels, data.region, data.region))
        write_json(folder / "teacher.json", facts)

    inputs = [teacher.digest, real_data.digest(settings.data)]
    return stages.stage("pruning-teacher", work, {}, inputs=inputs, version=VERSION, run=settings.run)
