"""What a chapter would cost, from shapes alone: nothing is run."""

from typing import Any

from dfnas.planning import consistency, darts, distillation, proxylessnas, pruning, results, spos, synthesis
from dfnas.profiles import Settings

CHAPTERS = {
    "01-teacher": synthesis.plan_teacher,
    "02-synthesis": synthesis.plan_synthesis,
    "03-calibration": synthesis.plan_calibration,
    "04-consistency": consistency.plan,
    "05-darts": darts.plan,
    "06-spos": spos.plan,
    "07-proxylessnas": proxylessnas.plan,
    "08-pruning": pruning.plan,
    "09-distillation": distillation.plan,
    "10-results": results.plan,
    "11-kernels": results.plan,
}


def estimate(name: str, settings: Settings) -> list[dict[str, Any]]:
    """One row a stage: iterations, images, MACs, bytes on disk, memory in MB, estimated seconds on this device."""
    return CHAPTERS[name](settings)
