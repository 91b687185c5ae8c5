"""Slides, a deck a chapter: its question, its figures, its claims, what to take away and what it does not show.

They lie in `slides/` of the rendered site and need no network: reveal.js (MIT, see reveal/LICENSE) is copied there.
"""

import copy
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

from bs4 import Tag
from pages import FIGURES, Page, image

HERE = Path(__file__).parent
DECK = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="reveal/reveal.css"><link rel="stylesheet" href="reveal/slides.css">
<script>window.MathJax = {{options: {{enableMenu: false}}}};</script>
<script defer src="../_static/mathjax/tex-chtml-full.js"></script></head>
<body><div class="reveal"><div class="slides">{slides}</div></div>
<script src="reveal/reveal.js"></script>
<script>Reveal.initialize({{hash: true, width: 1280, height: 720, margin: 0.05, transition: "none",
  slideNumber: true}});</script></body></html>"""
MOST = 6  # lines on a slide


def first_sentence(text: str) -> str:
    """The first sentence of a text."""
    return re.split(r"(?<=[.?!])\s+(?=[A-Z])", " ".join(text.split()), maxsplit=1)[0]


def sections(article: Tag) -> dict[str, Tag]:
    """The sections of a page by their titles, without their numbers."""
    found = {}
    for section in article.select("section[id]"):
        heading = section.find(["h2"], recursive=False)
        if heading is not None:
            found[re.sub(r"^[\d.]+\s*", "", heading.get_text(" ", strip=True))] = section
    return found


def deck(page: Page) -> str:
    """A chapter's slides as HTML."""
    parts, slides = sections(page.article), [_first(page)]
    idea = next((parts[name] for name in parts if name.startswith("Idea")), None)
    if idea is not None:
        slides.append(_lines("The idea", [_html(p) for p in idea.find_all("p", recursive=False)][:1]))
    for figure in page.article.select(FIGURES):
        slides.append(_figure(page, figure))
    claims = [_claim(claim) for claim in page.article.select("li.claim")]
    claims += [first_sentence(_html(text)) for text in page.article.select(".finding > p:first-child")]
    for start in range(0, len(claims), MOST):
        slides.append(_lines("What the run says", claims[start : start + MOST]))
    for title, section in parts.items():
        if re.search("what to take away|not be told", title, re.IGNORECASE):
            slides.append(_lines(title, list(_points(section))[:MOST]))
    return DECK.format(title=page.title, slides="".join(f"<section>{slide}</section>" for slide in slides))


def _first(page: Page) -> str:
    top = page.article.h1.parent.find_all(["p", "section"], recursive=False)
    question = next((p for p in top if p.name == "p" and p.find() is not None and p.find().name == "em"), None)
    answer = page.article.h1.parent.select_one(":scope > .finding > p:first-child")
    said = "".join(f"<p>{_html(each)}</p>" for each in (question, answer) if each is not None)
    card = page.article.select_one(".run-card")
    facts = [f"{dt.get_text()}: {dt.find_next('dd').get_text()}" for dt in card.select("dt")] if card else []
    shown = [fact for fact in facts if re.match("Profile|Seed|Commit|Date", fact)]
    return f"<h1>{page.title}</h1>{said}<p class='source'>{'; '.join(shown)}</p>"


def _figure(page: Page, figure: Tag) -> str:
    picture = figure.img
    heading = figure.find_previous(["h2", "h3"])
    title = re.sub(r"^[\d.]+\s*", "", heading.get_text(" ", strip=True)) if heading else ""
    source = str(picture["src"])
    if not source.startswith("data:"):
        source = "../" + re.sub(r"^(\.\./)+", "", source)
    label = figure.select_one(".caption-number")
    text = figure.select_one(".caption-text")
    caption = f"<b>{label.get_text(strip=True) if label else ''}</b> {first_sentence(_html(text)) if text else ''}"
    return f"<h2>{title}</h2><img src='{source}' alt='{_quoted(str(picture.get('alt', '')))}'><p>{caption}</p>"


def _claim(claim: Tag) -> str:
    state, text = claim.select_one(".claim-state"), claim.select_one(".claim-text")
    return f"<b>{state.get_text(strip=True)}</b>: {text.get_text(' ', strip=True)}"


def _points(section: Tag) -> Iterator[str]:
    """What a section says, a line an item or paragraph."""
    for each in section.find_all(["li", "p"]):
        if each.name == "li" or each.find_parent("li") is None:
            yield first_sentence(_html(each))


def _lines(title: str, lines: list[str]) -> str:
    items = "".join(f"<li>{line}</li>" for line in lines)
    return f"<h2>{title}</h2><ul>{items}</ul>"


def _html(tag: Tag) -> str:
    """What is in an element, with its formulas and emphasis, without its links."""
    own = copy.copy(tag)
    for link in own.select("a, p, .num"):
        link.unwrap()
    return own.decode_contents().strip()


def _quoted(text: str) -> str:
    return text.replace("&", "&amp;").replace("'", "&#39;").replace("<", "&lt;")


def write(pages: list[Page], html: Path, title: str, out: Path) -> list[str]:
    """Write a deck for each executed page and a list of them; nothing is wrong with a deck."""
    del title
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(HERE / "reveal", out / "reveal")
    shutil.copy2(HERE / "slides.css", out / "reveal" / "slides.css")
    chapters = [page for page in pages if "/executed/" in page.name]
    for page in chapters:
        (out / f"{page.slug}.html").write_text(deck(page), encoding="utf-8")
    links = "".join(f"<li><a href='{page.slug}.html'>{page.title}</a></li>" for page in chapters)
    head = "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>Slides</title></head>"
    (out / "index.html").write_text(f"{head}<body><h1>Slides</h1><ul>{links}</ul></body></html>", encoding="utf-8")
    return []


def write_figures(pages: list[Page], html: Path, title: str, out: Path) -> list[str]:
    """A pack of all figures as files, with a table of their captions, alternative texts and sources."""
    rows = []
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for page in pages:
            for figure in page.article.select(FIGURES):
                path = image(page, html, str(figure.img["src"]))
                name = f"{page.slug}/{figure.get('id') or path.stem[:12]}{path.suffix}"
                label, text = figure.select_one(".caption-number"), figure.select_one(".caption-text")
                row = {"file": name, "number": label.get_text(strip=True) if label else "", "page": page.title}
                row |= {"caption": " ".join(text.get_text().split()) if text else "", "alt": figure.img.get("alt", "")}
                row["source"] = _source(page, title)
                rows.append(row)
                archive.write(path, name)
        archive.writestr("figures.json", json.dumps(rows, indent=1, ensure_ascii=False))
        lines = [f"{row['file']}\n{row['number']}. {row['caption']}\n{row['source']}\n" for row in rows]
        archive.writestr("CAPTIONS.txt", "\n".join(lines))
    return []


def _source(page: Page, title: str) -> str:
    """Where a figure is from: the book, its page and the run."""
    card = page.article.select_one(".run-card")
    facts = {dt.get_text(): dt.find_next("dd").get_text() for dt in card.select("dt")} if card else {}
    known = [f"{name.lower()} {facts[name]}" for name in ("Profile", "Seed", "Commit", "Date") if name in facts]
    return f"{title}, {page.title}" + (f" ({', '.join(known)})" if known else "") + ". Apache-2.0."
