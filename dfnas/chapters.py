"""Which module computes which chapter."""

import importlib
from typing import Any

from dfnas import stages
from dfnas.profiles import CHAPTERS, Settings
from dfnas.records import require_chapter

MODULES = {
    "01-teacher": "dfnas.teacher",
    "02-synthesis": "dfnas.synthesis",
    "03-calibration": "dfnas.calibration",
    "04-consistency": "dfnas.consistency",
    "05-darts": "dfnas.darts",
    "06-spos": "dfnas.spos",
    "07-proxylessnas": "dfnas.proxylessnas",
    "08-pruning": "dfnas.metapruning",
    "09-distillation": "dfnas.distillation",
    "10-results": "dfnas.results",
    "11-kernels": "dfnas.benchmarking",
}
assert tuple(MODULES) == CHAPTERS


def compute(name: str, settings: Settings) -> dict[str, stages.Artefact]:
    """Compute a chapter's stages, or find them done.

    Raises
    ------
    UserError
        A chapter that the book or the profile does not have.
    """
    require_chapter(name, settings)
    return importlib.import_module(MODULES[name]).compute(settings)


def stage_keys(name: str, settings: Settings) -> dict[str, str]:
    """The keys that the chapter's stages have today, by stage, without computing any."""
    require_chapter(name, settings)
    return stages.keys(lambda: importlib.import_module(MODULES[name]).compute(settings))


def plan(name: str, settings: Settings) -> list[dict[str, Any]]:
    """What a chapter would cost, a row a stage: see `dfnas.planning`."""
    from dfnas import planning

    require_chapter(name, settings)
    return planning.estimate(name, settings)
