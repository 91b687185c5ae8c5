"""Searches over the paths of a chain: probabilities of operations over the steps, what updates saw, and latency."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dfnas.figures import theme

MOMENTS = 60  # of a search that are drawn: more do not show on a page, and take its space


@theme.themed
def path_probabilities(probabilities: Any, steps: Sequence[int], names: Sequence[str]) -> Figure:
    """How probable each operation of each block is over the steps of a search, as areas that add up to 1.

    Parameters
    ----------
    probabilities : [T, blocks, operations], 0 for an operation that a block does not have.
    steps : the T steps, of which at most MOMENTS are drawn, the first and the last among them.
    names : of the operations.
    """
    kept = np.unique(np.linspace(0, len(steps) - 1, min(MOMENTS, len(steps))).round().astype(int))
    values, steps = np.asarray(probabilities, dtype=float)[kept], np.asarray(steps)[kept]
    blocks = values.shape[1]
    rows = math.ceil(blocks / 2)
    figure, axes = theme.panels(rows, 2, height=1.15 * rows + 1.3, sharex=True, sharey=True)
    colours = [theme.PALETTE[k % len(theme.PALETTE)] for k in range(len(names))]
    for block, panel in enumerate(axes[:blocks]):
        areas = panel.stackplot(steps, values[:, block].T, colors=colours, edgecolor="white", linewidth=0.4)
        panel.text(0.03, 0.08, f"block {block + 1}", transform=panel.transAxes, fontsize=9, bbox=_PAPER)
        panel.margins(0)
        panel.grid(False)
    for panel in axes[blocks:]:
        panel.set_axis_off()
    axes[0].set(ylim=(0, 1))
    axes[0].yaxis.set_major_formatter(theme.percent)
    axes[0].xaxis.set_major_locator(MaxNLocator(4, integer=True))
    for panel in axes[max(0, blocks - 2) : blocks]:
        panel.set_xlabel("step of the search")
        panel.tick_params(labelbottom=True)
    for panel in axes[:blocks:2]:
        panel.set_ylabel("probability", fontsize=10)
    figure.legend(areas, [_spaced(name) for name in names], loc="outside lower center", ncols=3, handlelength=1.0)
    return figure


_PAPER: dict[str, Any] = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.5}


@theme.themed
def updates(logs: Mapping[str, Mapping[str, Sequence[float]]], columns: Mapping[str, str]) -> Figure:
    """What a search's updates saw, over its steps: a panel a column, a curve a source.

    Parameters
    ----------
    logs : columns by source; `step` is the position. A curve is the mean over stretches of a fortieth of the updates,
        as single updates are noisy.
    columns : names of the columns to draw and what to write at their axes.
    """
    figure, axes = theme.panels(len(columns), height=1.7 * len(columns) + 0.8, sharex=True)
    for panel, (column, label) in zip(axes, columns.items(), strict=True):
        for number, (name, log) in enumerate(logs.items()):
            theme.line(panel, _means(log["step"]), _means(log[column]), number, name, marker="")
        panel.set_ylabel(label)
    axes[0].set_title("Updates of the architecture parameters")
    axes[-1].set_xlabel("step of the search")
    axes[-1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _means(values: Sequence[float]) -> list[float]:
    return [float(part.mean()) for part in np.array_split(np.asarray(values, dtype=float), min(40, len(values)))]


@theme.themed
def latencies(networks: Mapping[str, Sequence[float]]) -> Figure:
    """Measured latency of whole networks against what a table of operators predicts, and against multiply-adds.

    `networks` has columns `predicted`, `measured`, `low`, `high` (milliseconds; the quartiles are bars) and `macs`.
    """
    predicted, measured, low, high = (np.asarray(networks[k], float) for k in ("predicted", "measured", "low", "high"))
    millions = np.asarray(networks["macs"], float) / 1e6
    figure, (above, below) = theme.panels(2, height=5.6)
    for panel, x, number in ((above, predicted, 0), (below, millions, 1)):
        look: dict[str, Any] = {"fmt": theme.MARKERS[number], "color": theme.PALETTE[number], "markersize": 5}
        panel.errorbar(x, measured, yerr=[measured - low, high - measured], capsize=2, linewidth=0.8, **look)
        panel.set_ylabel("measured (ms)")
    ends = [min(predicted.min(), low.min()), max(predicted.max(), high.max())]
    above.plot(ends, ends, label="equal", **theme.REFERENCE)
    above.legend()
    above.set(xlabel="predicted: sum over the table (ms)", title="Latency of random networks")
    below.set_xlabel("multiply-adds (millions)")
    return figure


def _spaced(name: str) -> str:
    return name.replace("_", " ")
