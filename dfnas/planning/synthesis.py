"""What chapters 1 to 3 would cost."""

import dataclasses
from typing import Any

from dfnas import calibration, synthesis
from dfnas.planning import rows
from dfnas.profiles import Settings


def plan_teacher(settings: Settings) -> list[dict[str, Any]]:
    """Chapter 1: one training, unless a teacher is given."""
    if settings.teacher.path:
        return []
    return [
        rows.train("teacher", settings, settings.teacher.network, settings.teacher.training, rows.real_images(settings))
    ]


def plan_synthesis(settings: Settings) -> list[dict[str, Any]]:
    """Chapter 2: the synthetic set, what judges it, and small sets with a term left out."""
    small = dataclasses.replace(settings.synthesis, images=settings.evaluation.ablation_images, rounds=1)
    students_row = rows.student(
        f"students x {settings.student.seeds}", settings, settings.student, settings.synthesis.images
    )
    return [
        rows.synthetic_set("synthesis", settings, settings.synthesis),
        rows.times(students_row, settings.student.seeds),
        rows.verifier(settings),
        rows.times(
            rows.synthetic_set(f"ablations x {len(synthesis.ABLATIONS)}", settings, small), len(synthesis.ABLATIONS)
        ),
    ]


def plan_calibration(settings: Settings) -> list[dict[str, Any]]:
    """Chapter 3: sets and students of the arms."""
    chapter = settings.calibration
    rounds = calibration.calibrated(settings)
    single = dataclasses.replace(settings.synthesis, images=chapter.images, rounds=1)
    arms, seeds = len(calibration.ARMS), chapter.seeds  # and the real arm, less the one with online labels
    stored = dataclasses.replace(chapter.student, labels="stored")
    row = rows.student(f"arms x {arms} x {seeds} seeds", settings, stored, chapter.images)
    online = dataclasses.replace(chapter.student, labels="online")
    online_row = rows.student(f"online arm x {seeds} seeds", settings, online, chapter.images)
    return [
        rows.synthetic_set("synthesis", settings, rounds),
        rows.times(rows.synthetic_set("jitter and whole canvas", settings, single), 2),
        rows.times(row, arms * seeds),
        rows.times(online_row, seeds),
        rows.verifier(settings),
    ]
