"""The book to take away, from the published runs: a PDF with nothing cut, an EPUB whose every link leads somewhere."""

import csv
import io
import json
import re
import sys
import xml.etree.ElementTree as ET
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from playwright.sync_api import Browser

from dfnas.errors import UserError

from .made_up import ROOT

sys.path.insert(0, str(ROOT / "book" / "take_away"))
TITLE = "Architecture search without data"
XHTML = "{http://www.w3.org/1999/xhtml}"
MATHS = "{http://www.w3.org/1998/Math/MathML}"


def test_without_a_browser_the_pdf_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread of its own: playwright refuses to start twice in one, and the fixture `chromium` may run in ours."""
    import pdf

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    with ThreadPoolExecutor(1) as thread, pytest.raises(UserError, match="install one of chromium"):
        thread.submit(pdf.write, [], tmp_path, TITLE, tmp_path / "book.pdf").result()


@pytest.fixture(scope="module")
def pages(real_book: Path) -> list[Any]:
    import pages

    return pages.load(real_book, real_book.parents[1] / "source" / "_toc.yml")


@pytest.mark.slow
@pytest.mark.browser
def test_the_pdf_has_contents_with_page_numbers_and_nothing_is_cut(
    pages: list[Any], real_book: Path, chromium: Browser, tmp_path: Path
) -> None:
    """The fixture `chromium` skips where there is none."""
    import pdf
    import pypdf

    wide = pdf.print_book(chromium, pages, real_book, TITLE, tmp_path / "book.pdf")
    assert wide == []
    assert not (real_book / "print.html").exists()
    content = (tmp_path / "book.pdf").read_bytes()
    assert len(content) < 15_000_000
    reader = pypdf.PdfReader(io.BytesIO(content))
    contents = reader.pages[1].extract_text()
    numbers = pdf.page_numbers(content, {page.slug for page in pages})
    assert len(numbers) == len(pages)
    for page in pages:
        assert re.search(rf"{re.escape(page.title)}\s+{numbers[page.slug]}\b", contents), page.title
        assert " ".join(page.title.split()) in " ".join(reader.pages[numbers[page.slug] - 1].extract_text().split())
    links = [link.get_object() for sheet in reader.pages for link in sheet.get("/Annots", [])]
    inside = [link["/Dest"] for link in links if "/Dest" in link]
    assert len(inside) > 20 * len(pages) / 2
    assert {str(name).lstrip("/") for name in inside} <= {name.lstrip("/") for name in reader.named_destinations}
    text = "".join(sheet.extract_text() for sheet in reader.pages)
    assert "\\frac" not in text  # a formula that nobody typeset
    numbered = {number.get_text().strip() for page in pages for number in page.article.select(".caption-number")}
    assert {"Figure 2.1", "Table 7.1"} <= numbered
    assert [number for number in sorted(numbered) if number not in text] == []


@pytest.fixture(scope="module")
def epub(pages: list[Any], real_book: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    import epub

    out = tmp_path_factory.mktemp("epub") / "book.epub"
    assert epub.write(pages, real_book, TITLE, out) == []
    return zipfile.ZipFile(out)


def test_the_epub_is_well_formed_and_declares_what_it_holds(epub: zipfile.ZipFile) -> None:
    first = epub.infolist()[0]
    assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
    package = ET.fromstring(epub.read("EPUB/content.opf"))
    opf = "{http://www.idpf.org/2007/opf}"
    declared = {f"EPUB/{item.get('href')}" for item in package.iter(f"{opf}item")}
    inside = {name for name in epub.namelist() if name.startswith("EPUB/")} - {"EPUB/content.opf"}
    assert declared == inside
    ids = {item.get("id") for item in package.iter(f"{opf}item")}
    assert {item.get("idref") for item in package.iter(f"{opf}itemref")} <= ids
    for name in inside:
        if name.endswith((".xhtml", ".svg")):
            ET.fromstring(epub.read(name))  # raises where it is not well-formed
        if name.endswith(".svg"):
            assert b"<!DOCTYPE" not in epub.read(name)


def test_every_link_and_picture_of_the_epub_is_there(epub: zipfile.ZipFile) -> None:
    trees = {name: ET.fromstring(epub.read(name)) for name in epub.namelist() if name.endswith(".xhtml")}
    ids = {name: [each.get("id") for each in tree.iter() if each.get("id")] for name, tree in trees.items()}
    links = pictures = 0
    for name, tree in trees.items():
        assert len(ids[name]) == len(set(ids[name])), name
        for image in tree.iter(f"{XHTML}img"):
            assert image.get("alt")
            assert f"EPUB/{image.get('src')}" in epub.namelist()
            pictures += 1
        for link in tree.iter(f"{XHTML}a"):
            address = link.get("href", "")
            if address.startswith("http"):
                continue
            file, _, anchor = address.partition("#")
            to = str(PurePosixPath("EPUB") / file)
            assert to in trees, f"{name}: {address}"
            assert not anchor or anchor in ids[to], f"{name}: {address}"
            links += 1
    assert links > 200
    assert pictures > 30
    assert len({name for name in epub.namelist() if name.endswith((".svg", ".png"))}) > 30


def test_formulas_of_the_epub_are_mathml(epub: zipfile.ZipFile) -> None:
    count = 0
    for name in epub.namelist():
        if name.endswith(".xhtml"):
            tree = ET.fromstring(epub.read(name))
            assert not any("\\(" in "".join(span.itertext()) for span in tree.iter(f"{XHTML}span"))
            count += sum(1 for _ in tree.iter(f"{MATHS}math"))
    assert count > 400


def test_every_executed_page_has_slides_that_need_nothing_from_elsewhere(
    pages: list[Any], real_book: Path, tmp_path: Path
) -> None:
    import slides
    from bs4 import BeautifulSoup
    from pages import FIGURES

    folder = tmp_path / "slides"
    assert slides.write(pages, real_book, TITLE, folder) == []
    assert (folder / "reveal" / "LICENSE").read_text(encoding="utf-8").startswith("Copyright")
    chapters = [page for page in pages if "/executed/" in page.name]
    assert chapters
    for page in chapters:
        text = (folder / f"{page.slug}.html").read_text(encoding="utf-8")
        found = BeautifulSoup(text, "html.parser")
        assert len(found.select(".slides > section")) >= 3
        assert len(found.select("img")) == len(page.article.select(FIGURES))
        for tag in found.select("[src], link[href]"):
            address = str(tag.get("src") or tag.get("href"))
            place = real_book / "slides" / address  # where they are written
            copied = (folder / address).is_file() or place.resolve().is_file()
            assert address.startswith("data:") or copied, address
        assert all(image["alt"] for image in found.select("img"))


def test_the_pack_of_figures_says_what_each_is_and_where_from(
    pages: list[Any], real_book: Path, tmp_path: Path
) -> None:
    import slides

    assert slides.write_figures(pages, real_book, TITLE, tmp_path / "figures.zip") == []
    with zipfile.ZipFile(tmp_path / "figures.zip") as archive:
        rows = json.loads(archive.read("figures.json"))
        assert {row["file"] for row in rows} == set(archive.namelist()) - {"figures.json", "CAPTIONS.txt"}
    assert len(rows) > 30
    assert all(row["caption"] and row["alt"] and row["number"].startswith("Figure") for row in rows)
    assert all("profile laptop" in row["source"] for row in rows if re.match(r"\d", row["file"]))


def test_the_pack_for_a_class_holds_numbers_records_handouts_and_questions(
    pages: list[Any], real_book: Path, tmp_path: Path
) -> None:
    import pack

    from dfnas.profiles import CHAPTERS

    assert pack.write(pages, real_book, TITLE, tmp_path / "pack.zip") == []
    with zipfile.ZipFile(tmp_path / "pack.zip") as archive:
        names = set(archive.namelist())
        rows = list(csv.DictReader(io.StringIO(archive.read("metrics.csv").decode("utf-8"))))
    assert {f"handouts/{name}-student.ipynb" for name in CHAPTERS} | {
        f"quizzes/{name}.toml" for name in CHAPTERS
    } <= names
    assert {row["profile"] for row in rows} == {"laptop", "quick"}
    (teacher,) = (
        r
        for r in rows
        if r["profile"] == "laptop" and r["metric"] == "teacher_accuracy" and r["chapter"] == "01-teacher"
    )
    record = json.loads((ROOT / "book/executed/01-teacher.json").read_text(encoding="utf-8"))
    assert float(teacher["value"]) == record["metrics"]["teacher_accuracy"]


def test_a_deck_begins_with_the_question_and_its_answer_and_ends_with_what_to_take_away() -> None:
    import pages
    import slides
    from bs4 import BeautifulSoup

    text = """<article><section><h1>5. Search</h1><p><em>Does it work?</em></p>
    <div class="finding"><p><b>It does</b> here. By chance.</p></div>
    <section id="i"><h2>5.1. Idea</h2><p>Paths share weights.</p></section>
    <section id="t"><h2>5.2. What to take away</h2><ul><li>Train once. Judge many.</li></ul></section>
    <section id="n"><h2>5.3. What could not be told</h2><p>Anything at scale. More.</p></section></section></article>"""
    article = BeautifulSoup(text, "html.parser").article
    found = BeautifulSoup(slides.deck(pages.Page("book/executed/05-x", "", "5. Search", article)), "html.parser")
    texts = [" ".join(slide.get_text(" ").split()) for slide in found.select(".slides > section")]
    assert texts == [
        "5. Search Does it work? It does here. By chance.",
        "The idea Paths share weights.",
        "What the run says It does here.",
        "What to take away Train once.",
        "What could not be told Anything at scale.",
    ]
