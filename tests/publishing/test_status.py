"""Verdict and freshness, on notebooks made up cell by cell."""

from typing import Any

import pytest
import tiny
from nbformat.v4 import new_markdown_cell, new_output

from dfnas.publishing import notebooks, status
from dfnas.records import provenance


def executed(*code: str) -> Any:
    notebook = tiny.notebook(*code)
    for number, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), 1):
        cell.execution_count = number
    return notebook


def record(notebook: Any) -> dict[str, Any]:
    return {
        "complete": True,
        "code_digest": provenance.code_digest(notebook.cells),
        "stages": {},
        "modules": {},
    }


def test_a_notebook_run_in_order_with_its_record_is_good() -> None:
    notebook = executed("1 + 1", "  ")  # an empty cell is never counted
    notebook.cells[4].execution_count = None
    for number, cell in enumerate(cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()):
        cell.execution_count = number + 1
    assert status.failure(notebook, {"complete": True}) == ""


def test_a_cell_that_was_not_run_is_named() -> None:
    notebook = executed("x = 1")
    notebook.cells[3].execution_count = None
    assert status.failure(notebook, {"complete": True}) == ("cell 3 of 5 did not run to its end: `x = 1`")


def test_cells_run_out_of_order_are_told() -> None:
    notebook = executed("x = 1", "x = 2")
    notebook.cells[3].execution_count, notebook.cells[4].execution_count = 4, 3
    assert "ran as number 4" in status.failure(notebook, {"complete": True})


def test_an_error_is_told_with_the_line_that_raised_it() -> None:
    notebook = executed("first = 1\nlast = 2")
    traceback = ["\x1b[0;31mValueError\x1b[0m", "\x1b[0;32m----> 1\x1b[0m first = 1\n      2 last = 2"]
    notebook.cells[3].outputs = [
        new_output("error", ename="ValueError", evalue="no\nmore", traceback=traceback),
    ]
    assert status.failure(notebook, {"complete": True}) == "cell [3], `first = 1`: ValueError: no"


def test_what_papermill_leaves_behind_is_no_good_run() -> None:
    pending, marked = executed("x = 1"), executed("x = 1")
    pending.cells[0].metadata["papermill"] = {"status": "pending"}
    marked.cells.insert(0, new_markdown_cell("!", metadata={"tags": [status.MARKER]}))
    assert "pending" in status.failure(pending, {"complete": True})
    assert "marker" in status.failure(marked, {"complete": True})


@pytest.mark.parametrize(("left", "why"), [(None, "no record"), ({"complete": False}, "incomplete")])
def test_a_run_without_a_whole_record_is_not_good(left: dict | None, why: str) -> None:
    assert why in status.failure(executed("x = 1"), left)


def test_current_while_code_cells_and_stages_are_those_of_the_run() -> None:
    notebook = executed("x = 1")
    ran = {**record(notebook), "stages": {"synthesis": {"key": "a"}}}
    assert status.staleness(ran, notebook, {"synthesis": "a"}) == ""


def test_prose_and_injected_parameters_leave_a_run_current() -> None:
    notebook, polished = executed("x = 1"), executed("x = 1")
    polished.cells[0].source = "# Another title"
    polished.cells[2].metadata["tags"] = ["hide-input"]
    assert status.staleness(record(notebook), polished, {}) == ""


def test_other_code_cells_make_a_run_stale() -> None:
    assert status.staleness(record(executed("x = 1")), executed("x = 2"), {}) == "its code cells have changed"


@pytest.mark.parametrize("stages", [{}, {"synthesis": {"key": "b"}}])
def test_another_stage_key_makes_a_run_stale(stages: dict) -> None:
    notebook = executed("x = 1")
    ran = {**record(notebook), "stages": stages}
    assert status.staleness(ran, notebook, {"synthesis": "a"}) == "stage synthesis has changed"
    several = dict.fromkeys(("synthesis", "student-0", "student-1"), "a")
    assert status.staleness(ran, notebook, several) == "stage synthesis and 2 more have changed"


def test_a_record_is_tied_to_its_notebook() -> None:
    notebook, other = executed("x = 1"), executed("x = 1")
    other.cells[3].outputs = [new_output("stream", name="stdout", text="2\n")]
    assert notebooks.content_digest(notebook) != notebooks.content_digest(other)
