"""Answers that the runs choose: every {finding} of the book, rendered in each of its five states."""

import re

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from dfnas_book import finding, record
from sphinx.application import Sphinx

from dfnas.records import claims
from dfnas.runtime.statistics import Interval

from . import made_up

BLOCK = re.compile(r"(?ms)^(?P<fence>`{3,}|:{3,})\{finding\} *(?P<name>[\w-]+)\n(?P<texts>.*?)^(?P=fence)$")
ESTIMATE, REASON = Interval(1.25, 0.5, 2.0), "it lacks what it needs"


def sources() -> dict[str, str]:
    """The prose of each page."""
    pages = [made_up.ROOT / "index.md", *sorted((made_up.ROOT / "book").glob("*.md"))]
    found = {page.stem: page.read_text(encoding="utf-8") for page in pages}
    for path in sorted((made_up.ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        found[path.stem] = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return found


USES = [(page, use) for page, text in sources().items() for use in BLOCK.finditer(text)]


def test_no_use_is_overlooked() -> None:
    assert sum(text.count("{finding}") for text in sources().values()) == len(USES) > 0


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[str]], str]:
    """The text of each use, on one page for each state, and what Sphinx complains of; any number is in the records."""
    folder = tmp_path_factory.mktemp("findings")
    for state in claims.STATES:
        blocks = "\n\n".join(use.group() for _, use in USES)
        (folder / f"{state}.md").write_text(f"---\norphan: true\n---\n# {state}\n\n{blocks}\n", encoding="utf-8")
    settings = yaml.safe_load((made_up.ROOT / "_config.yml").read_text(encoding="utf-8"))
    roles = [f"dfnas_book.{name}" for name in ("num", "impl", "chapters", "finding")]
    options = {
        "extensions": ["myst_nb", "sphinxcontrib.bibtex", *roles],
        "root_doc": "holds",
        "smartquotes": False,
        "numfig": True,
        "myst_enable_extensions": settings["parse"]["myst_enable_extensions"],
        "bibtex_bibfiles": [str(made_up.ROOT / file) for file in settings["bibtex_bibfiles"]],
        "suppress_warnings": ["ref", "bibtex"],  # what a text refers to stands on the page that it is from
    }
    with pytest.MonkeyPatch.context() as patch, (folder / "warnings").open("w+", encoding="utf-8") as warnings:
        patch.setattr(record, "all_of", lambda env: env.docname)
        patch.setattr(record, "metric", lambda env, name, key: 0.4321)
        patch.setattr(claims, "findings", lambda state: dict.fromkeys(claims.BY_NAME, fact(state)))
        app = Sphinx(folder, None, folder / "out", folder / "trees", "html", options, None, warnings)
        app.build()
        warnings.seek(0)
        complaints = warnings.read()
    texts = {}
    for state in claims.STATES:
        soup = BeautifulSoup((folder / "out" / f"{state}.html").read_text(encoding="utf-8"), "html.parser")
        texts[state] = [" ".join(box.text.split()) for box in soup.select(f"div.finding-{state.replace('_', '-')}")]
    return texts, complaints


def fact(state: str) -> claims.Finding:
    """What a claim in this state is found to be."""
    if state == claims.NOT_RUN:
        return claims.Finding(state)
    return claims.Finding(state, ESTIMATE, REASON if state in (claims.CANNOT_TELL, claims.UNDECIDED) else "", 0.01)


@pytest.mark.parametrize("state", claims.STATES)
def test_every_branch_of_every_use_renders(pages: tuple[dict[str, list[str]], str], state: str) -> None:
    texts, complaints = pages
    assert complaints == ""
    assert len(texts[state]) == len(USES)
    for (page, use), text in zip(USES, texts[state], strict=True):
        raw = finding.texts(use["texts"])[state]
        plain = re.sub(r"\{[\w:]+\}`[^`]*`|\{\w+\}|[*_`]|\[[^\]]*\]\([^)]*\)", "\0", raw)  # what markup leaves as it is
        assert all(" ".join(part.split()) in text for part in plain.split("\0")), (page, state)
        assert "{" not in text, (page, state)
        assert (REASON in text.lower()) == ("{reason}" in raw or state == claims.UNDECIDED)
        assert ("95 % interval" in text) == ("{estimate}" in raw)


def test_what_cannot_be_told_says_why() -> None:
    missing = [
        f"{page}: {use['name']}" for page, use in USES if "{reason}" not in finding.texts(use["texts"])["cannot_tell"]
    ]
    assert missing == []


def test_a_chapter_that_was_not_run_quotes_none_of_its_numbers() -> None:
    for page, use in USES:
        text = finding.texts(use["texts"])[claims.NOT_RUN]
        assert f"{{num}}`{claims.BY_NAME[use['name']].chapter}" not in text, page
        assert "{estimate}" not in text, page


CONDITIONAL = re.compile(
    r"\b(if|where) (its|the|an|this|that) (whole )?interval|interval (lies|is) (above|below)|holds? (0|zero)\b|"
    r"\bif (it|this|that|\*?\w+\*?) (lies|is) (above|below)"
)
CLUMSY = re.compile(r"\bin the mean\b|\bis dear\b|\bdear ones\b|\bforth and back\b|\bholds zero\b|\ba row a class\b")


@pytest.mark.parametrize("page", sorted(sources()))
def test_results_are_told_and_not_left_to_the_reader_to_work_out(page: str) -> None:
    text = re.sub(r"(?ms)^(`{3,})\{(exercise|solution)\}.*?^\1", "", sources()[page])
    assert [match.group() for pattern in (CONDITIONAL, CLUMSY) for match in pattern.finditer(text)] == []


@pytest.mark.parametrize("page", [page for page in sorted(sources()) if page[:1].isdigit()])
def test_every_chapter_ends_with_what_to_take_away_and_what_could_not_be_told(page: str) -> None:
    ends = [heading for heading in re.findall(r"(?m)^## (.+)$", sources()[page]) if heading != "Exercises"]
    assert ends[-2:] == ["What to take away", "What could not be told"]


@pytest.mark.parametrize("page", ["02-synthesis", "03-calibration", "05-spos", "08-truth"])
def test_a_chapter_opens_with_its_answer_and_says_three_things_to_take_away(page: str) -> None:
    cells = nbformat.read(made_up.ROOT / "notebooks" / f"{page}.ipynb", as_version=4).cells
    assert re.match(r"\([\w-]+\)=\n# [^\n]+\n\n\*[^\n]+\?[^\n]*\*\n\n```\{finding\}", cells[0].source)
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert "figure" in code[3].metadata.mystnb, "parameters, set-up and results, then a figure"
    taken = sources()[page].partition("## What to take away\n")[2].partition("\n## ")[0]
    assert len([line for line in taken.splitlines() if line.startswith("**")]) == 3
