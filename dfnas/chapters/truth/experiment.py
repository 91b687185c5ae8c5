"""Truth: what supernets, short trainings and searches say, against a table of accuracies after full trainings.

The table is given (`truth.table`, of the cell space of NAS-Bench-201 or of the chains of NAS-Bench-Macro; nothing of a
real one comes with the package), or made here: random cells, trained to the end on real images.
"""

import csv
import dataclasses
import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from dfnas import models
from dfnas.chapters.consistency import experiment as consistency
from dfnas.chapters.truth import table_searches
from dfnas.data import origins, presence, sources
from dfnas.data import real as real_data
from dfnas.data.origins import Origin
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.data.teachers import load as load_teacher
from dfnas.errors import UserError
from dfnas.models import chain, nasbench
from dfnas.models.nasbench import Space, Supernet
from dfnas.profiles import Settings, TrainingSettings
from dfnas.profiles.resolve import variant
from dfnas.runtime import logs, processes, seeds, stages
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.progress import bar
from dfnas.search import proxies, scratch, supernets, tables
from dfnas.search.tables import Row
from dfnas.synthesis import sets

VERSION = 3
LOG = "judged.jsonl"
SOURCES = ("synthetic", "real_hard", "real_soft", "control", "noise")
SEARCHED = ("synthetic", "real_hard", "real_soft", "control")  # sources that searches ask supernets of
SCRATCH = ("synthetic", "real_hard", "control")  # sources that single architectures are trained on
SEARCHES = ("evolution", "reinforce", "darts")
UNTRAINED = ("synthetic", "control")  # sources of the images that scores without training look at


@dataclasses.dataclass(frozen=True)
class Bench:
    """What the chapter's stages have in common."""

    settings: Settings
    teacher: Teacher
    space: Space
    table: Artefact

    def stage(
        self, name: str, work: Callable[[Path], None], depends: dict[str, Any], *inputs: Artefact | str
    ) -> Artefact:
        """A stage of the chapter."""
        return stages.stage(f"truth-{name}", work, depends, inputs, VERSION, self.settings.run)

    def rows(self, count: int = 0) -> tuple[Row, ...]:
        """`count` of the table's rows, drawn at random, or all of them (0), in the order of the draw."""
        rows = tables.read(self.table.folder / "table.csv").rows
        order = torch.randperm(len(rows), generator=seeds.generator(self.settings.seed, "table")).tolist()
        return tuple(rows[index] for index in order[: count or len(order)])


def compute(settings: Settings) -> dict[str, Artefact]:
    """The chapter's stages: those of a source end with its name, and those of several seeds with a number from 0."""
    space, teacher = check(settings), load_teacher(settings)
    bench = Bench(settings, teacher, space, table_stage(settings, space))
    held = origins_of(settings, teacher)
    artefacts = origins.held(held) | {"table": bench.table}
    calls = {
        f"{name}-{number}": functools.partial(_of_seed, bench, origin, number)
        for name, origin in held.items()
        for number in range(seeds_of(settings, name))
    }
    for parts in processes.made(calls, settings.run, "supernets and searches").values():
        artefacts |= parts
    for name in SCRATCH:
        artefacts[f"scratch-{name}"] = scratch_stage(bench, held[name])
    for name in UNTRAINED:
        artefacts[f"untrained-{name}"] = untrained_stage(bench, held[name])
    return artefacts


def seeds_of(settings: Settings, name: str) -> int:
    """How many supernets a source has: most where a claim compares them; plain noise, of which none speaks, one."""
    return {"real_soft": settings.truth.seeds_soft, "noise": 1}.get(name, settings.truth.seeds)


def check(settings: Settings) -> Space:
    """The table's space, at the size of the profile's networks.

    Raises
    ------
    UserError
        A table that cannot be read, or nothing to learn from.
    """
    chapter = settings.truth
    if not presence.has_train(settings.data):
        raise UserError("08-truth needs real images to learn from: give a data set with a train part")
    table = tables.given(settings)
    kind = tables.read(table).kind if table else "cell"
    return Space(kind, chapter.channels, chapter.cells)


def origins_of(settings: Settings, teacher: Teacher) -> dict[str, Origin]:
    """Where each of SOURCES comes from; real images with hard and with soft labels are the same ones."""
    found = sets.origins_of(settings, teacher, origins.NAMES)
    found["real_hard"] = Origin("real_hard", found.pop("real").given)
    return {name: found[name] for name in SOURCES}


def table_stage(settings: Settings, space: Space) -> Artefact:
    """The stage that holds the table; writes table.csv. Without one that is given, networks are trained for it."""
    chapter, given = settings.truth, tables.given(settings)
    if given:

        def copy(folder: Path) -> None:
            shutil.copyfile(given, folder / "table.csv")

        return stages.stage("truth-table", copy, {}, [tables.read(given).digest], VERSION)
    origin, texts = Origin("real", real_data.digest(settings.data)), lambda: draw(space, chapter.trained, settings.seed)
    depends = {"trained": chapter.trained, "space": space}
    trained = training_stage(origin, texts, settings, chapter.full, settings.seed, depends)
    return stages.stage("truth-table", lambda folder: write_table(folder, trained), {}, [trained], VERSION)


def draw(space: Space, count: int, seed: int) -> list[str]:
    """Different architectures whose input reaches the output, uniformly, as texts of networks."""
    generator, drawn = seeds.generator(seed, "own table"), dict[str, None]()
    while len(drawn) < count:
        choices = chain.random_choices(space.options, generator)
        if nasbench.connected(space, choices):
            drawn[nasbench.network_text(space, nasbench.to_text(space, choices))] = None
    return list(drawn)


def write_table(folder: Path, trained: Artefact) -> None:
    """Write what networks reached on real test images as a table."""
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(tables.COLUMNS)
        for row in logs.read(trained.folder / consistency.LOG):
            space, choices = nasbench.from_network_text(row["architecture"])
            table.writerow([nasbench.to_text(space, choices), *(row[name] for name in tables.COLUMNS[1:])])


def training_stage(
    origin: Origin,
    texts: Callable[[], list[str]],
    settings: Settings,
    recipe: TrainingSettings,
    seed: int,
    depends: dict[str, Any],
    *inputs: Artefact,
) -> Artefact:
    """The stage that trains networks on a source, as the consistency chapter does; writes judged.jsonl.

    `texts` gives the networks, and depends on `depends` and `inputs`.
    """
    chapter = settings.truth
    changes = {"training": recipe, "side": chapter.side, "temperature": chapter.temperature}
    changes |= {"held_out": chapter.held_out, "test_images": 0}
    short = dataclasses.replace(settings, consistency=variant(settings.consistency, **changes))
    depends |= changes | {"source": origin.name, "seed": [settings.seed, seed], "images": settings.synthesis.images}
    return stages.stage(
        f"truth-trained-{origin.name}",
        lambda folder: consistency.train_all(folder, texts(), origin, short, seed),
        depends,
        [origin.given, real_data.digest(settings.data), *inputs],
        VERSION,
        settings.run,
    )


def scratch_stage(bench: Bench, origin: Origin) -> Artefact:
    """The stage that trains the first of the rows that supernets judge by themselves, for seconds."""
    chapter, seed = bench.settings.truth, bench.settings.seed + 1  # the table's own trainings have the run's seed
    count, space = chapter.scratch_architectures, bench.space
    depends = {"count": count, "space": space}
    texts = lambda: [nasbench.network_text(space, text) for text, *_ in bench.rows(count)]  # noqa: E731
    return training_stage(origin, texts, bench.settings, chapter.scratch, seed, depends, bench.table)


def _of_seed(bench: Bench, origin: Origin, number: int) -> dict[str, Artefact]:
    """What a source and the run's `number`-th seed bring: a supernet, its scores, and a search of each kind."""
    name, seed = origin.name, bench.settings.seed + number
    supernet = supernet_stage(bench, origin, seed)
    found = {"supernet": supernet, "judged": judging_stage(bench, origin, supernet, seed)}
    if name in SEARCHED:
        found |= {kind: search_stage(bench, origin, kind, supernet, seed) for kind in SEARCHES}
    return {f"{label}-{name}-{number}": artefact for label, artefact in found.items()}


def _common(bench: Bench, origin: Origin, seed: int) -> dict[str, Any]:
    """What all that learns from a source in a network that holds many depends on."""
    chapter, settings = bench.settings.truth, bench.settings
    depends = {"space": bench.space, "side": chapter.side, "temperature": chapter.temperature, "source": origin.name}
    return depends | {"seed": [settings.seed, seed], "images": settings.synthesis.images}


def supernet_stage(bench: Bench, origin: Origin, seed: int) -> Artefact:
    """The stage that trains a supernet on a source, a uniform random path a step; writes model.safetensors."""
    settings, chapter = bench.settings, bench.settings.truth

    def work(folder: Path) -> None:
        with origin.guarded():
            learnt, _ = parts_of(bench, origin, seed)
            supernet = build(bench, seed)
            supernets.train(
                folder,
                supernet,
                learnt,
                supernets.RandomChoice(supernet, functools.partial(chain.random_choices, bench.space.options), seed),
                chapter.training,
                dataclasses.replace(settings, seed=seed),
                side=chapter.side or settings.data.region,
                temperature=chapter.temperature,
                online=bench.teacher if chapter.labels == "online" else None,
                description=f"supernet on {origin.name}",
            )

    depends = _common(bench, origin, seed)
    depends |= {"training": chapter.training, "labels": chapter.labels, "held_out": chapter.held_out}
    return bench.stage(f"supernet-{origin.name}-{seed}", work, depends, origin.given, bench.teacher.digest)


def build(bench: Bench, seed: int) -> Supernet:
    """A supernet of the table's space with the initial weights of a seed."""
    return Supernet(bench.space, bench.settings.data.classes, bench.settings.data.channels, seed)


def parts_of(bench: Bench, origin: Origin, seed: int) -> tuple[Source, Source]:
    """What a supernet learns from, and what of its source architectures are judged by."""
    settings, source = bench.settings, origin.load(bench.settings, bench.teacher)
    return sources.split(source, round(settings.truth.held_out * len(source)), settings.data.classes, seed)


def judge_of(bench: Bench, origin: Origin, supernet: Artefact, seed: int) -> table_searches.Judge:
    """What gives an architecture's score on its source's held-out images, with batch-norm statistics of its own.

    The score is the share of images to which it gives the largest entry of the label, as the images' own classes may
    be others: labels of synthetic images leave their slots, and real ones are not all known to the teacher.
    """
    chapter, network = bench.settings.truth, build(bench, seed)
    network.load_state_dict(load_file(supernet.folder / "model.safetensors"))
    parts = parts_of(bench, origin, seed)
    batch, side = chapter.training.batch, chapter.side
    judge = supernets.judge(network, parts, chapter.recalibration, batch, side, bench.settings)
    return lambda choices: judge(choices)[1]


def judging_stage(bench: Bench, origin: Origin, supernet: Artefact, seed: int) -> Artefact:
    """The stage in which a supernet judges rows of the table; writes judged.jsonl."""
    chapter = bench.settings.truth

    def work(folder: Path) -> None:
        with origin.guarded():
            judge = judge_of(bench, origin, supernet, seed)
            judge_all(folder, lambda text: {"score": judge(nasbench.from_text(text))}, bench)

    # What trained the supernet is in its key.
    depends = {"architectures": chapter.architectures, "recalibration": chapter.recalibration}
    depends |= {"seed": bench.settings.seed}
    return bench.stage(f"judged-{origin.name}-{seed}", work, depends, supernet, bench.table)


def judge_all(folder: Path, judge: Callable[[str], dict[str, float]], bench: Bench) -> None:
    """Write down what a judge says of each row of the table that the log does not have yet."""
    logs.mend(folder / LOG)
    left = bench.rows(bench.settings.truth.architectures)[len(logs.read(folder / LOG)) :]
    for text, *_ in bar(left, desc="the table's architectures", unit="architecture"):
        logs.append(folder / LOG, {"architecture": text, **judge(text)})


def untrained_stage(bench: Bench, origin: Origin) -> Artefact:
    """The stage in which scores that need no training judge the same rows of the table; writes judged.jsonl."""
    settings, chapter = bench.settings, bench.settings.truth

    def work(folder: Path) -> None:
        inputs = proxies.inputs_of(origin, settings, bench.teacher, chapter.side)

        def scores(text: str) -> dict[str, float]:
            name = nasbench.network_text(bench.space, text)
            network = models.build(name, settings.data.classes, settings.data.channels, settings.seed)
            return proxies.scores(network.to(inputs.device), inputs)

        judge_all(folder, scores, bench)

    depends = {"architectures": chapter.architectures, "space": bench.space, "side": chapter.side}
    depends |= {"seed": settings.seed, "images": settings.synthesis.images}
    return bench.stage(f"untrained-{origin.name}", work, depends, origin.given, bench.teacher.digest, bench.table)


def search_stage(bench: Bench, origin: Origin, kind: str, supernet: Artefact, seed: int) -> Artefact:
    """The stage of a search, of SEARCHES: in a mixture of its own, or by a supernet's scores; architectures.json."""
    settings, recipe = bench.settings, getattr(bench.settings.truth, kind)

    def work(folder: Path) -> None:
        known, space = [nasbench.from_text(text) for text, *_ in bench.rows()], bench.space
        with origin.guarded():
            if kind == "darts":
                source = origin.load(settings, bench.teacher)
                choices, facts = table_searches.darts(folder, source, known, space, settings, seed)
            else:
                search = table_searches.evolve if kind == "evolution" else table_searches.reinforce
                choices, facts = search(folder, judge_of(bench, origin, supernet, seed), known, space, recipe, seed)
        scratch.write_architectures(folder, [nasbench.to_text(space, choices)], **facts)

    name, depends = f"{kind}-{origin.name}-{seed}", {kind: recipe}
    if kind == "darts":
        depends |= _common(bench, origin, seed)
        return bench.stage(name, work, depends, origin.given, bench.teacher.digest, bench.table)
    depends |= {"recalibration": settings.truth.recalibration, "seed": seed}
    return bench.stage(name, work, depends, supernet, bench.table)
