"""A second opinion: a supernet trained on the synthetic set, against a table of a published benchmark.

The user gives the table: a CSV file with the columns architecture, accuracy (a fraction), macs and parameters, of the
cell space of NAS-Bench-201 or of the chains of NAS-Bench-Macro. Nothing of a real table comes with the package.
"""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from dfnas import records
from dfnas.data import sources
from dfnas.data.origins import Origin
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.models import nasbench
from dfnas.models.nasbench import Space, Supernet
from dfnas.profiles import Settings
from dfnas.runtime import logs, seeds, stages, statistics
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.progress import bar
from dfnas.runtime.statistics import COEFFICIENTS, Interval
from dfnas.search import supernets, tables
from dfnas.search.tables import Table

VERSION = 2
LOG = "judged.jsonl"
HELD_OUT = 0.1  # share of the synthetic images that candidates are judged by


def compute(settings: Settings, origin: Origin, teacher: Teacher) -> dict[str, Artefact]:
    """The second opinion's stages; none where no table is given."""
    if not settings.consistency.table:
        return {}
    table = tables.read(Path(settings.consistency.table))
    supernet = supernet_stage(table.kind, origin, settings, teacher)
    return {"table-supernet": supernet, "table-judged": judging_stage(table, origin, supernet, settings, teacher)}


def build(kind: str, settings: Settings) -> Supernet:
    """The supernet of a table's space at the profile's size, with the initial weights of the run's seed."""
    chapter, data = settings.consistency.tabular, settings.data
    return Supernet(Space(kind, chapter.channels, chapter.cells), data.classes, data.channels, settings.seed)


def supernet_stage(kind: str, origin: Origin, settings: Settings, teacher: Teacher) -> Artefact:
    """The stage that trains a supernet on the synthetic set, out of reach of real data; writes model.safetensors."""

    def work(folder: Path) -> None:
        with origin.guarded():
            learnt, _ = _split(origin.load(settings, teacher), settings)
            train(folder, build(kind, settings), learnt, settings)

    depends = stages.without(settings.consistency.tabular, "architectures", "recalibration")
    depends |= {"kind": kind, "seed": settings.seed}
    return stages.stage(
        f"consistency-{kind}-supernet", work, depends, inputs=[origin.given], version=VERSION, run=settings.run
    )


def _split(source: Source, settings: Settings) -> tuple[Source, Source]:
    """What the supernet learns from, and what candidates are judged by."""
    return sources.split(source, round(HELD_OUT * len(source)), settings.data.classes, settings.seed)


def train(folder: Path, supernet: Supernet, source: Source, settings: Settings) -> None:
    """Train a uniform random path a step."""
    chapter = settings.consistency.tabular
    supernets.train(
        folder,
        supernet,
        source,
        supernets.RandomChoice(supernet, partial(nasbench.random_choices, supernet.space), settings.seed),
        chapter.training,
        settings,
        side=chapter.side or settings.data.region,
        temperature=chapter.temperature,
        description=f"supernet of {supernet.space.kind}s",
    )


def chosen_rows(table: Table, settings: Settings) -> list[tuple[str, float, float, float]]:
    """The rows of the table that are judged: a random draw, or all of them."""
    count = settings.consistency.tabular.architectures or len(table.rows)
    order = torch.randperm(len(table.rows), generator=seeds.generator(settings.seed, "table")).tolist()
    return [table.rows[index] for index in order[:count]]


def judging_stage(table: Table, origin: Origin, supernet: Artefact, settings: Settings, teacher: Teacher) -> Artefact:
    """The stage in which the supernet judges the table's architectures on held-out synthetic images."""
    chapter = settings.consistency.tabular

    def work(folder: Path) -> None:
        with origin.guarded():
            source = origin.load(settings, teacher)
            network = build(table.kind, settings)
            network.load_state_dict(load_file(supernet.folder / "model.safetensors"))
            judge_all(folder, network, source, chosen_rows(table, settings), settings)

    # What trained the supernet is in its key.
    depends = {"architectures": chapter.architectures, "recalibration": chapter.recalibration, "seed": settings.seed}
    inputs: list[Artefact | str] = [supernet, table.digest]
    return stages.stage(
        f"consistency-{table.kind}-judged", work, depends, inputs=inputs, version=VERSION, run=settings.run
    )


def judge_all(
    folder: Path, supernet: Supernet, source: Source, rows: list[tuple[str, float, float, float]], settings: Settings
) -> None:
    """Judge each architecture that the log does not have yet, with batch-norm statistics of its own."""
    chapter, parts = settings.consistency.tabular, _split(source, settings)
    batch = chapter.training.batch
    judge = supernets.judge(supernet, parts, chapter.recalibration, batch, chapter.side, settings)
    logs.mend(folder / LOG)
    done = len(logs.read(folder / LOG))
    progress = bar(total=len(rows), desc="the table's architectures", unit="architecture")
    progress.update(done)
    for text, accuracy, macs, _ in rows[done:]:
        score, _ = judge(nasbench.from_text(text))
        logs.append(folder / LOG, {"architecture": text, "score": score, "accuracy": accuracy, "macs": macs})
        progress.update()
    progress.close()


def metrics(artefacts: dict[str, Artefact], settings: Settings) -> dict[str, Any]:
    """For a record: how many architectures were compared, and how scores and multiply-adds agree with the table.

    `table_<coefficient>` and `table_macs_<coefficient>`; dashes where no table was given. With further supernets, whose
    stages are `table-judged-2`, ..., intervals are over supernets too; with one they are over architectures alone.
    """
    options = {"resamples": settings.consistency.resamples, "seed": settings.seed}
    supernets = [logs.read(artefacts[label].folder / LOG) for label in artefacts if label.startswith("table-judged")]
    rows = supernets[0] if supernets else []
    scores, macs = [[row["score"] for row in each] for each in supernets], [row["macs"] for row in rows]
    values: dict[str, Any] = {"table_architectures": len(rows) or records.MISSING}
    values["table_supernets"] = len(supernets) or records.MISSING
    truth = [row["accuracy"] for row in rows]
    for front, ranked in (("table", scores), ("table_macs", macs)):
        for kind in COEFFICIENTS:
            values[f"{front}_{kind}"] = records.absent(Interval)
            if rows:
                values[f"{front}_{kind}"] = statistics.correlation_interval(ranked, truth, kind, **options)
    return values
