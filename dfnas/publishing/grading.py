"""Grading: a class's notebooks, each executed in a process of its own with limits, and a row of points for each.

Checks are those of the book's own handout, whatever became of them in what was handed in: a student who edits or
deletes a check changes nothing. A notebook that no handout is the origin of is graded by its own cells tagged `check`.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import psutil

from dfnas.errors import UserError
from dfnas.profiles import CHAPTERS
from dfnas.publishing import handout, notebooks
from dfnas.publishing.measurements import as_csv
from dfnas.runtime.files import write_text

POLL = 0.1  # seconds between two looks at a process's memory


@dataclass(frozen=True)
class Grade:
    """A row of the table: checks and points of a notebook, what it took, why it stopped and what failed first."""

    name: str
    passed: int = 0
    failed: int = 0  # those that were not come to among them
    points: float = 0
    of: float = 0
    seconds: float = 0
    stopped: str = ""
    first_failure: str = ""
    digest: str = ""  # of the notebook with its checks, and of the limits


def grade(folder: Path, seconds: float, gigabytes: float, table: Path | None = None) -> Iterator[Grade]:
    """Grade every notebook in a folder and its folders, by name; `table` has rows that an earlier grading came to.

    Raises
    ------
    UserError
        There is none.
    """
    files = [path for path in sorted(folder.rglob("*.ipynb")) if ".ipynb_checkpoints" not in path.parts]
    if not files:
        raise UserError(f"no notebook (*.ipynb) in {folder}: name the folder that holds what was handed in")
    known = _read(table) if table else {}
    return (_grade(path, str(path.relative_to(folder)), seconds, gigabytes, known) for path in files)


def _read(table: Path) -> dict[tuple[str, str], Grade]:
    """The rows of a table by notebook and digest; none of a file that is no such table."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        rows = csv.DictReader(io.StringIO(table.read_text(encoding="utf-8")))
        grades = [Grade(**{field.name: field.type(row[field.name]) for field in fields(Grade)}) for row in rows]  # type: ignore[operator]
        return {(row.name, row.digest): row for row in grades}
    return {}


def write(path: Path, grades: list[Grade]) -> None:
    """Write grades as CSV."""
    write_text(path, as_csv([field.name for field in fields(Grade)], map(asdict, grades)))


def _grade(path: Path, name: str, seconds: float, gigabytes: float, known: Mapping[Any, Grade]) -> Grade:
    with tempfile.TemporaryDirectory() as place:
        folder, log = Path(place) / "class", Path(place) / "log"  # beside the notebook's folder, which is its own
        folder.mkdir()
        try:
            notebook = notebooks.read_notebook(path)
            points = _with_checks(notebook)
            notebooks.write_notebook(notebook, folder / "submission.ipynb")
        except (UserError, ValueError) as error:
            return Grade(name, stopped=str(error))
        digest = hashlib.sha256(f"{seconds} {gigabytes} {json.dumps(notebook)}".encode()).hexdigest()[:16]
        if (name, digest) in known:
            return known[name, digest]
        start = time.monotonic()
        stopped = _run(folder, log, seconds, gigabytes)
        took = round(time.monotonic() - start, 1)
        lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()] if log.exists() else []
    count = sum(cell.cell_type == "code" for cell in notebook.cells)
    if len(lines) < count:
        stopped = f"{stopped or 'it ended its own process'}, in code cell {len(lines) + 1} of {count}"
    failures = {line["check"]: line["failure"] for line in lines if "check" in line}
    passed = [check for check in points if failures.get(check) == ""]
    first = next((failures[check] for check in points if failures.get(check)), "")
    got, most = sum(points[check] for check in passed), sum(points.values())
    return Grade(name, len(passed), len(points) - len(passed), got, most, took, stopped, first, digest)


def _with_checks(notebook: Any) -> dict[str, float]:
    """Put the handout's own checks into a notebook; the points of each check, by the id of its cell."""
    chapter = _own(notebook).get("handout")
    if chapter in CHAPTERS:
        checks = {cell.id: cell for cell in handout.of_chapter(chapter).cells if _is(cell, handout.CHECK)}
        kept = [cell for cell in notebook.cells if cell.id in checks or not _is(cell, handout.CHECK, "compare")]
        notebook.cells = [checks.pop(cell.id, cell) for cell in kept]
        notebook.cells += checks.values()  # those whose cells are gone: after all others
    found = [cell for cell in notebook.cells if _is(cell, handout.CHECK)]
    return {cell.id: _worth(cell) for cell in found}


def _own(part: Any) -> dict[str, Any]:
    """What a notebook's or a cell's metadata say of handouts; nothing where that is no dictionary."""
    own = part.metadata.get("dfnas")
    return own if isinstance(own, dict) else {}


def _worth(cell: Any) -> float:
    points = _own(cell).get("points", 1)
    if isinstance(points, bool) or not isinstance(points, int | float):
        raise UserError(f"the check {cell.id} has points {points!r}, which is no number")
    return points


def _is(cell: Any, *tags: str) -> bool:
    return any(tag in cell.metadata.get("tags", []) for tag in tags)


def _run(place: Path, log: Path, seconds: float, gigabytes: float) -> str:
    """Execute the notebook in a folder; why it was stopped, "" where its process ended without an error."""
    command = [sys.executable, "-m", "dfnas.publishing.submission", "submission.ipynb", str(log)]
    package = str(Path(__file__).resolve().parents[2])
    found = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    ours = {"MPLBACKEND": "Agg", "IPYTHONDIR": str(place), "PYTHONPATH": found}
    quiet: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    process = psutil.Popen(command, cwd=place, env={**os.environ, **ours}, **quiet)
    end = time.monotonic() + seconds
    try:
        while process.poll() is None:
            if time.monotonic() > end:
                return f"it took more than {seconds:g} s"
            if _memory(process) > gigabytes * 1e9:
                return f"it took more than {gigabytes:g} GB"
            time.sleep(POLL)
    finally:
        for each in _family(process):
            each.kill()
        process.wait()
    code = process.returncode
    return "" if code == 0 else f"it crashed ({f'signal {-code}' if code < 0 else f'exit code {code}'})"


def _family(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [*process.children(recursive=True), process]
    return []


def _memory(process: psutil.Process) -> float:
    """Bytes that a process and its children hold in memory."""
    total = 0.0
    for each in _family(process):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += each.memory_info().rss
    return total
