"""What a chapter would cost, from shapes alone: nothing is run."""

import dataclasses
from typing import Any

import torch
from torch import nn

from dfnas import calibration, darts, models, sources, spos, synthesis, training
from dfnas.models import cost, darts_supernet, shufflenet
from dfnas.models import darts as cells
from dfnas.profiles import ScratchSettings, Settings, StudentSettings, SynthesisSettings, TrainingSettings

# Multiply-adds a second that convolutions reach in practice: two cores here in fp32 (measured), and the rate that the
# plan assumes of a data-centre GPU (100 TFLOP/s effective).
CPU_RATE, GPU_RATE = 4.5e10, 5e13
# Bytes a second, for networks of depthwise convolutions, which wait for memory: what two cores here copy, less what
# batches get in each other's way; and a data-centre GPU's data sheet, likewise. An activation passes by four times a
# stored copy.
CPU_BANDWIDTH, GPU_BANDWIDTH, TRAFFIC = 1e10, 1e12, 4


def rows(name: str, settings: Settings) -> list[dict[str, Any]]:
    """One row a stage: iterations, images, MACs, bytes on disk, memory in MB, estimated seconds on this device."""
    return CHAPTERS[name](settings)


def _teacher(settings: Settings) -> list[dict[str, Any]]:
    if settings.teacher.path:
        return []
    return [_training("teacher", settings, settings.teacher.network, settings.teacher.training, _real(settings))]


def _synthesis(settings: Settings) -> list[dict[str, Any]]:
    small = dataclasses.replace(settings.synthesis, images=settings.evaluation.ablation_images, rounds=1)
    students_row = _student(
        f"students x {settings.student.seeds}", settings, settings.student, settings.synthesis.images
    )
    return [
        _set("synthesis", settings, settings.synthesis),
        _times(students_row, settings.student.seeds),
        _verifier(settings),
        _times(_set(f"ablations x {len(synthesis.ABLATIONS)}", settings, small), len(synthesis.ABLATIONS)),
    ]


def _calibration(settings: Settings) -> list[dict[str, Any]]:
    chapter = settings.calibration
    rounds = calibration.calibrated(settings)
    single = dataclasses.replace(settings.synthesis, images=chapter.images, rounds=1)
    arms, seeds = len(calibration.ARMS), chapter.seeds  # and the real arm, less the one with online labels
    stored = dataclasses.replace(chapter.student, labels="stored")
    row = _student(f"arms x {arms} x {seeds} seeds", settings, stored, chapter.images)
    online = dataclasses.replace(chapter.student, labels="online")
    online_row = _student(f"online arm x {seeds} seeds", settings, online, chapter.images)
    return [
        _set("synthesis", settings, rounds),
        _times(_set("jitter and whole canvas", settings, single), 2),
        _times(row, arms * seeds),
        _times(online_row, seeds),
        _verifier(settings),
    ]


def _darts(settings: Settings) -> list[dict[str, Any]]:
    """The searches, each step of which takes several passes, and the trainings of what they find."""
    chapter = darts.chapter_of(settings)
    searches = len(sources.NAMES) + chapter.search_seeds - 1
    network = darts_network(settings)
    half, recipe = settings.synthesis.images // 2, chapter.search
    row = _training(f"searches x {searches}", settings, network, recipe, half, chapter.side)
    # In passes over the supernet's multiply-adds: 3 move the weights. First order: forward and the gradient of what
    # flows. Second order: two whole gradients, and two of the parameters alone.
    row = _scaled(row, (3 + (2 if chapter.order == "first" else 10)) / 3)
    size = cells.Size(chapter.scratch_channels, chapter.scratch_cells)
    judged = cells.to_text(cells.DARTS_V2, size)  # of the cost of what is found, which is not known yet
    return [
        _set("synthesis", settings, settings.synthesis),
        _times(row, searches),
        _from_scratch(settings, chapter.scratch, judged),
    ]


def darts_network(settings: Settings) -> nn.Module:
    """The supernet of chapter 5 at full size, on the meta device: shapes without memory."""
    chapter, data = darts.chapter_of(settings), settings.data
    with torch.device("meta"):
        size = cells.Size(chapter.channels, chapter.cells)
        return darts_supernet.Supernet(size, data.classes, data.channels, fast=False)


def _spos(settings: Settings) -> list[dict[str, Any]]:
    """The supernets, the candidates' forward passes, and the trainings of what is found."""
    chapter, data = spos.chapter_of(settings), settings.data
    space, side = spos.space_of(settings), chapter.side or data.region
    path = tuple(index % len(shufflenet.CHOICES) for index in range(len(space.blocks)))  # of middling cost
    text = shufflenet.to_text(path, space)
    held_out = chapter.validation_each * data.classes
    learnt = settings.synthesis.images - held_out
    supernets = _training(f"supernets x {len(sources.NAMES)}", settings, text, chapter.search, learnt, chapter.side)
    with torch.device("meta"):
        network = shufflenet.Supernet(space, data.classes, data.channels)
    supernets["bytes_disk"] = 4 * cost.parameters(network)
    if chapter.labels == "online":
        teacher = models.build(settings.teacher.network, data.classes, data.channels)
        forward = cost.macs(teacher, (data.channels, data.region, data.region))
        supernets = _scaled(supernets, 1 + forward * supernets["images"] / supernets["macs"])
    candidates = chapter.evolution.population * (chapter.evolution.generations + 1)
    images = candidates * (min(chapter.recalibration * chapter.search.batch, learnt) + held_out)
    searches = _row(
        f"evolution x {len(sources.NAMES)}",
        settings,
        iterations=candidates,
        images=images,
        macs=images * shufflenet.macs(space, path, side, data.classes, data.channels),
        bytes_disk=200 * candidates,
        memory_mb=chapter.search.batch
        * cost.activations(_network(text, settings), (data.channels, side, side))
        * 4
        / 1e6,
    )
    return [
        _set("synthesis", settings, settings.synthesis),
        _times(supernets, len(sources.NAMES)),
        _times(searches, len(sources.NAMES)),
        _from_scratch(settings, chapter.scratch, text),
    ]


def _from_scratch(settings: Settings, scratch: ScratchSettings, text: str) -> dict[str, Any]:
    count = len(sources.NAMES) * scratch.seeds + scratch.random
    row = _training(f"from scratch x {count}", settings, text, scratch.training, _real(settings), scratch.side)
    return _times(row, count)


def _set(name: str, settings: Settings, chosen: SynthesisSettings) -> dict[str, Any]:
    """Forward and input gradient: two passes over the teacher's MACs, at the side of each resolution stage."""
    data, made = settings.data, synthesis.batch_count(chosen) * chosen.batch * chosen.rounds
    network = models.build(settings.teacher.network, data.classes, data.channels)
    forward = cost.macs(network, (data.channels, data.region, data.region))
    share = sum(count / scale**2 for scale, count, _ in chosen.stages)
    kept = made if chosen.keep_rounds == "all" else made // chosen.rounds
    shape = (data.channels, data.region, data.region)
    return _row(
        name,
        settings,
        iterations=made // chosen.batch * sum(count for _, count, _ in chosen.stages),
        images=made,
        share=share / sum(count for _, count, _ in chosen.stages),
        macs=2 * forward * share * made,
        bytes_disk=kept * (data.channels * data.canvas**2 + 2 * data.classes),
        memory_mb=chosen.batch * cost.activations(network, shape) * 4 * 3 / 1e6,
    )


def _student(name: str, settings: Settings, student: StudentSettings, images: int) -> dict[str, Any]:
    row = _training(name, settings, student.network, student.training, images, student.side)
    if student.labels == "online":
        data = settings.data
        network = models.build(settings.teacher.network, data.classes, data.channels)
        teacher = cost.macs(network, (data.channels, data.region, data.region)) * row["images"]
        row = _scaled(row, 1 + teacher / row["macs"])
    return row


def _verifier(settings: Settings) -> dict[str, Any]:
    evaluation = settings.evaluation
    return _training("verifier", settings, evaluation.verifier_network, evaluation.verifier, _real(settings))


def _training(
    name: str, settings: Settings, chosen: str | nn.Module, recipe: TrainingSettings, count: int, side: int = 0
) -> dict[str, Any]:
    """Forward, input and weight gradients: three passes over the network's MACs, at the side of each step."""
    data = settings.data
    network = _network(chosen, settings) if isinstance(chosen, str) else chosen
    side = side or data.region
    steps = training.steps_of(recipe, count)
    forward = cost.macs(network, (data.channels, side, side))
    rest = 1 - sum(share for _, share in recipe.resolutions)
    share = rest + sum(part * (size / side) ** 2 for size, part in recipe.resolutions)
    shape = (data.channels, side, side)
    return _row(
        name,
        settings,
        iterations=steps,
        images=steps * recipe.batch,
        share=share,
        macs=3 * forward * share * steps * recipe.batch,
        bytes_disk=4 * cost.parameters(network),
        memory_mb=(recipe.batch * cost.activations(network, shape) * 4 * 3 + 16 * cost.parameters(network)) / 1e6,
    )


def _network(name: str, settings: Settings) -> nn.Module:
    with torch.device("meta"):
        return models.build(name, settings.data.classes, settings.data.channels)


def _scaled(row: dict[str, Any], factor: float) -> dict[str, Any]:
    """A row whose iterations take `factor` times as many passes."""
    return {**row, "macs": row["macs"] * factor, "seconds_estimate": row["seconds_estimate"] * factor}


def _real(settings: Settings) -> int:
    """Images of the train split."""
    data = settings.data
    known = {"digits": 1150, "cifar10": 45_000}
    return known.get(data.name, data.images_per_class * data.classes)


def _row(name: str, settings: Settings, share: float = 1.0, **facts: Any) -> dict[str, Any]:
    """A row; `share` is the mean size of what the iterations move, where some see smaller images."""
    gpu = settings.run.device == "cuda" or settings.profile.startswith("paper")
    computing = facts["macs"] / (GPU_RATE if gpu else CPU_RATE)
    moving = (
        share * facts["iterations"] * facts["memory_mb"] * 1e6 * TRAFFIC / (GPU_BANDWIDTH if gpu else CPU_BANDWIDTH)
    )
    return {"stage": name, **facts, "seconds_estimate": max(computing, moving)}


def _times(row: dict[str, Any], count: int) -> dict[str, Any]:
    several = ("iterations", "images", "macs", "bytes_disk", "seconds_estimate")
    return {key: value * count if key in several else value for key, value in row.items()}


CHAPTERS = {
    "01-teacher": _teacher,
    "02-synthesis": _synthesis,
    "03-calibration": _calibration,
    "05-darts": _darts,
    "06-spos": _spos,
}
