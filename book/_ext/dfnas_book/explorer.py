"""The explorer of label calibration: {calibration-explorer}, fed by the run's 03-calibration.explorer.json.

The page holds the data inline and a drawn figure of a few slots; explorer.js replaces the figure by
something to play with. Without JavaScript, and in print, the figure stays.
"""

import json
from collections.abc import Sequence
from html import escape
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from . import record

log = logging.getLogger(__name__)

RUN = "03-calibration"
SHOWN_SLOTS = 3  # in the drawn figure
ROW, COLUMN, IMAGE, BARS = 150, 210, 64, 104  # measures of the drawn figure, in its own pixels


def check(data: dict[str, Any]) -> None:
    """ValueError with one line where the data are not what the explorer draws."""
    rounds, classes = data["rounds"], len(data["classes"])
    for slot in data["slots"]:
        if len(slot["labels"]) != rounds or len(slot["images"]) != rounds:
            raise ValueError(f"slot {slot['slot']} does not have {rounds} rounds")
        if any(len(label) != classes for label in slot["labels"]):
            raise ValueError(f"slot {slot['slot']} has a label without {classes} classes")
        if any(not image.startswith("data:image/") for image in slot["images"]):
            raise ValueError(f"slot {slot['slot']} has an image that is not a data address")


def bars(label: Sequence[float], wanted: int, left: float, top: float) -> str:
    """One label as small bars that stand side by side; the slot's own class is marked."""
    width = BARS / len(label)
    drawn = []
    for index, share in enumerate(label):
        height = max(share * IMAGE, 0.5)
        mark = "bar bar-own" if index == wanted else "bar"
        x, y = left + index * width, top + IMAGE - height
        drawn.append(f'<rect class="{mark}" x="{x:.1f}" y="{y:.1f}" width="{width * 0.8:.1f}" height="{height:.1f}"/>')
    base = top + IMAGE
    drawn.append(f'<path class="axis" d="M{left:.1f} {base + 0.5:.1f}h{BARS}"/>')
    return "".join(drawn)


def drawing(data: dict[str, Any], alt: str) -> str:
    """The figure for readers without JavaScript: a few slots, one row each, one column a round."""
    slots = data["slots"][:SHOWN_SLOTS]
    parts = []
    for row, slot in enumerate(slots):
        name = escape(str(data["classes"][slot["class"]]))
        top = row * ROW + 50
        parts.append(f'<text class="slot" x="4" y="{top - 12}">Slot {slot["slot"]}, {name}</text>')
        for column, (label, image) in enumerate(zip(slot["labels"], slot["images"], strict=True)):
            left = column * COLUMN + 4
            parts.append(
                f'<image x="{left}" y="{top}" width="{IMAGE}" height="{IMAGE}" href="{escape(image, quote=True)}"/>'
                + bars(label, slot["class"], left + IMAGE + 12, top)
                + f'<text class="round" x="{left}" y="{top + IMAGE + 18}">round {column}</text>'
            )
    width, height = data["rounds"] * COLUMN, len(slots) * ROW
    return (
        f'<svg class="explorer-drawing" viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-label="{escape(alt, quote=True)}">{"".join(parts)}</svg>'
    )


def markup(data: dict[str, Any], alt: str) -> str:
    """The explorer: its data, and the drawing that JavaScript will hide."""
    inline = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    return (
        '<div class="explorer" data-explorer>'
        f'<script type="application/json">{inline}</script>'
        f'<div class="explorer-static">{drawing(data, alt)}</div></div>'
    )


class CalibrationExplorer(SphinxDirective):
    """A numbered figure that holds the explorer; the content is its caption."""

    has_content = True
    option_spec: ClassVar = {"name": directives.unchanged_required, "alt": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Draw the figure, or warn that its data are not there or not sound."""
        alt = self.options.get("alt", "The labels of a few slots as bars, one column a round.")
        try:
            data = record.load(self.env, RUN, ".explorer.json")
            check(data)
        except (record.RecordError, ValueError, KeyError) as error:
            log.warning("explorer: %s", error, location=self.get_location(), type="dfnas", subtype="explorer")
            return []
        figure = nodes.figure("", nodes.raw("", markup(data, alt), format="html"), classes=["explorer-figure"])
        if self.content:
            caption = nodes.Element()
            self.state.nested_parse(self.content, self.content_offset, caption)
            figure += nodes.caption("", "", *caption[0].children)
        self.set_source_info(figure)
        self.add_name(figure)
        return [figure]


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("calibration-explorer", CalibrationExplorer)
