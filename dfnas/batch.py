"""Executing notebooks: papermill runs them, `verdicts` judges them, and only a good run takes its place.

A notebook and its record are made in a staging folder and moved into the run folder when they are good; a failed run
goes to failed/ and leaves an earlier good one as it was.
"""

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from dfnas import paths, profiles, provenance, records, verdicts
from dfnas.errors import UserError
from dfnas.execution import Options, papermill_notebook, staging_folder
from dfnas.profiles import Settings


@dataclass(frozen=True)
class State:
    """What there is of a chapter's run: good, older code, stale, failed, unchecked or never run; why; its record."""

    word: str
    why: str = ""
    record: dict[str, Any] | None = None
    by_user: bool = False  # failed for bad input, which has a one-line answer

    @property
    def good(self) -> bool:
        """Whether it may be shown and published."""
        return self.word in ("good", "older code")

    def __str__(self) -> str:
        return f"{self.word} ({self.why})" if self.why else self.word


def choose(names: Sequence[str], settings: Settings) -> list[str]:
    """The chapters named, or all of the profile.

    Raises
    ------
    UserError
        An unknown chapter, or one that the profile does not have.
    """
    for name in names:
        records.require_chapter(name, settings)
    return list(names or settings.chapters)


def source(name: str) -> Path:
    """A chapter's source notebook.

    Raises
    ------
    UserError
        Where there is none.
    """
    path = paths.root() / "notebooks" / f"{name}.ipynb"
    if not path.exists():
        raise UserError(f"notebooks/{name}.ipynb is missing: restore it (git checkout notebooks)")
    return path


def read_notebook(path: Path) -> Any:
    """A notebook, upgraded to the current format; UserError where it cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # missing cell ids are added below us, which is fine
            return nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise UserError(f"cannot read {path}: {str(error).splitlines()[0]}") from None


def state(name: str, settings: Settings) -> State:
    """What there is of a chapter's run, judged anew from its notebook and record."""
    folder = paths.run_folder(settings)
    record = records.read(folder / f"{name}.json")
    failed = records.read(folder / "failed" / f"{name}.json")
    if record is None:
        return _failed(failed) if failed else State("never run")
    if record.get("verdict") != "good":
        return State("unchecked", "run by hand, not by the batch runner", record)
    try:
        notebook = read_notebook(folder / f"{name}.ipynb")
    except UserError as error:
        return State("failed", str(error), record)
    found = verdicts.verdict(notebook, record)
    if found != "good":
        return State("failed", found.removeprefix("failed: "), record)
    if verdicts.content_digest(notebook) != record.get("content_digest"):
        return State("unchecked", "its notebook was changed after the run", record)
    return _fresh(name, settings, record, failed)


def _fresh(name: str, settings: Settings, record: dict[str, Any], failed: dict[str, Any] | None) -> State:
    try:
        keys = stage_keys(name, settings)
    except UserError as error:
        return State("stale", f"cannot tell: {error}", record)
    word = verdicts.freshness(record, read_notebook(source(name)), keys)
    if word.startswith("stale"):
        return State("stale", word.removeprefix("stale (").removesuffix(")"), record)
    why = f"a later run {failed['verdict']}" if failed else ""
    return State("older code" if word == "older code" else "good", why, record)


def stage_keys(name: str, settings: Settings) -> dict[str, str]:
    """The keys of a chapter's stages as they would be today, without running any."""
    from dfnas import chapters  # imported late: it brings torch, which takes seconds

    return chapters.stage_keys(name, settings)


def _failed(record: dict[str, Any]) -> State:
    return State("failed", str(record["verdict"]).removeprefix("failed: "), record)


def run(name: str, settings: Settings, options: Options) -> State:
    """Run a chapter's notebook unless it is good and fresh; say how it went.

    Raises
    ------
    UserError
        The run folder cannot be written, or there is no such notebook.
    """
    there = state(name, settings)
    if there.word == "good" and not options.force:
        return State("kept", there.why, there.record)
    return execute(source(name), name, settings, options)


def execute(path: Path, name: str, settings: Settings, options: Options) -> State:
    """Execute one notebook and put it where it belongs: the run folder when it is good, else failed/."""
    original = read_notebook(path)
    folder = paths.make_folder(paths.run_folder(settings))
    with staging_folder(folder, name) as staging:
        stopped = papermill_notebook(path, staging / f"{name}.ipynb", settings, staging, options)
        notebook = read_notebook(staging / f"{name}.ipynb")
        record = records.read(staging / f"{name}.json")
        found = verdicts.verdict(notebook, record, stopped)
        facts = {**(record or _bare_record(name, settings)), "verdict": found}
        facts["code_digest"] = provenance.code_digest(original.cells)
        facts["content_digest"] = verdicts.content_digest(notebook)
        records.write_json(staging / f"{name}.json", facts)
        _move(staging, folder if found == "good" else folder / "failed", name)
    if found != "good":
        return State("failed", found.removeprefix("failed: "), facts, _is_users(notebook))
    for file in _files(folder / "failed", name):  # the failure before is mended
        file.unlink()
    return State("good", "", facts)


def _files(folder: Path, name: str) -> list[Path]:
    return [*folder.glob(f"{name}.*.json"), *folder.glob(f"{name}.ipynb"), *folder.glob(f"{name}.json")]


def _move(staging: Path, folder: Path, name: str) -> None:
    """Move a run's files; the record last, because it vouches for the others."""
    paths.make_folder(folder)
    try:
        for file in _files(staging, name):
            os.replace(file, folder / file.name)
    except OSError as error:
        raise UserError(f"cannot write {folder} ({error.strerror}): mend it and run again") from None


def _bare_record(name: str, settings: Settings) -> dict[str, Any]:
    """What can be said of a run that left no record."""
    commit, clean = provenance.commit()
    return {
        "name": name,
        "complete": False,
        "profile": settings.profile,
        "seed": settings.seed,
        "overrides": list(settings.overrides),
        "parameters": profiles.to_dict(settings),
        "commit": commit,
        "clean": clean,
    }


def _is_users(notebook: Any) -> bool:
    """Whether bad input ended the run: our own UserError, or a disk or folder that cannot be written."""
    name, text = verdicts.error_name(notebook)
    return name == "UserError" or "[Errno 28]" in text or "[Errno 30]" in text
