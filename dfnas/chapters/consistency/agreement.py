"""Rankings of the same architectures: how far they agree, and what trusting one costs.

Further supernets of an arm are the stages `judged-<arm>-2`, ...; without any, intervals are over paths alone.
"""

import itertools
from collections.abc import Mapping
from typing import Any

from dfnas import records
from dfnas.chapters import spos
from dfnas.chapters.consistency import experiment
from dfnas.profiles import Settings
from dfnas.runtime import logs, statistics
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.statistics import COEFFICIENTS, Interval, Summary
from dfnas.search import proxies

# Where a part's values are: the stages, and the column of their logs for sources without and with real data.
PARTS = {
    "darts": ("trained", "accuracy", "accuracy"),
    "darts_own": ("trained", "own", "accuracy"),
    "spos": ("judged", "own", "own"),
    "spos_validation": ("judged", "validation", "validation"),
}
# By what an architecture is ranked, beside real data: what learns from a source, the cost alone, and (networks from
# scratch) scores that need no training.
COMPARED = {f"{name}_real": name for name in ("synthetic", "control", "noise")} | {"real_real": "again"}
COMPARED |= {"macs_real": "macs"} | {f"{name}_real": name for name in proxies.NAMES}
DIFFERENCES = {"difference": ("synthetic", "control"), "difference_macs": ("synthetic", "macs")}

Ranking = dict[str, list[float]]  # by arm, further supernets as <arm>-2, ..., and "macs": a value an architecture


def parts(artefacts: Mapping[str, Artefact], settings: Settings) -> dict[str, Ranking]:
    """The values of each part that was computed: accuracies or scores by arm, and multiply-adds."""
    found: dict[str, Ranking] = {}
    for part, (kind, *names) in PARTS.items():
        if f"{kind}-real" not in artefacts:
            continue
        labels = [label.removeprefix(f"{kind}-") for label in artefacts if label.startswith(f"{kind}-")]
        judged = {label: columns(artefacts[f"{kind}-{label}"]) for label in labels}
        of_real = {label: experiment.source_of(label.partition("-")[0]) == "real" for label in labels}
        found[part] = {label: kept[names[of_real[label]]] for label, kept in judged.items()}
        drawn = judged["real"]["architecture"]
        found[part]["macs"] = judged["real"].get("macs") or [spos.macs(settings, path) for path in drawn]
        if kind == "trained":
            trainings = [found[part].pop(label) for label in labels if label.partition("-")[0] == "real"]
            found[part]["real"] = [statistics.mean(values) for values in zip(*trainings, strict=True)]
            untrained = columns(artefacts["untrained"])
            found[part] |= {name: untrained[name] for name in proxies.NAMES}
    return found


def columns(artefact: Artefact) -> dict[str, list[Any]]:
    """What a stage wrote down about the architectures, a list a column."""
    rows = logs.read(artefact.folder / experiment.LOG)
    return {name: [row[name] for row in rows] for name in rows[0]}


def supernets(ranking: Ranking, arm: str) -> list[list[float]]:
    """The rankings of an arm, one a supernet."""
    return [values for label, values in ranking.items() if label.partition("-")[0] == arm]


def agreement(ranking: Ranking, settings: Settings) -> dict[str, dict[str, Interval]]:
    """How far each other ranking agrees with that on real data: by comparison and coefficient, with intervals.

    The differences are paired: synthetic data less the live control, and less the ranking by cost alone.
    """
    options = {"resamples": settings.consistency.resamples, "seed": settings.seed}
    rows = {arm: supernets(ranking, arm) for arm in ("real", *COMPARED.values())}
    truth, found = rows["real"], {}
    for name, arm in COMPARED.items():
        if rows[arm]:
            found[name] = {
                kind: statistics.correlation_interval(rows[arm], truth, kind, **options) for kind in COEFFICIENTS
            }
    for name, (one, other) in DIFFERENCES.items():
        found[name] = {
            kind: statistics.correlation_difference(rows[one], rows[other], truth, kind, **options)
            for kind in COEFFICIENTS
        }
    return found


def regrets(ranking: Ranking) -> tuple[dict[str, list[float]], list[float]]:
    """What is lost on real data by looking at the top k = 1, 2, ... of each ranking only; and of k drawn by lot."""
    truth, sizes = ranking["real"], range(1, len(ranking["real"]) + 1)
    arms = [arm for arm in COMPARED.values() if arm not in proxies.NAMES]
    curves = {arm: [statistics.regret(ranking[arm], truth, k) for k in sizes] for arm in arms}
    return curves, [statistics.chance_regret(truth, k) for k in sizes]


def metrics(found: Mapping[str, Mapping[str, Mapping[str, Interval]]]) -> dict[str, Interval]:
    """For a record: `<part>_<coefficient>_<comparison>`, dashes for a part that was not computed.

    Without a part's name in front, the intervals are those of the first part.
    """
    fronts = {"": next(iter(found)), **{f"{part}_": part for part in PARTS}}
    return {
        f"{front}{kind}_{name}": found.get(part, {}).get(name, {}).get(kind) or records.absent(Interval)
        for front, part in fronts.items()
        for name in (*COMPARED, *DIFFERENCES)
        for kind in COEFFICIENTS
    }


def spread(rankings: Mapping[str, Ranking]) -> dict[str, float | str]:
    """For a record: the mean over architectures of each part's arms, `<part>_<arm>`, and the deviation, `_std`.

    To four digits; dashes for a part that was not computed. `supernets` counts those of the arm that has the fewest.
    """
    paths = rankings.get("spos", {})
    counts = [len(supernets(paths, arm)) for arm in experiment.ARMS]
    values: dict[str, float | str] = {"supernets": min(counts) or records.MISSING}
    for part, arm in itertools.product(PARTS, experiment.ARMS):
        mean, deviation, _ = statistics.summary(rankings[part][arm]) if part in rankings else records.absent(Summary)
        values |= {f"{part}_{arm}": _rounded(mean), f"{part}_{arm}_std": _rounded(deviation)}
    return values


def _rounded(value: float | str) -> float | str:
    return value if isinstance(value, str) else round(value, 4)
