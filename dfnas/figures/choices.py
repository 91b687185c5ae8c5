"""What an evolutionary search chose, block by block, and how fast it came to its best."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from dfnas.figures import theme

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
    shown = range(0, blocks, 1 if blocks <= WRITTEN_BLOCKS else 2)
    axes[-1].set_xticks([block + 0.5 for block in shown], [str(block + 1) for block in shown])
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
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    figure.legend(loc="outside lower center", ncols=3)
    return figure
