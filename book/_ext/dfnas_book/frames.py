"""Images forming out of noise: {synthesis-frames} to drag through, {forming-image} for the first page.

A run of the synthesis chapter keeps the frames as tiles of one sheet: a row for each image of each variant of the
objective, variants under each other, and a column for each moment.
"""

import base64
import io
import itertools
from html import escape
from typing import Any

from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from . import explorer, record

TILE, GAP, HEAD, LABEL = 84, 8, 28, 150  # measures of the still picture, in its own pixels
COLUMNS = 6  # moments in the still picture


def size(sheet: str) -> tuple[int, int]:
    """Width and height of a picture that is a data address; ValueError where it is none."""
    return opened(sheet).size


def opened(sheet: str) -> Image.Image:
    """The picture of a data address."""
    head, _, data = sheet.partition(";base64,")
    if not head.startswith("data:image/"):
        raise ValueError("the sheet is not a data address")
    return Image.open(io.BytesIO(base64.b64decode(data)))


def side_of(data: dict[str, Any]) -> int:
    """The side of a tile, in the sheet's pixels."""
    return size(data["sheet"])[0] // len(data["iterations"])


def columns_of(data: dict[str, Any]) -> list[int]:
    """The moments that a still picture shows, the first and the last among them."""
    last = len(data["iterations"]) - 1
    return sorted({round(last * index / (COLUMNS - 1)) for index in range(COLUMNS)})


def moment(iterations: int) -> str:
    """A moment in words."""
    return f"iteration {iterations}" if iterations else "noise"


class SynthesisFrames(explorer.Explorer):
    """A slider through the iterations, and a switch for each term that the objective may lack."""

    chapter, attachment, kind = "02-synthesis", "frames", "frames"

    @staticmethod
    def check(data: dict[str, Any]) -> None:
        """The sheet holds a tile for each image of each variant at each moment."""
        width, height = size(data["sheet"])
        side, rows = side_of(data), len(data["variants"]) * len(data["classes"])
        if width != side * len(data["iterations"]) or height != side * rows:
            raise ValueError(f"a sheet of {width} x {height} pixels does not hold {rows} rows of square tiles")
        if [len(terms) for terms in data["terms"]] != [len(data["iterations"])] * len(data["variants"]):
            raise ValueError("a variant does not have terms for each moment")
        terms = data["variants"][-1]
        ways = [list(some) for count in range(len(terms) + 1) for some in itertools.combinations(terms, count)]
        if data["variants"] != ways:
            raise ValueError("the variants are not all that switches give, from nothing left out to all terms")

    @staticmethod
    def picture(data: dict[str, Any], alt: str) -> str:
        """The first image with all terms and without one of them, a row each, at a few moments."""
        (width, height), side, columns = size(data["sheet"]), side_of(data), columns_of(data)
        whole = (
            f'<image id="frames-sheet" href="{escape(data["sheet"], quote=True)}" width="{width}" height="{height}"/>'
        )
        rows = [row for row, lacks in enumerate(data["variants"]) if len(lacks) < 2]
        parts = [f"<defs>{whole}</defs>"]
        for column, frame in enumerate(columns):
            left = LABEL + column * (TILE + GAP)
            parts.append(f'<text class="round" x="{left}" y="16">{moment(data["iterations"][frame])}</text>')
            for place, row in enumerate(rows):
                box = f"{frame * side} {row * len(data['classes']) * side} {side} {side}"
                top = HEAD + place * (TILE + GAP)
                corner = f'x="{left}" y="{top}" width="{TILE}" height="{TILE}"'
                parts.append(f'<svg {corner} viewBox="{box}"><use href="#frames-sheet"/></svg>')
        for place, row in enumerate(rows):
            top = HEAD + place * (TILE + GAP) + TILE / 2
            for line, words in enumerate(halves(" ".join(["no", *data["variants"][row]]) if row else "complete")):
                parts.append(f'<text class="slot" x="0" y="{top + 18 * line:g}">{escape(words)}</text>')
        width, height = LABEL + len(columns) * (TILE + GAP), HEAD + len(rows) * (TILE + GAP)
        return explorer.drawing(width, height, alt, parts)

    @staticmethod
    def given(data: dict[str, Any]) -> dict[str, Any]:
        """The sheet stands in the picture alone; here are its measures."""
        return {**data, "sheet": size(data["sheet"]), "side": side_of(data)}


def halves(words: str) -> list[str]:
    """A label in two lines, the first its first two words."""
    parts = words.split()
    return [" ".join(parts[:2]), " ".join(parts[2:])] if len(parts) > 2 else [words]


class FormingImage(SphinxDirective):
    """The first image of the published run, from noise to its class; nothing where the run kept no frames."""

    def run(self) -> list[nodes.Node]:
        """A strip of tiles: CSS runs through it once, where motion is welcome, and stops at the finished image."""
        try:
            data = record.load(self.env, SynthesisFrames.chapter, f".{SynthesisFrames.attachment}.json")
        except record.RecordError:
            return []
        side, sheet, name = side_of(data), opened(data["sheet"]), escape(str(data["classes"][0]))
        strip = png(sheet.crop((0, 0, sheet.width, side)))
        image = f'<image id="forming-strip" href="{strip}" width="{sheet.width}" height="{side}"/>'
        tiles = "".join(still(side, frame, data["iterations"][frame]) for frame in columns_of(data))
        words = f"Noise, step by step, becomes an image that the teacher is to call {name}."
        style = f"--frames: {len(data['iterations']) - 1}; --shift: {side - sheet.width}px"
        large = f'<svg class="forming-large" viewBox="0 0 {side} {side}"><defs>{image}</defs>'
        large += f'<g style="{style}"><use href="#forming-strip"/></g></svg>'
        text = f'<p class="forming-class">From noise to “{name}”</p><div class="forming-tiles">{tiles}</div>'
        text += "<small>the image after so many iterations</small>"
        box = f'<div class="forming" role="img" aria-label="{words}">{large}<div>{text}</div></div>'
        return [nodes.raw("", box, format="html")]


def still(side: int, frame: int, iterations: int) -> str:
    """One tile of the strip, with its moment."""
    image = f'<svg viewBox="{frame * side} 0 {side} {side}"><use href="#forming-strip"/></svg>'
    return f"<span>{image}<small>{iterations or 'noise'}</small></span>"


def png(image: Image.Image) -> str:
    """A picture as a data address."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def setup(app: Sphinx) -> None:
    """Register the directives."""
    app.add_directive("synthesis-frames", SynthesisFrames)
    app.add_directive("forming-image", FormingImage)
