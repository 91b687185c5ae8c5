"""What chapter 5 would cost."""

from typing import Any

import torch
from torch import nn

from dfnas import darts, sources
from dfnas.models import darts as cells
from dfnas.models import darts_supernet
from dfnas.planning import rows
from dfnas.profiles import Settings


def plan(settings: Settings) -> list[dict[str, Any]]:
    """The searches, each step of which takes several passes, and the trainings of what they find."""
    chapter = darts.chapter_of(settings)
    searches = len(sources.NAMES) + chapter.search_seeds - 1
    network = darts_network(settings)
    half, recipe = settings.synthesis.images // 2, chapter.search
    row = rows.train(f"searches x {searches}", settings, network, recipe, half, chapter.side)
    # In passes over the supernet's multiply-adds: 3 move the weights. First order: forward and the gradient of what
    # flows. Second order: two whole gradients, and two of the parameters alone.
    row = rows.scaled(row, (3 + (2 if chapter.order == "first" else 10)) / 3)
    size = cells.Size(chapter.scratch_channels, chapter.scratch_cells)
    judged = cells.to_text(cells.DARTS_V2, size)  # of the cost of what is found, which is not known yet
    return [
        rows.synthetic_set("synthesis", settings, settings.synthesis),
        rows.times(row, searches),
        rows.from_scratch(settings, chapter.scratch, judged),
    ]


def darts_network(settings: Settings) -> nn.Module:
    """The supernet of chapter 5 at full size, on the meta device: shapes without memory."""
    chapter, data = darts.chapter_of(settings), settings.data
    with torch.device("meta"):
        size = cells.Size(chapter.channels, chapter.cells)
        return darts_supernet.Supernet(size, data.classes, data.channels, fast=False)
