"""What a chapter would cost, from shapes alone: nothing is run."""

from typing import Any

from dfnas.planning import darts, spos, synthesis
from dfnas.profiles import Settings

CHAPTERS = {
    "01-teacher": synthesis.plan_teacher,
    "02-synthesis": synthesis.plan_synthesis,
    "03-calibration": synthesis.plan_calibration,
    "05-darts": darts.plan,
    "06-spos": spos.plan,
}


def estimate(name: str, settings: Settings) -> list[dict[str, Any]]:
    """One row a stage: iterations, images, MACs, bytes on disk, memory in MB, estimated seconds on this device."""
    return CHAPTERS[name](settings)
