"""What search engines and those who share a page see: a description and a card (OpenGraph), and a sitemap.

Both need the address at which the pages will lie, so there are none while `repository.url` in _config.yml is empty.
"""

from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

CARD = "_static/card.png"
LENGTH = 200


def description(doctree: nodes.document) -> str:
    """The page's first paragraph, cut at a word."""
    paragraph = next(iter(doctree.findall(nodes.paragraph)), None)
    text = " ".join(paragraph.astext().split()) if paragraph is not None else ""
    return text if len(text) <= LENGTH else text[:LENGTH].rpartition(" ")[0] + " …"


def on_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Put the page's title, text and picture into its head."""
    base, title = app.config.html_baseurl, app.env.titles.get(pagename)
    if not base or doctree is None or title is None:
        return
    values = {
        "og:type": "article",
        "og:site_name": app.config.html_title,
        "og:title": title.astext(),
        "og:description": description(doctree),
        "og:url": f"{base}{pagename}.html",
        "og:image": f"{base}{CARD}",
        "og:image:width": "1200",
        "og:image:height": "630",
    }
    tags = [f'<meta property="{key}" content="{escape(value)}">' for key, value in values.items()]
    tags.append(f'<meta name="description" content="{escape(values["og:description"])}">')
    context["metatags"] = "\n".join(
        [context.get("metatags", ""), *tags, '<meta name="twitter:card" content="summary_large_image">']
    )


def write_sitemap(app: Sphinx, error: Exception | None) -> None:
    """List every page by its address."""
    base = app.config.html_baseurl
    if error is not None or not base or app.builder.name != "html":
        return
    pages = "".join(f"<url><loc>{escape(base)}{page}.html</loc></url>\n" for page in sorted(app.env.found_docs))
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
    (Path(app.outdir) / "sitemap.xml").write_text(f"{head}{pages}</urlset>\n", encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Register both."""
    app.connect("html-page-context", on_page)
    app.connect("build-finished", write_sitemap)
