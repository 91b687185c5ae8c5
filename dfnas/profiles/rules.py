"""What fields must be to one another, whatever chapter runs; what one field may hold is with the field."""

import dataclasses
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any

from dfnas.errors import UserError
from dfnas.profiles import settings as parts

# Channels, classes and side of data sets that have but one; images of the others are scaled to the region.
KNOWN = {"digits": (1, 10, 16), "cifar10": (3, 10, 32)}


def check(part: Any, place: str = "") -> None:
    """Refuse fields that do not fit one another, in a part of the settings and in all parts of it.

    Raises
    ------
    UserError
        With the part's path and the fields.
    """
    for where, each in _parts(part, place):
        for fault in FAULTS[type(each)](each) if type(each) in FAULTS else ():
            raise UserError(f"{where}{fault}")


def _parts(part: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """A part of the settings and all parts of it, with the beginnings of their fields' paths."""
    yield place, part
    for field in dataclasses.fields(part):
        if dataclasses.is_dataclass(value := getattr(part, field.name)):
            yield from _parts(value, f"{place}{field.name}.")


def whole_batches(images: int, rounds: int, batch: int, name: str) -> None:
    """Raise UserError, which names the field of the images, unless they are whole batches in each round kept."""
    if images % (batch * rounds):
        raise UserError(f"{name}={images}: it must be a multiple of batch x rounds kept = {batch} x {rounds}")


def _whole(settings: parts.Settings) -> Iterator[str]:
    data, teacher = settings.data, settings.teacher
    if teacher.builder and not teacher.path:
        yield f"teacher.builder={teacher.builder!r}: it has no weights: give teacher.path too"
    if (teacher.mean or teacher.std) and not teacher.path:
        yield "teacher.mean and teacher.std are of a network of one's own: give teacher.path too"
    if {len(teacher.mean), len(teacher.std)} - {0, data.channels}:
        yield f"teacher.mean and teacher.std must both give {data.channels} values, one a channel"
    for place, part in _parts(settings):
        if isinstance(part, parts.TrainingSettings) and part.jitter and data.channels != 3:
            yield f"{place}jitter={part.jitter}: it must be () unless data.channels is 3, as it moves colours"
    for name in ("consistency", "truth"):
        share = getattr(getattr(settings, name), "held_out", 0)
        if share and not 0 < round(share * settings.synthesis.images) < settings.synthesis.images:
            yield f"{name}.held_out={share}: of {settings.synthesis.images} images some must be held out, and not all"
    for scale, iterations, kind in settings.synthesis.stages:
        if data.canvas % scale or data.region % scale:
            yield (
                f"synthesis.stages: ({scale}, {iterations}, {kind!r}) is no stage of canvas {data.canvas} and region "
                f"{data.region}: a scale divides both"
            )


def _data(data: parts.DataSettings) -> Iterator[str]:
    channels, classes, side = KNOWN.get(data.name, (data.channels, data.classes, data.region))
    if (channels, classes) != (data.channels, data.classes):
        yield f"channels={data.channels}, data.classes={data.classes}: {data.name} has {channels}, and {classes}"
    if data.region > min(data.canvas, side):
        yield f"region={data.region}: it must be at most the canvas, {data.canvas}, and the side of an image, {side}"
    if data.name in (*KNOWN, "folder") and data.padding == "reflect" and data.canvas > 3 * side - 2:
        yield f"canvas={data.canvas}: images of {side} are reflected to {3 * side - 2} at most (padding)"
    if len(data.class_names) not in (0, data.classes):
        yield f"class_names: {len(data.class_names)} names, and data.classes is {data.classes}"


def _training(recipe: parts.TrainingSettings) -> Iterator[str]:
    if not (recipe.steps or recipe.epochs):
        yield "steps=0: it must be above 0, or epochs must be"
    if len(recipe.jitter) not in (0, 4):
        yield f"jitter={recipe.jitter}: it must have four values, or none"
    if sum(share for _, share in recipe.resolutions) > 1 + 1e-9:
        yield f"resolutions={recipe.resolutions}: the shares must be at most 1 together"


def _synthesis(chosen: parts.SynthesisSettings) -> Iterator[str]:
    if not len(chosen.learning_rates) == len(chosen.stages) > 0:
        yield f"learning_rates={chosen.learning_rates}: there must be one for each of stages, and a stage at least"
    kept = chosen.rounds if chosen.keep_rounds == "all" else 1
    whole_batches(chosen.images, kept, chosen.batch, "synthesis.images")


def _student(student: parts.StudentSettings | parts.PruningSettings) -> Iterator[str]:
    if student.mixing and student.labels != "online":
        yield f"mixing={student.mixing}: it must be 0 unless labels is online"


def _calibration(chapter: parts.CalibrationSettings) -> Iterator[str]:
    if chapter.student.mixing:  # only the arm of online labels could, and would then differ in more than labels
        yield f"student.mixing={chapter.student.mixing}: it must be 0, as arms differ in labels alone"
    if any(number >= chapter.rounds - 1 for number in chapter.between):
        yield f"between={chapter.between}: it must name rounds between the first and the last, {chapter.rounds - 1}"
    if chapter.images < chapter.rounds:
        yield f"images={chapter.images}: it must be one a round at least, {chapter.rounds}"


def _distillation(chapter: parts.DistillationSettings) -> Iterator[str]:
    if chapter.comparison.mixing:
        yield f"comparison.mixing={chapter.comparison.mixing}: it must be 0, as arms differ in labels alone"


def _space(space: parts.SpaceSettings | parts.MobileSpaceSettings) -> Iterator[str]:
    if not len(space.widths) == len(space.repeats) == len(space.strides) > 0:
        yield f"widths={space.widths}: widths, repeats and strides must each have a value a stage, of one stage or more"


def _evolution(search: parts.EvolutionSettings) -> Iterator[str]:
    if (made := search.mutations + search.crossovers) > search.population:
        yield f"population={search.population}: it must be mutations + crossovers or more, {made}"


def _scratch(scratch: parts.ScratchSettings) -> Iterator[str]:
    named = [name for name, _ in scratch.searches]
    if "synthetic" not in named or len(set(named)) < len(named):
        yield f"searches={scratch.searches}: it must name synthetic, and each source once"


def _spos(chapter: parts.SposSettings) -> Iterator[str]:
    if len(chapter.bins) == 1 or list(chapter.bins) != sorted(set(chapter.bins)):
        yield f"bins={chapter.bins}: it must be two or more numbers that rise, or none"


def _darts(chapter: parts.DartsSettings | parts.MixtureSettings) -> Iterator[str]:
    if chapter.search.optimiser != "sgd" and chapter.order != "first":
        yield f"search.optimiser={chapter.search.optimiser}: it must be sgd unless order is first"
    for name in ("averaging", "label_smoothing"):
        if value := getattr(chapter.search, name):
            yield f"search.{name}={value}: it must be 0, as these weights move the architecture"


def _proxylessnas(chapter: parts.ProxylessSettings) -> Iterator[str]:
    if (steps := chapter.search.steps) and round(chapter.delay * steps) >= steps:
        yield f"delay={chapter.delay}: it must leave a step of the search's {steps} to an update"
    for name, recipe in (("search", chapter.search), ("warm_up", chapter.warm_up)):
        if recipe.averaging:
            yield f"{name}.averaging={recipe.averaging}: it must be 0, as paths are judged by these weights"


def _run(run: parts.RunSettings) -> Iterator[str]:
    if run.tensorboard and importlib.util.find_spec("tensorboard") is None:
        yield "tensorboard=True: it needs a package that is not installed: pip install tensorboard"


FAULTS: dict[type, Callable[[Any], Iterator[str]]] = {
    parts.Settings: _whole,
    parts.RunSettings: _run,
    parts.DataSettings: _data,
    parts.TrainingSettings: _training,
    parts.SynthesisSettings: _synthesis,
    parts.StudentSettings: _student,
    parts.PruningSettings: _student,
    parts.CalibrationSettings: _calibration,
    parts.DistillationSettings: _distillation,
    parts.SpaceSettings: _space,
    parts.MobileSpaceSettings: _space,
    parts.EvolutionSettings: _evolution,
    parts.ScratchSettings: _scratch,
    parts.SposSettings: _spos,
    parts.DartsSettings: _darts,
    parts.MixtureSettings: _darts,
    parts.ProxylessSettings: _proxylessnas,
}
