"""What chapter 9 would cost."""

from typing import Any

from dfnas import distillation
from dfnas.planning import rows
from dfnas.profiles import Settings


def plan(settings: Settings) -> list[dict[str, Any]]:
    """The sets, and a row for the students of each arm."""
    made = [
        rows.synthetic_set("synthesis", settings, settings.synthesis),
        rows.synthetic_set("fewer iterations", settings, distillation.fewer(settings)),
    ]
    for arm in distillation.arms(settings):
        name = f"{arm.experiment} {arm.name} x {arm.seeds}"
        row = rows.student(name, settings, arm.student, images_of(arm, settings))
        made.append(rows.times(row, arm.seeds))
    return made


def images_of(arm: distillation.Arm, settings: Settings) -> int:
    """How many images the students of an arm learn from."""
    if arm.source == "real":
        there = rows.real_images(settings)
        return min(arm.count or there, there)
    slots = arm.count or distillation.slots_of(settings)
    one_round = arm.source == "fewer" or arm.chosen != "all"
    return slots if one_round else slots * settings.synthesis.rounds
