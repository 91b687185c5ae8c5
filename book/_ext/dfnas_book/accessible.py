"""Repairs of what the renderer writes, for readers who hear the page."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

# a list whose entries are none, by the roles that docutils gives them: screen readers then announce no list
REPAIRS = {
    '<div role="list" class="citation-list">': '<div class="citation-list">',
    ' role="doc-biblioentry"': "",
}


def repaired(body: str) -> str:
    """The page's HTML with every repair made."""
    for wrong, right in REPAIRS.items():
        body = body.replace(wrong, right)
    return body


def on_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Repair the body of a page before it goes into the theme's template."""
    if "body" in context:
        context["body"] = repaired(context["body"])


def setup(app: Sphinx) -> None:
    """Register the repair."""
    app.connect("html-page-context", on_page)
