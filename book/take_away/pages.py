"""The rendered book's pages in the order of its contents, cleaned for paper: from HTML that `render` has made."""

import base64
import hashlib
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup, Tag

# What needs a pointer or a network, and what few readers of paper want.
LEFT_OUT = "script, style, button, a.headerlink, details.hide, .run-card details, noscript, template, .quiz-verdict"


FIGURES = "figure:has(img):not(:has(.pictures))"  # those that are one picture, not rows of many
PLOT = re.compile(r'(?s)<svg\b[^>]*class="plot"[^>]*>.*?</svg>')


@dataclass
class Page:
    """A page: its name as in the contents, the part it begins, its title and its article."""

    name: str
    part: str
    title: str
    article: Tag

    @property
    def slug(self) -> str:
        """A name without slashes."""
        return self.name.rpartition("/")[2]


def names(contents: Path) -> Iterator[tuple[str, str]]:
    """The pages of a _toc.yml, each with the caption of the part that it begins ("" for the others)."""
    toc = yaml.safe_load(contents.read_text(encoding="utf-8"))
    yield toc["root"], ""
    for part in toc["parts"]:
        for number, chapter in enumerate(part["chapters"]):
            yield chapter["file"].removesuffix(".ipynb"), "" if number else part["caption"]


def as_files(text: str, html: Path, name: str) -> str:
    """A page with its drawings as pictures in files of `_figures`, in the colours that they were drawn in."""
    folder, up = html / "_figures", "../" * name.count("/")
    folder.mkdir(exist_ok=True)

    def picture(found: re.Match[str]) -> str:
        svg = re.sub(r"var\(--[\w-]+,\s*([^)]*)\)", r"\1", found[0])
        file = folder / f"{name.rpartition('/')[2]}-{hashlib.sha256(svg.encode()).hexdigest()[:12]}.svg"
        file.write_text(f"<?xml version='1.0' encoding='utf-8'?>\n{svg}", encoding="utf-8")
        words = re.search(r'aria-label="([^"]*)"', found[0])
        return f'<img alt="{words[1] if words else ""}" src="{up}_figures/{file.name}">'

    return PLOT.sub(picture, text)


def load(html: Path, contents: Path) -> list[Page]:
    """The pages of the HTML that was rendered into a folder; those that it lacks are left out."""
    found = []
    for name, part in names(contents):
        file = html / f"{name}.html"
        if file.exists():
            text = as_files(file.read_text(encoding="utf-8"), html, name)
            article = BeautifulSoup(text, "html.parser").select_one("article.bd-article")
            for tag in article.select(LEFT_OUT):
                tag.decompose()
            for tag in article.select("details"):  # paper folds nothing
                tag["open"] = ""
            met: set[str] = set()
            for tag in article.select("[id]"):  # sphinx-exercise gives one to all exercises
                if tag["id"] in met:
                    del tag["id"]
                else:
                    met.add(str(tag["id"]))
            found.append(Page(name, part, article.h1.get_text(" ", strip=True), article))
    return found


def target(page: Page, address: str) -> tuple[str, str] | None:
    """The name of the page that a link of a page leads to, and the anchor there; None for what is no page."""
    parts = urlsplit(address)
    if parts.scheme or parts.netloc or not (parts.path.endswith(".html") or not parts.path):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page.name), unquote(parts.path)))
    return (path.removesuffix(".html") if parts.path else page.name), unquote(parts.fragment)


def image(page: Page, html: Path, source: str) -> Path:
    """The file of a picture of a page; one that the page holds itself is written to `_figures`."""
    if source.startswith("data:"):
        head, _, data = source.partition(",")
        kind = head.removeprefix("data:image/").partition(";")[0]
        path = html / "_figures" / f"{hashlib.sha256(data.encode()).hexdigest()[:12]}.{kind}"
        path.write_bytes(base64.b64decode(data))
        return path
    return (html / Path(page.name).parent / unquote(source)).resolve()
