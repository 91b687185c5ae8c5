"""The rendered book: strict, with sound links, and with nothing loaded from elsewhere."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from . import made_up

BOOKS = ("made_up_book", "real_book")


@pytest.fixture(params=BOOKS)
def book(request: pytest.FixtureRequest) -> Path:
    """Each of the two books, rendered with every warning an error."""
    return Path(request.getfixturevalue(request.param))


def pages(book: Path) -> list[Path]:
    """The pages of a rendered book (the theme leaves templates in _static)."""
    return [path for path in sorted(book.rglob("*.html")) if "_static" not in path.parts]


@cache
def parsed(path: Path) -> BeautifulSoup:
    """A page."""
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@cache
def anchors(path: Path) -> frozenset[str]:
    """Everything on a page that a link can lead to."""
    return frozenset(str(tag.get("id") or tag.get("name")) for tag in parsed(path).find_all(id=True)) | frozenset(
        str(tag["name"]) for tag in parsed(path).find_all("a", attrs={"name": True})
    )


def is_dangling(page: Path, address: str) -> bool:
    """Whether a link within the book leads to no file or no anchor."""
    parts = urlsplit(address)
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.is_file():
        return True
    return bool(parts.fragment) and target.suffix == ".html" and unquote(parts.fragment) not in anchors(target)


def test_links_within_the_book(book: Path) -> None:
    dangling = [
        f"{page.relative_to(book)}: {link['href']}"
        for page in pages(book)
        for link in parsed(page).find_all("a", href=True)
        if not urlsplit(link["href"]).scheme and link["href"] != "#" and is_dangling(page, link["href"])
    ]
    assert dangling == []


def test_nothing_is_loaded_from_elsewhere(book: Path) -> None:
    loading = [
        f"{page.relative_to(book)}: {tag.get('src') or tag.get('href')}"
        for page in pages(book)
        for tag in parsed(page).find_all(["script", "img", "link", "iframe"])
        if re.match("(https?:)?//", str(tag.get("src") or tag.get("href") or ""))
    ]
    assert loading == []
    assert not any("unpkg.com" in script.text for page in pages(book) for script in parsed(page).find_all("script"))


def test_every_image_is_there_and_has_words(book: Path) -> None:
    for page in pages(book):
        for image in parsed(page).select("main img"):
            assert image.get("alt"), f"{page}: {image}"
            source = str(image["src"])
            assert source.startswith("data:") or (page.parent / unquote(source)).is_file(), f"{page}: {source}"


def test_every_figure_has_a_number_and_a_caption(book: Path) -> None:
    figures = [figure for page in pages(book) for figure in parsed(page).select("main figure")]
    assert figures
    assert all(figure.select_one("figcaption .caption-number") and figure.get("id") for figure in figures)


def test_every_page_names_its_language_and_title(book: Path) -> None:
    for page in pages(book):
        assert parsed(page).html["lang"] == "en"
        # the theme's page of search results has its heading elsewhere
        assert page.name == "search.html" or len(parsed(page).select("article h1")) == 1, page


def test_executed_pages_have_a_card(book: Path) -> None:
    for page in (book / "book" / "executed").glob("*.html"):
        assert len(parsed(page).select("section.run-card")) == 1


def test_only_the_maths_that_is_needed_is_copied(book: Path) -> None:
    folder = book / "_static" / "mathjax"
    assert (folder / "tex-chtml-full.js").is_file()
    assert len(list((folder / "output/chtml/fonts/woff-v2").glob("*.woff"))) > 10
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 3_000_000


def test_the_book_and_its_pages_stay_small(book: Path) -> None:
    assert sum(file.stat().st_size for file in book.rglob("*") if file.is_file()) < 25_000_000
    assert max(page.stat().st_size for page in pages(book)) < 2_000_000
    assert list(book.rglob("*.map")) == []


def test_plain_build_at_the_root_lacks_only_what_is_not_published(tmp_path: Path) -> None:
    done = made_up.render(made_up.ROOT, tmp_path)
    unpublished = [name for name in named_in_contents() if not (made_up.ROOT / f"{name}.ipynb").is_file()]
    complaints = made_up.complaints(done).splitlines() if done.returncode else []
    assert len(complaints) == len(unpublished), complaints
    assert all(any(name in line for line in complaints) for name in unpublished)


def named_in_contents() -> list[str]:
    """The executed pages that _toc.yml names."""
    return re.findall(r"book/executed/[\w-]+", (made_up.ROOT / "_toc.yml").read_text(encoding="utf-8"))
