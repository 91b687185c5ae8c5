"""Explorers: figures that a reader moves, each fed by what a run attached to its record.

A page holds the data inline and a still picture. JavaScript replaces the picture by something to play with; without
JavaScript, and in print, the picture stays. Each explorer is a directive whose content is the figure's caption.
"""

import json
from html import escape
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from . import record

log = logging.getLogger(__name__)


class Explorer(SphinxDirective):
    """A numbered figure that holds an explorer; children say of which run, what it needs and how its picture looks."""

    has_content = True
    option_spec: ClassVar = {"name": directives.unchanged_required, "alt": directives.unchanged_required}
    chapter = attachment = kind = ""  # the run, its attachment, and the name by which JavaScript knows the explorer

    @staticmethod
    def check(data: dict[str, Any]) -> None:
        """ValueError with one line where the data are not what the explorer draws."""
        raise NotImplementedError

    @staticmethod
    def picture(data: dict[str, Any], alt: str) -> str:
        """The still picture, as SVG."""
        raise NotImplementedError

    @staticmethod
    def given(data: dict[str, Any]) -> dict[str, Any]:
        """What JavaScript is given of the data."""
        return data

    def run(self) -> list[nodes.Node]:
        """Draw the figure, or warn that its data are not there or not sound."""
        try:
            data = record.load(self.env, self.chapter, f".{self.attachment}.json")
            self.check(data)
        except (record.RecordError, ValueError, KeyError, IndexError) as error:
            return self.missing(error)
        picture = self.picture(data, self.options.get("alt", ""))
        drawn = nodes.raw("", markup(self.kind, self.given(data), picture), format="html")
        figure = nodes.figure("", drawn, classes=["explorer-figure"])
        if self.content:
            caption = nodes.Element()
            self.state.nested_parse(self.content, self.content_offset, caption)
            figure += nodes.caption("", "", *caption[0].children)
        self.set_source_info(figure)
        self.add_name(figure)
        return [figure]

    def missing(self, error: Exception) -> list[nodes.Node]:
        """A sentence where the run is from before it attached the data; else a warning."""
        attached = record.load(self.env, self.chapter).get("attachments", []) if self.known() else [self.attachment]
        if isinstance(error, record.RecordError) and self.attachment not in attached:
            words = f"The run that is shown here has kept nothing for this explorer: run {self.chapter} anew to see it."
            return [nodes.paragraph("", words, classes=["explorer-missing"])]
        log.warning("explorer: %s", error, location=self.get_location(), type="dfnas", subtype="explorer")
        return []

    def known(self) -> bool:
        """Whether there is a run at all."""
        return record.path_of(self.env, self.chapter).is_file()


def markup(kind: str, given: dict[str, Any], picture: str) -> str:
    """The explorer: its data, and the picture that JavaScript will hide."""
    inline = json.dumps(given, separators=(",", ":")).replace("</", "<\\/")
    return (
        f'<div class="explorer explorer-{kind}" data-explorer="{kind}">'
        f'<script type="application/json">{inline}</script>'
        f'<div class="explorer-static">{picture}</div></div>'
    )


def drawing(width: float, height: float, alt: str, parts: list[str]) -> str:
    """An SVG picture with words for those who do not see it."""
    return (
        f'<svg class="explorer-drawing" viewBox="0 0 {width:g} {height:g}" width="{width:g}" role="img" '
        f'aria-label="{escape(alt, quote=True)}">{"".join(parts)}</svg>'
    )
