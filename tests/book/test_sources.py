"""The notebooks' sources: the conventions that every chapter keeps, checked without running anything."""

import ast
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from dfnas.publishing import handout

from .made_up import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
EXECUTED = sorted((ROOT / "book" / "executed").glob("*.ipynb"))
PARAMETERS = 'profile: str = "quick"\nseed: int = 0\noverrides: list = []'
CODE_LINES = 130  # without exercises and the program, which has a limit of its own
# a share typed by hand; "a 95 % interval" is a choice, not a result
TYPED_RESULT = re.compile(r"\d\s?%(?!\s+(confidence|interval|bootstrap))")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_executed = pytest.mark.parametrize("path", EXECUTED, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[Any]:
    """The cells of one kind (markdown or code) of a notebook."""
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def tags(cell: Any) -> list[str]:
    """The tags of a cell."""
    return list(cell.metadata.get("tags", []))


def prose(path: Path) -> str:
    """All markdown of a notebook."""
    return "\n\n".join(cell.source for cell in cells(path, "markdown"))


def draws(cell: Any) -> bool:
    """Whether a cell shows a figure: it asks for one, or its metadata describe one."""
    described = {"figure", "image"} & set(cell.metadata.get("mystnb", {}))
    tables = r"figures\.(Tables|by_source|finds)\b"  # which have a caption of their own, and are text
    return bool(described) or bool(re.search(rf"(?m)^(?!{tables})(figures\.|fig\b)", cell.source))


def missing_words(cell: Any) -> list[str]:
    """What a figure's cell lacks of name, caption and alternative text."""
    mystnb = cell.metadata.get("mystnb", {})
    figure, image = mystnb.get("figure", {}), mystnb.get("image", {})
    words = {"name": figure.get("name"), "caption": figure.get("caption"), "alt text": image.get("alt")}
    return [what for what, text in words.items() if not text]


@each_notebook
def test_one_parameters_cell_with_the_defaults(path: Path) -> None:
    tagged = [cell for cell in cells(path, "code") if "parameters" in tags(cell)]
    assert [cell.source.strip() for cell in tagged] == [PARAMETERS]
    assert "hide-input" in tags(tagged[0])


@each_notebook
def test_no_outputs(path: Path) -> None:
    kept = [cell.source for cell in cells(path, "code") if cell.outputs or cell.execution_count is not None]
    assert kept == []


@each_notebook
def test_title_first_and_only_once(path: Path) -> None:
    first = nbformat.read(path, as_version=4).cells[0]
    assert first.cell_type == "markdown"
    assert re.match(r"(\([a-z0-9-]+\)=\n)?# \S", first.source), "the first cell starts with a label and the title"
    outside_fences = re.sub(r"(?ms)^(`{3,}|:{3,}).*?^\1\s*$", "", prose(path))
    assert len(re.findall(r"(?m)^# ", outside_fences)) == 1


@each_notebook
def test_few_lines_of_code(path: Path) -> None:
    read = [cell for cell in cells(path, "code") if not {"solution", "program"} & set(tags(cell))]
    lines = [line for cell in read for line in cell.source.splitlines()]
    code = [line for line in lines if line.strip() and not line.strip().startswith("#")]
    assert len(code) <= CODE_LINES, "move what is long into dfnas/"


@each_notebook
def test_every_value_of_what_is_trained_several_times_is_kept(path: Path) -> None:
    """The others train one network, compare kernels, and read records."""
    kept = any('run.attach("values", ' in cell.source for cell in cells(path, "code"))
    assert kept or path.stem in ("01-teacher", "11-kernels", "12-results")


@each_notebook
def test_same_code_in_every_profile(path: Path) -> None:
    code = "\n".join(cell.source for cell in cells(path, "code"))
    assert not re.search(r"\bif\b.*\bprofile\b|environ|getenv", code)


@each_notebook
def test_figures_have_name_caption_and_alt_text(path: Path) -> None:
    shown = [cell for cell in cells(path, "code") if draws(cell)]
    assert shown, "a chapter without a figure"
    assert {cell.source: missing_words(cell) for cell in shown if missing_words(cell)} == {}
    for cell in shown:
        alt = cell.metadata.mystnb.image.alt
        assert len(alt) >= 20, f"an alt text says what is to be seen, not {alt!r}"
        assert not re.search(r"\.(svg|png)\b", alt)
        assert alt != cell.metadata.mystnb.figure.caption


def test_figure_names_are_unique() -> None:
    names = [
        cell.metadata.mystnb.figure.name
        for path in NOTEBOOKS
        for cell in cells(path, "code")
        if "figure" in cell.metadata.get("mystnb", {})
    ]
    assert sorted(set(names)) == sorted(names)


@each_notebook
def test_three_exercises_with_executed_solutions(path: Path) -> None:
    exercises = re.findall(r"\{exercise(?:-start)?\}[^\n]*\n(?::[a-z]+:[^\n]*\n)*:label:\s*(\S+)", prose(path))
    solved = re.findall(r"\{solution(?:-start)?\}\s*(\S+)", prose(path))
    assert len(exercises) == 3
    assert sorted(solved) == sorted(exercises)
    solutions = [cell for cell in cells(path, "code") if "solution" in tags(cell)]
    assert len(solutions) >= 3
    assert all("hide-input" in tags(cell) for cell in solutions), "a solution is folded"


def solutions(path: Path) -> dict[str, list[Any]]:
    """The code cells of each exercise's solution, by the exercise's label."""
    found: dict[str, list[Any]] = {}
    label = ""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            named = re.findall(r"\{solution(?:-start)?\}\s*(\S+)", cell.source)
            label = named[-1] if named else ""
        elif "solution" in tags(cell):
            found.setdefault(label, []).append(cell)
    return found


def defined(source: str) -> set[str]:
    """The names that a cell of code defines."""
    tree = ast.parse(source)
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return {node.id for node in names} | {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@each_notebook
def test_each_exercise_has_a_solution_and_a_check(path: Path) -> None:
    solved = solutions(path)
    assert len(solved) == 3
    assert "" not in solved, "a solution's code follows the solution in words"
    unchecked = [label for label, found in solved.items() if not any(map(handout.check, found))]
    assert unchecked == [], "metadata.dfnas of a solution's cell says what is asked and checked: see dfnas/handout.py"


@each_notebook
def test_checks_ask_for_what_solutions_define_and_say_what_is_wrong(path: Path) -> None:
    for cell in [cell for found in solutions(path).values() for cell in found if handout.check(cell)]:
        asked, check = set(handout.answers(cell)), ast.parse("\n".join(cell.metadata.dfnas.check))
        assert asked, "a check without a name to answer"
        assert asked <= defined(cell.source)
        assert asked <= {node.id for node in ast.walk(check) if isinstance(node, ast.Name)}, (
            "a name that is not checked"
        )
        assert all(node.msg for node in ast.walk(check) if isinstance(node, ast.Assert)), "an assert without a message"


@each_notebook
def test_results_in_prose_come_from_the_run(path: Path) -> None:
    without_roles = re.sub(r"\{num\}`[^`]*`", "", prose(path))
    typed = [line for line in without_roles.splitlines() if TYPED_RESULT.search(line)]
    assert typed == [], "numbers come from the record, by the {num} role"


@each_executed
def test_published_figures_have_words(path: Path) -> None:
    shown = [
        cell
        for cell in cells(path, "code")
        for output in cell.outputs
        if any(kind.startswith("image/") for kind in output.get("data", {}))
    ]
    assert {cell.source: missing_words(cell) for cell in shown if missing_words(cell)} == {}


@each_executed
def test_published_runs_are_small(path: Path) -> None:
    assert path.stat().st_size <= 1_000_000


def test_published_folder_is_small() -> None:
    files = (ROOT / "book" / "executed").rglob("*")
    assert sum(file.stat().st_size for file in files if file.is_file()) <= 8_000_000


def test_a_chapter_has_one_title_everywhere() -> None:
    titles = {path.stem: re.search(r"(?m)^# (.+)$", prose(path))[1] for path in NOTEBOOKS}  # type: ignore[index]
    listed = [
        match
        for page in (ROOT / "index.md", *sorted((ROOT / "book").glob("*.md")))
        for match in re.findall(r"(?m)^(\d\d-[a-z-]+) \| ([^|\n]+?) *(?:\||$)", page.read_text(encoding="utf-8"))
    ]
    assert len(listed) >= 2 * len(titles)
    assert [(name, title) for name, title in listed if titles[name] != title] == []


# a result that leaves its branches to the reader: "if its interval lies above zero, …"
CONDITIONAL = re.compile(
    r"(?i)\b(?:if|where|when|unless)\b[^.:;|]{0,90}\b(?:lies?|lay|comes?|came|rises?|stays?) (?:above|below|level)\b"
    r"|\binterval[^.:;|]{0,30}\b(?:contains?|holds?|leaves?|includes?) (?:out )?(?:zero|0|the (?:sign|limit))\b"
    r"|\bif (?:its|their|this|that|the) intervals?\b"
)
ELSEWHERE = {"02-synthesis", "03-calibration", "05-spos", "08-truth"}  # tests/book/test_findings.py looks at these


def parts(path: Path) -> dict[str, str]:
    """The sections of a notebook by their titles, without directives; what stands before the first is the opening."""
    text = re.sub(r"(?ms)^(`{3,}|:{3,}).*?^\1 *$", "\0", prose(path))
    opening, *sections = re.split(r"(?m)^(?=## )", text)
    return {"opening": opening} | {section.partition("\n")[0][3:].strip(): section for section in sections}


@each_notebook
def test_results_leave_no_branch_to_the_reader(path: Path) -> None:
    sections, found = parts(path), []
    for title in ("opening", "Results", "Conclusion", "What to take away", "What could not be told"):
        found += [match[0] for match in CONDITIONAL.finditer(sections.get(title, ""))]
    assert found == [], "what may come out in several ways is a {finding}"


@each_notebook
def test_chapter_opens_with_question_and_answer_and_ends_with_what_to_take_away(path: Path) -> None:
    if path.stem in ELSEWHERE:
        pytest.skip("test_findings.py looks at this one")
    sections = parts(path)
    label, title, question, *answer = [block for block in sections["opening"].split("\n") if block.strip()]
    assert label.startswith("(")
    assert title.startswith("# ")
    assert re.fullmatch(r"\*[^*]+\?\*", question.strip())
    assert "\0" in answer or any("{num}" in line for line in answer), "a {finding}, or numbers of the run"
    assert any("{numref}" in line for line in answer), "a figure"
    lines = [block for block in sections["What to take away"].split("\n\n")[1:] if block.strip()]
    assert len(lines) == 3
    assert list(sections)[-3:-1] == ["What to take away", "What could not be told"]
