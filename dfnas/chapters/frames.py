"""Images forming out of noise: a few canvases of the first batch, again and again on their way, as one sheet.

The page lets a reader drag through the iterations and switch terms of the objective on and off.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from dfnas.data import splits
from dfnas.data.images import center_crop, from_input
from dfnas.data.teachers import Teacher
from dfnas.profiles import Settings, SynthesisSettings
from dfnas.runtime import stages
from dfnas.runtime.artefacts import Artefact
from dfnas.runtime.files import write_json
from dfnas.synthesis import inversion, sets

SHOWN, FRAMES = 6, 20  # images, and the moments at which they are kept
LIMIT = 390_000  # letters of the sheet's address, which the page holds
Terms = Mapping[str, Mapping[str, Any]]  # the settings that leave a term of the objective out, by its name
# The sheet without loss where it is small enough, else with as little as makes it so.
QUALITIES: tuple[dict[str, Any], ...] = (
    {"format": "PNG"},
    *({"format": "WEBP", "quality": quality, "method": 6} for quality in (95, 85, 75, 60, 40, 20)),
)


def moments_of(iterations: int, count: int = FRAMES) -> list[int]:
    """After how many iterations a frame is kept: closer together at first, where most happens."""
    return sorted({round(iterations * (index / (count - 1)) ** 1.5) for index in range(count)})


def stage(settings: Settings, teacher: Teacher, synthesis: SynthesisSettings, terms: Terms) -> Artefact:
    """The first batch of round 0 with any of `terms` left out: frames.json, as the page takes it."""
    return stages.stage(
        "synthesis-frames",
        lambda folder: write_json(folder / "frames.json", frames(teacher, synthesis, terms, settings)),
        {"synthesis": synthesis, "terms": dict(terms), "data": splits.geometry(settings.data), "seed": settings.seed},
        inputs=[teacher.digest],
        version=sets.VERSION,
        run=settings.run,
    )


def variants_of(terms: Terms) -> list[list[str]]:
    """What is left out, each way: nothing first, then one term at a time, and at last all of them."""
    return [list(some) for count in range(len(terms) + 1) for some in itertools.combinations(terms, count)]


def frames(teacher: Teacher, synthesis: SynthesisSettings, terms: Terms, settings: Settings) -> dict[str, Any]:
    """The sheet and what it shows: a row of tiles for each image of each variant, a column a frame.

    `iterations` are those of the frames, `classes` the images' slot classes, `variants` what each leaves out, `terms`
    inversion.TERMS for each variant and frame, as the iteration before measured them; of the noise that the first
    begins with. `terms` says which settings leave a term out, by its name.
    """
    run, data, rows, measured = dataclasses.replace(settings.run, compile=False), settings.data, [], []
    variants = variants_of(terms)
    for lacks in variants:
        changes = {field: value for name in lacks for field, value in terms[name].items()}
        variant = dataclasses.replace(synthesis, **changes)
        with splits.no_real_data(), inversion.Inversion(teacher, variant, data, run) as inverter:
            slots = sets.slot_classes(variant, data, settings.seed, 0)
            kept, history = _watched(inverter, slots, settings.seed)
        rows.append(kept)
        times = moments_of(len(history))
        measured.append([[float(f"{term:.4g}") for term in history[max(0, time - 1)].tolist()] for time in times])
    from dfnas.figures import pictures  # imported late: a plan does without

    tiles = np.stack([pictures.checked(frame) for row in rows for frame in row])
    tiles = tiles.reshape(len(rows), len(times), *tiles.shape[1:]).swapaxes(1, 2)
    return {
        "iterations": times,
        "classes": slots[: tiles.shape[1]].tolist(),
        "variants": variants,
        "terms": measured,
        "sheet": sheet(tiles),
    }


def _watched(inverter: inversion.Inverter, slots: Tensor, seed: int) -> tuple[list[Tensor], Tensor]:
    """Central regions uint8 [SHOWN, C, s, s] at each moment, at the region's side; and the terms [iterations, 5]."""
    settings, data, teacher = inverter.settings, inverter.data, inverter.teacher
    kept, wanted = [], set(moments_of(sum(iterations for _, iterations, _ in settings.stages)))

    def watch(done: int, canvas: Tensor) -> None:
        if done in wanted:
            image = from_input(inversion.grown(canvas[:SHOWN], data.canvas), teacher.mean, teacher.std)
            kept.append(center_crop(image.cpu(), data.region))

    _, history = inversion.invert(inverter, slots, seed, 0, 0, watch)
    return kept, history


def sheet(tiles: np.ndarray) -> str:
    """Tiles uint8 [variants, images, frames, C, H, W] as the data address of one picture, variants under each other."""
    from dfnas.figures import pictures

    variants, images, count, channels, height, width = tiles.shape
    whole = tiles.transpose(3, 0, 1, 4, 2, 5).reshape(channels, variants * images * height, count * width)
    found = (pictures.address(whole, **options) for options in QUALITIES)
    return next((each for each in found if len(each) <= LIMIT), pictures.address(whole, **QUALITIES[-1]))
