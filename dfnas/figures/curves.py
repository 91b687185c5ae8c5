"""Curves over time: training, learning rates, loss terms, rounds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dfnas.figures import theme


@theme.themed
def learning_curve(history: Any, title: str = "Training") -> Figure:
    """Losses above, accuracies below, over epochs or steps.

    `history` is a dictionary of columns or a list of rows. One column is called epoch, step or iteration;
    of the others, those with 'loss' in their name are drawn above and those with 'accuracy' below. An empty history,
    that of a network which was trained elsewhere, gives a figure that says so.
    """
    if not len(history):
        return _without_curve()
    columns = theme.columns_of(history)
    position = theme.position_of(columns)
    kinds = {kind: [name for name in columns if kind in name] for kind in ("loss", "accuracy")}
    kinds = {kind: names for kind, names in kinds.items() if names}
    figure, axes = theme.panels(len(kinds), height=2.1 * len(kinds) + 0.4, sharex=True)
    for panel, (kind, names) in zip(axes, kinds.items(), strict=True):
        for number, name in enumerate(names):
            theme.line(panel, columns[position], columns[name], number, name)
        panel.set_ylabel(kind)
        if len(names) > 1:
            panel.legend()
        if kind == "accuracy":
            panel.yaxis.set_major_formatter(theme.percent)
    axes[0].set_title(title)
    axes[-1].set_xlabel(position)
    return figure


def _without_curve() -> Figure:
    figure, (axes,) = theme.panels(height=1.2)
    axes.text(0.5, 0.5, "no curve: this network was trained elsewhere", ha="center", va="center")
    axes.set_axis_off()
    return figure


@theme.themed
def schedule(rates: Sequence[float], boundaries: Sequence[float] = (), names: Sequence[str] = ()) -> Figure:
    """The learning rate at every iteration, with the ends and the names of the resolution stages."""
    figure, (axes,) = theme.panels(height=2.6)
    axes.plot(np.arange(len(rates)), np.asarray(rates, dtype=float), color=theme.PALETTE[0])
    axes.set(xlabel="iteration", ylabel="learning rate", xlim=(0, max(len(rates) - 1, 1)))
    axes.set_ylim(bottom=0)
    theme.stage_boundaries(axes, boundaries, names)
    return figure


@theme.themed
def loss_terms(history: Any, boundaries: Sequence[float] = (), names: Sequence[str] = ()) -> Figure:
    """Each term of the synthesis loss over the iterations, on a logarithmic scale.

    `history` as in `learning_curve`, with one column a term; terms that are never positive are left out.
    `boundaries` are the iterations at which a resolution stage ends, `names` the stages' names.
    """
    columns = theme.columns_of(history)
    position = columns.pop(theme.position_of(columns))
    figure, (axes,) = theme.panels(height=3.7)
    for number, (name, values) in enumerate(columns.items()):
        if (values > 0).any():
            theme.line(axes, position, np.where(values > 0, values, np.nan), number, name)
    axes.set(xlabel="iteration", ylabel="value of the term", yscale="log")
    axes.set_xlim(float(position.min()), float(position.max()))
    theme.stage_boundaries(axes, boundaries, names)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


@theme.themed
def label_entropy_by_round(entropies: Sequence[Any], classes: int, real: Any = None) -> Figure:
    """The entropy of the stored labels, round by round: median, middle half and middle nine tenths.

    `entropies` holds an array in nats for each round; the entropy of a label that knows nothing of `classes` = K
    classes is log K. `real` is an array of the teacher's labels of real images, whose median is drawn as a reference.
    """
    rounds = np.arange(len(entropies))
    low, quarter, middle, three, high = np.array([_quantiles(values) for values in entropies]).T
    figure, (axes,) = theme.panels(height=3.2)
    colour = theme.PALETTE[0]
    axes.fill_between(rounds, low, high, color=colour, alpha=0.15, linewidth=0, label="middle nine tenths")
    axes.fill_between(rounds, quarter, three, color=colour, alpha=0.35, linewidth=0, label="middle half")
    axes.plot(rounds, middle, marker="o", color=colour, label="median")
    if real is not None:
        axes.axhline(_quantiles(real)[2], color=theme.PALETTE[1], linestyle="--", label="median, real images")
    axes.axhline(np.log(classes), **theme.REFERENCE)
    axes.text(0.99, np.log(classes), "log K", transform=axes.get_yaxis_transform(), fontsize=9, va="bottom", ha="right")
    axes.set(xlabel="round", ylabel="entropy of the label (nats)", ylim=(0, 1.12 * np.log(classes)))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _quantiles(values: Any) -> np.ndarray:
    return np.quantile(np.asarray(values, dtype=float), [0.05, 0.25, 0.5, 0.75, 0.95])


@theme.themed
def drift_by_round(drifts: Sequence[float], off_slot: Sequence[float]) -> Figure:
    """How far labels moved and how many left their slot's class, round by round, each on its own scale.

    `drifts` holds, for each round but the first, the mean total variation distance to the labels of the round before;
    `off_slot`, for each round, the share of labels whose largest entry is not at the slot's class.
    """
    figure, (moved, left) = theme.panels(2, 1, height=3.8, sharex=True)
    moved.plot(np.arange(1, len(drifts) + 1), np.asarray(drifts, dtype=float), marker="o", color=theme.PALETTE[0])
    moved.set(ylabel="drift", ylim=(0, max(0.01, 1.15 * max(drifts, default=0.0))))
    moved.set_title("Distance to the labels of the round before")
    left.plot(np.arange(len(off_slot)), np.asarray(off_slot, dtype=float), marker="s", color=theme.PALETTE[1])
    left.set(xlabel="round", ylabel="share of slots", ylim=(0, max(0.01, 1.15 * max(off_slot))))
    left.set_title("Labels whose largest entry is not the slot's class")
    left.yaxis.set_major_formatter(theme.percent)
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
