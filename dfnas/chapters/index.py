"""Which module holds which chapter; a chapter is imported when it is asked for, as most bring torch."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from dfnas import profiles
from dfnas.profiles import Settings
from dfnas.runtime import stages
from dfnas.runtime.artefacts import Artefact


def module(name: str) -> ModuleType:
    """The module of a chapter, `chapters/darts` for 04-darts, with its `compute` and `plan`."""
    return importlib.import_module(f"dfnas.chapters.{name.partition('-')[2].replace('-', '_')}")


def compute(name: str, settings: Settings) -> dict[str, Artefact]:
    """Compute a chapter's stages, or find them done; what can be refused is, before the first of them is made.

    Raises
    ------
    UserError
        A chapter that the book or the profile does not have, data or a teacher that cannot be taken.
    """
    plan(name, settings)
    stage_keys(name, settings)
    return module(name).compute(settings)


def export(name: str, settings: Settings, to: Path, force: bool = False) -> None:
    """Copy the files that a finished chapter left into a folder (see `exports.collect`)."""
    from dfnas.chapters import exports  # imported late: it brings what draws

    profiles.require_chapter(name, settings)
    with stages.dry():
        artefacts = module(name).compute(settings)
    exports.collect(name, artefacts, settings, to, force)


def stage_keys(name: str, settings: Settings) -> dict[str, str]:
    """The keys that the chapter's stages have today, by stage, without computing any."""
    profiles.require_chapter(name, settings)
    return stages.keys(lambda: module(name).compute(settings))


def plan(name: str, settings: Settings) -> list[dict[str, Any]]:
    """What a chapter would cost, from shapes alone: nothing is run.

    A row a stage: iterations, images, MACs, bytes on disk, memory in MB, estimated seconds on this device.
    """
    profiles.require_chapter(name, settings)
    return module(name).plan(settings)
