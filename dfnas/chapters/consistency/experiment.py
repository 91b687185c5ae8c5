"""Consistency: do rankings of architectures on synthetic data agree with rankings on real data?

Two ways to rank (appendix to the letter, consistency exploration): DARTS architectures by what they reach when trained
from scratch on a source, and SPOS paths by what a supernet of a source makes of them.
"""

import dataclasses
import functools
import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from dfnas import models
from dfnas.chapters import spos
from dfnas.data import presence, sources
from dfnas.data import real as real_data
from dfnas.data.origins import Origin, held
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.data.teachers import load as load_teacher
from dfnas.errors import UserError
from dfnas.kernels import separable
from dfnas.models import cost, shufflenet
from dfnas.models import darts as cells
from dfnas.profiles import ConsistencySettings, Settings
from dfnas.runtime import distributed, logs, processes, seeds, stages
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.progress import bar
from dfnas.search import proxies, scratch
from dfnas.synthesis import sets
from dfnas.training import evaluation, loop, losses

VERSION = 2
ARMS = ("real", "again", "synthetic", "control", "noise")  # again: real data under another seed, the ceiling
LOG, DONE = "judged.jsonl", "done.jsonl"


def compute(settings: Settings) -> dict[str, Artefact]:
    """The stages, of the parts that the profile has: networks from scratch, and paths of supernets."""
    check(settings)
    chapter, teacher = settings.consistency, load_teacher(settings)
    origins = sets.origins_of(settings, teacher, map(source_of, ARMS))
    artefacts = held(origins)
    if chapter.architectures:
        artefacts["drawn"] = draw_stage(settings)
        for arm in trained(settings):
            artefacts[f"trained-{arm}"] = training_stage(arm, origins[source_of(arm)], artefacts["drawn"], settings)
        artefacts["untrained"] = untrained_stage(origins["control"], artefacts["drawn"], settings, teacher)
    if chapter.candidates:
        calls = {
            f"{arm}-{number}" if number > 1 else arm: functools.partial(
                _paths_of, arm, origins[source_of(arm)], settings, teacher, number
            )
            for arm in ARMS
            for number in range(1, chapter.supernets + 1)
        }
        for label, (supernet, judged) in processes.made(calls, settings.run, "paths").items():
            artefacts |= {f"supernet-{label}": supernet, f"judged-{label}": judged}
    return artefacts


def check(settings: Settings) -> None:
    """Refuse settings that do not fit together.

    Raises
    ------
    UserError
        With the field that is wrong.
    """
    chapter = settings.consistency
    if not presence.has_train(settings.data):
        raise UserError("07-consistency needs real images to learn from: give a data set with a train part")
    if {1, 2} & {chapter.architectures, chapter.candidates}:
        raise UserError("consistency.architectures and candidates must be 3 or more, to be ranked, or 0 for none")
    if not (chapter.architectures or chapter.candidates):
        raise UserError("consistency.architectures and candidates are both 0: there is nothing to rank")
    if chapter.candidates:
        spos.check(settings)
        count = len(shufflenet.CHOICES) ** len(spos.space_of(settings).blocks)
        if chapter.candidates > count:
            raise UserError(f"consistency.candidates={chapter.candidates:,}: the space has {count:,} paths")


def trained(settings: Settings) -> list[str]:
    """The arms whose networks are trained from scratch: on real data, real-2 and so on, as often as it is asked for."""
    return [*ARMS, *(f"real-{number}" for number in range(2, settings.consistency.trainings + 1))]


def source_of(arm: str) -> str:
    """The source that an arm learns from."""
    return "real" if arm.partition("-")[0] in ("real", "again") else arm


def seed_of(arm: str, settings: Settings) -> int:
    """The seed of an arm: the ranking on real data that all are compared with has one, the others share the next.

    What two compared rankings have in common is then the architectures, never the initial weights.
    """
    number = arm.removeprefix("real-")
    return settings.seed + (int(number) if number.isdecimal() else arm != "real")


def draw_stage(settings: Settings) -> Artefact:
    """The stage that draws different random architectures; writes architectures.json."""
    chapter = settings.consistency
    return stages.stage(
        "consistency-drawn",
        lambda folder: scratch.write_architectures(folder, draw(chapter, settings.seed)),
        {"count": chapter.architectures, "size": [chapter.channels, chapter.cells], "seed": settings.seed},
        version=VERSION,
    )


def draw(chapter: ConsistencySettings, seed: int) -> list[str]:
    """Different random genotypes: for each node two predecessors, on each an operation other than "none"."""
    size, generator = cells.Size(chapter.channels, chapter.cells), seeds.generator(seed, "consistency")
    drawn: dict[str, None] = {}
    while len(drawn) < chapter.architectures:
        drawn[cells.to_text(cells.random_genotype(generator), size)] = None
    return list(drawn)


def training_stage(arm: str, origin: Origin, drawn: Artefact, settings: Settings) -> Artefact:
    """The stage that trains every architecture on an arm's source and tests it on real data; writes judged.jsonl."""
    seed = seed_of(arm, settings)

    def work(folder: Path) -> None:
        train_all(folder, scratch.read_architectures(drawn.folder), origin, settings, seed)

    # Architectures and their sizes are in the key of the draw.
    left_out = ("architectures", "trainings", "channels", "cells", "candidates", "supernets", "whole_real")
    depends = stages.without(settings.consistency, *left_out, "validation_images", "resamples")
    depends |= {"source": origin.name, "seed": [settings.seed, seed], "images": settings.synthesis.images}
    inputs = [origin.given, drawn, real_data.digest(settings.data)]
    return stages.stage(f"consistency-trained-{arm}", work, depends, inputs=inputs, version=VERSION, run=settings.run)


def train_all(folder: Path, texts: Sequence[str], origin: Origin, settings: Settings, seed: int) -> None:
    """Train every architecture on a source, and write down in `LOG` what each reaches on real test images.

    An architecture that is done has a file of its own, so a killed run loses the steps since the last checkpoints.
    """
    common = distributed.common(folder)
    if (common / LOG).exists():
        return
    left = [(index, text) for index, text in enumerate(texts) if not (common / str(index) / DONE).exists()]
    progress = bar(total=len(texts), desc=f"from scratch on {origin.name}", unit="network")
    progress.update(len(texts) - len(left))
    for _ in processes.each(functools.partial(train_one, common, origin, settings, seed), left, settings.run):
        stages.save_time()
        progress.update()
    progress.close()
    loaded.cache_clear()
    if distributed.rank() == 0:
        logs.write(folder / LOG, (row for index in range(len(texts)) for row in logs.read(folder / str(index) / DONE)))
        for index in range(len(texts)):
            shutil.rmtree(folder / str(index))


def train_one(folder: Path, origin: Origin, settings: Settings, seed: int, item: tuple[int, str]) -> None:
    """Train architecture `item` (index, text), out of reach of real data unless that is the source; then test it."""
    (index, text), data = item, settings.data
    learnt, held_out, test = loaded(origin, settings)
    part = folder / str(index)
    part.mkdir(exist_ok=True)
    with origin.guarded():
        network = train(part, text, learnt, settings, seed)
        own, labelled = evaluation.accuracy_on(network, held_out, settings.run)
    accuracy = own if test is held_out else evaluation.accuracy_on(network, test, settings.run)[0]
    side = settings.consistency.side or data.region
    facts = {"architecture": text, "accuracy": accuracy, "own": own, "labelled": labelled}
    facts["parameters"] = cost.parameters(network)
    facts["macs"] = cost.macs(network, (data.channels, side, side))
    logs.write(part / DONE, [facts])
    loop.keep(part, None)


@functools.lru_cache(maxsize=1)
def loaded(origin: Origin, settings: Settings) -> tuple[Source, Source, Source]:
    """What networks of a source learn from; what of the source judges them; and the real test images that do.

    From real data they learn from all training images, since that is what the ranking is of, and both judges are one.
    """
    chapter, data = settings.consistency, settings.data
    real = real_data.load(data)
    if origin.name == "real":
        learnt = real_data.train(data)
        test = real_images(real.test, chapter.test_images, learnt, settings, chapter.side)
        return learnt, test, test
    with origin.guarded():
        source = origin.load(settings, load_teacher(settings))
        share = chapter.held_out or 0.1
        learnt, held_out = sources.split(source, round(share * len(source)), data.classes, settings.seed)
        learnt, held_out = learnt if chapter.held_out else source, sources.judged(held_out, settings, chapter.side)
    return learnt, held_out, real_images(real.test, chapter.test_images, source, settings, chapter.side)


def train(folder: Path, text: str, source: Source, settings: Settings, seed: int) -> torch.nn.Module:
    """An architecture trained from scratch on a source; checkpoints go to `folder`."""
    chapter, data = settings.consistency, settings.data
    network = models.build(text, data.classes, data.channels, seed)
    network, _ = loop.train(
        separable.quicken(network),
        sources.sampler(source, chapter.training, settings, seed),
        losses.loss_for(source, chapter.temperature, chapter.training.label_smoothing),
        chapter.training,
        settings.run,
        steps=loop.steps_of(chapter.training, len(source)),
        side=chapter.side or data.region,
        folder=folder,
        seed=seed,
        description=f"{source.name} {folder.name}",
    )
    return network


def real_images(split: Source, count: int, source: Source, settings: Settings, side: int) -> Source:
    """Real images that judge networks of a source, normalised as these were trained: `count` of them, 0 for all."""
    rows = sources.balanced(split.classes, count or len(split), settings.data.classes, settings.seed, "judges")
    return sources.judged(split.select(rows).under(source), settings, side)


def untrained_stage(origin: Origin, drawn: Artefact, settings: Settings, teacher: Teacher) -> Artefact:
    """The stage in which scores that need no training judge the architectures, on a source's images; judged.jsonl."""
    data, side, seed = settings.data, settings.consistency.side, seed_of("untrained", settings)

    def work(folder: Path) -> None:
        inputs = proxies.inputs_of(origin, settings, teacher, side)
        rows = []
        for text in bar(scratch.read_architectures(drawn.folder), desc="untrained", unit="network"):
            network = models.build(text, data.classes, data.channels, seed)
            rows.append({"architecture": text, **proxies.scores(network, inputs)})
        logs.write(folder / LOG, rows)

    depends = {"source": origin.name, "seed": seed, "side": side, "images": settings.synthesis.images}
    inputs: list[Artefact | str] = [origin.given, drawn, teacher.digest]
    # A version further: NASWOT sees every ReLU since.
    return stages.stage("consistency-untrained", work, depends, inputs=inputs, version=VERSION + 1, run=settings.run)


def _paths_of(arm: str, origin: Origin, settings: Settings, teacher: Teacher, number: int) -> tuple[Artefact, Artefact]:
    supernet = supernet_stage(arm, origin, settings, teacher, number)
    return supernet, judging_stage(arm, origin, supernet, settings, teacher, number)


def supernet_stage(arm: str, origin: Origin, settings: Settings, teacher: Teacher, number: int = 1) -> Artefact:
    """The SPOS chapter's stage that trains the arm's `number`-th supernet."""
    if source_of(arm) == "real" and settings.consistency.whole_real:
        origin = Origin("real", real_data.digest(settings.data))  # which no seed draws
    return spos.supernet_stage(origin, _of_images(arm, settings), teacher, _seed(arm, settings, number))


def _seed(arm: str, settings: Settings, number: int) -> int:
    """A supernet's seed, which all sources share; for the ceiling, those after the ones of real data's supernets."""
    return settings.seed + number - 1 + settings.consistency.supernets * (arm == "again")


def _of_images(arm: str, settings: Settings) -> Settings:
    # The supernets are the SPOS chapter's where it has them, unless the ones of real data have as many images as there
    # are (0), where that chapter takes as many as the synthetic set has.
    if source_of(arm) == "real" and settings.consistency.whole_real:
        return dataclasses.replace(settings, synthesis=dataclasses.replace(settings.synthesis, images=0))
    return settings


def judging_stage(
    arm: str, origin: Origin, supernet: Artefact, settings: Settings, teacher: Teacher, number: int = 1
) -> Artefact:
    """The stage in which a supernet judges random paths, on its source's held-out images and on real ones."""
    chapter, paths = settings.consistency, settings.spos

    def work(folder: Path) -> None:
        seed = _seed(arm, settings, number)
        judge_all(folder, origin, supernet, settings, _of_images(arm, settings), seed, teacher)

    depends = {
        "candidates": chapter.candidates,
        "validation_images": chapter.validation_images,
        "paths": stages.without(paths, "scratch", "evolution", "limit_macs", "bins", "labels", "temperature"),
        "seed": settings.seed,
    }
    inputs: list[Artefact | str] = [supernet, real_data.digest(settings.data)]
    label = f"consistency-judged-{arm}-{number}"
    return stages.stage(label, work, depends, inputs=inputs, version=VERSION, run=settings.run)


def judge_all(
    folder: Path,
    origin: Origin,
    supernet: Artefact,
    settings: Settings,
    trained: Settings,
    seed: int,
    teacher: Teacher,
) -> None:
    """Judge the random paths that the log does not have yet; `trained` and `seed` are those of the supernet's training.

    Statistics come from the source's own images, and so does the first score; the second is of real validation images.
    """
    chapter, validation = settings.consistency, real_data.load(settings.data).validation
    with origin.guarded():
        source = origin.load(trained, teacher)
        apart = dataclasses.replace(trained, seed=seed)
        judge = spos.judge_of(spos.read(supernet, apart), source, apart)
    real = real_images(validation, chapter.validation_images, source, settings, settings.spos.side)
    logs.mend(folder / LOG)
    drawn, done = candidates(settings), len(logs.read(folder / LOG))
    progress = bar(total=len(drawn), desc=f"paths on {origin.name}", unit="path")
    progress.update(done)

    def scores(candidate: shufflenet.Choices) -> dict[str, Any]:
        with origin.guarded():
            own, _ = judge(candidate)
        on_real, _ = evaluation.accuracy_on(judge.supernet, real, settings.run)
        return {"architecture": list(candidate), "own": own, "validation": on_real}

    for start in range(done, len(drawn), distributed.world()):
        shared = drawn[start : start + distributed.world()]  # a path a process
        mine = [scores(candidate) for candidate in shared[distributed.rank() :][:1]]
        for entry in itertools.chain(*distributed.gather(mine)):
            logs.append(folder / LOG, entry)
            progress.update()
    progress.close()


def candidates(settings: Settings) -> list[shufflenet.Choices]:
    """Different random paths of the SPOS chapter's space, uniformly; no limit of cost."""
    chapter, space = settings.consistency, spos.space_of(settings)
    generator, drawn = seeds.generator(settings.seed, "consistency paths"), dict[shufflenet.Choices, None]()
    while len(drawn) < chapter.candidates:
        drawn[shufflenet.random_choices(space, generator)] = None
    return list(drawn)
