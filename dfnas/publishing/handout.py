r"""Handouts: a chapter's notebook for a class, with and without its solutions.

What a handout asks and checks stands in the source notebook, in the metadata of each solution's code cell, where it
is no code of the chapter and leaves published runs as they are:

    "dfnas": {
     "answer": {"distances": "the distances of batches of 8, 32 and 128 images, in this order"},
     "check": ["assert distances[0] > distances[1] > distances[2], \"distances: they fall with the size\""]
    }

`answer` names what the student must define, and says what it is; the solution defines the same names. `check` holds
lines of plain Python that see these names and everything above them. Each assert has a message. `points` (1) is what
they are worth.
"""

import ast
import contextlib
import io
import os
import reprlib
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from tabulate import tabulate

from dfnas import profiles
from dfnas.errors import UserError
from dfnas.publishing import markdown, notebooks
from dfnas.records import conditions

NOTE = """*{kind} of this chapter.* Run the cells in order: they compute on small digits, or find done what was computed
before. Where the book shows a number of its run, this notebook names it, as in `01-teacher:teacher_accuracy`: your own
run has the value, in `run.metrics["teacher_accuracy"]`. {task}"""
TASKS = {
    False: "Replace each `...` by your answer; the cells below it show it beside the book's own, and check it.",
    True: "Solutions stand below their exercises, followed by the checks that students get.",
}
TAG, CHECK = "solution", "check"
WIDTH = 100


def write(name: str, teacher: bool = False, out: Path | None = None) -> Path:
    """Write a chapter's handout; returns where: `out`, or `<chapter>-student.ipynb` in the folder `out` (none: here).

    Raises
    ------
    UserError
        No such chapter; the file is there already, perhaps with somebody's answers.
    """
    if name not in profiles.CHAPTERS:
        raise UserError(f"no chapter {name!r}; there are {', '.join(profiles.CHAPTERS)}")
    path = Path(os.path.expanduser(out or ""))
    if path.suffix.lower() != ".ipynb":
        path = path / f"{name}-{'teacher' if teacher else 'student'}.ipynb"
    if path.exists():
        raise UserError(f"{path} is there already: remove it, or name another file with --out")
    notebooks.write_notebook(of_chapter(name, teacher), path)
    return path


def of_chapter(name: str, teacher: bool = False) -> Any:
    """A chapter's handout, which knows of which chapter it is: its answers can be compared and graded."""
    return notebook(notebooks.read_notebook(notebooks.source(name)), teacher, name)


def notebook(source: Any, teacher: bool = False, name: str = "") -> Any:
    """A handout of a source notebook: for the teacher with solutions, for students with stubs; checks in both.

    With the chapter's `name`, a cell shows students each answer beside the book's own.
    """
    shown = [cell for cell in source.cells if not conditions.left_out(cell.metadata.get("tags", []), conditions.ALL)]
    known = markdown.numbers(shown)
    cells, exercises = [], 0
    for cell in shown:
        if cell.cell_type == "markdown":
            cells.append(new_markdown_cell(markdown.markdown(cell.source, known, teacher)))
        elif TAG in cell.metadata.get("tags", []):
            exercises += 1
            cells += [_kept(cell) if teacher else new_code_cell(stub(cell), metadata={"tags": ["answer"]})]
            if name and not teacher and answers(cell):
                line = f'handout.compare("{name}", {exercises}, globals())'
                cells.append(new_code_cell(f"from dfnas.publishing import handout\n\n{line}"))
                cells[-1].metadata["tags"] = ["compare"]
            points = cell.metadata.get("dfnas", {}).get("points", 1)
            cells.append(new_code_cell(check(cell), metadata={"tags": [CHECK], "dfnas": {"points": points}}))
        elif "run.finish()" not in cell.source and "run.card()" not in cell.source:  # a class leaves no record
            cells += [_kept(cell), new_markdown_cell(markdown.caption(cell, known))]
    note = NOTE.format(kind="The teacher's copy" if teacher else "The student's copy", task=TASKS[teacher])
    cells = [cell for cell in cells if cell.source]
    cells.insert(1, new_markdown_cell(note))
    for number, cell in enumerate(cells):
        cell["id"] = f"handout-{number}"
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    metadata |= {"language_info": {"name": "python"}, "dfnas": {"handout": name}}
    return nbformat.from_dict(new_notebook(cells=cells, metadata=metadata))


def compare(name: str, exercise: int, given: Mapping[str, Any]) -> None:
    """Print a student's answers to an exercise (from 1) of a chapter beside those of the book, computed on the spot.

    `given` are the notebook's globals. What is not answered yet is not shown; functions are for the checks.
    """
    cells = notebooks.read_notebook(notebooks.source(name)).cells
    solution = [cell for cell in cells if TAG in cell.metadata.get("tags", [])][exercise - 1]
    theirs = dict(given)
    with contextlib.redirect_stdout(io.StringIO()):
        exec(solution.source, theirs)
    answered = [each for each in answers(solution) if given.get(each, ...) is not ... and not callable(theirs[each])]
    rows = [[each, _short(given[each]), _short(theirs[each])] for each in answered]
    print(tabulate(rows, ["answer", "yours", "correct"], disable_numparse=True) if rows else "nothing to compare yet")


def _short(value: Any) -> str:
    """A value in a few words; a tensor of one number as that number."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return f"{value:.6g}" if isinstance(value, float) else " ".join(reprlib.repr(value).split())


def answers(solution: Any) -> dict[str, str]:
    """What an exercise's solution cell asks for: what each name means, by name."""
    return dict(solution.metadata.get("dfnas", {}).get("answer", {}))


def stub(solution: Any) -> str:
    """The cell that a student fills in: each name with what it means, and with the signature of a function."""
    lines = []
    for name, meaning in answers(solution).items():
        lines += textwrap.wrap(
            f"{name}{_signature(solution, name)}: {meaning}", WIDTH, initial_indent="# ", subsequent_indent="# "
        )
        lines.append(f"{name} = ...")
    return "\n".join(lines) or "# your answer"


def check(solution: Any) -> str:
    """The cell that checks an answer: first that there is one; "" where the notebook checks nothing."""
    lines = list(solution.metadata.get("dfnas", {}).get("check", []))
    if not lines:
        return ""
    there = [f'assert {name} is not ..., "{name} is not answered yet"' for name in answers(solution)]
    return "\n".join([*there, *lines])


def _signature(solution: Any, name: str) -> str:
    """The parameters of a function that the solution defines, "" for anything else."""
    for node in ast.parse(solution.source).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return f"({ast.unparse(node.args)})"
    return ""


def _kept(cell: Any) -> Any:
    """A code cell as it is, folded in Jupyter where the book folds it."""
    tags = list(cell.metadata.get("tags", []))
    metadata = {"tags": visible} if (visible := [tag for tag in tags if tag in ("parameters", TAG)]) else {}
    folded = {"jupyter": {"source_hidden": True}} if "hide-input" in tags and TAG not in tags else {}
    return new_code_cell(cell.source, metadata=metadata | folded)
