"""A class is graded: a row each, whatever a notebook does, and by the book's own checks."""

import csv
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import nbformat
import pytest
import tiny
from nbformat.v4 import new_code_cell, new_notebook

from dfnas import __main__
from dfnas.errors import UserError
from dfnas.publishing import grading, handout

CHECKS = ['assert half(8) == 4, "half: of 8 it is 4"', 'assert half(3) == 1.5, "half: of 3 it is 1.5"']
RIGHT = "half = lambda x: x / 2"


def write(folder: Path, name: str, *code: str) -> None:
    """A handed-in notebook of its own: its code, and two checks."""
    cells = [new_code_cell(text, id=f"code-{number}") for number, text in enumerate(code)]
    checks = [new_code_cell(text, id=f"check-{n}", metadata={"tags": ["check"]}) for n, text in enumerate(CHECKS)]
    nbformat.write(new_notebook(cells=[*cells, *checks]), folder / f"{name}.ipynb")


def table(path: Path) -> dict[str, dict[str, str]]:
    with open(path, encoding="utf-8") as file:
        return {row["name"].removesuffix(".ipynb"): row for row in csv.DictReader(file)}


def test_a_class_of_ten_with_an_endless_loop_and_a_crash_ends_with_ten_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(5):
        write(tmp_path, f"right{number}", RIGHT)
    write(tmp_path, "wrong", "half = lambda x: x // 2")
    write(tmp_path, "raises", "1 / 0", RIGHT)
    write(tmp_path, "endless", RIGHT, "while True:\n    pass")
    write(tmp_path, "crash", RIGHT, "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    write(tmp_path, "greedy", RIGHT, "held = [b'x' * (10**7 + n) for n in range(200)]\nimport time\ntime.sleep(60)")
    begin = time.monotonic()
    options = ["--seconds", "20", "--memory", "0.9", "--out", str(tmp_path / "grades.csv")]
    assert __main__.main(["grade", str(tmp_path), *options]) == 0
    rows = table(tmp_path / "grades.csv")
    assert len(rows) == 10
    assert time.monotonic() - begin < 10 * 20
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "grades.csv")
    points = {name: (row["passed"], row["failed"], row["points"], row["of"]) for name, row in rows.items()}
    assert {points[f"right{number}"] for number in range(5)} | {points["raises"]} == {("2", "0", "2", "2")}
    assert points["wrong"] == ("1", "1", "1", "2")
    assert rows["wrong"]["first_failure"] == "half: of 3 it is 1.5"
    assert {points[name] for name in ("endless", "crash", "greedy")} == {("0", "2", "0", "2")}
    assert rows["endless"]["stopped"] == "it took more than 20 s, in code cell 2 of 4"
    assert rows["crash"]["stopped"] == "it crashed (signal 11), in code cell 2 of 4"
    assert rows["greedy"]["stopped"] == "it took more than 0.9 GB, in code cell 2 of 4"
    assert not any(rows[name]["stopped"] for name in ("wrong", "raises", "right0"))


METADATA = {
    "tags": ["solution"],
    "dfnas": {"answer": {"half": "half of 8"}, "check": ['assert half == 4, "half: no"'], "points": 3},
}


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The handout of a chapter with one exercise."""
    book = tiny.make_book(tmp_path, monkeypatch)
    chapter = tiny.notebook()
    chapter.cells = [*chapter.cells[:1], new_code_cell("half = 8 / 2", id="solved", metadata=METADATA)]
    nbformat.write(chapter, book.root / "notebooks" / f"{tiny.NAME}.ipynb")
    return handout.of_chapter(tiny.NAME)


@pytest.mark.parametrize(
    ("answer", "change", "points"),
    [
        ("half = 4", None, 3),
        ("half = 5", None, 0),
        ("half = 5", "edit", 0),
        ("half = 5", "delete", 0),
        ("half = 4", "delete", 3),
        ("half = 5", "double", 0),
    ],
)
def test_what_students_do_to_checks_changes_nothing(
    given: Any, tmp_path: Path, answer: str, change: str | None, points: int
) -> None:
    (stub,) = (cell for cell in given.cells if "answer" in cell.metadata.get("tags", []))
    (check,) = (cell for cell in given.cells if "check" in cell.metadata.get("tags", []))
    stub.source = answer
    if change == "edit":
        check.source, check.metadata["tags"] = "pass", []
    elif change == "delete":
        given.cells.remove(check)
    elif change == "double":
        check.source = "pass"
        given.cells.append(new_code_cell("pass", id="mine", metadata=dict(check.metadata)))
    folder = tmp_path / "class"
    folder.mkdir()
    nbformat.write(given, folder / "a.ipynb")
    (row,) = grading.grade(folder, 30, 2)
    assert (row.points, row.of, row.stopped) == (points, 3, "")


def test_yours_stands_beside_correct(given: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (cell,) = (cell for cell in given.cells if "compare" in cell.metadata.get("tags", []))
    exec(cell.source, {"half": ...})
    assert capsys.readouterr().out == "nothing to compare yet\n"
    exec(cell.source, {"half": 5})
    assert [row.split() for row in capsys.readouterr().out.splitlines()[::2]] == [
        ["answer", "yours", "correct"],
        ["half", "5", "4"],
    ]


def test_what_a_notebook_does_in_its_folder_is_its_own_affair(tmp_path: Path) -> None:
    """A log of its own, in the folder where it runs, is none of the grading's."""
    write(tmp_path, "file", RIGHT, "with open('log', 'a') as file:\n    file.write('epoch 1 loss 0.5\\n')")
    write(tmp_path, "folder", "import os\nos.makedirs('log')", RIGHT)
    rows = [(row.points, row.stopped) for row in grading.grade(tmp_path, 60, 2)]
    assert rows == [(2, ""), (2, "")]


def test_a_notebook_that_ends_its_process_says_where(tmp_path: Path) -> None:
    write(tmp_path, "early", "import os\nos._exit(0)", RIGHT)
    write(tmp_path, "late", RIGHT, "import os\nos._exit(0)")
    early, late = grading.grade(tmp_path, 60, 2)
    assert early.stopped == "it ended its own process, in code cell 1 of 4"
    assert late.stopped == "it ended its own process, in code cell 2 of 4"
    assert (early.points, late.points) == (0, 0)


@pytest.mark.parametrize(
    ("worth", "of", "said"),
    [
        ({"points": 2.5}, 3.5, ""),
        ("x", 2, ""),
        ({"points": "3"}, 0, "points '3'"),
        ({"points": True}, 0, "points True"),
    ],
)
def test_metadata_of_another_kind_cost_one_row_at_most(tmp_path: Path, worth: Any, of: float, said: str) -> None:
    write(tmp_path, "a", RIGHT)
    write(tmp_path, "b", RIGHT)
    notebook = nbformat.read(tmp_path / "a.ipynb", as_version=4)
    notebook.metadata["dfnas"], notebook.cells[-1].metadata["dfnas"] = "x", worth
    nbformat.write(notebook, tmp_path / "a.ipynb")
    strange, plain = grading.grade(tmp_path, 60, 2)
    assert (strange.of, said in strange.stopped, bool(strange.stopped)) == (of, True, bool(said))
    assert (plain.points, plain.stopped) == (2, "")


def test_the_rows_of_a_class_are_written_as_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> Any:
        yield grading.Grade("a.ipynb", points=2, of=2)
        raise KeyboardInterrupt

    monkeypatch.setattr(grading, "grade", stopped)
    assert __main__.main(["grade", str(tmp_path)]) == __main__.STOPPED
    assert table(tmp_path / "grades.csv")["a"]["points"] == "2"


def test_a_grading_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row is kept while its notebook, its checks and the limits are as they were."""
    ran, run = list[str](), grading._run
    monkeypatch.setattr(grading, "_run", lambda *given: ran.append("") or run(*given))
    limits, out = ["--seconds", "30", "--memory", "2"], tmp_path / "grades.csv"
    write(tmp_path, "a", RIGHT)
    write(tmp_path, "b", "half = lambda x: x // 2")
    assert __main__.main(["grade", str(tmp_path), *limits]) == 0
    first = out.read_text(encoding="utf-8")
    assert __main__.main(["grade", str(tmp_path), *limits]) == 0
    assert len(ran) == 2
    again = [list(csv.DictReader(text.splitlines())) for text in (first, out.read_text(encoding="utf-8"))]
    assert [{**row, "points": float(row["points"]), "of": float(row["of"])} for row in again[0]] == [
        {**row, "points": float(row["points"]), "of": float(row["of"])} for row in again[1]
    ]
    write(tmp_path, "b", RIGHT)
    write(tmp_path, "c", RIGHT)
    assert __main__.main(["grade", str(tmp_path), *limits]) == 0
    assert len(ran) == 4
    assert {name: float(row["points"]) for name, row in table(out).items()} == {"a": 2, "b": 2, "c": 2}
    assert __main__.main(["grade", str(tmp_path), "--seconds", "31", "--memory", "2"]) == 0
    assert len(ran) == 7
    out.write_text("no table", encoding="utf-8")
    assert __main__.main(["grade", str(tmp_path), *limits]) == 0
    assert len(ran) == 10


def test_what_is_no_notebook_is_a_row_and_an_empty_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no notebook"):
        grading.grade(tmp_path, 1, 1)
    (tmp_path / "a.ipynb").write_text("{", encoding="utf-8")
    (row,) = grading.grade(tmp_path, 1, 1)
    assert (row.name, row.points) == ("a.ipynb", 0)
    assert "cannot read" in row.stopped


def test_otter_grades_a_right_and_a_wrong_submission(given: Any, tmp_path: Path) -> None:
    pytest.importorskip("otter", reason="otter-grader is not installed")
    assert __main__.main(["handout", tiny.NAME, "--format", "otter", "--out", str(tmp_path)]) == 0
    folder = tmp_path / f"{tiny.NAME}-otter"
    with zipfile.ZipFile(folder / "autograder.zip") as archive:
        assert {"tests/q1.py", "otter_config.json", "run_autograder", "environment.yml"} <= set(archive.namelist())
    points = {}
    for answer in ("half = 4", "half = 5", "half = ..."):
        notebook = nbformat.read(folder / f"{tiny.NAME}.ipynb", as_version=4)
        (stub,) = (cell for cell in notebook.cells if "answer" in cell.metadata.get("tags", []))
        stub.source = answer
        nbformat.write(notebook, tmp_path / "submission.ipynb")
        grade = [sys.executable, "-m", "otter", "run", "-a", str(folder / "autograder.zip"), "-o", str(tmp_path)]
        environment = {**os.environ, "PYTHONPATH": str(Path(handout.__file__).parents[2])}
        subprocess.run([*grade, str(tmp_path / "submission.ipynb")], check=True, capture_output=True, env=environment)
        (test,) = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["tests"][1:]
        points[answer] = test["score"], test["max_score"]
    assert points == {"half = 4": (3, 3), "half = 5": (0, 3), "half = ...": (0, 3)}
