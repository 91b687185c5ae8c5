"""Publishing: good runs go to book/executed, in a form in which only what changed shows in a diff.

Prose is never published from a run: markdown and cell metadata come from today's source notebook, so that a caption
can be polished without computing anything again.
"""

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dfnas import records
from dfnas.errors import UserError
from dfnas.profiles import Settings
from dfnas.publishing import notebooks, runner, status
from dfnas.runtime import paths
from dfnas.runtime.files import write_text

NOTEBOOK_BYTES = 1_000_000
FOLDER_BYTES = 8_000_000
BINARY = ("image/png", "image/jpeg")


def publish(names: Sequence[str], settings: Settings) -> list[Path]:
    """Publish the runs of some chapters (none named: all of the profile), all of them or none.

    Raises
    ------
    UserError
        A run that is not good, or stale; a notebook that names a place of this machine or is too large.
    """
    if paths.INSTALLED.is_dir():
        raise UserError("the book is published in its repository, and this is an installed copy")
    if settings.seed != 0 or settings.overrides:
        raise UserError("only runs of a profile as it stands are published: leave out --seed and --set")
    if settings.file:
        raise UserError(f"only the book's own profiles are published: {settings.file} is one of your own")
    names = runner.choose(names, settings)
    states = {name: status.state(name, settings) for name in names}
    refused = [f"{name} is {states[name]}" for name in names if not states[name].good]
    if refused:
        raise UserError(f"not published: {'; '.join(refused)}; run those again, or name the chapters to publish")
    with tempfile.TemporaryDirectory() as folder:
        target = paths.published(settings.profile)
        if settings.profile == paths.BOOK:
            files = [file for name in names for file in stage(name, settings, Path(folder))]
        else:
            files = [_stage_record(name, settings, Path(folder)) for name in names]
        check(files, target)
        return _copy(files, target)


def stage(name: str, settings: Settings, folder: Path) -> list[Path]:
    """Write a run's notebook with today's prose, its record and its attachments into a folder."""
    run = paths.run_folder(settings)
    record = _stage_record(name, settings, folder)
    facts = records.read(record) or {}
    notebook = notebooks.with_prose(
        notebooks.read_notebook(run / f"{name}.ipynb"), notebooks.read_notebook(notebooks.source(name)), facts, name
    )
    notebooks.write_notebook(notebook, folder / f"{name}.ipynb")
    attached = [Path(shutil.copy2(run / f"{name}.{item}.json", folder)) for item in facts.get("attachments", [])]
    return [folder / f"{name}.ipynb", record, *attached]


def check(files: Sequence[Path], target: Path) -> None:
    """Refuse what must not be published: places of this machine in it, or too many bytes."""
    for file in files:
        place = machine_place(file)
        if place:
            raise UserError(f"not published: {file.name} names a place of this machine, {place!r}: keep it out")
        if file.suffix == ".ipynb" and file.stat().st_size > NOTEBOOK_BYTES:
            size = f"{file.stat().st_size / 1e6:.1f} MB of at most {NOTEBOOK_BYTES / 1e6:.0f}"
            raise UserError(f"not published: {file.name} has {size}: draw less, or fewer dots an inch")
    new = {target / file.name: file.stat().st_size for file in files}
    old = {file: file.stat().st_size for file in paths.published(paths.BOOK).rglob("*") if file.is_file()}
    total = sum({**old, **new}.values())
    if total > FOLDER_BYTES:
        raise UserError(f"not published: book/executed would hold {total / 1e6:.1f} MB of at most 8")


def machine_place(file: Path) -> str:
    """A path of this machine that a file to publish names, or a kernel's temporary file; "" where there is none."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".ipynb":
        text = "\n".join(_texts(json.loads(text)))
    text = re.sub(r"data:[\w/+-]+;base64,[A-Za-z0-9+/=]+", "", text)  # pictures: letters by chance
    places = {str(paths.root()), str(paths.runs()), str(Path.home()), tempfile.gettempdir(), sys.prefix}
    for place in sorted(place.rstrip("/") + "/" for place in places if place != "/"):
        if place in text or place.rstrip("/") + '"' in text:
            return place
    kernel = re.search(r"ipykernel_\d+", text)
    return kernel.group() if kernel else ""


def _texts(notebook: dict[str, Any]) -> list[str]:
    """The outputs of a notebook that are text."""
    texts = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            data = {**output.get("data", {}), "text": output.get("text", "")}
            texts += ["".join(map(str, value)) for kind, value in data.items() if kind not in BINARY]
    return texts


def _stage_record(name: str, settings: Settings, folder: Path) -> Path:
    return Path(shutil.copy2(paths.run_folder(settings) / f"{name}.json", folder))


def _copy(files: Sequence[Path], target: Path) -> list[Path]:
    paths.make_folder(target)
    for file in files:
        write_text(target / file.name, file.read_text(encoding="utf-8"))
    return [target / file.name for file in files]
