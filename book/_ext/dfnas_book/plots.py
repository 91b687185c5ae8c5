"""Figures that follow the theme: each SVG stands in its page, where style sheets reach it, not in an <img>.

Names within a drawing get a prefix, so that two drawings on a page do not take each other's parts; the drawing's own
style sheet is confined to it. Its greys, as dfnas.figures.theme has them, become variables that book.css sets in the
dark; colours stay, and so do black and white type, which stands on them, and the pixels of images.
"""

import re
from html import escape, unescape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

IMAGE = re.compile(r'<img (?P<attributes>[^>]*?src="[^"]*_images/(?P<name>[^"/]+\.svg)"[^>]*?)/?>')
LINKED = re.compile(r'<a [^>]*href="[^"]*_images/[^"/]+\.svg"[^>]*>\s*(<img [^>]*>)\s*</a>')  # to the file that goes
STYLED = re.compile(r'<(?P<tag>g|path|rect|use)\b[^>]*?style="[^"]*"')
COLOUR = re.compile(r"(?P<what>fill|stroke): (?P<colour>#[0-9a-f]{6})")
TYPE = dict.fromkeys(("#1a1a1a", "#262626", "#333333", "#404040", "#595959"), "ink")
FILLS = {"#ffffff": "ground", "#262626": "ink"} | dict.fromkeys(("#d9d9d9", "#e0e0e0", "#e6e6e6"), "band")
DARK = ("#000000", "#1a1a1a", "#262626", "#333333", "#404040", "#4c4c4c", "#595959", "#666666")
STROKES = {"#ffffff": "ground", "#e6e6e6": "faint", "#e0e0e0": "band"} | dict.fromkeys(DARK, "rule")
HEAD = re.compile(r"(?s)^.*?<svg\b(?P<attributes>[^>]*)>")


def attribute(text: str, name: str) -> str:
    """The value of an attribute in a tag; "" where there is none."""
    found = re.search(rf'(?<![\w-]){name}="([^"]*)"', text)
    return unescape(found[1]) if found else ""


def inlined(svg: str, key: str, words: str, style: str = "") -> str:
    """A drawing as part of a page: `key` begins its names, `words` are its alternative text."""
    head = HEAD.match(svg)
    if head is None:
        raise ValueError("no SVG")
    size = {name: attribute(head["attributes"], name) for name in ("viewBox", "width")}
    inner = re.sub(r"(?s)<metadata>.*?</metadata>|<!--.*?-->", "", svg[head.end() :])
    inner = re.sub(r'\bid="([^"]+)"', rf'id="{key}-\1"', inner)
    inner = re.sub(r'href="#([^"]+)"', rf'href="#{key}-\1"', inner)
    inner = re.sub(r"url\(#([^)]+)\)", rf"url(#{key}-\1)", inner)
    inner = re.sub(r"(?s)(<style\b[^>]*>)(.*?)(</style>)", lambda found: _confined(found, key), inner)
    inner = STYLED.sub(_themed, inner)
    font = "".join(f' {name}="{value}"' for name in ("font-family", "font-size") if (value := attribute(head[0], name)))
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" id="{key}"'
    box = "".join(f' {name}="{value}"' for name, value in size.items() if value)
    look = f' style="{escape(style)}"' if style else ""
    return f'{opening} class="plot" role="img" aria-label="{escape(words)}"{box}{font}{look}>{inner.strip()}'


def _themed(found: re.Match[str]) -> str:
    """A tag whose greys are variables, with the drawn colour where none is set."""

    def variable(part: re.Match[str]) -> str:
        known = STROKES if part["what"] == "stroke" else TYPE if found["tag"] == "g" else FILLS
        name = known.get(part["colour"])
        return f"{part['what']}: var(--plot-{name}, {part['colour']})" if name else part[0]

    return COLOUR.sub(variable, found[0])


def _confined(found: re.Match[str], key: str) -> str:
    """A style sheet whose rules hold within the drawing alone."""

    def selectors(rule: re.Match[str]) -> str:
        return ", ".join(f"#{key} {each}" for each in rule[1].split(",")) + "{"

    return found[1] + re.sub(r"([^{}]+)\{", selectors, found[2]) + found[3]


def on_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Put the drawings of a page into its body; a file that no page shows as an image is not copied."""
    files = {name: path for path, name in app.builder.images.items()}
    count = 0

    def drawing(found: re.Match[str]) -> str:
        nonlocal count
        path = files.get(found["name"])
        if path is None:
            return found[0]
        count += 1
        svg = (Path(app.srcdir) / path).read_text(encoding="utf-8")
        width, style = attribute(found["attributes"], "width"), attribute(found["attributes"], "style")
        look = style or (f"width: {width}" if width else "")
        app.builder.images.pop(path, None)
        return inlined(svg, f"plot{count}", attribute(found["attributes"], "alt"), look)

    if "body" in context and app.builder.name == "html":
        context["body"] = IMAGE.sub(drawing, LINKED.sub(r"\1", context["body"]))


def setup(app: Sphinx) -> None:
    """Work on the page before it goes into the theme's template."""
    app.connect("html-page-context", on_page)
