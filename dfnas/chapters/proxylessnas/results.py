"""What the ProxylessNAS chapter found: how its searches moved, and what their finds cost and are worth."""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from dfnas.chapters.proxylessnas import latency
from dfnas.chapters.proxylessnas.experiment import costs_of, snapshots, space_of
from dfnas.models import mbconv
from dfnas.profiles import Settings
from dfnas.runtime import statistics
from dfnas.runtime.artefacts import Artefact
from dfnas.search import scratch, standings


def metrics(artefacts: Mapping[str, Artefact], settings: Settings) -> dict[str, Any]:
    """For the record, of the artefacts of `compute`: all that the chapter found, and the settings that prose quotes."""
    chapter, space, labels = (
        settings.proxylessnas,
        space_of(settings),
        scratch.searches(settings, settings.proxylessnas.scratch),
    )
    measured, one = artefacts.get("latency", Path(chapter.latency_table)), next(iter(labels))
    table, log = latency.read(measured), _read(artefacts[f"search-{one}"], "updates")
    found: dict[str, Any] = standings.told(artefacts, chapter.scratch)
    found |= finds(artefacts, measured, settings)
    for name in dict(labels.values()):
        made = [moves(artefacts[f"search-{label}"]) for label, (source, _) in labels.items() if source == name]
        found |= {f"{what}_{name}": statistics.mean([each[what] for each in made]) for what in made[0]}
        found[f"entropy_start_{name}"] = log["entropy"][0]
        found[f"entropy_end_{name}"] = statistics.summary([each["entropy"] for each in made])
    networks = _read(artefacts["latency-networks"], "networks")
    latencies = latency.errors(networks) | {name: table[name] for name in ("batch", "threads", "repeats")}
    latencies |= {"networks": len(networks["measured"]), "operators": len(table["operators"])}
    found |= {f"latency_{name}": value for name, value in latencies.items()}
    found["warm_up_steps"] = _read(artefacts[f"warm-up-{one}"], "history")["step"][-1]
    found |= {"search_steps": log["steps"][-1] + 1, "entropy_start": log["entropy"][0]}
    held_out = chapter.validation_each * settings.data.classes
    found |= {"held_out": held_out, "judged": min(chapter.judged_batch, held_out), "classes": settings.data.classes}
    found |= {"blocks": len(space.blocks), "space": space.networks}
    if any(f"like_{other}" in name for name in found for other in ("real", "again")):
        found["like_chance"] = sum(1 / shape.operations for shape in space.blocks)
    fields = ("update", "cost", "updates", "samples", "exponent", "labels", "temperature")
    return found | {field: getattr(chapter, field) for field in fields}


def moves(search: Artefact) -> dict[str, float]:
    """Means over a search's first and last tenth of updates, and how sure of its choices it ended.

    `spread` is that of the accuracies within an update; 0 by gradients, which judge one path an update.
    """
    log = _read(search, "updates")
    tenth = max(1, len(log["reward"]) // 10)
    found = {"entropy": log["entropy"][-1], "certainty": float(snapshots(search)[-1].max(-1).values.mean())}
    for column in ("accuracy", "reward", "cost"):
        found[f"{column}_first"] = statistics.mean(log[column][:tenth])
        found[f"{column}_last"] = statistics.mean(log[column][-tenth:])
    return found | {"spread": statistics.mean(log.get("spread", [0.0])[:tenth])}


def finds(artefacts: Mapping[str, Artefact], measured: Artefact | Path, settings: Settings) -> dict[str, float]:
    """What each source's finds cost, how many blocks they leave out, and how many they share with others; means.

    `like_real`: blocks that are the same in a find on real images; `like_again`: in another find on the same source.
    """
    costs, table = costs_of(settings, measured), latency.read(measured)
    choices: dict[str, list[tuple[int, ...]]] = {}
    for label, (name, _) in scratch.searches(settings, settings.proxylessnas.scratch).items():
        text = scratch.read_architectures(artefacts[f"search-{label}"].folder)[0]
        choices.setdefault(name, []).append(mbconv.from_text(text)[0])
    found: dict[str, float] = {}
    for name, chosen in choices.items():
        found[f"relative_cost_{name}"] = float(costs.of(torch.tensor(chosen)).mean() / costs.reference)
        found[f"latency_{name}"] = statistics.mean([latency.predict(table, each, settings) for each in chosen])
        found[f"left_out_{name}"] = statistics.mean([each.count(mbconv.ZERO) for each in chosen])
        if name != "real" and "real" in choices:
            found[f"like_real_{name}"] = _alike(itertools.product(chosen, choices["real"]))
        if len(chosen) > 1:
            found[f"like_again_{name}"] = _alike(itertools.combinations(chosen, 2))
    return found


def _alike(pairs: Iterable[tuple[Sequence[int], Sequence[int]]]) -> float:
    return statistics.mean([sum(map(int.__eq__, *pair)) for pair in pairs])


def _read(artefact: Artefact, name: str) -> dict[str, Any]:
    return json.loads((artefact.folder / f"{name}.json").read_bytes())
