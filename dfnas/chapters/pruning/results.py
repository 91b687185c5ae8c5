"""What the pruning chapter found: accuracies by arm and window, how they differ, and what goes into the record."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dfnas import records
from dfnas.chapters.pruning.networks import ARMS, SUFFIXES, side_of, space_of
from dfnas.models import cost, pruning
from dfnas.models.pruning_net import PruningNet
from dfnas.profiles import Settings
from dfnas.runtime import statistics
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.statistics import Interval
from dfnas.search import evolution, standings
from dfnas.search.evolution import Visited
from dfnas.synthesis.held_out import WORDS

COLUMNS = ("accuracy", "macs", "parameters", "operations", "architecture")
PAIRS = {  # arms whose difference is reported
    "synthetic_real": ("pruned_on_synthetic", "pruned_on_real"),
    "synthetic_uniform": ("pruned_on_synthetic", "uniform"),
    "real_uniform": ("pruned_on_real", "uniform"),
    "synthetic_random": ("pruned_on_synthetic", "random"),
    "real_random": ("pruned_on_real", "random"),
}
SHOWN = {"pruned": "pruned_on_synthetic", "full": "full"}  # beside each other in the table of files
Results = dict[str, dict[int, dict[str, list[Any]]]]  # arm, window, column: a value a training


def results(artefacts: Mapping[str, Artefact], measure: str = "accuracy") -> Results:
    """What the trainings came to: by arm and window, a value a training of each of COLUMNS.

    `accuracy` is what came out by `measure`: accuracy, or agreement with the teacher on held-out synthetic images.
    Without that measure there are no arms.
    """
    arms: Results = {arm: {} for arm in ARMS}
    judged: dict[str, dict[str, float]] = {}
    if "judged" in artefacts:
        judged = json.loads((artefacts["judged"].folder / "judged.json").read_bytes())
    for label, artefact in artefacts.items():
        if label.startswith("trained-"):
            _, arm, window, _ = label.split("-")
            facts = json.loads((artefact.folder / "trained.json").read_bytes()) | judged.get(label, {})
            if measure not in facts:
                continue
            facts["accuracy"] = facts[measure]
            columns = arms[arm].setdefault(int(window), {column: [] for column in COLUMNS})
            for column, values in columns.items():
                values.append(facts[column])
    return {arm: windows for arm, windows in arms.items() if windows}


def visited(artefacts: Mapping[str, Artefact]) -> dict[tuple[str, int], list[Visited]]:
    """All candidates of each search, in order, by source and window."""
    searches = {label: artefact for label, artefact in artefacts.items() if label.startswith("search-")}
    logs = {label: evolution.load(artefact.folder / evolution.LOG) for label, artefact in searches.items()}
    return {(label.split("-")[1], int(label.split("-")[2])): rows for label, rows in logs.items()}


def ratios_by_generation(rows: Sequence[Visited]) -> Tensor:
    """The mean ratio of each gene among the candidates of a generation, [generations, genes], from 0 to 1."""
    ratios = torch.tensor(pruning.RATIOS)
    candidates = [[row.candidate for row in rows if row.generation == g] for g in range(rows[-1].generation + 1)]
    return torch.stack([ratios[torch.tensor(each)].mean(0) for each in candidates])


def compared(results: Results, first: str, second: str, windows: Sequence[int] = (0,)) -> Interval:
    """The difference of two arms' mean accuracies, averaged over the windows, with its interval.

    Over windows, each gives one difference, whatever the number of its trainings, which are of one architecture: the
    interval is Student's over windows. In one window it is that of its two networks alone, over trainings: finds and
    even widths are paired by seed, and random encodings are a sample of their own.
    """
    ones, others = ([results[arm][window]["accuracy"] for window in windows] for arm in (first, second))
    if len(ones) > 1:
        return statistics.paired_difference(list(map(statistics.mean, ones)), list(map(statistics.mean, others)))
    between = statistics.difference if second == "random" else statistics.paired_difference
    return between(ones[0], others[0])


def metrics(artefacts: Mapping[str, Artefact], settings: Settings) -> dict[str, Any]:
    """For the record: what the chapter's stages came to; names of agreements begin with `held_out_`."""
    chapter, logs, facts = settings.pruning, visited(artefacts), dict[str, Any]()
    fronts = {"accuracy": "", "agreement": "held_out_"}
    for measure in WORDS:
        found = results(artefacts, measure)
        if found:
            facts |= {f"{arm}_macs": found[name][0]["macs"][0] for arm, name in SHOWN.items()}
            told = worth(found, settings) | _differences(found)
            facts |= {f"{fronts[measure]}{name}": value for name, value in told.items()}
    facts["network"] = chapter.network
    for window, suffix in zip(range(len(chapter.windows)), SUFFIXES, strict=False):
        firsts = {}
        for name in sorted({name for name, _ in logs}, reverse=True):
            rows = logs[name, window]
            firsts[name] = [row.scores[0] for row in rows if row.generation == 0]
            facts[f"first_{name}{suffix}"] = statistics.mean(firsts[name])
            facts[f"first_{name}{suffix}_std"] = statistics.deviation(firsts[name])
            facts[f"score_{name}{suffix}"], facts[f"score_label_{name}{suffix}"] = evolution.ranked(rows)[0].scores
            facts[f"visited_{name}{suffix}"] = len(rows)
        if "real" in firsts:
            facts[f"spearman{suffix}"] = statistics.correlation(firsts["synthetic"], firsts["real"], "spearman")
    if "teacher" in artefacts:
        tested = json.loads((artefacts["teacher"].folder / "teacher.json").read_bytes())
        facts |= {f"teacher_{name}": value for name, value in tested.items()}
    space, data = space_of(settings), settings.data
    facts |= {"genes": space.genes, "encodings": float(len(pruning.RATIOS) ** space.genes), "side": side_of(settings)}
    facts |= {"held_out": chapter.validation_each * data.classes, "images": settings.synthesis.images}
    facts |= {name: getattr(chapter, name) for name in ("labels", "temperature", "recalibration")}
    facts |= {name: getattr(chapter.evolution, name) for name in ("population", "generations")}
    with torch.device("meta"):
        facts["net_parameters"] = cost.parameters(PruningNet(space, data.classes, data.channels))
    return facts


def worth(found: Results, settings: Settings) -> dict[str, Any]:
    """Each arm in each window, and the full network: accuracy with its spread, mean multiply-adds and parameters."""
    facts = standings.worth({"full": found["full"][0]})
    for window, suffix in zip(range(len(settings.pruning.windows)), SUFFIXES, strict=False):
        facts |= standings.worth({f"{arm}{suffix}": found[arm][window] for arm in found if arm != "full"})
    return facts


def _differences(found: Results) -> dict[str, Interval]:
    """In points, in the first window and over all; dashes where there is one window, which is no repeat of itself."""
    windows, facts = list(found["uniform"]), {}
    for name, arms in PAIRS.items():
        if not set(arms) <= set(found):
            continue
        facts[f"difference_{name}"] = compared(found, *arms).scaled(100)
        several = compared(found, *arms, windows).scaled(100) if len(windows) > 1 else records.absent(Interval)
        facts[f"difference_all_{name}"] = several
    return facts
