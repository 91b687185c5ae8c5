"""The explorer of label calibration, {calibration-explorer}: slots, their images and soft labels, round by round.

It opens on the slot whose label moves most, and its still picture begins with that slot too.
"""

from collections.abc import Sequence
from html import escape
from typing import Any

from sphinx.application import Sphinx

from . import explorer

SHOWN_SLOTS = 3  # in the still picture
ROW, COLUMN, IMAGE, BARS = 150, 210, 64, 104  # measures of the picture, in its own pixels


def moved(slot: dict[str, Any]) -> float:
    """How far a slot's label has moved from the first round to the last, from 0 to 1."""
    return sum(abs(after - before) for before, after in zip(slot["labels"][0], slot["labels"][-1], strict=True)) / 2


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


class CalibrationExplorer(explorer.Explorer):
    """A slot to choose and a slider through the rounds."""

    chapter, attachment, kind = "03-calibration", "explorer", "labels"

    @staticmethod
    def check(data: dict[str, Any]) -> None:
        """Every slot has a label and an image for each round."""
        rounds, classes = data["rounds"], len(data["classes"])
        for slot in data["slots"]:
            if len(slot["labels"]) != rounds or len(slot["images"]) != rounds:
                raise ValueError(f"slot {slot['slot']} does not have {rounds} rounds")
            if any(len(label) != classes for label in slot["labels"]):
                raise ValueError(f"slot {slot['slot']} has a label without {classes} classes")
            if any(not image.startswith("data:image/") for image in slot["images"]):
                raise ValueError(f"slot {slot['slot']} has an image that is not a data address")

    @staticmethod
    def picture(data: dict[str, Any], alt: str) -> str:
        """A few slots, one row each, one column a round."""
        parts = []
        for row, slot in enumerate(sorted(data["slots"], key=moved, reverse=True)[:SHOWN_SLOTS]):
            name, top = escape(str(data["classes"][slot["class"]])), row * ROW + 50
            parts.append(f'<text class="slot" x="4" y="{top - 12}">Slot {slot["slot"]}, {name}</text>')
            for column, (label, image) in enumerate(zip(slot["labels"], slot["images"], strict=True)):
                left = column * COLUMN + 4
                parts.append(
                    f'<image x="{left}" y="{top}" width="{IMAGE}" height="{IMAGE}" href="{escape(image, quote=True)}"/>'
                    + bars(label, slot["class"], left + IMAGE + 12, top)
                    + f'<text class="round" x="{left}" y="{top + IMAGE + 18}">round {column}</text>'
                )
        return explorer.drawing(data["rounds"] * COLUMN, min(SHOWN_SLOTS, len(data["slots"])) * ROW, alt, parts)


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("calibration-explorer", CalibrationExplorer)
