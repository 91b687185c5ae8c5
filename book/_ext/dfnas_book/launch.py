"""Launch buttons that open the notebook's source, not the executed copy that the page was made from;
none where there is no repository.
"""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

from .record import EXECUTED


def rewrite(buttons: list[dict[str, Any]]) -> None:
    """Point every address among `buttons`, groups included, from book/executed to notebooks."""
    for button in buttons:
        rewrite(button.get("buttons", []))
        for key in ("url", "link"):
            if isinstance(button.get(key), str):
                button[key] = button[key].replace(f"{EXECUTED}/", "notebooks/")


def configure(app: Sphinx, config: Config) -> None:
    """Ask for no launch buttons while the book has no repository: the theme would fail on an empty address."""
    options = config.html_theme_options
    if not options.get("repository_url"):
        config.html_theme_options = {**options, "launch_buttons": {}}


def on_page(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Correct the theme's buttons after the theme has made them."""
    rewrite(context.get("header_buttons", []))


def setup(app: Sphinx) -> None:
    """Run after the theme, whose own handlers have priority 501 and less."""
    app.connect("config-inited", configure)
    app.connect("html-page-context", on_page, priority=900)
