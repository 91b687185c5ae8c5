"""What each judge's scores are worth against the table, and what searches that asked one lose."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from safetensors.torch import load_file

from dfnas.chapters.truth.experiment import LOG, SCRATCH, SEARCHED, SEARCHES, SOURCES
from dfnas.models import nasbench
from dfnas.profiles import Settings
from dfnas.runtime import logs, statistics
from dfnas.runtime.artefacts import Artefact
from dfnas.search import architecture_update, proxies, scratch, tables
from dfnas.search.tables import Table

COUNTED = ("parameters", "macs")  # judges that need no image
# Judges of the same architectures, the first less the second.
COMPARED = (
    *(("synthetic", other) for other in (*SOURCES[1:], *COUNTED, *proxies.NAMES)),
    *(("scratch_synthetic", f"scratch_{other}") for other in SCRATCH[1:]),
)

Rankings = dict[str, list[list[float]]]  # by judge: a list a supernet (most judges are one), a value an architecture


def table_of(artefacts: Mapping[str, Artefact]) -> Table:
    """The table that all is compared with."""
    return tables.read(artefacts["table"].folder / "table.csv")


def judged(artefacts: Mapping[str, Artefact]) -> tuple[Rankings, list[float]]:
    """The scores of all that judge the architectures which were drawn, and what the table says of these."""
    by_source = {name: [_rows(each) for each in _of(artefacts, f"judged-{name}-")] for name in SOURCES}
    found = {name: [[row["score"] for row in rows] for rows in each] for name, each in by_source.items()}
    table = {row[0]: row for row in table_of(artefacts).rows}
    drawn = [table[row["architecture"]] for row in by_source["synthetic"][0]]
    found |= {name: [[row[tables.COLUMNS.index(name)] for row in drawn]] for name in COUNTED}
    for source, ending in (("synthetic", ""), ("control", "_control")):
        rows = _rows(artefacts[f"untrained-{source}"])
        found |= {f"{name}{ending}": [[row[name] for row in rows]] for name in proxies.NAMES}
    return found, [row[1] for row in drawn]


def trained(artefacts: Mapping[str, Artefact]) -> tuple[Rankings, list[float]]:
    """The same of short trainings: by held-out images of their own source, and by real test images (`_on_real`)."""
    found: Rankings = {}
    for name in SCRATCH:
        rows = _rows(artefacts[f"scratch-{name}"])
        found |= {f"scratch_{name}": [[row["labelled"] for row in rows]]}
        found |= {f"scratch_{name}_on_real": [[row["accuracy"] for row in rows]]}
    table = {row[0]: row[1] for row in table_of(artefacts).rows}
    return found, [table[row["architecture"].rpartition(";")[2]] for row in rows]


def regrets(artefacts: Mapping[str, Artefact]) -> dict[str, list[float]]:
    """Points that what each search found is below the table's best, by search and source: a value a seed.

    `random_<source>` is random search that asks the supernets of a source as often as evolution does: the mean over
    all draws of so many from what these judged.
    """
    accuracies = {row[0]: row[1] for row in table_of(artefacts).rows}
    best, (rankings, truth) = max(accuracies.values()), judged(artefacts)
    found: dict[str, list[float]] = {}
    for source in SEARCHED:
        for kind in SEARCHES:
            finds = _of(artefacts, f"{kind}-{source}-")
            texts = [scratch.read_architectures(find.folder)[0] for find in finds]
            found[f"{kind}_{source}"] = [100 * (best - accuracies[text]) for text in texts]
        asked = [facts(find)["evaluations"] for find in _of(artefacts, f"evolution-{source}-")]
        found[f"random_{source}"] = [
            100 * (best - max(truth) + statistics.chance_regret(truth, min(count, len(truth)), scores))
            for count, scores in zip(asked, rankings[source], strict=True)
        ]
    return found


def facts(search: Artefact) -> dict[str, Any]:
    """What a search wrote down beside its find."""
    return json.loads((search.folder / "architectures.json").read_bytes())


def architectures(artefacts: Mapping[str, Artefact]) -> dict[str, Any]:
    """What the page's explorer shows: the architectures that were judged, their accuracies, and the judges' scores.

    An architecture is the digits of its choices; of several supernets of a source the first one's scores are taken.
    A network that lets nothing through has the lowest score, drawn a tenth of the others' range below them.
    """
    (rankings, accuracies), table = judged(artefacts), table_of(artefacts)
    texts = [row["architecture"] for row in _rows(_of(artefacts, f"judged-{SOURCES[0]}-")[0])]
    blocks = ["identity", *(f"MBConv {kernel}x{kernel}, {expansion}" for kernel, expansion in nasbench.BLOCKS[1:])]
    return {
        "kind": table.kind,
        "choices": nasbench.OPERATIONS if table.kind == "cell" else blocks,
        "candidate": ["".join(map(str, nasbench.from_text(text))) for text in texts],
        "accuracy": accuracies,
        "best": max(row[1] for row in table.rows),
        "scores": {name: _on_a_page(each[0]) for name, each in rankings.items()},
    }


def _on_a_page(scores: Sequence[float]) -> list[float]:
    known = [score for score in scores if score > proxies.NOTHING] or [0.0]
    lowest = min(known) - (max(known) - min(known)) / 10
    return [float(f"{max(score, lowest):.5g}") for score in scores]


def decisions(artefacts: Mapping[str, Artefact]) -> dict[str, tuple[list[int], Any, Any]]:
    """Of the first DARTS search on each source: steps, and entropies and weights of skip connections (means) at each.

    In a space without skip connections the weights are those of the first choice.
    """
    found: dict[str, tuple[list[int], Any, Any]] = {}
    for source in SEARCHED:
        search = artefacts[f"darts-{source}-0"]
        weights = load_file(search.folder / "alphas.safetensors")["alphas"].softmax(-1)
        skip = nasbench.OPERATIONS.index("skip_connect") if weights.shape[-1] == len(nasbench.OPERATIONS) else 0
        steps = [min(architecture_update.KEEP_EVERY * number, facts(search)["steps"]) for number in range(len(weights))]
        found[source] = (steps, torch.special.entr(weights).sum(-1).mean(-1), weights[..., skip].mean(-1))
    return found


def taus(rankings: Rankings, truth: Sequence[float]) -> dict[str, list[float]]:
    """Kendall's coefficient of each ranking with the table, by judge."""
    return {name: [statistics.correlation(each, truth) for each in several] for name, several in rankings.items()}


def metrics(artefacts: Mapping[str, Artefact], settings: Settings) -> dict[str, Any]:
    """For a record: `tau_<judge>`, `tau_difference_<one>_<other>`, and `regret_<search>_<source>` in points.

    The coefficient of supernets is the mean over them, its interval is over them and architectures; `_averaged` ranks
    by their mean score. Intervals of other coefficients are over architectures, those of regrets over searches.
    `regret_gain_<source>` is what evolution loses less than random search, `regret_difference_<search>` what searches
    on synthetic images lose less than those on real ones.
    """
    rankings, truth = judged(artefacts)
    shorter, fewer = trained(artefacts)
    means = {f"{name}_averaged": [torch.tensor(rankings[name]).mean(0).tolist()] for name in SOURCES}
    found = _agreements(rankings, truth, settings) | _agreements(means, truth, settings)
    found |= _agreements(shorter, fewer, settings)
    found |= {
        f"score_{name}": statistics.summary([statistics.mean(each) for each in rankings[name]]) for name in SOURCES
    }
    found |= {f"accuracy_{name}": statistics.summary(values[0]) for name, values in shorter.items()}
    found |= _losses(regrets(artefacts)) | _told(artefacts)
    untrained = max((*COUNTED, *proxies.NAMES), key=lambda name: found[f"tau_{name}"].value)
    found |= {"untrained_best": untrained, "tau_untrained_best": found[f"tau_{untrained}"]}
    found["tau_difference_synthetic_untrained"] = found[f"tau_difference_synthetic_{untrained}"]
    found |= {"architectures": len(truth), "scratch_architectures": len(fewer), "images": settings.synthesis.images}
    found["supernets"] = settings.truth.seeds
    fields = ("channels", "cells", "labels", "temperature")
    return found | {field: getattr(settings.truth, field) for field in fields} | _of_table(artefacts, settings)


def _agreements(rankings: Rankings, truth: list[float], settings: Settings) -> dict[str, Any]:
    options: dict[str, Any] = {"resamples": settings.truth.resamples, "seed": settings.seed}
    found = {f"tau_{name}": statistics.correlation_interval(each, truth, **options) for name, each in rankings.items()}
    for one, other in COMPARED:
        if one in rankings:
            pair = rankings[one], rankings[other]
            found[f"tau_difference_{one}_{other}"] = statistics.correlation_difference(*pair, truth, **options)
    return found


def _losses(lost: Mapping[str, list[float]]) -> dict[str, Any]:
    found = {f"regret_{name}": statistics.interval(values) for name, values in lost.items()}
    found["regret_evolution_random"] = found["regret_random_synthetic"]
    for source in SEARCHED:
        found[f"regret_gain_{source}"] = statistics.paired_difference(
            lost[f"random_{source}"], lost[f"evolution_{source}"]
        )
    for kind in SEARCHES:
        found[f"regret_difference_{kind}"] = statistics.difference(lost[f"{kind}_real_hard"], lost[f"{kind}_synthetic"])
    return found


def _told(artefacts: Mapping[str, Artefact]) -> dict[str, float]:
    """Means over searches: architectures looked at, how undecided they ended (nats), and skip connections of finds."""
    found: dict[str, float] = {}
    told = (("evolution", "evaluations"), ("reinforce", "evaluations"), ("reinforce", "entropy"), ("darts", "entropy"))
    for source in SEARCHED:
        for kind, name in told:
            values = [facts(search)[name] for search in _of(artefacts, f"{kind}-{source}-")]
            found[f"{name}_{kind}_{source}"] = statistics.mean(values)
        finds = [scratch.read_architectures(search.folder)[0] for search in _of(artefacts, f"darts-{source}-")]
        found[f"skip_connections_darts_{source}"] = statistics.mean([text.count("skip_connect") for text in finds])
    return found


def _of_table(artefacts: Mapping[str, Artefact], settings: Settings) -> dict[str, Any]:
    table, given = table_of(artefacts), tables.given(settings)
    accuracies, space = [row[1] for row in table.rows], nasbench.Space(table.kind)
    best, mean = max(accuracies), statistics.mean(accuracies)
    found: dict[str, Any] = {
        "table_name": given.name if given else "trained here",
        "table_digest": table.digest[:16],
    }
    found |= {"table_architectures": len(accuracies), "table_kind": table.kind, "table_best": best, "table_mean": mean}
    found |= {"table_least": min(accuracies), "regret_lot": 100 * (best - mean)}
    return found | {"entropy_start": statistics.mean([math.log(count) for count in space.options])}


def _rows(artefact: Artefact) -> list[dict[str, Any]]:
    return logs.read(artefact.folder / LOG)


def _of(artefacts: Mapping[str, Artefact], front: str) -> list[Artefact]:
    return [artefact for label, artefact in artefacts.items() if label.startswith(front)]
