"""What there is of a chapter's run: whether an executed notebook can be believed, and whether it is still current.

Papermill's exit code and metadata tell neither: a killed kernel and a timeout leave every cell "completed", and
`sys.exit(0)` half way ends with exit code 0.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dfnas import records
from dfnas.errors import UserError
from dfnas.profiles import NAMES as PROFILES
from dfnas.profiles import Settings, to_dict
from dfnas.publishing import notebooks
from dfnas.records import provenance
from dfnas.runtime import paths


@dataclass(frozen=True)
class State:
    """What there is of a chapter's run: good, older code, stale, failed, unchecked or never run; why; its record."""

    word: str
    why: str = ""
    record: dict[str, Any] | None = None
    answer: str = ""  # to the user whose input it failed for

    @property
    def good(self) -> bool:
        """Whether it may be shown and published."""
        return self.word in ("good", "older code")

    def __str__(self) -> str:
        return f"{self.word} ({self.why})" if self.why else self.word


def state(name: str, settings: Settings) -> State:
    """What there is of a chapter's run, judged anew from its notebook and record."""
    folder = paths.run_folder(settings)
    record = records.read(folder / f"{name}.json")
    failed = records.read(folder / "failed" / f"{name}.json")
    if record is None:
        return State("failed", failed["verdict"].removeprefix("failed: "), failed) if failed else State("never run")
    if record.get("verdict") != "good":
        return State("unchecked", "run by hand, not by the batch runner", record)
    try:
        notebook = notebooks.read_notebook(folder / f"{name}.ipynb")
    except UserError as error:
        return State("failed", str(error), record)
    why = failure(notebook, record)
    if why:
        return State("failed", why, record)
    if notebooks.content_digest(notebook) != record.get("content_digest"):
        return State("unchecked", "its notebook was changed after the run", record)
    return _fresh(name, settings, record, failed)


def _fresh(name: str, settings: Settings, record: dict[str, Any], failed: dict[str, Any] | None) -> State:
    try:
        keys = stage_keys(name, settings)
    except UserError as error:
        return State("stale", f"cannot tell: {error}", record)
    part = name[3:].replace("-", "_")
    then, now = record.get("parameters", {}).get(part), to_dict(settings).get(part)
    why = staleness(record, notebooks.read_notebook(notebooks.source(name)), keys)
    why = why or ("" if _kept(then, now) else f"its settings {part} have changed")
    if why:
        return State("stale", why, record)
    word = "older code" if changed_modules(record) else "good"
    return State(word, f"a later run {failed['verdict']}" if failed else "", record)


def changed_modules(record: Mapping[str, Any]) -> list[str]:
    """The modules that the run imported and that have changed since, docstrings and comments aside.

    The files of profiles do not count: they hold values, and whether those that a chapter takes are as they were is
    seen by its stages' keys and its own settings.
    """
    values = {f"dfnas.profiles.{name.replace('-', '_')}" for name in PROFILES}
    then = {name: digest for name, digest in record.get("modules", {}).items() if name not in values}
    return [name for name, digest in provenance.module_digests(list(then)).items() if digest != then[name]]


def _kept(then: Any, now: Any) -> bool:
    """Whether settings are as they were then; what was added since does not count."""
    if isinstance(then, dict) and isinstance(now, dict):
        return all(_kept(value, now[field]) for field, value in then.items() if field in now)
    return then is None or then == now


def stage_keys(name: str, settings: Settings) -> dict[str, str]:
    """The keys of a chapter's stages as they would be today, without running any."""
    from dfnas.chapters import index  # imported late: it brings torch, which takes seconds

    return index.stage_keys(name, settings)


MARKER = "papermill-error-cell-tag"


def failure(notebook: Any, record: Mapping[str, Any] | None, stopped: str = "") -> str:
    """Why a run cannot be believed, in one line; "" where it is good.

    Parameters
    ----------
    notebook
        As executed.
    record
        What it left; None where it left nothing.
    stopped
        What the runner saw of the kernel's end, where it did not end well.
    """
    if stopped:
        return f"{stopped}, {_last_started(notebook)}"
    return failing_cell(notebook) or not_run(notebook) or _incomplete(record)


def failing_cell(notebook: Any) -> str:
    """The first error output: cell, its failing line and the exception; "" where there is none."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                return ": ".join(filter(None, [_where(cell, output), output.ename, _first_line(output.evalue)]))
    return ""


def first_error(notebook: Any) -> tuple[str, str]:
    """Name and first line of the first exception; ("", "") where there is none."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                return output.ename, _first_line(output.evalue)
    return "", ""


def not_run(notebook: Any) -> str:
    """Says which code cell did not run, or ran out of order; "" where all ran, 1 to n."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    for number, cell in enumerate(cells, 1):
        if cell.execution_count is None:
            return f"cell {number} of {len(cells)} did not run to its end: {_last_line(cell.source)}"
        if cell.execution_count != number:
            return f"cell {number} of {len(cells)} ran as number {cell.execution_count}: run all cells in order"
    for cell in notebook.cells:
        if cell.metadata.get("papermill", {}).get("status", "completed") != "completed":
            return f"papermill left a cell {cell.metadata['papermill']['status']}"
        if MARKER in cell.metadata.get("tags", []):
            return "papermill left an error marker"
    return "" if cells else "it has no code cells"


def staleness(record: Mapping[str, Any], source: Any, keys: Mapping[str, str]) -> str:
    """Why a run's record is not what today's source notebook and stage keys, by name, would give; "" where it is."""
    if record.get("code_digest") != provenance.code_digest(source.cells):
        return "its code cells have changed"
    ran = {stage["key"] for stage in record.get("stages", {}).values()}
    changed = [name for name, key in keys.items() if key not in ran]
    more = f" and {len(changed) - 1} more have changed" if len(changed) > 1 else " has changed"
    return f"stage {changed[0]}{more}" if changed else ""


def _last_started(notebook: Any) -> str:
    """The cell that ran when the kernel ended: the last one that papermill started."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    started = [number for number, cell in enumerate(cells) if cell.metadata.get("papermill", {}).get("start_time")]
    if not started:
        return "before the first cell"
    return f"in cell {started[-1] + 1} of {len(cells)}, {_last_line(cells[started[-1]].source)}"


def _incomplete(record: Mapping[str, Any] | None) -> str:
    if record is None:
        return "it left no record: its last cell must call run.finish()"
    return "" if record.get("complete") is True else "its record is incomplete"


def _where(cell: Any, output: Any) -> str:
    """The cell's number and its line that raised, which IPython marks with an arrow in the traceback."""
    number = cell.execution_count if cell.execution_count is not None else "?"
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(output.get("traceback", [])))
    arrow = re.search(r"^-+> ?\d+ (.*)$", text, re.MULTILINE)
    return f"cell [{number}], {_last_line(arrow.group(1) if arrow else cell.source)}"


def _first_line(text: str) -> str:
    return next((line.strip() for line in str(text).splitlines() if line.strip()), "")


def _last_line(source: str) -> str:
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    line = lines[-1] if lines else ""
    return f"`{line if len(line) <= 60 else line[:57] + '…'}`"
