"""A second opinion: a supernet trained on the synthetic set, against a table of a published benchmark.

The user gives the table: a CSV file with the columns architecture, accuracy (a fraction), macs and parameters, of the
cell space of NAS-Bench-201 or of the chains of NAS-Bench-Macro. Nothing of a real table comes with the package.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from dfnas import records
from dfnas.data import sources
from dfnas.data.sources import Source
from dfnas.data.teachers import Teacher
from dfnas.models import nasbench
from dfnas.models.nasbench import Space, Supernet
from dfnas.profiles import Settings, TabularSettings
from dfnas.runtime import logs, seeds, stages, statistics
from dfnas.runtime.progress import bar
from dfnas.runtime.statistics import COEFFICIENTS, Interval
from dfnas.search import supernets, tables
from dfnas.search.tables import Table

VERSION = 1
LOG = "judged.jsonl"
HELD_OUT = 0.1  # share of the synthetic images that candidates are judged by


def compute(settings: Settings, origin: stages.Artefact | str, teacher: Teacher) -> dict[str, stages.Artefact]:
    """The second opinion's stages; none where no table is given."""
    chapter = settings.consistency
    if chapter is None or not chapter.table:
        return {}
    table = tables.read(Path(chapter.table).expanduser())
    supernet = supernet_stage(table.kind, origin, settings, teacher)
    return {"table-supernet": supernet, "table-judged": judging_stage(table, origin, supernet, settings, teacher)}


def _tabular(settings: Settings) -> TabularSettings:
    assert settings.consistency is not None
    return settings.consistency.tabular


def build(kind: str, settings: Settings) -> Supernet:
    """The supernet of a table's space at the profile's size, with the initial weights of the run's seed."""
    chosen, data = _tabular(settings), settings.data
    return Supernet(Space(kind, chosen.channels, chosen.cells), data.classes, data.channels, settings.seed)


def supernet_stage(kind: str, origin: stages.Artefact | str, settings: Settings, teacher: Teacher) -> stages.Artefact:
    """The stage that trains a supernet on the synthetic set, out of reach of real data; writes model.safetensors."""
    chosen = _tabular(settings)

    def work(folder: Path) -> None:
        with sources.guarded("synthetic"):
            learnt, _ = _split(sources.load("synthetic", origin, settings, teacher), settings)
            train(folder, build(kind, settings), learnt, settings)

    resolved = {key: value for key, value in vars(chosen).items() if key not in ("architectures", "recalibration")}
    resolved |= {"kind": kind, "seed": settings.seed}
    return stages.stage(f"consistency-{kind}-supernet", work, resolved, inputs=[origin], version=VERSION)


def _split(source: Source, settings: Settings) -> tuple[Source, Source]:
    """What the supernet learns from, and what candidates are judged by."""
    return sources.split(source, round(HELD_OUT * len(source)), settings.data.classes, settings.seed)


def train(folder: Path, supernet: Supernet, source: Source, settings: Settings) -> None:
    """Train a uniform random path a step."""
    chosen = _tabular(settings)
    supernets.train(
        folder,
        supernet,
        source,
        Paths(supernet, settings.seed),
        chosen.training,
        settings,
        side=chosen.side or settings.data.region,
        temperature=chosen.temperature,
        description=f"supernet of {supernet.space.kind}s",
    )


class Paths:
    """The companion that draws the path of each step, uniformly."""

    def __init__(self, supernet: Supernet, seed: int) -> None:
        self.supernet, self.seed = supernet, seed

    def before(self, step: int, steps: int, rate: float, optimiser: torch.optim.Optimizer) -> None:
        generator = seeds.generator(self.seed, "path", step)
        self.supernet.choose(nasbench.random_choices(self.supernet.space, generator))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def chosen_rows(table: Table, settings: Settings) -> list[tuple[str, float, float, float]]:
    """The rows of the table that are judged: a random draw, or all of them."""
    count = _tabular(settings).architectures or len(table.rows)
    order = torch.randperm(len(table.rows), generator=seeds.generator(settings.seed, "table")).tolist()
    return [table.rows[index] for index in order[:count]]


def judging_stage(
    table: Table, origin: stages.Artefact | str, supernet: stages.Artefact, settings: Settings, teacher: Teacher
) -> stages.Artefact:
    """The stage in which the supernet judges the table's architectures on held-out synthetic images."""
    chosen = _tabular(settings)

    def work(folder: Path) -> None:
        with sources.guarded("synthetic"):
            source = sources.load("synthetic", origin, settings, teacher)
            network = build(table.kind, settings)
            network.load_state_dict(load_file(supernet.folder / "model.safetensors"))
            judge_all(folder, network, source, chosen_rows(table, settings), settings)

    resolved = {"architectures": chosen.architectures, "recalibration": chosen.recalibration, "seed": settings.seed}
    inputs: list[stages.Artefact | str] = [supernet, table.digest]
    return stages.stage(f"consistency-{table.kind}-judged", work, resolved, inputs=inputs, version=VERSION)


def judge_all(
    folder: Path,
    supernet: Supernet,
    source: Source,
    rows: list[tuple[str, float, float, float]],
    settings: Settings,
) -> None:
    """Judge each architecture that the log does not have yet, with batch-norm statistics of its own."""
    chosen = _tabular(settings)
    side, batch = chosen.side or settings.data.region, chosen.training.batch
    judge = supernets.Judge(*_split(source, settings), chosen.recalibration, batch, side, settings)
    logs.mend(folder / LOG)
    done = len(logs.read(folder / LOG))
    progress = bar(total=len(rows), desc="the table's architectures", unit="architecture")
    progress.update(done)
    for text, accuracy, macs, _ in rows[done:]:
        score, _ = judge(supernet, nasbench.from_text(text))
        logs.append(folder / LOG, {"architecture": text, "score": score, "accuracy": accuracy, "macs": macs})
        progress.update()
    progress.close()


def metrics(made: dict[str, stages.Artefact], settings: Settings) -> dict[str, Any]:
    """For a record: how many architectures were compared, and how scores and multiply-adds agree with the table.

    `table_<coefficient>` and `table_macs_<coefficient>`; dashes where no table was given.
    """
    assert settings.consistency is not None
    options = {"resamples": settings.consistency.resamples, "seed": settings.seed}
    rows = logs.read(made["table-judged"].folder / LOG) if "table-judged" in made else []
    columns = {name: [row[name] for row in rows] for name in ("score", "macs", "accuracy")}
    values: dict[str, Any] = {"table_architectures": len(rows) or records.MISSING}
    for front, column in (("table", "score"), ("table_macs", "macs")):
        for kind in COEFFICIENTS:
            values[f"{front}_{kind}"] = records.absent(Interval)
            if rows:
                ranked, truth = columns[column], columns["accuracy"]
                values[f"{front}_{kind}"] = statistics.correlation_interval(ranked, truth, kind, **options)
    return values
