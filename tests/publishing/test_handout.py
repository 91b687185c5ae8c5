"""Handouts: what students and teachers get of a chapter; answers and checks are run in tests/book/test_smoke.py."""

import ast
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
import tiny
from nbformat.v4 import new_code_cell, new_markdown_cell

from dfnas import profiles
from dfnas.errors import UserError
from dfnas.publishing import handout, markdown
from dfnas.records import provenance
from dfnas.runtime import paths

PROSE = r"""(ch-tiny)=
## Results

Of {num}`01-teacher:test_images|,` images, {eq}`eq-tiny` and {numref}`fig-tiny`, see {term}`slots <slot>`,
{impl}`dfnas.publishing.markdown.markdown` {cite:p}`a,b`.

$$
x = 1
$$ (eq-tiny)

```{list-table} Costs
:name: tab-tiny
:header-rows: 1

* - arm
  - {num}`01-teacher:cost|.1%`
* -
  - two
    lines
```
"""
EXERCISE = """```{exercise} Halve it
:label: ex-tiny

Halve a number.
```

````{solution} ex-tiny
:label: sol-tiny
:class: dropdown

Divide by two.
````
"""
METADATA = {
    "tags": ["solution", "hide-input"],
    "dfnas": {"answer": {"half": "half of x"}, "check": ['assert half(8) == 4, "half: of 8 it is 4"']},
}


def source() -> Any:
    """A chapter with a figure, a table and one exercise."""
    chapter = tiny.notebook("y = 1")
    chapter.cells[3].metadata = nbformat.from_dict(tiny.FIGURE)
    solution = new_code_cell("def half(x, digits=1):\n    return x / 2", id="solved", metadata=METADATA)
    chapter.cells[4:4] = [new_markdown_cell(PROSE), new_markdown_cell(EXERCISE), solution]
    return chapter


def run(cells: list[Any]) -> dict[str, Any]:
    names: dict[str, Any] = {}
    for cell in cells:
        exec(cell.source, names)
    return names


def tagged(notebook: Any, tag: str) -> list[Any]:
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def test_students_get_a_stub_and_a_check_in_place_of_the_solution() -> None:
    given = handout.notebook(source())
    stub, check = tagged(given, "answer") + tagged(given, "check")
    assert stub.source == "# half(x, digits=1): half of x\nhalf = ..."
    assert not tagged(given, "solution")
    assert "Divide by two" not in str(given)
    assert "x / 2" not in str(given)
    with pytest.raises(AssertionError, match="half is not answered yet"):
        run([stub, check])
    stub.source = "half = lambda x: x / 3"
    with pytest.raises(AssertionError, match="half: of 8 it is 4"):
        run([stub, check])
    stub.source = "half = lambda x: x / 2"
    run([stub, check])
    nbformat.validate(given)


def test_what_is_asked_and_checked_is_no_code_of_the_chapter() -> None:
    bare = source()
    for cell in bare.cells:
        cell.metadata.pop("dfnas", None)
    assert provenance.code_digest(source().cells) == provenance.code_digest(bare.cells)
    assert [cell.source for cell in handout.notebook(bare).cells if cell.source.startswith("# your")] == [
        "# your answer"
    ]


def test_teachers_get_solutions_and_the_same_checks() -> None:
    given, students = handout.notebook(source(), teacher=True), handout.notebook(source())
    assert [cell.source for cell in tagged(given, "solution")] == ["def half(x, digits=1):\n    return x / 2"]
    assert [cell.source for cell in tagged(given, "check")] == [cell.source for cell in tagged(students, "check")]
    assert any("<summary>Solution</summary>\n\nDivide by two.\n\n</details>" in cell.source for cell in given.cells)
    run(tagged(given, "solution") + tagged(given, "check"))


def test_no_handout_writes_the_books_record() -> None:
    code = [cell.source for cell in handout.notebook(source()).cells if cell.cell_type == "code"]
    assert code[:2] == [tiny.DEFAULTS, tiny.begin(tiny.NAME)]
    assert not any("run.finish()" in text or "run.card()" in text for text in code)


def test_prose_is_markdown_that_jupyter_shows() -> None:
    known = markdown.numbers(source().cells)
    assert known == {"fig-tiny": "Figure 1", "eq-tiny": "Equation 1", "tab-tiny": "Table 1", "ex-tiny": "Exercise 1"}
    shown = markdown.markdown(PROSE, known)
    assert "images, (1) and Figure 1, see slots,\n`dfnas.publishing.markdown.markdown` [a, b]." in shown
    assert shown.startswith("## Results\n\nOf `01-teacher:test_images` images")
    assert "$$\nx = 1\n\\tag{1}\n$$" in shown
    table = ["*Table 1.* Costs", "", "| arm | `01-teacher:cost` |", "| --- | --- |", "|  | two lines |"]
    assert shown.splitlines()[-5:] == table
    prose = "By {eq}`eq-student` and {eq}`eq-nowhere` in {ref}`ex-tiny` and {ref}`there <ex-tiny>`"
    assert markdown.markdown(prose, known) == "By (3.8) and (eq-nowhere) in Exercise 1 and there"


@pytest.mark.parametrize("name", [path.stem for path in sorted((paths.root() / "notebooks").glob("*.ipynb"))])
def test_every_chapter_makes_both_handouts(name: str) -> None:
    chapter = nbformat.read(paths.root() / "notebooks" / f"{name}.ipynb", as_version=4)
    for teacher in (False, True):
        given = handout.notebook(chapter, teacher)
        nbformat.validate(given)
        words = "\n".join(cell.source for cell in given.cells if cell.cell_type == "markdown")
        assert not re.search(r"\{[\w:-]+\}`|^(`{3,}|:{3,})\{|^\([\w-]+\)=$", words, re.MULTILINE)
        assert not re.search(r"(?<![`\w-])(eq|ex|fig|tab|sec)-[a-z]+(-[a-z]+)*(?![`\w-])", words)
        assert len(re.findall(r"(?m)^### Exercise \d: \S", words)) == 3
        assert words.count("<summary>Solution</summary>") == 3 * teacher
        assert len(tagged(given, "solution" if teacher else "answer")) >= 3
        for cell in tagged(given, "answer") + tagged(given, "check"):
            ast.parse(cell.source)


def test_a_handout_is_never_written_over(tmp_path: Path) -> None:
    path = handout.write("01-teacher", out=tmp_path / "class")
    assert path == tmp_path / "class" / "01-teacher-student.ipynb"
    assert handout.write("01-teacher", teacher=True, out=tmp_path / "mine.ipynb") == tmp_path / "mine.ipynb"
    path.write_text("answers", encoding="utf-8")
    with pytest.raises(UserError, match="is there already"):
        handout.write("01-teacher", out=tmp_path / "class")
    assert path.read_text(encoding="utf-8") == "answers"


def test_an_unknown_chapter_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no chapter '12-nothing'; there are " + ", ".join(profiles.CHAPTERS)):
        handout.write("12-nothing", out=tmp_path)
    assert list(tmp_path.iterdir()) == []
