"""The whole book as one PDF: its pages in one document, printed by Chromium."""

import copy
import io
import re
import shutil
from pathlib import Path
from typing import Any

from pages import Page, image, target

from dfnas.errors import UserError

STYLE = Path(__file__).with_name("print.css")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FOOTER = "<div style='width:100%;text-align:center;font-size:8px'><span class='pageNumber'></span></div>"
WIDTH = 643  # CSS pixels between the margins of A4
# What is wider than the page gets smaller letters; a formula that is still wider scrolls nowhere on paper.
FIT = """() => {
  const wide = [];
  for (const box of document.querySelectorAll('mjx-container[display="true"], table')) {
    const room = box.parentElement.clientWidth, inner = box.tagName === 'TABLE' ? box : box.firstElementChild;
    const has = inner.getBoundingClientRect().width;
    if (has > room) box.style.fontSize = Math.max(45, Math.floor(98 * room / has)) + '%';
    const left = inner.getBoundingClientRect().width;
    if (left > room + 1) box.style.zoom = room / left;
    if (inner.getBoundingClientRect().right > document.body.clientWidth + 2)
      wide.push(box.textContent.slice(0, 60) || box.outerHTML.slice(0, 80));
  }
  return wide;
}"""


def document(pages: list[Page], html: Path, title: str, numbers: dict[str, int] | None = None) -> str:
    """All pages as one HTML document, with a contents page; `numbers` are the pages on paper, by slug."""
    known = {page.name: page.slug for page in pages}
    body = [_contents(pages, title, numbers or {})]
    for page in pages:
        article = copy.copy(page.article)
        for tag in article.select("[id]"):
            tag["id"] = f"{page.slug}--{tag['id']}"
        for tag in article.select("a[href]"):
            to = target(page, str(tag["href"]))
            if to is not None and to[0] in known:
                tag["href"] = f"#{known[to[0]]}" + (f"--{to[1]}" if to[1] else "")
            elif not str(tag["href"]).startswith("http"):
                tag.unwrap()  # a file beside the page on the web
        for tag in article.select("img[src]"):
            if not str(tag["src"]).startswith("data:"):
                tag["src"] = image(page, html, str(tag["src"])).as_uri()
        body.append(f"<section class='page' id='{page.slug}'>{article.decode_contents()}</section>")
    config = re.search(r"window\.MathJax\s*=.*?</script>", (html / "book/notation.html").read_text("utf-8"), re.DOTALL)
    mathjax = (html / "_static/mathjax/tex-chtml-full.js").as_uri()
    pygments = (html / "_static/pygments.css").read_text(encoding="utf-8")
    head = f"<meta charset='utf-8'><title>{title}</title><style>{pygments}{STYLE.read_text('utf-8')}</style>"
    scripts = f"<script>{config.group() if config else '</script>'}<script src='{mathjax}'></script>"
    return f"<!doctype html><html lang='en'><head>{head}{scripts}</head><body>{''.join(body)}</body></html>"


def _contents(pages: list[Page], title: str, numbers: dict[str, int]) -> str:
    lines = [f"<section class='front'><h1>{title}</h1><p>Printed from the pages of the published runs.</p></section>"]
    lines.append("<section class='page contents' id='contents'><h1>Contents</h1><ul>")
    for page in pages:
        if page.part:
            lines.append(f"<li class='part'>{page.part}</li>")
        number = f"<span>{numbers[page.slug]}</span>" if page.slug in numbers else ""
        lines.append(f"<li><a href='#{page.slug}'>{page.title}</a>{number}</li>")
    return "".join([*lines, "</ul></section>"])


def write(pages: list[Page], html: Path, title: str, out: Path) -> list[str]:
    """Print the book; what is still too wide for the page, in a few words each."""
    from playwright.sync_api import Error, sync_playwright

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        except Error as error:
            raise UserError(
                f"no browser prints the book: install one of {', '.join(BROWSERS)} ({error.message.splitlines()[0]})"
            ) from None
        try:
            return print_book(chromium, pages, html, title, out)
        finally:
            chromium.close()


def print_book(chromium: Any, pages: list[Page], html: Path, title: str, out: Path) -> list[str]:
    """Print it twice: only the first print tells on which page of paper a chapter begins."""
    file, numbers = html / "print.html", dict[str, int]()
    try:
        for _ in range(2):
            file.write_text(document(pages, html, title, numbers), encoding="utf-8")
            printed, wide = _printed(chromium, file.as_uri())
            numbers = page_numbers(printed, {page.slug for page in pages})
    finally:
        file.unlink(missing_ok=True)
    out.write_bytes(printed)
    return wide


def _printed(chromium: Any, address: str) -> tuple[bytes, list[str]]:
    view = chromium.new_page(viewport={"width": WIDTH, "height": 900})
    view.set_default_timeout(0)  # a busy machine takes its time
    view.emulate_media(media="print")
    view.goto(address)
    view.evaluate("MathJax.startup.promise")
    view.evaluate("document.fonts.ready.then(() => true)")
    wide = view.evaluate(FIT)
    content = view.pdf(
        format="A4",
        outline=True,
        tagged=True,
        print_background=True,
        display_header_footer=True,
        margin={"top": "18mm", "bottom": "18mm", "left": "20mm", "right": "20mm"},
        header_template="<span></span>",
        footer_template=FOOTER,
    )
    view.close()
    return content, list(wide)


def page_numbers(printed: bytes, slugs: set[str]) -> dict[str, int]:
    """The page of paper, from 1, on which each section begins."""
    import pypdf

    reader = pypdf.PdfReader(io.BytesIO(printed))
    places = {name.lstrip("/"): place for name, place in reader.named_destinations.items()}
    return {slug: reader.get_destination_page_number(places[slug]) + 1 for slug in slugs if slug in places}
