"""A notebook as a file: the source, an executed one with today's prose, and the digest of what was run."""

import copy
import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dfnas.errors import UserError, reason
from dfnas.records import conditions, provenance
from dfnas.runtime import paths
from dfnas.runtime.files import write_text


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
    import nbformat  # here and below: it brings jsonschema, most of a second that `plan` need not wait for

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # missing cell ids are added below us, which is fine
            notebook = nbformat.read(path, as_version=4)
            nbformat.validate(notebook)
            return notebook
    except Exception as error:  # nbformat raises many kinds
        raise UserError(f"cannot read {path}: {reason(error)}") from None


def with_prose(run: Any, source: Any, record: Mapping[str, Any] | None, name: str = "the notebook") -> Any:
    """Today's source notebook with the outputs of a run; the same run gives the same bytes.

    Prose that does not hold with the real images that the run's record had, or had not, is left out. Such code stays,
    hidden from the page, and so do the injected parameters: the counts of the cells then run from 1 to n.

    Raises
    ------
    UserError
        The code cells of run and source differ.
    """
    import nbformat

    if provenance.code_digest(run.cells) != provenance.code_digest(source.cells):
        raise UserError(f"{name}: the code cells have changed since its run: run it again")
    ran = iter([cell for cell in run.cells if _runs(cell) and not provenance.is_injected(cell)])
    cells, answered = [], (record or {}).get("real_images", conditions.ALL)
    for number, cell in enumerate(copy.deepcopy(source.cells)):
        if conditions.left_out(cell.metadata.get("tags", []), answered):
            if cell.cell_type != "code":
                continue
            cell.metadata["tags"].append("remove-cell")
        cell["id"] = str(cell.get("id") or f"cell-{number}")
        if _runs(cell):
            _take_outputs(cell, next(ran))
        cells.append(cell)
        if "parameters" in cell.metadata.get("tags", []):
            cells.extend(_injected(run))
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    metadata["language_info"] = {"name": "python"}
    return nbformat.from_dict({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def write_notebook(notebook: Any, path: Path) -> None:
    """Write a notebook; the same notebook gives the same bytes."""
    import nbformat

    write_text(path, nbformat.writes(notebook) + "\n")


def _runs(cell: Any) -> bool:
    return cell.cell_type == "code" and bool(cell.source.strip())


def _take_outputs(cell: Any, ran: Any) -> None:
    cell["execution_count"] = ran.execution_count
    cell["outputs"] = []
    for output in copy.deepcopy(ran.outputs):
        if output.output_type == "stream" and output.name == "stderr":
            continue  # warnings of a library are for the log: they name places and processes of one machine
        if output.output_type == "stream" and _continues(cell["outputs"], output):
            cell["outputs"][-1]["text"] += output.text
        else:
            cell["outputs"].append(output)


def _continues(outputs: list[Any], output: Any) -> bool:
    """Whether a stream goes on: in how many pieces text arrives is chance."""
    return bool(outputs) and outputs[-1].output_type == "stream" and outputs[-1].name == output.name


def _injected(run: Any) -> list[Any]:
    cells = [copy.deepcopy(cell) for cell in run.cells if provenance.is_injected(cell)]
    for cell in cells:
        cell["id"] = "injected-parameters"
        cell["metadata"] = {"tags": ["injected-parameters", "remove-cell"]}
    return cells


def content_digest(notebook: Any) -> str:
    """Digest of what was run and what came out: ties a record to its notebook."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    content = [[cell.source, cell.execution_count, cell.outputs] for cell in cells]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
