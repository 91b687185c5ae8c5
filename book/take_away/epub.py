"""The whole book as an EPUB 3: a file a page, formulas as MathML, every link within it resolved."""

import copy
import hashlib
import re
import zipfile
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from bs4 import BeautifulSoup, Tag
from latex2mathml.converter import convert
from pages import Page, image, target

STYLE = Path(__file__).with_name("epub.css")
KINDS = {
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
}
HEAD = "<?xml version='1.0' encoding='utf-8'?>\n"
XHTML = (
    HEAD + "<!DOCTYPE html>\n<html xmlns='http://www.w3.org/1999/xhtml' xmlns:epub='http://www.idpf.org/2007/ops' "
    "xml:lang='en' lang='en'><head><title>{title}</title>"
    "<link rel='stylesheet' type='text/css' href='book.css'/></head><body>{body}</body></html>"
)
ALLOWED = {"id", "class", "href", "src", "alt", "lang", "title", "colspan", "rowspan", "scope", "start", "open", "role"}
ALLOWED |= {"aria-label", "width", "height", "type", "value", "datetime"}


def write(pages: list[Page], html: Path, title: str, out: Path) -> list[str]:
    """Write the book; the formulas that could not be converted, if any."""
    pictures: dict[str, Path] = {}
    wrong: list[str] = []
    ids = {page.name: _ids(page.article) for page in pages}
    files = {f"{page.slug}.xhtml": _chapter(page, html, ids, pictures, wrong) for page in pages}
    navigation = "".join(f"<li><a href='{page.slug}.xhtml'>{escape(page.title)}</a></li>" for page in pages)
    contents = f"<nav epub:type='toc' id='toc'><h1>Contents</h1><ol>{navigation}</ol></nav>"
    files["nav.xhtml"] = XHTML.format(title="Contents", body=contents)
    files["content.opf"] = _package(pages, files, pictures, title)
    files["book.css"] = STYLE.read_text(encoding="utf-8")
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("mimetype"), "application/epub+zip")  # first, and not compressed
        archive.writestr("META-INF/container.xml", HEAD + CONTAINER)
        for name, text in files.items():
            archive.writestr(f"EPUB/{name}", text)
        for name, path in pictures.items():
            archive.writestr(f"EPUB/{name}", picture(path))
    return wrong


def picture(path: Path) -> bytes:
    """A picture; a drawing without Matplotlib's DTD and letters of no strokes, which an EPUB must not have."""
    content = path.read_bytes()
    if path.suffix != ".svg":
        return content
    text = re.sub(r"<!DOCTYPE[^>]*>", "", content.decode("utf-8"))
    return re.sub(r"<path(?![^>]* d=)", '<path d="M0 0"', text).encode()


CONTAINER = (
    "<container version='1.0' xmlns='urn:oasis:names:tc:opendocument:xmlns:container'><rootfiles>"
    "<rootfile full-path='EPUB/content.opf' media-type='application/oebps-package+xml'/></rootfiles></container>"
)


def _ids(article: Tag) -> set[str]:
    return {str(tag["id"]) for tag in article.select("[id]")}


def _package(pages: list[Page], files: dict[str, str], pictures: dict[str, Path], title: str) -> str:
    items = ["<item id='nav' href='nav.xhtml' media-type='application/xhtml+xml' properties='nav'/>"]
    items.append("<item id='css' href='book.css' media-type='text/css'/>")
    for page in pages:
        maths = " properties='mathml'" if "<math" in files[f"{page.slug}.xhtml"] else ""
        kind = f"media-type='application/xhtml+xml'{maths}"
        items.append(f"<item id='p-{page.slug}' href='{page.slug}.xhtml' {kind}/>")
    for number, (name, path) in enumerate(pictures.items()):
        items.append(f"<item id='i{number}' href='{name}' media-type='{KINDS[path.suffix.lower()]}'/>")
    spine = "<itemref idref='nav'/>" + "".join(f"<itemref idref='p-{page.slug}'/>" for page in pages)
    digest = hashlib.sha256("".join(files.values()).encode()).hexdigest()
    facts = (
        f"<dc:identifier id='id'>urn:sha256:{digest}</dc:identifier><dc:title>{title}</dc:title>"
        "<dc:language>en</dc:language><dc:creator>the authors of dfnas</dc:creator><dc:rights>Apache-2.0</dc:rights>"
        f"<meta property='dcterms:modified'>{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}</meta>"
    )
    return (
        f"{HEAD}<package xmlns='http://www.idpf.org/2007/opf' version='3.0' unique-identifier='id' xml:lang='en'>"
        f"<metadata xmlns:dc='http://purl.org/dc/elements/1.1/'>{facts}</metadata>"
        f"<manifest>{''.join(items)}</manifest><spine>{spine}</spine></package>"
    )


def _chapter(page: Page, html: Path, ids: dict[str, set[str]], pictures: dict[str, Path], wrong: list[str]) -> str:
    article = copy.copy(page.article)
    _maths(article, wrong)
    for tag in article.select("svg"):
        tag.replace_with("This figure answers to a pointer: it is on the web page.")
    for tag in article.select("a[href]"):
        to = target(page, str(tag["href"]))
        if to is not None and to[0] in ids and (not to[1] or to[1] in ids[to[0]]):
            tag["href"] = f"{to[0].rpartition('/')[2]}.xhtml" + (f"#{to[1]}" if to[1] else "")
        elif not str(tag["href"]).startswith("http"):
            tag.unwrap()
    for tag in article.select("img[src]"):
        path = image(page, html, str(tag["src"]))
        tag["src"] = path.name
        pictures[str(tag["src"])] = path
    for tag in article.find_all(True):
        if tag.find_parent("math") is None and tag.name != "math":
            _plain(tag)
    return XHTML.format(title=escape(page.title), body=article.decode_contents(formatter="minimal"))


def _plain(tag: Tag) -> None:
    """Take away attributes and elements that an EPUB must not have."""
    tag.attrs = {name: value for name, value in tag.attrs.items() if name in ALLOWED and value is not None}
    if "open" in tag.attrs:
        tag["open"] = "open"
    for name in ("width", "height"):
        if not re.fullmatch(r"\d+", str(tag.attrs.get(name, "0"))):
            del tag[name]
    if tag.name in ("canvas", "input", "select", "output"):
        tag.decompose()
    elif tag.name == "label":
        tag.unwrap()


def _maths(article: Tag, wrong: list[str]) -> None:
    """Put MathML in the place of TeX."""
    for tag in article.select("span.math, div.math"):
        number = tag.select_one(".eqno")
        if number is not None:
            number.extract()
        display = tag.name == "div"
        text = tag.get_text().strip()
        for opening, closing in ((r"\[", r"\]"), (r"\(", r"\)")):
            text = text.removeprefix(opening).removesuffix(closing)
        mathml = convert(text, display="block" if display else "inline")
        found = BeautifulSoup(mathml, "html.parser").math
        if "\\" in found.get_text():
            wrong.append(f"{text[:60]}: not all of it is MathML")
        found["alttext"] = " ".join(text.split())
        tag.clear()
        if number is not None:
            tag.append(number)
        tag.append(found)
