"""Chains of blocks as strips, and the candidates that an evolutionary search visited."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter

from dfnas.figures import theme

HEAD = (-1.6, -0.95)  # where channels and strides are written, in rows above the first
ORIGINS = ("random", "mutation", "crossover")


@theme.themed
def chain(
    architectures: Mapping[str, Sequence[int]],
    stages: Sequence[tuple[int, int, int]],
    names: Sequence[str],
    symbols: Sequence[str],
    title: str = "Architectures, block by block",
) -> Figure:
    """Architectures of one chain space under each other, a strip each, from the image (left) to the classes.

    Parameters
    ----------
    architectures : the operation of each block, as its number, by the architecture's name.
    stages : (channels, stride of the first block, blocks) of each stage; a block's width goes with the logarithm of
        its channels.
    names, symbols : of each operation, in full for the legend and in one letter, or two lines of one, for the blocks.
    """
    lefts, widths, edges = _places(stages)
    figure, (axes,) = theme.panels(height=0.4 * len(architectures) + 1.7)
    for row, choices in enumerate(architectures.values()):
        for left, width, choice in zip(lefts, widths, choices, strict=True):
            _block(axes, left, row, width, choice, symbols[choice])
    _head(axes, stages, edges)
    axes.set_yticks([*HEAD, *range(len(architectures))], ["channels", "stride", *map(_spaced, architectures)])
    axes.set(xlim=(edges[0], edges[-1]), ylim=(len(architectures) - 0.5, HEAD[0] - 0.4), xticks=[])
    axes.set(title=title, xlabel="blocks, from the image to the classes", ylabel="architecture")
    axes.grid(False)
    axes.spines[:].set_visible(False)
    present = sorted({choice for choices in architectures.values() for choice in choices})
    labels = ["".join(symbols[k].split()) + f": {_spaced(names[k])}" for k in present]
    patches = [Patch(color=_colour(k), label=label) for k, label in zip(present, labels, strict=True)]
    columns = 2 if len(patches) <= 4 else 3
    figure.legend(handles=patches, loc="outside lower center", ncols=columns, handlelength=1.0)
    return figure


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _places(stages: Sequence[tuple[int, int, int]]) -> tuple[list[float], list[float], list[float]]:
    """Left edges and widths of the blocks, and the boundaries of the stages, in units of the whole length."""
    length = sum(np.log2(channels) * blocks for channels, _, blocks in stages)
    lefts, widths, edges, gap = [], [], [0.0], 0.02
    for channels, _, blocks in stages:
        left, width = edges[-1] + gap / 2, float(np.log2(channels) / length)
        lefts += [left + width * block for block in range(blocks)]
        widths += [width] * blocks
        edges.append(left + width * blocks + gap / 2)
    return lefts, widths, edges


def _colour(choice: int) -> tuple[float, float, float]:
    return theme.PALETTE[choice % len(theme.PALETTE)]


def _block(axes: Axes, left: float, row: int, width: float, choice: int, symbol: str) -> None:
    colour = _colour(choice)
    axes.add_patch(Rectangle((left, row - 0.38), width, 0.76, facecolor=colour, edgecolor="white", linewidth=1.2))
    linear = np.power(colour, 2.2)
    ink = "white" if np.dot(linear, (0.2126, 0.7152, 0.0722)) < 0.18 else "black"  # the stronger contrast of the two
    size = 9 if len(symbol) == 1 else 8
    axes.text(left + width / 2, row, symbol, color=ink, ha="center", va="center", fontsize=size, linespacing=0.95)


def _head(axes: Axes, stages: Sequence[tuple[int, int, int]], edges: Sequence[float]) -> None:
    """Channels and stride above each stage, and lines between stages."""
    for (channels, stride, _), left, right in zip(stages, edges, edges[1:], strict=False):
        for row, value in zip(HEAD, (channels, stride), strict=True):
            axes.text((left + right) / 2, row, str(value), ha="center", va="center", fontsize=10, color="0.25")
    for edge in edges[1:-1]:
        axes.axvline(edge, **theme.REFERENCE)


@theme.themed
def population(visited: Sequence[Any], macs: Sequence[float] | None = None, limit: float | None = None) -> Figure:
    """All candidates of an evolutionary search: their score by generation and, with `macs`, against their cost.

    `visited` are the rows of the log, with generation, origin and scores, in order; the first score is an accuracy.
    `macs` are the candidates' multiply-adds, `limit` the most that were admissible.
    """
    rows = 1 if macs is None else 2
    figure, axes = theme.panels(rows, height=2.6 * rows + 0.9, sharey=True)
    scores = np.array([row.scores[0] for row in visited], dtype=float)
    generations = np.array([row.generation for row in visited])
    _by_generation(axes[0], generations, scores, np.array([row.origin for row in visited]))
    if macs is not None:
        millions = np.asarray(macs, dtype=float) / 1e6
        best = max(range(len(visited)), key=lambda position: visited[position].scores)
        axes[1].scatter(millions[best], scores[best], s=70, facecolors="none", edgecolors="black", label="best of all")
        if limit is not None:
            axes[1].axvline(limit / 1e6, label="limit", **theme.REFERENCE)
        _by_cost(figure, axes[1], generations, scores, millions)
    for panel in axes:
        panel.yaxis.set_major_formatter(theme.percent)
        panel.set_ylabel("accuracy in the search")
    axes[0].set_title("Candidates of the evolutionary search")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _by_generation(axes: Axes, generations: np.ndarray, scores: np.ndarray, origins: np.ndarray) -> None:
    """A dot a candidate, a generation's beside each other in the order of evaluation, and the best so far."""
    counts = np.bincount(generations)
    number = np.arange(len(scores)) - np.concatenate([[0], np.cumsum(counts)])[generations]
    places = generations + 0.8 * ((number + 0.5) / counts[generations] - 0.5)
    for kind, origin in enumerate(ORIGINS):
        rows = origins == origin
        if rows.any():
            look: dict[str, Any] = {"color": theme.PALETTE[kind], "marker": theme.MARKERS[kind], "label": origin}
            axes.scatter(places[rows], scores[rows], alpha=0.7, linewidths=0, **_dots(scores), **look)
    axes.plot(places, np.fmax.accumulate(scores), color="black", drawstyle="steps-post", label="best so far")
    axes.set(xlabel="generation", xlim=(-0.6, generations.max() + 0.6))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _by_cost(figure: Figure, axes: Axes, generations: np.ndarray, scores: np.ndarray, millions: np.ndarray) -> None:
    """A dot a candidate, coloured by its generation."""
    look: dict[str, Any] = {"cmap": theme.SEQUENTIAL, "edgecolors": "0.3", "linewidths": 0.3}
    dots = axes.scatter(millions, scores, c=generations, **_dots(scores), **look)
    axes.set_xlabel("millions of multiply-adds")
    ticks = MaxNLocator(5, integer=True)
    figure.colorbar(dots, ax=axes, label="generation", location="bottom", aspect=40, ticks=ticks)


def _dots(scores: np.ndarray) -> dict[str, Any]:
    """Many candidates are small dots of pixels."""
    return {"s": 10, "rasterized": True} if len(scores) > theme.DENSE else {"s": 25}


WRITTEN_BLOCKS = 10  # with more blocks than this, the shares are not written into the cells


@theme.themed
def choices_by_block(shares: Mapping[str, Any], names: Sequence[str]) -> Figure:
    """How often each block took each choice, a heat map for each population, one under the other.

    Parameters
    ----------
    shares : [blocks, choices] by the population's name; rows sum to 1. All share one scale, from 0 to 1.
    names : of the choices.

    Raises
    ------
    ValueError : shares of another shape than [blocks, number of names].
    """
    matrices = {title: np.asarray(values, dtype=float) for title, values in shares.items()}
    for title, matrix in matrices.items():
        if matrix.ndim != 2 or matrix.shape[1] != len(names):
            raise ValueError(f"{title}: shares [blocks, {len(names)}] are needed, not {list(matrix.shape)}")
    figure, axes = theme.panels(len(shares), height=(0.28 * len(names) + 0.45) * len(shares) + 1.0, sharex=True)
    for panel, (title, matrix) in zip(axes, matrices.items(), strict=True):
        mesh = _heat_map(panel, matrix.T)
        panel.set_yticks(np.arange(len(names)) + 0.5, [name.replace("_", " ") for name in names])
        panel.set(title=title, ylabel="choice")
    blocks = len(matrix)
    ticks = range(0, blocks, 1 if blocks <= WRITTEN_BLOCKS else 2)
    axes[-1].set_xticks([block + 0.5 for block in ticks], [str(block + 1) for block in ticks])
    axes[-1].set_xlabel("block, from the image to the classes")
    bar: dict[str, Any] = {"location": "bottom", "shrink": 0.7, "aspect": 30, "format": PercentFormatter(1.0)}
    figure.colorbar(mesh, ax=axes, label="share of the candidates", **bar)
    return figure


def _heat_map(axes: Axes, matrix: np.ndarray) -> Any:
    """Shares [choices, blocks], the first choice on top, with an edge between cells; in percent where there is room."""
    mesh = axes.pcolormesh(matrix, cmap=theme.SEQUENTIAL, vmin=0, vmax=1, edgecolors="white", linewidth=0.8)
    axes.set_ylim(len(matrix), 0)
    axes.grid(False)
    if matrix.shape[1] <= WRITTEN_BLOCKS:
        for (row, column), share in np.ndenumerate(matrix):
            style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 9}
            style["color"] = "black" if share > 0.5 else "white"
            axes.text(column + 0.5, row + 0.5, f"{100 * share:.0f}", **style)
    return mesh


@theme.themed
def best_so_far(scores: Mapping[str, Sequence[float]], generations: Mapping[str, Sequence[int]]) -> Figure:
    """The best score among the candidates judged so far, a curve a search, over the number of candidates.

    `scores` are shares of held-out images in the order in which candidates were judged, `generations` the generation
    of each; both by the search's name. Marks are where a generation starts.
    """
    figure, (axes,) = theme.panels(height=3.2)
    for number, (name, values) in enumerate(scores.items()):
        best = np.fmax.accumulate(np.asarray(values, dtype=float))
        starts = np.flatnonzero(np.diff(np.asarray(generations[name]), prepend=-1)).tolist()
        look: dict[str, Any] = {"marker": theme.MARKERS[number % 8], "markevery": starts, "markersize": 5}
        theme.line(axes, np.arange(1, len(best) + 1), best, number, name, drawstyle="steps-post", **look)
    axes.set(xlabel="candidates judged", ylabel="accuracy in the search", title="The best candidate so far")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(theme.percent)
    figure.legend(loc="outside lower center", ncols=3)
    return figure
