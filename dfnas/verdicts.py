"""Whether an executed notebook can be believed, and whether it is still what the code of today would give.

Papermill's exit code and metadata tell neither: a killed kernel and a timeout leave every cell "completed", and
`sys.exit(0)` half way ends with exit code 0.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from dfnas import provenance

MARKER = "papermill-error-cell-tag"


def verdict(notebook: Any, record: Mapping[str, Any] | None, stopped: str = "") -> str:
    """Judge a run: "good", or "failed: …" with the reason in one line.

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
        return f"failed: {stopped}, {_last_started(notebook)}"
    why = failing_cell(notebook) or not_run(notebook) or _incomplete(record)
    return f"failed: {why}" if why else "good"


def failing_cell(notebook: Any) -> str:
    """The first error output: cell, its failing line and the exception; "" where there is none."""
    for cell in notebook.cells:
        if MARKER in cell.metadata.get("tags", []):
            continue
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                return f"{_where(cell, output)}: {_exception(output)}"
    return ""


def error_name(notebook: Any) -> tuple[str, str]:
    """Name and text of the first exception; ("", "")."""
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


def content_digest(notebook: Any) -> str:
    """Digest of what was run and what came out: ties a record to its notebook."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    content = [[cell.source, cell.execution_count, cell.outputs] for cell in cells]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def freshness(record: Mapping[str, Any], source: Any, keys: Mapping[str, str]) -> str:
    """Compare a run with today: "fresh", "older code" (an imported module has changed since) or "stale (why)".

    Parameters
    ----------
    record
        Of the run.
    source
        Today's source notebook.
    keys
        The stage keys of today, by name.
    """
    if record.get("code_digest") != provenance.code_digest(source.cells):
        return "stale (its code cells have changed)"
    ran = {stage["key"] for stage in record.get("stages", {}).values()}
    changed = [name for name, key in keys.items() if key not in ran]
    if changed:
        return f"stale (stage {', '.join(changed)} has changed)"
    modules = record.get("modules", {})
    return "fresh" if provenance.module_digests(list(modules)) == modules else "older code"


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


def _exception(output: Any) -> str:
    text = _first_line(output.evalue)
    return f"{output.ename}: {text}" if text else str(output.ename)


def _first_line(text: str) -> str:
    return next((line.strip() for line in str(text).splitlines() if line.strip()), "")


def _last_line(source: str) -> str:
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    line = lines[-1] if lines else ""
    return f"`{line if len(line) <= 60 else line[:57] + '…'}`"
