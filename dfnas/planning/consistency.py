"""What chapter 4 would cost."""

from typing import Any

from dfnas import consistency, spos
from dfnas.models import cost, shufflenet
from dfnas.models import darts as cells
from dfnas.planning import rows
from dfnas.planning import spos as spos_plan
from dfnas.profiles import Settings


def plan(settings: Settings) -> list[dict[str, Any]]:
    """The trainings from scratch on each source, and the forward passes of paths through supernets."""
    chapter = consistency.chapter_of(settings)
    planned = [rows.synthetic_set("synthesis", settings, settings.synthesis)]
    if chapter.architectures:
        text = cells.to_text(cells.DARTS_V2, cells.Size(chapter.channels, chapter.cells))  # of middling cost
        for arm in consistency.ARMS:
            real = consistency.source_of(arm) == "real"
            images = rows.real_images(settings) if real else settings.synthesis.images
            row = rows.train(f"{arm} x {chapter.architectures}", settings, text, chapter.training, images, chapter.side)
            # A network of a few cells is trained by one device, and the others train other ones.
            planned.append(rows.times(row, chapter.architectures) | {"pieces": chapter.architectures})
    if chapter.candidates:
        supernets = next(row for row in spos_plan.plan(settings) if row["stage"].startswith("supernets"))
        # Chapter 6 plans three; one more is trained for the ceiling.
        several = {**rows.times(supernets, len(consistency.ARMS)), "stage": f"supernets x {len(consistency.ARMS)}"}
        planned += [rows.scaled(several, 1 / 3), _judgements(settings)]
    return planned


def _judgements(settings: Settings) -> dict[str, Any]:
    chapter, paths, data = consistency.chapter_of(settings), spos.chapter_of(settings), settings.data
    space, side = spos.space_of(settings), paths.side or data.region
    path = tuple(index % len(shufflenet.CHOICES) for index in range(len(space.blocks)))  # of middling cost
    held_out = paths.validation_each * data.classes
    each = paths.recalibration * paths.search.batch + held_out + chapter.validation_images
    judged = len(consistency.ARMS) * chapter.candidates
    text = shufflenet.to_text(path, space)
    values = cost.activations(rows.meta_network(text, settings), (data.channels, side, side))
    return rows.cost_row(
        f"judging x {judged}",
        settings,
        iterations=judged,
        images=judged * each,
        pieces=1,
        macs=judged * each * shufflenet.macs(space, path, side, data.classes, data.channels),
        bytes_disk=200 * judged,
        memory_mb=paths.search.batch * values * 4 / 1e6,
    )
