"""Rankings beside each other: architecture by architecture, as coefficients, and as what the top k are worth."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dfnas.figures import theme


@theme.themed
def against_real(
    real: Sequence[float], others: Mapping[str, Sequence[float]], xlabel: str = "real data", what: str = "accuracy"
) -> Figure:
    """A panel for each other ranking: its values over those of `real`, a dot an architecture; all panels share x."""
    figure, axes = theme.panels(rows=len(others), height=1.9 * len(others) + 0.5, sharex=True)
    for number, (panel, (name, values)) in enumerate(zip(axes, others.items(), strict=True)):
        marker, colour = theme.MARKERS[number], theme.PALETTE[number]
        dense = len(real) > theme.DENSE
        look: dict[str, Any] = {"markersize": 3 if dense else 4.5, "alpha": 0.4 if dense else 0.6, "rasterized": dense}
        panel.plot(real, values, linestyle="none", marker=marker, color=colour, **look)
        panel.set_ylabel(name.replace("_", " "))
        if np.ptp(np.asarray(values, dtype=float)) == 0:  # else the axis would show a range of rounding errors
            panel.set_ylim(values[0] - 0.05, values[0] + 0.05)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_locator(MaxNLocator(5))
            axis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
    axes[0].set_title(f"{what} of each architecture", loc="left")
    axes[-1].set_xlabel(xlabel)
    return figure


@theme.themed
def coefficients(rows: Mapping[str, Mapping[str, tuple[float, float, float]]]) -> Figure:
    """Coefficients of rank agreement, each a mark with the bar of its interval (value, low, high).

    `rows` maps a comparison to coefficients by name; a comparison is a row, a name a colour and a mark. 0 is no
    agreement, in grey.
    """
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    figure, (axes,) = theme.panels(height=0.62 * len(rows) + 1.3)
    axes.axvline(0, **theme.REFERENCE)
    for number, name in enumerate(names):
        shift = 0.22 * (number - (len(names) - 1) / 2)
        ends = np.array([row[name] for row in rows.values()])
        heights = np.arange(len(rows)) + shift
        reach = np.abs(ends[:, 1:] - ends[:, :1]).T
        axes.errorbar(
            *(ends[:, 0], heights),
            xerr=reach,
            fmt=theme.MARKERS[number],
            color=theme.PALETTE[number],
            markersize=6,
            capsize=3,
            label=name,
        )
    axes.set_yticks(range(len(rows)), [name.replace("_", " ") for name in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set(
        xlabel="coefficient, with its 95 % interval", ylabel="ranking", title="Agreement with the ranking on real data"
    )
    axes.xaxis.set_major_locator(MaxNLocator(6))
    columns = len(names) if sum(map(len, names)) < 40 else 1
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=columns)
    return figure


@theme.themed
def regrets(curves: Mapping[str, Sequence[float]], chance: Sequence[float]) -> Figure:
    """What is lost by looking at a ranking's top k only, over k, in percentage points of accuracy.

    `curves` maps a ranking to its regrets at k = 1, 2, ..., and `chance` has those of k drawn by lot, in grey.
    """
    figure, (axes,) = theme.panels(height=3.4)
    steps = np.arange(1, len(chance) + 1)
    for number, (name, values) in enumerate(curves.items()):
        # a regret stays what it is until the next architecture is looked at
        theme.line(axes, steps, 100 * np.asarray(values), number, name, drawstyle="steps-post", marker=None)
    axes.plot(steps, 100 * np.asarray(chance), label="by lot", **theme.REFERENCE)
    axes.set(xlabel="architectures looked at, k", ylabel="percentage points", xlim=(1, len(chance)))
    axes.set_title("What the best of the top k lacks")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    return figure


@theme.themed
def judges(
    groups: Mapping[str, Mapping[str, tuple[Sequence[float], tuple[float, float, float]]]],
    what: str,
    title: str,
    wide: bool = False,
) -> Figure:
    """Judges, or searches, one a row in groups: its values, a dot each, with their mean and the bar of its interval.

    `groups` maps a group, which has a colour and a mark, to its rows by name: (values, (mean, low, high)). `wide`:
    beyond 1 the axis is logarithmic.
    """
    count = sum(map(len, groups.values()))
    figure, (axes,) = theme.panels(height=0.3 * count + 1.7)
    axes.axvline(0, **theme.REFERENCE)
    names: list[str] = []
    for number, (group, rows) in enumerate(groups.items()):
        colour, marker = theme.PALETTE[number], theme.MARKERS[number]
        for name, (values, (mean, low, high)) in rows.items():
            axes.plot(values, [len(names)] * len(values), marker, color=colour, alpha=0.45, markersize=5)
            reach = [[mean - low], [high - mean]]
            axes.errorbar(mean, len(names), xerr=reach, fmt=marker, color=colour, markersize=8, capsize=4)
            names.append(name)
        axes.plot([], [], marker, color=colour, label=group)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    if wide:
        axes.set_xscale("symlog", linthresh=1)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "\N{MINUS SIGN}"))
    axes.set_yticks(range(count), names)
    axes.set_ylim(count - 0.5, -0.5)
    axes.set(xlabel=what, ylabel="judge or source", title=title)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
