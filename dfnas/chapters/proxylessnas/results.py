"""What the ProxylessNAS chapter found: how its searches moved, and what their finds cost and are worth."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from dfnas.chapters.proxylessnas import latency
from dfnas.chapters.proxylessnas.experiment import costs_of, snapshots, space_of
from dfnas.data import origins
from dfnas.models import mbconv
from dfnas.profiles import Settings
from dfnas.runtime import statistics
from dfnas.runtime.artefacts import Artefact
from dfnas.search import scratch, standings


def metrics(artefacts: Mapping[str, Artefact], settings: Settings) -> dict[str, Any]:
    """For the record, of the artefacts of `compute`: all that the chapter found, and the settings that prose quotes."""
    chapter, space, names = settings.proxylessnas, space_of(settings), origins.names(settings.data)
    measured = artefacts.get("latency", Path(chapter.latency_table))
    table, one = latency.read(measured), "real" if "real" in names else "synthetic"  # of steps that all share
    log = _read(artefacts[f"search-{one}"], "updates")
    found: dict[str, Any] = standings.told(artefacts, chapter.scratch.tolerance)
    found |= finds(artefacts, measured, settings)
    for name in names:
        found |= {f"{what}_{name}": value for what, value in moves(artefacts[f"search-{name}"]).items()}
    networks = _read(artefacts["latency-networks"], "networks")
    latencies = latency.errors(networks) | {name: table[name] for name in ("batch", "threads", "repeats")}
    latencies |= {"networks": len(networks["measured"]), "operators": len(table["operators"])}
    found |= {f"latency_{name}": value for name, value in latencies.items()}
    found["warm_up_steps"] = _read(artefacts[f"warm-up-{one}"], "history")["step"][-1]
    found |= {"search_steps": log["steps"][-1] + 1, "entropy_start": log["entropy"][0]}
    held_out = chapter.validation_each * settings.data.classes
    found |= {"held_out": held_out, "judged": min(chapter.judged_batch, held_out), "classes": settings.data.classes}
    found |= {"blocks": len(space.blocks), "space": space.networks, "tolerance": chapter.scratch.tolerance}
    if "real" in names:
        found["like_real_chance"] = sum(1 / shape.operations for shape in space.blocks)
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
    """What each search's find costs, how many blocks it leaves out, and how many it has like that of real images."""
    costs, table = costs_of(settings, measured), latency.read(measured)
    names = origins.names(settings.data)
    texts = {name: scratch.read_architectures(artefacts[f"search-{name}"].folder)[0] for name in names}
    choices = {name: mbconv.from_text(text)[0] for name, text in texts.items()}
    found: dict[str, float] = {}
    for name, chosen in choices.items():
        found[f"relative_cost_{name}"] = float(costs.of(torch.tensor([chosen])) / costs.reference)
        found[f"latency_{name}"] = latency.predict(table, chosen, settings)
        found[f"left_out_{name}"] = chosen.count(mbconv.ZERO)
        if "real" in choices:
            found[f"like_real_{name}"] = sum(map(int.__eq__, chosen, choices["real"]))
    return found


def _read(artefact: Artefact, name: str) -> dict[str, Any]:
    return json.loads((artefact.folder / f"{name}.json").read_bytes())
