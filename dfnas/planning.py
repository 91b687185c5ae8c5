"""What a chapter would cost, from shapes alone: nothing is run."""

import dataclasses
from typing import Any

from dfnas import calibration, models, synthesis, training
from dfnas.models import cost
from dfnas.profiles import Settings, StudentSettings, SynthesisSettings, TrainingSettings

# Multiply-adds a second that convolutions reach in practice: two cores here in fp32 (measured), and the rate that the
# specification assumes of a data-centre GPU (100 TFLOP/s effective).
CPU_RATE, GPU_RATE = 4.5e10, 5e13


def rows(name: str, settings: Settings) -> list[dict[str, Any]]:
    """One row a stage: iterations, images, MACs, bytes on disk, memory in MB, estimated seconds on this device."""
    return {"01-teacher": _teacher, "02-synthesis": _synthesis, "03-calibration": _calibration}[name](settings)


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
        macs=2 * forward * share * made,
        bytes_disk=kept * (data.channels * data.canvas**2 + 2 * data.classes),
        memory_mb=chosen.batch * cost.activations(network, shape) * 4 * 3 / 1e6,
    )


def _student(name: str, settings: Settings, student: StudentSettings, images: int) -> dict[str, Any]:
    row = _training(name, settings, student.network, student.training, images, student.side)
    if student.labels == "online":
        data = settings.data
        network = models.build(settings.teacher.network, data.classes, data.channels)
        row["macs"] += cost.macs(network, (data.channels, data.region, data.region)) * row["images"]
        row["seconds_estimate"] = row["macs"] / _rate(settings)
    return row


def _verifier(settings: Settings) -> dict[str, Any]:
    evaluation = settings.evaluation
    return _training("verifier", settings, evaluation.verifier_network, evaluation.verifier, _real(settings))


def _training(
    name: str, settings: Settings, network_name: str, recipe: TrainingSettings, count: int, side: int = 0
) -> dict[str, Any]:
    """Forward, input and weight gradients: three passes over the network's MACs, at the side of each step."""
    data = settings.data
    network = models.build(network_name, data.classes, data.channels)
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
        macs=3 * forward * share * steps * recipe.batch,
        bytes_disk=4 * cost.parameters(network),
        memory_mb=(recipe.batch * cost.activations(network, shape) * 4 * 3 + 16 * cost.parameters(network)) / 1e6,
    )


def _real(settings: Settings) -> int:
    """Images of the train split."""
    data = settings.data
    known = {"digits": 1150, "cifar10": 45_000}
    return known.get(data.name, data.images_per_class * data.classes)


def _row(name: str, settings: Settings, **facts: Any) -> dict[str, Any]:
    return {"stage": name, **facts, "seconds_estimate": facts["macs"] / _rate(settings)}


def _rate(settings: Settings) -> float:
    return GPU_RATE if settings.run.device == "cuda" or settings.profile.startswith("paper") else CPU_RATE


def _times(row: dict[str, Any], count: int) -> dict[str, Any]:
    several = ("iterations", "images", "macs", "bytes_disk", "seconds_estimate")
    return {key: value * count if key in several else value for key, value in row.items()}
