"""Matrices as pictures, and channels against channels."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from dfnas.figures import theme

NAMED_CLASSES = 20  # with more classes than this, names and counts are left out


@theme.themed
def confusion_matrix(counts: Any, class_names: Sequence[str]) -> Figure:
    """How many images of each class (row) were taken for each class (column), [K, K]; colour: row share."""
    counts = np.asarray(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, (axes,) = theme.panels(height=4.9)
    mesh = _matrix(axes, shares, class_names, (0.0, 1.0), size=10)
    if len(class_names) <= NAMED_CLASSES:
        for row, column in np.argwhere(counts > 0):
            colour = "black" if shares[row, column] > 0.5 else "white"
            text = f"{int(counts[row, column])}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    axes.set(xlabel="class the network sees", ylabel="true class")
    figure.colorbar(mesh, ax=axes, shrink=0.8, label="share of the row", format=PercentFormatter(1.0, decimals=0))
    return figure


@theme.themed
def class_similarity(
    first: Any, second: Any, class_names: Sequence[str], titles: tuple[str, str] = ("real images", "synthetic images")
) -> Figure:
    """Two class similarities [K, K] side by side: the mean label (columns) of each class's images (rows).

    The diagonal is left out, as it would drown the rest; both share one scale.
    """
    pair = [np.array(matrix, dtype=float) for matrix in (first, second)]
    for matrix in pair:
        np.fill_diagonal(matrix, np.nan)
    top = max(float(np.nanmax(matrix)) for matrix in pair)
    figure, axes = theme.panels(1, 2, height=4.2, sharey=True)
    for panel, matrix, title in zip(axes, pair, titles, strict=True):
        mesh = _matrix(panel, matrix, class_names, (0.0, top), size=9)
        panel.set(title=title, xlabel="class in the label")
    axes[0].set_ylabel("class of the image")
    figure.colorbar(mesh, ax=axes, location="bottom", shrink=0.7, aspect=30, label="mean probability")
    return figure


def _matrix(axes: Axes, values: np.ndarray, names: Sequence[str], limits: tuple[float, float], size: int) -> Any:
    mesh = axes.imshow(values, cmap=theme.SEQUENTIAL, vmin=limits[0], vmax=limits[1], interpolation="none")
    axes.grid(False)
    axes.set_facecolor("0.85")
    if len(names) <= NAMED_CLASSES:
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
        axes.set_yticks(range(len(names)), names, fontsize=size)
    return mesh


@theme.themed
def update_counts(counts: Any, expected: Any) -> Figure:
    """How often each pixel was inside the region: counted, expected, and the difference, each [S, S]."""
    counts, expected = np.asarray(counts, dtype=float), np.asarray(expected, dtype=float)
    top, extreme = max(counts.max(), expected.max()), max(np.abs(counts - expected).max(), 1e-9)
    figure, axes = theme.panels(1, 3, height=2.9)
    panels = [
        ("counted", counts, theme.SEQUENTIAL, (0, top)),
        ("expected", expected, theme.SEQUENTIAL, (0, top)),
        ("difference", counts - expected, theme.DIVERGING, (-extreme, extreme)),
    ]
    for panel, (title, values, colours, (low, high)) in zip(axes, panels, strict=True):
        mesh = panel.imshow(values, cmap=colours, vmin=low, vmax=high, interpolation="none")
        panel.grid(False)
        panel.set(title=title, xlabel="column")
        panel.xaxis.set_major_locator(MaxNLocator(2, integer=True))
        panel.yaxis.set_major_locator(MaxNLocator(2, integer=True))
        figure.colorbar(mesh, ax=panel, location="bottom", ticks=MaxNLocator(2), label="updates")
    axes[0].set_ylabel("row")
    return figure


@theme.themed
def batch_norm_memory(running: Mapping[str, Any], batches: Mapping[str, Mapping[str, Any]]) -> Figure:
    """What batch-norm layers remember against what a batch shows, channel by channel.

    `running` holds 'mean' and 'variance', each with one number a channel, all layers one after another; `batches` the
    same of each batch to be compared, by the batch's name. Each batch gets a row of panels.
    """
    figure, axes = theme.panels(len(batches), 2, height=2.4 * len(batches) + 0.3, sharex="col", sharey="col")
    for row, (name, batch) in enumerate(batches.items()):
        look: dict[str, Any] = {"marker": theme.MARKERS[row % 8], "color": theme.PALETTE[row % len(theme.PALETTE)]}
        for panel, kind in zip(axes[2 * row : 2 * row + 2], ("mean", "variance"), strict=True):
            x, y = (np.asarray(values[kind], dtype=float) for values in (running, batch))
            panel.scatter(x, y, s=9, alpha=0.6, linewidths=0, rasterized=len(x) > theme.DENSE, **look)
            if kind == "variance":
                panel.set(xscale="log", yscale="log")
            ends = [x.min(), x.max()]
            panel.plot(ends, ends, **theme.REFERENCE)
            panel.set(title=name, ylabel=f"{kind} in the batch")
    axes[-2].set_xlabel("running mean")
    axes[-1].set_xlabel("running variance")
    return figure
