"""Tiny notebooks of three lines, to test the machinery around notebooks in seconds: they need no torch."""

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from dfnas import profiles
from dfnas.publishing import runner, status
from dfnas.runtime import paths

PROFILE = "smoke"
NAME = "01-teacher"
DEFAULTS = f'profile: str = "{PROFILE}"\nseed: int = 0\noverrides: list = []'
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
FIGURE = {"mystnb": {"figure": {"name": "fig-tiny", "caption": "A caption."}, "image": {"alt": "a line"}}}


def begin(name: str) -> str:
    """The first code cell after the parameters."""
    return f'from dfnas import records\n\nrun = records.begin("{name}", profile, seed, overrides, globals())'


def notebook(*code: str, name: str = NAME, finish: bool = True, prose: str = "Some prose.") -> Any:
    """A chapter's notebook with a few cells of code."""
    cells = [
        new_markdown_cell(f"# Chapter {name}\n\n{prose}", id="title"),
        new_code_cell(DEFAULTS, id="parameters", metadata={"tags": ["parameters", "hide-input"]}),
        new_code_cell(begin(name), id="begin"),
        *(new_code_cell(text, id=f"code-{number}") for number, text in enumerate(code)),
    ]
    if finish:
        cells += [new_code_cell("run.card()", id="card"), new_code_cell("run.finish()", id="finish")]
    return new_notebook(cells=cells, metadata={"kernelspec": KERNEL})


class Book:
    """A repository of tiny notebooks in a temporary folder, with its runs."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.runs = folder / "runs"
        (self.root / "notebooks").mkdir(parents=True)

    def write(self, *code: str, name: str = NAME, **options: Any) -> Path:
        """Write a chapter's source notebook."""
        path = self.root / "notebooks" / f"{name}.ipynb"
        nbformat.write(notebook(*code, name=name, **options), path)
        return path

    def run(self, name: str = NAME, profile: str = PROFILE, **options: Any) -> status.State:
        """Run a chapter's notebook, in one profile as it stands."""
        return runner.run(name, profiles.load(profile), runner.Options(**options))

    def state(self, name: str = NAME, profile: str = PROFILE) -> status.State:
        """What there is of a chapter's run."""
        return status.state(name, profiles.load(profile))

    def record(self, name: str = NAME, profile: str = PROFILE, folder: str = "") -> dict[str, Any]:
        """The record that a run left."""
        return json.loads((self.runs / profile / folder / f"{name}.json").read_bytes())

    def files(self, profile: str = PROFILE) -> dict[str, bytes]:
        """Every file of a run folder, failed runs and logs left out."""
        folder = self.runs / profile
        return {path.name: path.read_bytes() for path in folder.glob("*") if path.suffix in (".ipynb", ".json")}


def make_book(folder: Path, patch: pytest.MonkeyPatch) -> Book:
    """A Book that the package takes for the repository; its chapters have no stages."""
    book = Book(folder)
    for name in ("DFNAS_DATA", "DFNAS_DEVICE", "DFNAS_FORCE", "DFNAS_LOG", "DFNAS_STAGING"):
        patch.delenv(name, raising=False)
    patch.setenv("DFNAS_RUNS", str(book.runs))
    patch.setattr(paths, "root", lambda: book.root)
    patch.setattr(status, "stage_keys", lambda name, settings: {})
    return book
