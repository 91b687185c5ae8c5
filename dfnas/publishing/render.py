"""Rendering: the HTML of the published runs, or of a profile's runs, from a staged copy of the book."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from dfnas import records
from dfnas.errors import UserError
from dfnas.profiles import Settings
from dfnas.publishing import notebooks, publish, status
from dfnas.runtime import paths
from dfnas.runtime.files import write_text

PARTS = ("index.md", "_config.yml", "_toc.yml", "book")
PREFIX = "book/executed/"


class RenderError(Exception):
    """The renderer warned; the message is what it said."""


def render(settings: Settings | None = None) -> tuple[Path, list[str]]:
    """Render the runs of a profile, or the published ones; returns index.html and notes on what is missing or old.

    Raises
    ------
    UserError
        There is nothing to render.
    RenderError
        The renderer warned: a dangling reference, a missing number, a figure without text.
    """
    name = settings.profile if settings else "published"
    folder = paths.make_folder(paths.runs() / f"render-{name}")
    copy_book(folder / "source")
    notes = place_runs(folder / "source" / PREFIX, settings)
    dropped = drop_missing(folder / "source")
    if not list((folder / "source" / PREFIX).glob("*.ipynb")) and dropped:
        first = f"run --profile {settings.argument}" if settings else f"publish --profile {paths.BOOK}"
        raise UserError(f"nothing to render: `python -m dfnas {first}` comes first")
    known = settings.chapters if settings else ()  # of which there is a note already
    notes += [f"{page} is left out: there is no run of it" for page in dropped if page not in known]
    return build(folder), notes


def copy_book(source: Path) -> None:
    """A fresh copy of the book's own files."""
    shutil.rmtree(source, ignore_errors=True)
    paths.make_folder(source)
    for part in PARTS:
        path = paths.root() / part
        if path.is_dir():
            shutil.copytree(path, source / part, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.exists():
            shutil.copy2(path, source / part)


def place_runs(target: Path, settings: Settings | None) -> list[str]:
    """Put the runs to render into the copy, with today's prose; returns notes on those that are old."""
    if settings is None:
        return _published(target)
    shutil.rmtree(target, ignore_errors=True)
    paths.make_folder(target)
    notes = []
    for name in settings.chapters:
        state = status.state(name, settings)
        if state.good:
            publish.stage(name, settings, target)
        if not state.good:
            notes.append(f"{name} is left out: {state}")
        elif str(state) != "good":
            notes.append(f"{name} is shown: {state}")
    return notes


def _published(target: Path) -> list[str]:
    """Give the published runs today's prose; refuse one that is not good."""
    notes = []
    for path in sorted(target.glob("*.ipynb")):
        run = notebooks.read_notebook(path)
        why = status.failing_cell(run) or status.not_run(run)
        if why:
            raise UserError(f"{PREFIX}{path.name} is not a good run ({why}): publish it again")
        try:
            source, record = notebooks.source(path.stem), records.read(path.with_suffix(".json"))
            notebooks.write_notebook(notebooks.with_prose(run, notebooks.read_notebook(source), record), path)
        except UserError as error:
            notes.append(f"{path.stem} is shown as it was published: {error}")
    return notes


def drop_missing(source: Path) -> list[str]:
    """Take the pages of book/executed that are not there out of _toc.yml; returns their names."""
    path = source / "_toc.yml"
    if not path.exists():
        raise UserError(f"{paths.root() / '_toc.yml'} is missing: restore it (git checkout _toc.yml)")
    dropped: list[str] = []
    contents = _without_missing(yaml.safe_load(path.read_text(encoding="utf-8")), source, dropped)
    write_text(path, yaml.safe_dump(contents, sort_keys=False, allow_unicode=True))
    return dropped


def _without_missing(entry: Any, source: Path, dropped: list[str]) -> Any:
    if isinstance(entry, list):
        entries = [_without_missing(item, source, dropped) for item in entry if not _missing(item, source, dropped)]
        return [item for item in entries if item.get("chapters", True) and item.get("sections", True)]
    if isinstance(entry, dict):
        return {
            key: _without_missing(value, source, dropped) if key in ("parts", "chapters", "sections") else value
            for key, value in entry.items()
        }
    return entry


def _missing(entry: Any, source: Path, dropped: list[str]) -> bool:
    file = entry.get("file", "") if isinstance(entry, dict) else ""
    if not file.startswith(PREFIX) or list(source.glob(f"{file.removesuffix('.ipynb')}.ipynb")):
        return False
    dropped.append(file.removeprefix(PREFIX))
    return True


def build(folder: Path) -> Path:
    """Run Jupyter Book, strictly; its words go to build.log beside the page.

    Built anew each time: an incremental build does not repeat the warnings of the pages that it keeps.
    """
    if importlib.util.find_spec("jupyter_book") is None:
        raise UserError("rendering needs packages that are not installed: pip install 'dfnas[book]'")
    shutil.rmtree(folder / "_build", ignore_errors=True)
    program = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", program, "build", "-W", "-n", "--keep-going", str(folder / "source")]
    command += ["--path-output", str(folder)]
    env = {**os.environ, "PYTHONWARNINGS": "ignore", "NO_COLOR": "1", "PYTHONUTF8": "1"}
    done = subprocess.run(command, check=False, capture_output=True, encoding="utf-8", cwd=paths.root(), env=env)
    log = folder / "build.log"
    write_text(log, done.stdout + done.stderr)
    page = folder / "_build" / "html" / "index.html"
    if done.returncode or not page.exists():
        raise RenderError(warnings_in(done.stdout + done.stderr, folder / "source") + f"\n(all of it: {log})")
    return page


def warnings_in(text: str, source: Path) -> str:
    """The lines of the renderer's output that say what is wrong; its last ones where none does."""
    lines = text.replace(f"{source.resolve()}/", "").splitlines()
    complaints = [line for line in lines if "WARNING" in line or "ERROR" in line]
    return "\n".join(dict.fromkeys(complaints or lines[-15:]))
