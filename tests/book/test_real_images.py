"""Pages without real images, or with a few to be judged on: what needs them is left out, the rest stands alone.

Chapters that run so are in test_own_network.
"""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from dfnas import profiles
from dfnas.chapters import index
from dfnas.data import presence
from dfnas.errors import UserError
from dfnas.publishing import notebooks
from dfnas.records import conditions

SOURCES = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
FEW = {"learn": False, "judge": True}
NONE = {"learn": False, "judge": False}
ANSWERS = pytest.mark.parametrize("answered", [conditions.ALL, FEW, NONE], ids=["all", "few", "none"])


def remaining(path: Path, answered: dict[str, bool]) -> list[Any]:
    """The cells of a notebook that are there under these answers."""
    cells = nbformat.read(path, 4).cells
    return [cell for cell in cells if not conditions.left_out(cell.metadata.get("tags", []), answered)]


def words(cells: list[Any]) -> str:
    """All that the page says: prose and captions."""
    captions = [cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", "") for cell in cells]
    return "\n\n".join([*(cell.source for cell in cells if cell.cell_type == "markdown"), *captions])


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_cell_s_tag_and_its_first_line_say_the_same(path: Path) -> None:
    for cell in nbformat.read(path, 4).cells:
        tags = [tag for tag in cell.metadata.get("tags", []) if tag in conditions.CONDITIONS]
        first = cell.source.partition("\n")[0]
        if cell.cell_type == "code":
            marked = [tag for tag in conditions.CONDITIONS if first == conditions.marker(tag)]
            assert marked == tags, first
        assert not [
            tag for tag in cell.metadata.get("tags", []) if "-real-" in tag and tag not in conditions.CONDITIONS
        ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
@ANSWERS
def test_what_is_left_refers_to_nothing_that_is_left_out(path: Path, answered: dict[str, bool]) -> None:
    cells = remaining(path, answered)
    every = nbformat.read(path, 4).cells
    assert labels(every) >= labels(cells)
    gone = labels(every) - labels(cells)
    asked = set(re.findall(r"\{(?:numref|eq|ref)\}`(?:[^`<]*<)?([\w-]+)>?`", words(cells)))
    assert not asked & gone
    shown = re.findall(r":name: (\S+)|:label: (\S+)", words(cells))
    assert len(set(shown)) == len(shown), "a label twice"


def labels(cells: list[Any]) -> set[str]:
    """What can be referred to: tables, figures, equations, headings."""
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    named = re.findall(r":(?:name|label): (\S+)|^\$\$ \(([\w-]+)\)|^\(([\w-]+)\)=", text, re.MULTILINE)
    figures = [cell.metadata.get("mystnb", {}).get("figure", {}).get("name", "") for cell in cells]
    return {name for names in named for name in names if name} | set(filter(None, figures))


def test_the_page_leaves_out_prose_and_hides_code() -> None:
    cells = [nbformat.v4.new_markdown_cell(tag, metadata={"tags": [tag]}) for tag in conditions.CONDITIONS]
    cells += [
        nbformat.v4.new_code_cell(f"{conditions.marker(tag)}\nx", execution_count=number, metadata={"tags": [tag]})
        for number, tag in enumerate(conditions.CONDITIONS, 1)
    ]
    notebook = nbformat.v4.new_notebook(cells=[*cells, nbformat.v4.new_markdown_cell("always")])
    page = notebooks.with_prose(notebook, notebook, {"real_images": FEW}).cells
    there = {"needs-real-images", "without-real-training-images"}
    assert {cell.source for cell in page if cell.cell_type == "markdown"} == {*there, "always"}
    code = {cell.metadata.tags[0]: "remove-cell" in cell.metadata.tags for cell in page if cell.cell_type == "code"}
    assert code == {tag: tag not in there for tag in conditions.CONDITIONS}
    older = notebooks.with_prose(notebook, notebook, {}).cells
    needs = {"needs-real-images", "needs-real-training-images"}
    assert {cell.source for cell in older if cell.cell_type == "markdown"} == {*needs, "always"}


def test_the_kernel_passes_over_what_is_left_out() -> None:
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    try:
        for answered, expected in ((NONE, {"without"}), (conditions.ALL, {"needs"}), (FEW, {"needs"})):
            conditions.skip(answered)
            shell.user_ns.pop("seen", None)
            shell.run_cell("seen = set()")
            before = shell.execution_count
            for word in ("needs", "without"):
                shell.run_cell(f"# {word} real images\nseen.add('{word}')", store_history=True).raise_error()
            assert shell.user_ns["seen"] == expected
            assert shell.execution_count == before + 2
    finally:
        InteractiveShell.clear_instance()


@pytest.mark.parametrize("name", ["01-teacher", "07-consistency", "08-truth"])
def test_chapters_about_real_images_alone_are_refused_in_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="needs real images"):
        index.compute(name, profiles.load("smoke", 0, ["data.name=none"]))
    monkeypatch.setattr(presence, "has_train", lambda data: False)
    with pytest.raises(UserError, match="real images"):
        index.compute(name, profiles.load("smoke"))
