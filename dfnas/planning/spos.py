"""What chapter 6 would cost."""

from typing import Any

import torch

from dfnas import models, sources, spos
from dfnas.models import cost, shufflenet
from dfnas.planning import rows
from dfnas.profiles import Settings


def plan(settings: Settings) -> list[dict[str, Any]]:
    """The supernets, the candidates' forward passes, and the trainings of what is found."""
    chapter, data = spos.chapter_of(settings), settings.data
    space, side = spos.space_of(settings), chapter.side or data.region
    path = tuple(index % len(shufflenet.CHOICES) for index in range(len(space.blocks)))  # of middling cost
    text = shufflenet.to_text(path, space)
    held_out = chapter.validation_each * data.classes
    learnt = settings.synthesis.images - held_out
    supernets = rows.train(f"supernets x {len(sources.NAMES)}", settings, text, chapter.search, learnt, chapter.side)
    with torch.device("meta"):
        network = shufflenet.Supernet(space, data.classes, data.channels)
    supernets["bytes_disk"] = 4 * cost.parameters(network)
    if chapter.labels == "online":
        teacher = models.build(settings.teacher.network, data.classes, data.channels)
        forward = cost.macs(teacher, (data.channels, data.region, data.region))
        supernets = rows.scaled(supernets, 1 + forward * supernets["images"] / supernets["macs"])
    candidates = chapter.evolution.population * (chapter.evolution.generations + 1)
    images = candidates * (min(chapter.recalibration * chapter.search.batch, learnt) + held_out)
    searches = rows.cost_row(
        f"evolution x {len(sources.NAMES)}",
        settings,
        iterations=candidates,
        images=images,
        pieces=chapter.evolution.population,
        macs=images * shufflenet.macs(space, path, side, data.classes, data.channels),
        bytes_disk=200 * candidates,
        memory_mb=chapter.search.batch
        * cost.activations(rows.meta_network(text, settings), (data.channels, side, side))
        * 4
        / 1e6,
    )
    return [
        rows.synthetic_set("synthesis", settings, settings.synthesis),
        rows.times(supernets, len(sources.NAMES)),
        rows.times(searches, len(sources.NAMES)),
        rows.from_scratch(settings, chapter.scratch, text),
    ]
