"""Pruned networks: how wide their layers are, how a population's widths move, accuracy for each budget."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from dfnas.figures import theme


@theme.themed
def widths(channels: Mapping[str, Sequence[int]], full: Sequence[int], names: Sequence[str]) -> Figure:
    """The width of each layer as a share of its full width, a curve a network.

    Parameters
    ----------
    channels : the network's channels, by its name; `full` those of the network that was pruned.
    names : of the layers, in order.

    Raises
    ------
    ValueError : lists of different lengths.
    """
    figure, (axes,) = theme.panels(height=3.9)
    places = np.arange(len(full))
    for number, (name, values) in enumerate(channels.items()):
        if not len(values) == len(full) == len(names):
            raise ValueError(f"{name}: {len(values)} widths, {len(full)} full ones, {len(names)} names")
        shares = np.asarray(values, dtype=float) / np.asarray(full, dtype=float)
        look: dict[str, Any] = {"marker": theme.MARKERS[number % 8], "markersize": 5}
        theme.line(axes, places, shares, number, name, **look)
    labels = [f"{name} ({width})" for name, width in zip(names, full, strict=True)]
    axes.set_xticks(places, labels, rotation=90)
    axes.set(ylim=(0, 1.05), ylabel="share of the full width", title="Widths, layer by layer")
    axes.set_xlabel("layer (its full width)")
    axes.yaxis.set_major_formatter(theme.percent)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@theme.themed
def widths_by_generation(ratios: Any, names: Sequence[str]) -> Figure:
    """The mean ratio of each layer among the candidates of a generation, as a heat map.

    `ratios` is [generations, layers], from 0 to 1; `names` of the layers.

    Raises
    ------
    ValueError : ratios of another shape.
    """
    matrix = np.asarray(ratios, dtype=float)
    if matrix.ndim != 2 or matrix.shape[1] != len(names):
        raise ValueError(f"ratios [generations, {len(names)}] are needed, not {list(matrix.shape)}")
    figure, (axes,) = theme.panels(height=0.24 * len(names) + 1.9)
    look: dict[str, Any] = {"cmap": theme.SEQUENTIAL, "vmin": 0, "vmax": 1, "edgecolors": "white", "linewidth": 0.8}
    mesh = axes.pcolormesh(matrix.T, **look)
    axes.set_yticks(np.arange(len(names)) + 0.5, names)
    axes.set_xticks(np.arange(len(matrix)) + 0.5, [str(number) for number in range(len(matrix))])
    axes.set(ylim=(len(names), 0), xlabel="generation", ylabel="layer", title="Mean ratio of a generation")
    axes.grid(False)
    bar: dict[str, Any] = {"location": "bottom", "shrink": 0.7, "aspect": 30, "format": PercentFormatter(1.0)}
    figure.colorbar(mesh, ax=axes, label="ratio", **bar)
    return figure


@theme.themed
def accuracy_by_budget(
    arms: Mapping[str, Sequence[Mapping[str, Sequence[float]]]], what: str = theme.ACCURACY
) -> Figure:
    """Accuracy over multiply-adds for several budgets: a curve an arm, with mean and deviation at each budget.

    Parameters
    ----------
    arms : for each arm and budget, `accuracy` and `macs`, a value a training. The arm `random` has another network in
        each: those are crosses, and their means a curve.
    """
    figure, (axes,) = theme.panels(height=4.0)
    for number, (name, budgets) in enumerate(arms.items()):
        _arm(axes, number, name, sorted(budgets, key=lambda each: float(np.mean(each["macs"]))))
    axes.set(xlabel="multiply-adds (millions)", ylabel=what)
    axes.set_title(f"{what.split()[0].capitalize()} for each budget")
    axes.yaxis.set_major_formatter(theme.percent)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _arm(axes: Axes, number: int, name: str, budgets: Sequence[Mapping[str, Sequence[float]]]) -> None:
    colour = theme.PALETTE[number % len(theme.PALETTE)]
    macs, means, spreads = [], [], []
    for budget in budgets:
        accuracies = np.asarray(budget["accuracy"], dtype=float)
        each = np.asarray(budget["macs"], dtype=float) / 1e6
        if name == "random":
            axes.plot(each, accuracies, "x", color=colour, alpha=0.6, markersize=5)
        macs.append(each.mean())
        means.append(accuracies.mean())
        spreads.append(accuracies.std(ddof=1) if len(accuracies) > 1 else 0.0)
    look: dict[str, Any] = {"color": colour, "capsize": 3, "markersize": 5, "marker": theme.MARKERS[number % 8]}
    dashes = theme.DASHES[number % len(theme.DASHES)]
    axes.errorbar(macs, means, yerr=spreads, linestyle=dashes, label=name.replace("_", " "), **look)
