"""Explorers of searches: {population-explorer}, generation by generation, and {regret-explorer}, by how many are kept.

Both show architectures as points, and draw the one that a reader points at. Their still pictures are the points alone.
"""

from collections.abc import Sequence
from typing import Any

from sphinx.application import Sphinx

from . import explorer

WIDTH, HEIGHT, LEFT, BOTTOM = 560, 330, 60, 46  # of a still picture, and of its margins


def points(
    across: Sequence[float], up: Sequence[float], marked: Sequence[bool], words: tuple[str, str], ends: tuple[str, str]
) -> list[str]:
    """The parts of a picture of points, the marked ones on top; axes have a name and a format for their two ends."""
    places = [(scaled(x, across, LEFT, WIDTH - 12), scaled(y, up, HEIGHT - BOTTOM, 12)) for x, y in zip(across, up)]
    parts = [f'<path class="axis" d="M{LEFT - 8} 4V{HEIGHT - BOTTOM + 8}H{WIDTH}"/>']
    for own in (False, True):
        look = "point point-own" if own else "point"
        parts += [
            f'<circle class="{look}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
            for (x, y), mark in zip(places, marked, strict=True)
            if mark == own
        ]
    bottom, (low, high), (least, most) = HEIGHT - BOTTOM + 24, (min(across), max(across)), (min(up), max(up))
    parts += [
        f'<text class="round" x="{LEFT}" y="{bottom}">{low:{ends[0]}}</text>',
        f'<text class="round" x="{WIDTH - 4}" y="{bottom}" text-anchor="end">{high:{ends[0]}}</text>',
        f'<text class="round" x="{(LEFT + WIDTH) / 2:g}" y="{bottom}" text-anchor="middle">{words[0]}</text>',
        f'<text class="round" x="{LEFT - 12}" y="{HEIGHT - BOTTOM}" text-anchor="end">{least:{ends[1]}}</text>',
        f'<text class="round" x="{LEFT - 12}" y="18" text-anchor="end">{most:{ends[1]}}</text>',
        f'<text class="round" x="{LEFT}" y="{HEIGHT - 2}">{words[1]} (up)</text>',
    ]
    return parts


def scaled(value: float, among: Sequence[float], start: float, end: float) -> float:
    """Where a value lies between the least and the largest, from start to end."""
    low, high = min(among), max(among)
    return start + (end - start) * ((value - low) / (high - low) if high > low else 0.5)


def same_length(columns: dict[str, Sequence[Any]], what: str) -> None:
    """ValueError where columns are empty, or differ in length."""
    if len({len(column) for column in columns.values()}) != 1 or not all(map(len, columns.values())):
        raise ValueError(f"{what} has columns of {', '.join(f'{len(c)} ({n})' for n, c in columns.items())}")


class PopulationExplorer(explorer.Explorer):
    """A slider through the generations of an evolutionary search."""

    chapter, attachment, kind = "05-spos", "population", "population"

    @staticmethod
    def check(data: dict[str, Any]) -> None:
        """Each search says as much of each candidate, and names its choices."""
        for name, search in data["searches"].items():
            same_length(search, f"the search on {name}")
            if any(int(choice) >= len(data["choices"]) for candidate in search["candidate"] for choice in candidate):
                raise ValueError(f"the search on {name} has a candidate with an unknown choice")

    @staticmethod
    def picture(data: dict[str, Any], alt: str) -> str:
        """The candidates of the first search, its last generation marked."""
        search = next(iter(data["searches"].values()))
        last = [generation == max(search["generation"]) for generation in search["generation"]]
        millions = [macs / 1e6 for macs in search["macs"]]
        words = ("million multiply-adds", "score; the last generation is marked")
        drawn = points(millions, search["score"], last, words, (".2f", ".0%"))
        return explorer.drawing(WIDTH, HEIGHT, alt, drawn)


class RegretExplorer(explorer.Explorer):
    """A slider through how many of the best by a judge are kept, and what is lost then."""

    chapter, attachment, kind = "08-truth", "architectures", "regret"

    @staticmethod
    def check(data: dict[str, Any]) -> None:
        """Each judge scores each architecture."""
        same_length({name: data[name] for name in ("candidate", "accuracy")} | data["scores"], "the table")

    @staticmethod
    def given(data: dict[str, Any]) -> dict[str, Any]:
        """Without judges that call all architectures equal: they have no favourites."""
        telling = {name: row for name, row in data["scores"].items() if len(set(row)) > 1}
        return data | {"scores": telling or data["scores"]}

    @staticmethod
    def picture(data: dict[str, Any], alt: str) -> str:
        """The scores of the first judge that is offered, its ten favourites marked."""
        scores = next(iter(RegretExplorer.given(data)["scores"].values()))
        ten = set(sorted(range(len(scores)), key=lambda row: -scores[row])[:10])  # of equals the first, as live
        words = ("score by the judge", "accuracy in the table; the judge's ten favourites are marked")
        drawn = points(scores, data["accuracy"], [row in ten for row in range(len(scores))], words, (".3g", ".0%"))
        return explorer.drawing(WIDTH, HEIGHT, alt, drawn)


def setup(app: Sphinx) -> None:
    """Register the directives."""
    app.add_directive("population-explorer", PopulationExplorer)
    app.add_directive("regret-explorer", RegretExplorer)
